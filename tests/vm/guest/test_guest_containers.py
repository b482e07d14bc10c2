"""Containers in the guest are real: own cgroup, own namespaces, overlayfs below."""

from pathlib import Path

import pytest
from containers import StartContainer

pytestmark = pytest.mark.parametrize("by", ["podman", "docker"])


def test_a_container_runs_on_overlayfs_in_its_own_cgroup(container: StartContainer, by: str) -> None:
    web = container("sleep", "100", options=["--name", "web"], by=by)
    assert web.name == "web"
    assert web.id in web.cgroup
    assert (Path("/sys/fs/cgroup") / web.cgroup.lstrip("/") / "cgroup.procs").read_text().split()[0] == str(web.pid)
    root = [line.split() for line in Path(f"/proc/{web.pid}/mountinfo").read_text().splitlines()]
    assert [fields[fields.index("-") + 1] for fields in root if fields[4] == "/"] == ["overlay"]


def test_its_files_and_its_end_are_seen(container: StartContainer, by: str) -> None:
    job = container("sh", "-c", "echo kept > /data/file; cat /data/file; exit 7", by=by)
    assert job.wait() == 7
    assert job.logs() == "kept"


def test_exec_goes_inside(container: StartContainer, by: str) -> None:
    web = container("sleep", "100", by=by)
    assert web.execute("sh", "-c", "id -u; ls -d /data").split() == ["0", "/data"]
    web.stop(0)
    assert web.pid == 0

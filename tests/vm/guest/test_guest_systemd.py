"""A unit of a real systemd: found by name, drilled, and followed over a restart."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from workloads import until

DISCOVER = str(Path(sys.executable).with_name("discover"))
SECONDS = 120  # of a guest under emulation
UNITS = {
    "web.service": "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh -c "
    "'trap : HUP; cat /etc/hostname; while :; do sleep 0.5; done'\n",
    "tiny.target": "[Unit]\nDescription=only this\nDefaultDependencies=no\nRequires=web.service\n",
}


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A system manager of its own pid namespace, with one service; the guest's first process is none."""
    if not shutil.which("systemctl") or not Path("/lib/systemd/systemd").exists():
        pytest.skip("needs systemd")
    folder = Path("/run/systemd/system")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in UNITS.items():
        (folder / name).write_text(text)
    # Without generators: what this machine has installed is not wanted, and takes minutes to ask under emulation.
    manager = (
        "mount -t tmpfs none /usr/lib/systemd/system-generators && "
        "exec env container=test /lib/systemd/systemd --system --unit=tiny.target"
    )
    with (tmp_path_factory.mktemp("systemd") / "log").open("wb") as log:
        command = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "sh", "-c", manager]
        running = subprocess.Popen(command, stdout=log, stderr=log)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        before = os.environ["PATH"]
        try:
            until(children.read_text, SECONDS)
            # The manager takes no word from a process outside of its pid namespace.
            inside = f"nsenter --target {children.read_text().strip()} --pid --mount -- {shutil.which('systemctl')}"
            shim = tmp_path_factory.mktemp("bin") / "systemctl"
            shim.write_text(f'#!/bin/sh\nexec {inside} "$@"\n')
            shim.chmod(0o755)
            os.environ["PATH"] = f"{shim.parent}:{before}"
            until(lambda: systemctl("is-active", "web.service") == "active", SECONDS)
            yield
        finally:
            os.environ["PATH"] = before
            running.kill()
            running.wait()
            shutil.rmtree(folder)


@pytest.mark.usefixtures("systemd")
def test_a_unit_is_recorded_over_a_restart(tmp_path: Path) -> None:
    out = tmp_path / "web"
    command = [DISCOVER, "record", "--unit", "web", "--for", "900s", "--no-inventory", "--json", "-o", str(out)]
    with (tmp_path / "log").open("wb") as log:
        recorder = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: b"behaviours" in (tmp_path / "log").read_bytes(), SECONDS)
            before = systemctl("show", "--property=MainPID", "web.service")
            systemctl("restart", "web.service")
            until(lambda: systemctl("show", "--property=MainPID", "web.service") not in (before, "MainPID=0"), SECONDS)
            time.sleep(5)
        finally:
            recorder.send_signal(signal.SIGINT)
        assert recorder.wait(120) == 0, (tmp_path / "log").read_text()
    told = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert told["losses"] == []
    units = duckdb.sql(f"SELECT unit, workload, workload_kind, notes FROM '{out}/units.parquet'").fetchall()
    assert [(name, kind, notes) for _, name, kind, notes in units] == [("web.service", "Service", [])] * 2, units
    rows = duckdb.sql(f"SELECT unit, path FROM '{out}/behaviours/*/*.parquet' WHERE op = 'exec'").fetchall()
    started = {unit for unit, path in rows if path.endswith("/cat")}
    assert len(started) == 1, rows
    assert {path for unit, path in rows if unit in started} > {"/usr/bin/dash", "/usr/bin/cat"}, rows


@pytest.mark.usefixtures("systemd")
def test_a_unit_is_drilled_and_a_wrong_name_has_a_hint(tmp_path: Path) -> None:
    common = [DISCOVER, "record", "--no-inventory", "--for", "4s"]
    wrong = [*common, "-o", str(tmp_path / "wrong"), "--unit", "wep"]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "hint: did you mean web.service?" in done.stderr
    out = tmp_path / "web"
    reload = [*common, "-o", str(out), "--unit", "web.service", "--drill", "reload", "--json"]
    done = subprocess.run(reload, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["drilled"], told["losses"]) == (["reload"], [])

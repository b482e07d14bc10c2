"""Mount namespaces outlive their processes where the recorder holds them."""

import os
import subprocess
from pathlib import Path

import pytest

from collectors.mount_namespaces import HeldNamespaces

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts: needs root")

SCRIPT = 'mount -t tmpfs t "$1" && echo kept >"$1/file" && mkdir "$1/jail" && echo up && read -r _'


def test_a_namespace_is_seen_after_its_last_process(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(tmp_path)]
    with (
        HeldNamespaces() as held,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert held.usual() is None
        held.look([child.pid, child.pid, os.getpid(), 2**22 + 1])
        child.communicate(b"\n")
        assert not Path(f"/proc/{child.pid}/ns").exists()
        number = held.usual()
        assert number not in (None, Path("/proc/self/ns/mnt").stat().st_ino)
        assert number is not None
        root = held.root(number)
        try:
            fd = os.open(f"{tmp_path}/file".lstrip("/"), os.O_RDONLY, dir_fd=root)
            assert os.read(fd, 10) == b"kept\n"
            os.close(fd)
        finally:
            os.close(root)
        assert not (tmp_path / "file").exists()  # this thread has stayed where it was
        with pytest.raises(KeyError):
            held.root(1)


def test_a_process_that_is_gone_is_no_trouble() -> None:
    with HeldNamespaces() as held:
        assert held.hold(2**22 + 1) is None
        held.look([2**22 + 1])
        assert held.usual() is None

"""What the other guest tests stand on: the stock kernel, its LSMs, cgroup v2, and an LSM program that really denies."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_kernel_is_the_one_that_was_asked_for() -> None:
    assert os.uname().release.startswith(os.environ["DISCOVER_GUEST"])


def test_bpf_is_an_active_lsm() -> None:
    assert "bpf" in Path("/sys/kernel/security/lsm").read_text().split(",")


def test_cgroup_v2_is_mounted_with_controllers() -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    assert [kind for _, target, kind, *_ in mounts if target == "/sys/fs/cgroup"] == ["cgroup2"]
    assert {"memory", "pids"} <= set(Path("/sys/fs/cgroup/cgroup.subtree_control").read_text().split())


def test_temporary_files_have_real_inodes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert (tmp_path / "a").stat().st_nlink == 2


class Deny:
    """``deny.bpf.o``, loaded and attached with libbpf alone: does not depend on the loader under test."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name in (
            "bpf_object__open_file",
            "bpf_object__next_program",
            "bpf_object__next_map",
            "bpf_program__attach",
        ):
            getattr(self._lib, name).restype = ctypes.c_void_p
        path = str(HERE / "deny.bpf.o").encode()
        self._object = ctypes.c_void_p(self._lib.bpf_object__open_file(path, None))
        assert self._object
        assert self._lib.bpf_object__load(self._object) == 0
        program = ctypes.c_void_p(self._lib.bpf_object__next_program(self._object, None))
        self._link = ctypes.c_void_p(self._lib.bpf_program__attach(program))
        assert self._link, os.strerror(ctypes.get_errno())
        self._map = self._lib.bpf_map__fd(ctypes.c_void_p(self._lib.bpf_object__next_map(self._object, None)))

    def watch(self, tgid: int) -> None:
        self._store(0, tgid)

    def _store(self, index: int, number: int) -> None:
        key, value = ctypes.c_uint32(index), ctypes.c_uint64(number)
        assert self._lib.bpf_map_update_elem(self._map, ctypes.byref(key), ctypes.byref(value), ctypes.c_uint64(0)) == 0

    def denied(self) -> int:
        key, value = ctypes.c_uint32(1), ctypes.c_uint64(0)
        assert self._lib.bpf_map_lookup_elem(self._map, ctypes.byref(key), ctypes.byref(value)) == 0
        return value.value

    def close(self) -> None:
        self._lib.bpf_link__destroy(self._link)
        self._lib.bpf_object__close(self._object)


def test_an_lsm_program_denies_and_only_whom_it_should(tmp_path: Path) -> None:
    code = "import os, sys; sys.stdin.read(1); os.mkdir(sys.argv[1])"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "denied")], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    program = Deny()
    try:
        program.watch(child.pid)
        (tmp_path / "allowed").mkdir()
        _, errors = child.communicate(b"g")
        count = program.denied()
    finally:
        program.close()
    assert b"PermissionError" in errors
    assert not (tmp_path / "denied").exists()
    assert count == 1
    (tmp_path / "denied").mkdir()


@pytest.mark.parametrize("module", ["overlay", "veth"])
def test_modules_load(module: str) -> None:
    subprocess.run(["modprobe", module], check=True)

"""The bcc back end on this kernel: what takes libbpf's place says the same as libbpf."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bpf.btf import Btf
from bpf.errors import BpfError
from bpf.kernel_btf import KERNEL_BTF, KernelBtf
from bpf.maps import Map
from collectors.live import bcc
from collectors.live.backend import Loaded, NoBackend, Settings, _controllers, load
from collectors.live.bcc import BccObject

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    one = load("bcc", Settings(ring_size=1 << 16, behaviours=1 << 10))
    yield one
    one.close()


@pytest.mark.skipif(not KERNEL_BTF.exists(), reason="this kernel has no BTF")
def test_the_kernels_types_are_read_as_libbpf_reads_them() -> None:
    ours, libbpfs = KernelBtf(), Btf.of_kernel()
    assert ours.enum("cgroup_subsys_id") == libbpfs.enum("cgroup_subsys_id")
    for kind, name in (("typedef", "btf_trace_sys_exit"), ("func", "security_file_open"), ("func", "no_such_thing")):
        assert ours.has(kind, name) == libbpfs.has(kind, name)
    time = libbpfs.struct("timespec64")
    (number,) = ours.structs("timespec64")
    for name in ("tv_sec", "tv_nsec"):
        found = ours.member(number, name)
        assert found is not None
        assert found[0] == time.fields[name][1]


@pytest.mark.skipif(not KERNEL_BTF.exists(), reason="this kernel has no BTF")
def test_controllers_have_their_numbers_without_btf_too() -> None:
    known = KernelBtf().enum("cgroup_subsys_id")
    found = _controllers()
    assert found
    assert found.items() <= known.items()


def test_maps_are_the_same_with_and_without_libbpf(loaded: Loaded) -> None:
    ours = loaded.map("cgroups")
    libbpfs = Map("cgroups", ours.fd, ours.key, ours.value, ours.max_entries)
    state = np.zeros((), ours.value)
    for number in range(300):
        state["main"] = number
        (ours if number % 2 else libbpfs).set(number, state)
    assert ours.get(7)["main"] == libbpfs.get(7)["main"] == 7
    ours.drop(7)
    ours.drop(7)
    assert ours.get(7) is None
    for view in (ours, libbpfs):
        keys, values = view.items()
        assert sorted(keys.tolist()) == sorted(values["main"].tolist()) == sorted(set(range(300)) - {7})
    with pytest.raises(BpfError, match="write to map cgroups: File exists"):
        ours.set(8, state, flags=1)


def test_a_shared_variable_is_the_programs_own(loaded: Loaded) -> None:
    loaded.variable("state")["recorder"] = 42
    assert loaded.variable("state")[0]["recorder"] == 42


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bcc, "BCC_FOLDER", tmp_path)
    with pytest.raises(NoBackend) as refused:
        load("bcc", Settings())
    assert refused.value.hint == "apt-get install python3-bpfcc"


def test_without_btf_the_kernels_headers_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> KernelBtf:
        return KernelBtf(tmp_path / "none")

    monkeypatch.setattr(bcc, "KernelBtf", none)
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path / "no-tree"))
    monkeypatch.setattr(bcc, "_KERNEL_HEADERS", tmp_path / "none")
    with pytest.raises(BpfError) as refused:
        BccObject().load()
    assert refused.value.hint == f"apt-get install linux-headers-{os.uname().release}"


def test_bcc_is_chosen_and_attaches_where_libbpf_is_missing() -> None:
    program = (
        "from collectors.live.backend import *; l = load('auto', Settings(subsystem=subsystem_index('memory')));"
        "l.attach(); print(l.backend.name, len(l.refusals) >= 3, l.missed()); l.detach(); l.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"DISCOVER_LIBBPF": "/nonexistent/libbpf.so.1"},
        timeout=300,
        check=False,
    )
    assert done.stdout.split() == ["bcc", "True", "0"], done.stderr

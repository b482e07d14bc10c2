"""Every back end loads and attaches on this kernel, by the newest of its objects that the kernel is meant to take."""

import pytest
from hard_cases.differences import kernel_is

from collectors.live.backend import BACKENDS, Settings, load

# Object -> the kernels that take it; on others the next one is tried (bpf/observer.bpf.c says what each has).
MEANT_FOR = {
    "observer.lsm": ">= 6.1",
    "observer.lsm_5_10": "< 6.1",
    "observer.fentry": ">= 6.1",
    "observer.fentry_5_10": "< 6.1",
    "observer.tracepoint": ">= 6.2",
    "observer.tracepoint_5_17": ">= 5.17, < 6.2",
    "observer.tracepoint_5_10": "< 5.17",
    "observer.bcc": "all",
}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("raw", [False, True], ids=["set", "raw"])
def test_loads_and_attaches(name: str, raw: bool) -> None:
    assert set(BACKENDS[name].objects) <= set(MEANT_FOR)
    loaded = load(name, Settings(raw=raw, own_mounts_needed=raw, subsystem=0 if raw else -1))
    try:
        wanted = [variant for variant in BACKENDS[name].objects if kernel_is(MEANT_FOR[variant])]
        refused = [refusal.backend for refusal in loaded.refusals]
        assert refused == [f"{name} ({v})" for v in BACKENDS[name].objects[: len(refused)]], loaded.refusals
        assert BACKENDS[name].objects[len(refused)] == wanted[0], [str(r) for r in loaded.refusals]
        loaded.attach()
        assert {"on_fork", "on_exec", "on_exit", "on_sys_exit"} <= loaded.programs
    finally:
        loaded.close()

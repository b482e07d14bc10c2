"""`discover doctor` on the live kernel, and in each guest."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collectors.live.backend import Settings, load
from collectors.probe.attempts import HELPERS, MAPS, PROGRAMS, Outcome, try_all

ROOT = Path(__file__).parents[2]
GUEST = os.environ.get("DISCOVER_GUEST")
LABELS = ["kernel", "BTF", "LSMs", "SECURITY_PATH", "lockdown", "programs", "back end", "classes", "enforcement"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads programs into the kernel: needs root")


def doctor(*options: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    code = "from discover.cli import main; main()"
    command = [sys.executable, "-c", code, "doctor", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=500, **kwargs)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = doctor("--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def outcomes(told: dict[str, Any], section: str) -> dict[str, str]:
    return {attempt["name"]: attempt["outcome"] for attempt in told[section]}


@pytest.fixture(scope="module")
def short() -> tuple[subprocess.CompletedProcess[str], float]:
    """The short form, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = doctor()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_short_form_is_ten_plain_lines(short: tuple[subprocess.CompletedProcess[str], float]) -> None:
    done, seconds = short
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[6:19].strip() for line in lines] == [*LABELS, "containers"]
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    if not GUEST:  # processor time, because others run on this machine; emulation is not measured
        assert seconds < 2.0


def test_every_trial_was_made(told: dict[str, Any]) -> None:
    for section, names in (("programs", PROGRAMS), ("helpers", HELPERS), ("maps", MAPS)):
        found = outcomes(told, section)
        assert list(found) == list(names)
        assert "untried" not in found.values()
    assert all(a["errno"] and a["reason"] for a in told["programs"] if a["outcome"] != "works")


def test_back_end_is_the_one_that_record_gets(
    told: dict[str, Any], short: tuple[subprocess.CompletedProcess[str], float]
) -> None:
    loaded = load("auto", Settings(ring_size=1 << 16, behaviours=1 << 10))
    try:
        assert told["backend"]["chosen"] == loaded.backend.name
        assert told["watched"] == loaded.backend.watched(loaded.programs)
    finally:
        loaded.close()
    assert f" {loaded.backend.name}" in short[0].stdout.splitlines()[6]


def test_nothing_stays_attached(told: dict[str, Any]) -> None:
    """A program or a link lives as long as a descriptor of it: after the trials this process has none more."""
    before = _bpf_descriptors()
    again = {a.name: a.outcome for a in try_all("programs", PROGRAMS)}
    assert again == {a["name"]: Outcome(a["outcome"]) for a in told["programs"]}
    assert _bpf_descriptors() == before


def _bpf_descriptors() -> list[str]:
    names = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one by which the folder is read
            names.append(str(fd.readlink()))
    return sorted(name for name in names if "bpf" in name)


def test_security_facts_agree_with_securityfs(told: dict[str, Any]) -> None:
    listed = Path("/sys/kernel/security/lsm")
    if listed.exists():
        assert told["security"]["lsms"] == listed.read_text().strip().split(",")
    else:  # a mount of our own that nobody else has seen
        assert told["security"]["lsms"]
        assert told["kernel"]["mounts"]["securityfs"] is None


def test_without_root_it_tells_what_it_can_and_exits_3() -> None:
    done = doctor(user=65534, group=65534, extra_groups=[])
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert os.uname().release in lines[0]
    assert "not tried without root" in lines[5]
    assert "hint: sudo discover doctor" in done.stderr


def test_without_libbpf_bcc_is_left(told: dict[str, Any]) -> None:
    done = doctor(env={**os.environ, "DISCOVER_LIBBPF": "/nonexistent/libbpf.so.1"})
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert lines[5].startswith("?     programs       cannot use /nonexistent/libbpf.so.1")
    if told["versions"]["bcc"]:
        assert done.returncode == 0, done.stderr
        assert lines[6].startswith("ok    back end       bcc (not lsm, fentry, tracepoint: cannot use /nonexistent")
    else:
        assert done.returncode == 3
        assert "hint: apt-get install libbpf1" in done.stderr


@pytest.mark.skipif(not GUEST, reason="what the stock kernel can is known only in the guest")
def test_guest_can_enforce(told: dict[str, Any]) -> None:
    programs = outcomes(told, "programs")
    assert {programs[n] for n in ("lsm", "lsm_path", "fentry", "fexit", "tp_btf", "raw_tp", "kprobe")} == {"works"}
    assert programs["tp_btf_capable"] == "refused"
    assert told["enforcement"]["bpf-lsm"]["possible"] is True
    assert told["enforcement"]["bpf-lsm"]["missing"] == []
    assert told["security"]["apparmor"] is True
    assert outcomes(told, "helpers")["find_vma"] == ("refused" if GUEST == "5.10" else "works")

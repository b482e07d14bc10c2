"""The path hazards: recorded, learned from, and a run with other pids and names simulated under the policy.

Not in the VM: five recordings take ten minutes under emulation.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hazards
import pytest
import yaml
from hazards import RECORD, ROOT, Run

from models.dataset import open_dataset

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="records, and makes mounts and cgroups: needs root"),
    pytest.mark.skipif("DISCOVER_GUEST" in os.environ, reason="five recordings take ten minutes under emulation"),
]

LEARNED = (
    Run("2026-03", ("Europe/Berlin", "Europe/Rome", "Europe/Paris")),
    Run("2026-04", ("Europe/Madrid", "Europe/Rome", "Europe/London")),
    Run("2026-11", ("Europe/Vienna", "Europe/Berlin", "Europe/Oslo")),
    Run("2026-12", ("Europe/Athens", "Europe/Berlin", "Europe/Sofia")),
)
NEW = Run("2027-01", ("Europe/Prague", "Europe/Dublin", "Europe/Riga"))
"""Another year, and time zones that no unit used."""

IMPOSSIBLE = {
    "discover": {("exec", "memfd:program")},
    "kubearmor-bpflsm": {(op, "/etc/ssl/certs/ca-certificates.crt.?") for op in ("open", "chmod", "rename-from")},
}
"""What docs/learning.md says that no policy of the target can hold: all of it, and only that, may be denied."""

SLOTS = {
    "proc_self": r"/proc/\[0-9\]\*/(status|oom_score_adj|task/\[0-9\]\*/stat)",
    "tmpfile": r"/srv/hazards/data/#\[0-9\]\*",
    "configmap": r"/srv/hazards/config/\.\.(\[0-9\]){4}(_\[0-9\]\[0-9\]){5}\.\[0-9\]\*/app\.conf",
    "hsperfdata": r"/tmp/hsperfdata_hazards/\[0-9\]\*",
    "shared_memory": r"/dev/shm/sem\.(\[0-9A-Za-z\]){6}",
    "jit": r"/tmp/ffi(\[0-9A-Za-z\]){6}",
    "cgroup_cpu": r"/sys/fs/cgroup(/[a-z]+)?/discover-hazards/(\[0-9a-f\]){64}/[a-z._]+",
    "core_dump": r"/srv/hazards/cores/hs_err_pid\[0-9\]\*\.log",
    "monthly": r"/srv/hazards/data/reports/report-(\[0-9\]){4}-\[0-9\]\[0-9\]\.csv",
    "daily_folders": r"/srv/hazards/data/archive/(\[0-9\]){4}/(\[0-9(a-f)?\]){2}/(\[0-9a-f\]){40}",
    "ca_bundle": r"/etc/ssl/certs/ca-certificates\.crt\.(\[0-9A-Za-z\]){6}",
    "shutdown_path": r"/srv/hazards/data/temp-\[0-9\]\*\.rdb",
    "logrotate": r"/srv/hazards/logs/access\.log-\[0-9\].*",
}
"""The pattern that each hazard has to become for the target `discover`, and nothing wider."""


@dataclass
class World:
    """The recordings of all runs, and what was learned from the first ones."""

    folder: Path
    outcomes: list[hazards.Outcome]

    @property
    def learned(self) -> Path:
        return self.folder / "learned"

    @property
    def new(self) -> Path:
        return self.folder / "new"

    def policy(self, target: str) -> Path:
        path = self.folder / f"policy-{target}.yaml"
        if not path.exists():
            run("generate", str(self.learned), "--target", target, "-o", str(path))
        return path

    def denied(self, target: str) -> dict[tuple[str, str], str]:
        """What the policy would deny of the new run: operation and path, with random suffixes as ``?``."""
        answer = run(
            *("simulate", str(self.policy(target)), str(self.new), "--target", target, "--limit", "0", "--json"),
            status=(0, 1),
        )
        result: dict[str, Any] = json.loads(answer)
        found = {}
        for group in result["groups"]:
            for one in group["accesses"]:
                found[one["op"], re.sub(r"(\.crt\.)[0-9A-Za-z]{6}$", r"\1?", one["path"])] = json.dumps(one)
        assert bool(found) == bool(result["denied"])
        return found

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = open_dataset(self.new).behaviours().to_pylist()
        return rows


def run(*arguments: str, status: tuple[int, ...] = (0,)) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [*RECORD[:-1], *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in status, f"{arguments[0]} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def world(program_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("hazards")
    outcomes = []
    for number, one in enumerate((*LEARNED, NEW)):
        place = folder / "new" if one is NEW else folder / "learned" / f"unit-{number}"
        place.parent.mkdir(exist_ok=True)
        # one inventory is enough for the prices
        options = ("--backend", "tracepoint", "--workload", "hazards", *(("--no-inventory",) if number else ()))
        wrapper = (*RECORD, "-q", "-o", str(place), *options, "--")
        outcomes.append(hazards.run(program_folder / "hazards", one, folder / "report", wrapper))
        assert outcomes[-1].status == 0, outcomes[-1].log
    return World(folder, outcomes)


def test_every_hazard_happened(world: World) -> None:
    cases = hazards.cases()
    assert len(cases) >= 29
    for outcome in world.outcomes:
        assert list(outcome.cases) == cases
        assert outcome.broken == {}


def test_hazards_are_in_the_recording(world: World) -> None:
    seen = {(r["op"], r["object"] or "", r["path"]) for r in world.rows}
    for op, kind, path in [
        ("open", "file", r"/proc/\d+/status"),
        ("open", "deleted|file", r"/srv/hazards/data/reopen-[0-9a-f]{8}"),
        ("truncate", "deleted", r"/srv/hazards/data/upload-\w{6}"),
        ("open", "tmpfile", r"/srv/hazards/data/#\d+"),
        ("exec", ".*", "memfd:program"),
        ("exec", ".*", "/usr/bin/busybox|/bin/busybox"),
        ("rename-to", ".*", r"/srv/hazards/data/dump\.rdb"),
        ("open", "file", r"/srv/hazards/config/\.\.\d{4}(_\d\d){5}\.\d+/app\.conf"),
        ("open", "file", r"/sys/fs/cgroup/.*/[0-9a-f]{64}/[a-z._]+"),
        ("mmap-exec", ".*", r".*/libgcc_s\.so\.1"),
        ("mmap-exec", ".*", r".*/gconv/ISO8859-2\.so"),
        ("open", "file", "/usr/share/zoneinfo/Europe/Riga"),
    ]:
        assert any(o == op and re.fullmatch(kind, k) and re.fullmatch(path, p or "") for o, k, p in seen), (op, path)
    phases = {r["phase"] for r in world.rows if r["path"] == "/srv/hazards/data/dump.rdb"}
    assert phases == {"shutdown"}


@pytest.mark.parametrize("target", sorted(IMPOSSIBLE))
def test_another_run_is_denied_nothing_but_the_impossible(world: World, target: str) -> None:
    denied = world.denied(target)
    assert set(denied) == IMPOSSIBLE[target], "\n".join(denied.values())


@pytest.mark.parametrize("target", sorted(IMPOSSIBLE))
def test_executables_are_those_that_ran(world: World, target: str) -> None:
    document = yaml.safe_load(world.policy(target).read_text())
    ran = {r["path"] for r in world.rows if r["op"] == "exec" and not r["errno"] and r["path"].startswith("/")}
    ran |= {r["script"] for r in world.rows if r["script"] and not r["errno"]}
    process = document["spec"]["process"]
    assert set(process) <= {"action", "matchPaths"}
    assert {rule["path"] for rule in process["matchPaths"]} == ran


@pytest.mark.parametrize("hazard", sorted(SLOTS))
def test_hazard_becomes_a_slot(world: World, hazard: str) -> None:
    document = yaml.safe_load(world.policy("discover").read_text())
    patterns = [rule["pattern"] for rule in document["spec"]["file"]["matchPatterns"]]
    assert any(re.fullmatch(SLOTS[hazard], p) for p in patterns), patterns


def test_no_directory_is_opened_for_writing_where_patterns_are(world: World) -> None:
    document = yaml.safe_load(world.policy("discover").read_text())
    directories = document["spec"]["file"]["matchDirectories"]
    # and for reading only those of packages: the locale, all of which is read, and the zones, of which new ones come
    assert (
        "/usr/share/zoneinfo/Europe/"
        in {d["dir"] for d in directories}
        <= {*("/usr/share/zoneinfo/Europe/", "/usr/lib/locale/C.utf8/")}
    )
    assert all(d["readOnly"] for d in directories)


def test_what_kubearmor_has_to_widen_is_said(world: World) -> None:
    text = world.policy("kubearmor-bpflsm").read_text()
    document = yaml.safe_load(text)
    proc = [d for d in document["spec"]["file"]["matchDirectories"] if d["dir"] == "/proc/"]
    assert [d.get("recursive") for d in proc] == [True]
    assert [s["path"] for s in proc[0]["fromSource"]] == ["/srv/hazards/bin/hazards"]
    flat = re.sub(r"\s*\n#\s+", " ", text)
    assert "/proc has to be allowed whole" in flat
    assert "could read the environment of every process there" in flat
    assert re.search(r"warning: /etc/ssl/certs: names as ca-certificates\.crt\.\w{6} vary", flat)

"""What must hold of every policy that is learned, whatever the evidence."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.quality.material import ROOT, dataset_material
from benchmarks.quality.synthetic.rows import APP, app, evidence_of, executed, opened, row
from models.dataset import open_dataset
from models.evidence import Evidence, accesses, gather, of_units
from models.learn import CannotFit, Learned, Options, learn
from models.policy import (
    Access,
    Dialect,
    KubeArmorPolicy,
    Metadata,
    Op,
    PolicyClass,
    Posture,
    Ruleset,
    Selector,
    Target,
    compile,  # noqa: A004 - as in re.compile
    dump_policy,
    load_policies,
)

DIALECTS = {
    Target.DISCOVER: Dialect.DISCOVER,
    Target.KUBEARMOR_APPARMOR: Dialect.DISCOVER,
    Target.KUBEARMOR_BPFLSM: Dialect.KUBEARMOR_BPFLSM,
    Target.PORTABLE: Dialect.KUBEARMOR_BPFLSM,
}
DATASETS = ("nginx", "redis", "nodeweb", "nginx-idle")
SLOW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

HEX, LETTERS = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAMES = st.one_of(
    st.sampled_from(
        ["a", "b.conf", "c.log", "lib.so.1", "data", "x y", "st*r", "{brace}", "[set]", "back\\slash", "ünï"]
    ),
    st.text(HEX, min_size=8, max_size=32),
    st.text(LETTERS, min_size=6, max_size=8),
    st.integers(1, 99999).map(str),
    st.builds("tmp{}.{}".format, st.integers(0, 999), st.sampled_from(["tmp", "log"])),
    st.uuids(version=4).map(str),
)
ROOTS = st.sampled_from(
    [
        "/srv/app",
        "/tmp",
        "/var/lib/app",
        "/etc",
        "/etc/app",
        "/usr/lib/app",
        "/proc/17",
        "/proc/408",
        "/root/.ssh",
        "/dev/shm",
    ]
)
PATHS = st.builds(lambda root, names: "/".join([root, *names]), ROOTS, st.lists(NAMES, min_size=1, max_size=3))
UNITS = st.sampled_from(["one", "two", "three", "four", "five"])
ACCESS = st.sampled_from(["read", "write", "read+write", "read+write+create", "write+append+create", "read+directory"])
CHANGES = st.sampled_from(
    ["unlink", "rename-from", "rename-to", "mkdir", "rmdir", "chmod", "truncate", "symlink", "link-to"]
)
EXES = st.sampled_from([APP, "/usr/bin/worker"])
EXECUTABLES = st.sampled_from(["/usr/bin/cat", "/opt/app/tool", "/srv/app/hook.sh"])
OWN = st.sampled_from([True, False, None])
SOCKETS = st.sampled_from(
    [("inet", "stream", "tcp"), ("inet6", "dgram", "udp"), ("unix", "stream", None), ("unix", "dgram", None),
     ("netlink", "raw", None), ("inet", "raw", "icmp"), ("unix", "seqpacket", None)]
)  # fmt: skip


def _file(unit: str, path: str, access: str, exe: str, own: bool | None, fs: str | None) -> dict[str, Any]:
    return opened(unit, path, access, exe=exe, owner_match=own, fs=fs)


def _change(unit: str, path: str, op: str, exe: str) -> dict[str, Any]:
    return row(unit, **{"class": "file"}, op=op, path=path, exe=exe, object="file")


def _socket(unit: str, op: str, socket: tuple[str, str, str | None], exe: str) -> dict[str, Any]:
    family, kind, protocol = socket
    return row(unit, **{"class": "socket"}, op=op, family=family, type=kind, protocol=protocol, exe=exe)


ROWS = st.one_of(
    st.builds(_file, UNITS, PATHS, ACCESS, EXES, OWN, st.sampled_from(["overlay", "ext4", None])),
    st.builds(_change, UNITS, PATHS, CHANGES, EXES),
    st.builds(executed, UNITS, EXECUTABLES),
    st.builds(_socket, UNITS, st.sampled_from(["socket", "connect", "bind", "listen", "accept"]), SOCKETS, EXES),
    st.builds(
        lambda u, c: row(u, **{"class": "capability"}, op="capable", capability=c),
        UNITS,
        st.sampled_from(["CAP_SETUID", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"]),
    ),
)  # fmt: skip
EVIDENCE = st.lists(ROWS, min_size=1, max_size=40).map(lambda rows: evidence_of([*app("one"), *app("two"), *rows]))


def ruleset_of(learned: Learned, target: Target) -> Ruleset:
    policy = KubeArmorPolicy(metadata=Metadata(name="learned"), spec=learned.spec)
    return compile([policy], Posture.all("block"), DIALECTS[target])


def try_learn(evidence: Evidence, target: Target, **options: Any) -> Learned | None:
    """None where the target says that it cannot hold what was used; our own enforcer and AppArmor always can."""
    try:
        return learn(evidence, Options(target=target, **options))
    except CannotFit as error:
        refusal = error
    assert target in (Target.KUBEARMOR_BPFLSM, Target.PORTABLE), refusal
    assert refusal.reasons
    return None


def asked(evidence: Evidence) -> list[Access]:
    return [s.access for s in accesses(evidence.behaviours) if s.access.policy_class is not None]


def told(access: Access, warnings: Iterable[str]) -> bool:
    """Whether a warning names what is denied."""
    name = access.path or access.capability or "socket"
    return any(name in w or ascii(name)[1:-1] in w for w in warnings)


@pytest.mark.parametrize("target", Target)
@given(evidence=EVIDENCE)
@SLOW
def test_what_was_recorded_is_allowed(target: Target, evidence: Evidence) -> None:
    """By the target's own decisions; what it cannot express, a warning names."""
    learned = try_learn(evidence, target, keep_outliers=True)
    if learned is None:
        return
    ruleset = ruleset_of(learned, target)
    denied = [a for a in asked(evidence) if not ruleset.decide(a).allowed]
    assert [a for a in denied if not told(a, learned.warnings)] == []
    if target is Target.DISCOVER:
        assert denied == []


@given(evidence=EVIDENCE)
@SLOW
def test_executables_are_those_that_ran(evidence: Evidence) -> None:
    learned = learn(evidence, Options(keep_outliers=True))
    ruleset = ruleset_of(learned, Target.DISCOVER)
    ran = {a.path for a in asked(evidence) if a.op is Op.EXEC}
    others = {"/usr/bin/sh", "/opt/app/other", "/srv/app/x.sh", "/usr/bin/ca", "/usr/bin/cat/x", "/tmp/app"} - ran
    for path in sorted(others):
        assert not ruleset.decide(Access(op=Op.EXEC, path=path, source=APP, parent=APP)).allowed, path


@given(evidence=EVIDENCE)
@SLOW
def test_secrets_that_were_not_used_stay_closed(evidence: Evidence) -> None:
    learned = learn(evidence, Options(keep_outliers=True))
    ruleset = ruleset_of(learned, Target.DISCOVER)
    used = {a.path for a in asked(evidence)}
    secrets = {"/etc/shadow", "/root/.ssh/id_rsa", "/run/secrets/kubernetes.io/serviceaccount/token", "/proc/1/environ"}
    for path in sorted(secrets - used):
        access = Access(op=Op.OPEN, path=path, source=APP, read=True, owner_match=True)
        assert not ruleset.decide(access).allowed, path


@pytest.mark.parametrize("target", [Target.DISCOVER, Target.KUBEARMOR_BPFLSM])
@given(evidence=EVIDENCE)
@SLOW
def test_more_evidence_removes_no_right_without_saying_so(target: Target, evidence: Evidence) -> None:
    """What a policy of fewer units allowed them, the policy of all units allows too, or sets the unit apart by name."""
    fewer = [u for u in evidence.units if u in ("one", "two")]
    less = replace(evidence, units=tuple(fewer), behaviours=of_units(evidence.behaviours, fewer))
    before, after = try_learn(less, target), try_learn(evidence, target)
    if before is None or after is None:
        return
    old, new = ruleset_of(before, target), ruleset_of(after, target)
    apart = {o.unit for o in after.outliers}
    for seen in accesses(less.behaviours):
        lost = old.decide(seen.access).allowed and not new.decide(seen.access).allowed
        assert not lost or seen.units <= apart or told(seen.access, after.warnings), seen.access
    assert all(any(u in w for w in after.warnings) for u in apart)


@given(evidence=EVIDENCE, seed=st.integers(0, 2**16))
@SLOW
def test_the_order_of_rows_changes_nothing(evidence: Evidence, seed: int) -> None:
    order = list(range(evidence.behaviours.num_rows))
    random.Random(seed).shuffle(order)
    shuffled = replace(evidence, behaviours=evidence.behaviours.take(order))
    one, two = learn(evidence), learn(shuffled)
    assert one.rules == two.rules
    assert one.spec == two.spec
    assert (one.warnings, one.outliers, one.classes) == (two.warnings, two.outliers, two.classes)


@given(evidence=EVIDENCE)
@SLOW
def test_every_policy_passes_the_schema_and_comes_back(evidence: Evidence) -> None:
    for target in Target:
        learned = try_learn(evidence, target, keep_outliers=True)
        if learned is None:
            continue
        spec = replace(learned.spec, selector=Selector(match_labels={"app": "x"}))
        policy = KubeArmorPolicy(metadata=Metadata(name="learned", namespace="default"), spec=spec)
        assert load_policies(dump_policy(policy)) == [policy]


@cache
def _evidence(dataset: str) -> Evidence:
    return gather(open_dataset(ROOT / "datasets" / dataset))[0]


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("target", Target)
def test_real_recordings_are_allowed_and_valid(dataset: str, target: Target) -> None:
    evidence = _evidence(dataset)
    learned = learn(evidence, Options(target=target))
    assert learned.outliers == ()
    ruleset = ruleset_of(learned, target)
    judged = dataset_material(dataset)[0].seen
    assert [a.access for a in judged if not ruleset.decide(a.access).allowed] == []
    assert {PolicyClass.FILE, PolicyClass.PROCESS} <= set(learned.classes)
    spec = replace(learned.spec, selector=Selector(match_labels={"app": dataset}))
    policy = KubeArmorPolicy(metadata=Metadata(name=dataset, namespace="default"), spec=spec)
    assert load_policies(dump_policy(policy)) == [policy]


_DUMP = """
import sys
from models.dataset import open_dataset
from models.evidence import gather
from models.learn import Options, learn
from models.policy import KubeArmorPolicy, Metadata, Target, dump_policy
for target in Target:
    learned = learn(gather(open_dataset(sys.argv[1]))[0], Options(target=target))
    print(dump_policy(KubeArmorPolicy(metadata=Metadata(name="x"), spec=learned.spec)))
    print(learned.warnings, [r.evidence for r in learned.rules])
"""


def test_the_same_recording_gives_the_same_bytes_in_another_process() -> None:
    """Whatever the seed of Python's hashes, which changes the order of sets."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _DUMP, "datasets/redis"],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000

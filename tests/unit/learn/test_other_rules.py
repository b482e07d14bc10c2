"""Rules of processes, sockets and capabilities: exactly what was used, from where the evidence says so."""

from __future__ import annotations

from typing import Any

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import APP, app, executed, row
from models.learn import ClassState, Learned, Why
from models.policy import Access, KubeArmorPolicy, Metadata, Op, PolicyClass, Posture, ProcessPath, Target
from models.policy import compile as compile_policies
from models.policy.names import CRD_CAPABILITIES

UNITS = "abcd"
WATCHED = dict.fromkeys(("exec", "file", "socket", "capability"), "watched")


def base(units: str = UNITS) -> list[dict[str, Any]]:
    return [r for u in units for r in app(u)]


def sources(learned: Learned, section: str, value: str) -> list[str] | None:
    """From where a rule allows, or None where no rule has the value."""
    for rule in learned.rules:
        if rule.section == section and value in (
            getattr(rule.rule, name, None) for name in ("path", "protocol", "capability")
        ):
            return [s.path for s in rule.rule.from_source]
    return None


def socket(unit: str, **values: Any) -> dict[str, Any]:
    return row(unit, **{"class": "socket"}, **{"op": "connect", "family": "inet", "type": "stream", **values})


def capable(unit: str, name: str, **values: Any) -> dict[str, Any]:
    return row(unit, **{"class": "capability"}, op="capable", capability=name, **values)


def test_a_shell_is_bound_to_its_parent_where_units_agree() -> None:
    rows = base() + [executed(u, "/usr/bin/dash") for u in UNITS]
    assert sources(made(rows), "process", "/usr/bin/dash") == [APP]


def test_it_is_bound_to_nothing_without_enough_evidence() -> None:
    few = base("ab") + [executed(u, "/usr/bin/dash") for u in "ab"]
    assert sources(made(few), "process", "/usr/bin/dash") == []
    # one of its parents was seen in one unit: another may come
    rows = base() + [executed(u, "/usr/bin/dash") for u in UNITS]
    rows += [executed("a", "/usr/bin/helper"), executed("a", "/usr/bin/dash", exe="/usr/bin/helper")]
    assert sources(made(rows), "process", "/usr/bin/dash") == []
    # its parent is the container runtime
    rows = base() + [executed(u, "/usr/bin/dash", exe="/usr/bin/runc") for u in UNITS]
    assert sources(made(rows), "process", "/usr/bin/dash") == []
    # it executes itself
    rows = base() + [executed(u, "/usr/bin/dash", exe=e) for u in UNITS for e in (APP, "/usr/bin/dash")]
    assert sources(made(rows), "process", "/usr/bin/dash") == []


def test_an_ordinary_executable_is_bound_to_nothing() -> None:
    rows = base() + [executed(u, "/usr/lib/app/worker") for u in UNITS]
    assert sources(made(rows), "process", "/usr/lib/app/worker") == []


def test_executables_are_never_generalised() -> None:
    rows = base() + [executed(u, f"/opt/jobs/job-{n}") for n, u in enumerate(UNITS * 5)]
    assert texts(made(rows), "/opt", "process") == {f"path /opt/jobs/job-{n} rw" for n in range(20)}


def test_a_script_is_named_with_its_interpreter() -> None:
    rows = base() + [executed(u, "/usr/bin/dash", script="/srv/job.sh", interpreter="/usr/bin/dash") for u in UNITS]
    learned = made(rows)
    assert {"path /usr/bin/dash rw", "path /srv/job.sh rw"} <= texts(learned, section="process")
    notes = {r.rule.path: r.evidence.note for r in learned.rules if r.section == "process"}
    assert (notes["/srv/job.sh"], notes["/usr/bin/dash"]) == ("a script", "a shell")


@pytest.mark.parametrize("target", list(Target))
def test_a_memfd_is_told_and_has_no_rule(target: Target) -> None:
    rows = base() + [executed(u, "memfd:x") for u in UNITS]
    rows += [capable(u, "CAP_SYS_ADMIN", exe=e) for u in UNITS for e in ("memfd:x", APP)]
    rows += [socket(u, exe="memfd:x", type="dgram") for u in UNITS]
    learned = made(rows, target)
    assert not [t for t in texts(learned, "", "process") if "memfd" in t]
    assert any("memfd" in w and "no rule can list it" in w for w in learned.warnings)
    # a source that no rule can name leaves the rule open, instead of a rule that no API server takes
    assert sources(learned, "capabilities", "sys_admin") == []
    assert sources(learned, "network", "udp") == []


@pytest.mark.parametrize("name", ["/opt/a\nb", "/opt/\x1b[31m", "/opt/" + "n" * 250])
def test_an_executable_with_a_name_that_no_path_rule_takes(name: str) -> None:
    rows = base() + [executed(u, name) for u in UNITS]
    (text,) = texts(made(rows), "/opt", "process")
    assert text.startswith("pattern ")
    learned = made(base() + [executed(u, name) for u in UNITS], Target.KUBEARMOR_BPFLSM, inventory=["/srv/x"])
    assert texts(learned, "/opt", "process") == set()
    assert any("was executed, and kubearmor-bpflsm has no rule that can name it" in w for w in learned.warnings)


# Sockets


@pytest.mark.parametrize(
    ("asked", "discover", "kubearmor"),
    [
        ({"type": "stream", "protocol": "tcp"}, "tcp", "tcp"),
        ({"type": "dgram", "protocol": "udp"}, "udp", "udp"),
        ({"family": "inet6", "type": "dgram", "protocol": "udp"}, "udp", "udp"),
        ({"family": "unix", "type": "stream"}, None, "tcp"),
        ({"family": "unix", "type": "dgram"}, None, "udp"),
        ({"family": "netlink", "type": "raw"}, "raw", "raw"),
        ({"type": "raw", "protocol": "icmp"}, "icmp", "icmp"),
    ],
)
def test_the_word_that_allows_a_socket(asked: dict[str, str], discover: str | None, kubearmor: str) -> None:
    for target, word in ((Target.DISCOVER, discover), (Target.KUBEARMOR_BPFLSM, kubearmor)):
        learned = made([executed(u, APP) for u in UNITS] + [socket(u, **asked) for u in UNITS], target)
        words = {r.rule.protocol for r in learned.rules if r.section == "network"}
        assert len(words) == 1
        if word:
            assert words == {word}


def test_a_protocol_is_bound_to_those_who_use_it() -> None:
    rows = base() + [executed(u, "/usr/bin/ping") for u in UNITS]
    rows += [socket(u, exe="/usr/bin/ping", type="raw", protocol="icmp") for u in UNITS]
    learned = made(rows)
    assert sources(learned, "network", "icmp") == ["/usr/bin/ping"]
    assert sources(learned, "network", "tcp") == [APP]
    # with one program there is nobody to bind it against
    assert sources(made(base()), "network", "tcp") == []
    # nor with two units
    assert sources(made([r for r in rows if r["unit"] in "ab"]), "network", "icmp") == []


def test_a_socket_that_no_word_allows_is_told() -> None:
    rows = base() + [socket(u, family="alg", type="seqpacket") for u in UNITS]
    learned = made(rows, Target.KUBEARMOR_BPFLSM)
    words = {r.rule.protocol for r in learned.rules if r.section == "network"}
    told = [w for w in learned.warnings if "no protocol rule allows" in w]
    assert bool(told) or words > {"tcp"}


# Capabilities


def test_a_capability_is_bound_to_those_who_use_it() -> None:
    rows = base() + [executed(u, "/usr/sbin/helper") for u in UNITS]
    rows += [capable(u, "CAP_NET_BIND_SERVICE", exe="/usr/sbin/helper") for u in UNITS]
    rows += [capable(u, "CAP_CHOWN", exe=e) for u in UNITS for e in ("/usr/sbin/helper", APP)]
    learned = made(rows)
    assert sources(learned, "capabilities", "net_bind_service") == ["/usr/sbin/helper"]
    assert sources(learned, "capabilities", "chown") == []


def test_a_capability_that_the_crd_does_not_know_is_told() -> None:
    assert "perfmon" not in CRD_CAPABILITIES
    learned = made(base() + [capable(u, "CAP_PERFMON") for u in UNITS])
    assert sources(learned, "capabilities", "perfmon") is None
    assert any("perfmon" in w for w in learned.warnings)


# Classes


def test_what_was_watched_and_not_used_is_closed_and_the_unwatched_is_left_alone() -> None:
    rows = [r for r in base() if r["class"] == "file"]
    learned = made(rows)
    assert learned.classes == {
        PolicyClass.PROCESS: ClassState.CLOSED,
        PolicyClass.FILE: ClassState.USED,
        PolicyClass.NETWORK: ClassState.CLOSED,
        PolicyClass.CAPABILITIES: ClassState.CLOSED,
    }
    blind = made(rows, watched={"file": "watched"})
    assert set(blind.classes.values()) == {ClassState.USED, ClassState.UNWATCHED}
    assert {r.section for r in blind.rules} == {"file"}
    closing = [r for r in learned.rules if r.section != "file"]
    assert {r.evidence.why for r in closing} == {Why.CLOSED}


@pytest.mark.parametrize("posture", ["audit", "block"])
def test_the_closing_rules_close(posture: Any) -> None:
    learned = made([r for r in base() if r["class"] == "file"])
    ruleset = compile_policies([KubeArmorPolicy(metadata=Metadata(name="x"), spec=learned.spec)], Posture.all(posture))
    for access in (
        Access(op=Op.EXEC, path="/usr/bin/dash", source=APP, parent=APP),
        Access(op=Op.SOCKET, source=APP, family=2, type=1, protocol=6),
        Access(op=Op.SOCKET, source=APP, family=10, type=2, protocol=17),
        *(Access(op=Op.CAPABLE, source=APP, capability=name) for name in CRD_CAPABILITIES),
    ):
        assert not ruleset.decide(access).allowed, access


def test_a_recording_of_nothing_closes_no_files() -> None:
    learned = made([r for r in base() if r["class"] == "exec"])
    assert learned.classes[PolicyClass.FILE] is ClassState.OPEN


def test_what_began_before_the_recording_lists_what_ran_and_says_so() -> None:
    from_start = made(base(), watched=WATCHED)
    later = made([r for r in base() if r["phase"] != "start-up"], watched=WATCHED)
    assert from_start.classes[PolicyClass.CAPABILITIES] is ClassState.CLOSED
    assert not any("from its start" in w for w in from_start.warnings)
    # the first exec was not there to be seen, but what acts was executed: it may be again, and nothing else
    assert later.classes[PolicyClass.PROCESS] is ClassState.USED
    (process,) = [r for r in later.rules if r.section == "process"]
    assert (process.rule, process.evidence.note) == (ProcessPath(path=APP), "it ran already when the recording began")
    assert process.evidence.units == from_start.units
    assert later.classes[PolicyClass.CAPABILITIES] is ClassState.OPEN
    assert later.classes[PolicyClass.NETWORK] is ClassState.USED
    assert [w for w in later.warnings if "from its start" in w and "a restart fails" in w]
    policy = KubeArmorPolicy(metadata=Metadata(name="app"), spec=later.spec)
    ruleset = compile_policies([policy], Posture.all("block"))
    assert ruleset.decide(Access(op=Op.EXEC, path=APP, source="/usr/bin/runc", parent="/usr/bin/runc")).allowed
    assert not ruleset.decide(Access(op=Op.EXEC, path="/usr/bin/dash", source=APP, parent=APP)).allowed
    # nobody watched executions: what acts says nothing of what else is executed
    unwatched = made([r for r in base() if r["phase"] != "start-up"], watched={**WATCHED, "exec": "unwatched"})
    assert unwatched.classes[PolicyClass.PROCESS] is ClassState.UNWATCHED
    # a recorded host has no start of its own to record
    assert not any(
        "from its start" in w for w in made([r for r in base() if r["phase"] != "start-up"], kind="Host").warnings
    )


@pytest.mark.parametrize("phase", ["start-up", "steady"])
def test_a_class_of_which_everything_is_refused_is_closed_not_open(phase: str) -> None:
    rows = [{**r, "phase": phase} for r in base()] + [capable(u, "CAP_NET_RAW", phase=phase) for u in UNITS]
    learned = made(rows, watched=WATCHED, refuse=(APP, "net_raw"))
    assert learned.classes[PolicyClass.PROCESS] is ClassState.CLOSED
    assert learned.classes[PolicyClass.CAPABILITIES] is ClassState.CLOSED
    policy = KubeArmorPolicy(metadata=Metadata(name="app"), spec=learned.spec)
    ruleset = compile_policies([policy], Posture.all("audit"))
    assert not ruleset.decide(Access(op=Op.EXEC, path=APP, source="/usr/bin/runc", parent="/usr/bin/runc")).allowed
    assert not ruleset.decide(Access(op=Op.CAPABLE, source=APP, capability="net_raw")).allowed

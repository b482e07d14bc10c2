"""Which executables a workload needs for its start alone."""

from __future__ import annotations

from models.evidence import Workload
from models.learn import Learned, LearnedRule, Options, RuleEvidence, Why
from models.learn.starting import for_the_start_alone
from models.policy import FilePath, ProcessPath


def learned(*rules: tuple[str, tuple[str, ...]], steady: bool = True) -> Learned:
    found = [
        LearnedRule("process", "match_paths", ProcessPath(path=p), RuleEvidence(Why.SEEN, phases=phases))
        for p, phases in rules
    ]
    if steady:
        found.append(
            LearnedRule("file", "match_paths", FilePath(path="/x"), RuleEvidence(Why.SEEN, phases=("steady",)))
        )
    return Learned(Workload("command", "web"), Options(), tuple(found), {}, ("u",))


def test_a_shell_of_the_entrypoint_alone() -> None:
    start, both = ("runtime-init", "start-up"), ("start-up", "steady")
    assert for_the_start_alone(learned(("/bin/busybox", start), ("/usr/bin/dash", ("start-up",)))) == [
        "/bin/busybox",
        "/usr/bin/dash",
    ]
    assert for_the_start_alone(learned(("/bin/sh", both), ("/bin/bash", ("start-up", "probe")))) == []


def test_the_services_own_executable_stays() -> None:
    assert (
        for_the_start_alone(learned(("/usr/sbin/nginx", ("start-up",)), ("/usr/bin/python3.11", ("start-up",)))) == []
    )


def test_nothing_where_nothing_later_was_seen() -> None:
    assert for_the_start_alone(learned(("/bin/sh", ("start-up",)), steady=False)) == []


def test_a_rule_that_people_decided_on_has_no_phase_and_stays() -> None:
    assert for_the_start_alone(learned(("/bin/sh", ()))) == []

"""The `kubearmor-bpflsm` dialect against every verdict recorded from a real KubeArmor, alerts included."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace

import pytest
from policy_recorded import VERDICTS, Recorded, Session, need, sessions

from models.policy import Dialect, Op, Ruleset, compile  # noqa: A004

REFUSED_CAPABILITY = {"chown": 1, "net_raw": 1}
"""The system call's own error for a capability it was refused: EPERM. The agents go on after setgid and setuid."""
SOCKET_REFUSED = 1000
REFUSED_BY_PEER = 111
TEMPORARY = re.compile(r"^/\S+/work/work/#\d+$")

COPY_UP = (
    "the first write to a file of the image: overlayfs copies it up, and the recording does not say which is first"
)
START = "CAP_SYS_ADMIN is asked at the start of the session's first agent, by nothing that the agent does"
EXPLAINED = {
    "posture-audit.jsonl:1:10": COPY_UP,
    "posture-audit.jsonl:1:16": COPY_UP,
    "posture-audit.jsonl:1:19": COPY_UP,
    "posture-audit.jsonl:2:15": COPY_UP,
    "posture-block.jsonl:2:21": COPY_UP,
    "posture-block.jsonl:2:0": START,
}


def outcome(ruleset: Ruleset, recorded: Recorded) -> tuple[int, Counter[tuple[str, ...]]]:
    """Return the errno and the alerts that the model foretells for one recorded command."""
    alerts: Counter[tuple[str, ...]] = Counter()
    for access in recorded.accesses:
        decision = ruleset.decide(access)
        for a in decision.alerts:
            alerts[a.policy, a.operation, a.resource, a.source, a.action, a.result, a.data] += 1
        if decision.allowed:
            continue
        if access.op is Op.CAPABLE:
            if access.capability in REFUSED_CAPABILITY:
                return REFUSED_CAPABILITY[access.capability], alerts
            continue
        before = SOCKET_REFUSED if access.op is Op.SOCKET and recorded.op in ("connect", "bind") else 0
        return before + decision.errno, alerts
    return 0 if recorded.errno != REFUSED_BY_PEER else REFUSED_BY_PEER, alerts


def compiled(session: Session) -> Ruleset:
    """Compile without the system monitor, whose alerts the recording leaves out."""
    return compile(session.policies, session.posture, Dialect.KUBEARMOR_BPFLSM, visibility=())


@pytest.mark.shared
def test_every_recorded_verdict() -> None:
    need(VERDICTS)
    total = equal = 0
    different: dict[str, str] = {}
    for session in sessions():
        ruleset = compiled(session)
        for recorded in session.recorded:
            total += 1
            errno, alerts = outcome(ruleset, recorded)
            if (errno, alerts) == (recorded.errno, Counter(recorded.alerts)):
                equal += 1
            else:
                different[recorded.place] = f"{recorded.op}: {errno} {dict(alerts)}, recorded {recorded.errno}"
    print(f"verdicts: {equal} of {total} equal, alerts included ({equal / total:.2%})")
    assert total == 5870
    assert different.keys() == EXPLAINED.keys(), different
    assert equal / total >= 0.995


@pytest.mark.shared
def test_a_copy_up_explains_the_audited_differences() -> None:
    need(VERDICTS)
    found = 0
    for session in sessions():
        ruleset = compiled(session)
        for recorded in session.recorded:
            if EXPLAINED.get(recorded.place) != COPY_UP or session.posture.file != "audit":
                continue
            *_, opened = (a for a in recorded.accesses if a.op is Op.OPEN)
            decision = ruleset.decide(replace(opened, copy_up=True))
            foretold = Counter((TEMPORARY.sub("#", a.resource), a.data, a.action) for a in decision.alerts)
            seen = Counter((TEMPORARY.sub("#", a[2]), a[6], a[4]) for a in recorded.alerts)
            assert foretold == seen, recorded.place
            found += 1
    assert found == 4


@pytest.mark.shared
def test_how_many_decisions_a_second() -> None:
    need(VERDICTS)
    for dialect in Dialect:
        taken, asked = 0.0, 0
        for session in sessions():
            ruleset = compile(session.policies, session.posture, dialect)
            accesses = [a for r in session.recorded for a in r.accesses] * 4
            start = time.process_time()
            for access in accesses:
                ruleset.decide(access)
            taken += time.process_time() - start
            asked += len(accesses)
        print(f"{dialect}: {asked / taken:,.0f} decisions/s over {asked}")
        assert asked / taken > 20_000

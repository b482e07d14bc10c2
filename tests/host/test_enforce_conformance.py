"""KubeArmor's own cases and the textbook's policies, compiled and asked of the matcher in the live kernel.

What a command of the cases does is translated as for the decision function (tests/unit/policy), whose page lists where
an expectation is diverged from and why; here the kernel has to say what the decision function says.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpf.errors import BpfError
from enforcer.bpf_lsm.matcher import Matcher
from enforcer.compile import Head, Interpreter, Tables, compile_tables
from enforcer.compile.outcomes import Kind, facts_number, kind_of
from enforcer.errors import PolicyRefused
from models.policy import Access, Dialect, Facts, Op, Policy, Posture, Verdict, compile, read_policies  # noqa: A004
from models.policy.access import FILE_OPS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/unit/policy"))
from policy_cases import accesses  # noqa: E402

SHARED = ROOT.parent / "shared"
CASES, TEXTBOOK = SHARED / "conformance/cases.json", SHARED / "textbook"
REFUSED = dict.fromkeys(
    ("scenarios/github_test_11", "scenarios/multiubuntu_test_10", "examples/nsp-group-1-file-dir-recursive-block"),
    "a native AppArmor profile holds for the AppArmor enforcer alone",
)
"""Policies of the cases that the tables cannot hold, each with the reason that is given."""
PATHS = ("/bin/sh", "/bin/busybox", "/usr/sbin/nginx", "/usr/local/bin/node", "/tmp/miner", "/etc/nginx/nginx.conf")
FILES = ("/etc/passwd", "/etc/shadow", "/app/x.js", "/tmp/x", "/run/secrets/kubernetes.io/serviceaccount/token")
VERDICTS = {Kind.ALLOW: Verdict.ALLOW, Kind.AUDIT: Verdict.AUDIT, Kind.BLOCK: Verdict.BLOCK}

pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the reference data does not lie beside the checkout")


def matcher(tables: Tables) -> Matcher:
    try:
        return Matcher(tables)
    except BpfError as error:
        pytest.skip(f"no BPF here: {error}")


def said(kernel: Matcher, interpreter: Interpreter, access: Access) -> Verdict:
    """The verdict on one access: paths by the matcher in the kernel, sockets and capabilities out of the same words."""
    tables = interpreter.tables
    process = access.op is Op.EXEC
    if not process and access.op not in FILE_OPS:
        return interpreter.decide(access).verdict
    facts = facts_number(Facts.of(access))
    if not tables.head(Head.PROCESS_RULES if process else Head.FILE_RULES):
        return Verdict.ALLOW
    outcome = kernel.ask(
        access.path, facts, kernel.source(access.parent if process else access.source), process=process
    )
    if kind_of(outcome) in (Kind.NOTHING, Kind.NOT_PERMITTED):
        outcome = tables.head(Head.PROCESS_DEFAULT if process else Head.FILE_DEFAULT)
    return VERDICTS[kind_of(outcome)]


def compare(policies: list[Policy], mode: str, questions: list[Access]) -> Iterator[str]:
    """What the kernel says otherwise than the decision function."""
    posture = Posture.all(mode)  # type: ignore[arg-type]
    ruleset, tables = compile(policies, posture, Dialect.DISCOVER), compile_tables(policies, posture)
    interpreter = Interpreter(tables)
    with matcher(tables) as kernel:
        for access in questions:
            wanted = ruleset.decide(access)
            got = said(kernel, interpreter, access)
            by_file = access.op is Op.EXEC and wanted.rule is not None and wanted.rule.section == "file"
            if got is not wanted.verdict and not by_file:  # a file rule is asked at the exec's own open
                yield f"{mode}: {access}: {got}, not {wanted.verdict}"


def test_kubearmors_own_cases() -> None:
    wrong, done, refused = [], Counter[str](), {}
    for case in json.loads(CASES.read_text())["cases"]:
        policies = read_policies(CASES.parent / case["policy"])
        questions = [a for command in case["commands"] for a in accesses(command["cmd"])]
        try:
            for mode in ("block",) if case["posture"] == "block" else ("audit", "block"):
                wrong += [f"{case['id']}: {line}" for line in compare(policies, mode, questions)]
        except PolicyRefused as error:
            refused[case["id"]] = str(error)
            continue
        done["cases"] += 1
        done["commands"] += len(case["commands"])
    print(dict(done), refused)
    assert not wrong, "\n".join(wrong)
    assert refused.keys() == REFUSED.keys()
    assert all(reason in refused[case] for case, reason in REFUSED.items())
    assert done["commands"] >= 330


@pytest.mark.parametrize("file", sorted(TEXTBOOK.glob("*.yaml")), ids=lambda f: f.stem)
def test_the_textbooks_policies(file: Path) -> None:
    questions = [
        Access(op=Op.EXEC, path=path, source="/bin/sh", parent="/bin/sh", argv=(path,), owner_match=True)
        for path in PATHS
    ] + [
        Access(op=Op.OPEN, path=path, source="/usr/sbin/nginx", read=not write, write=write, owner_match=True)
        for path in (*PATHS, *FILES)
        for write in (False, True)
    ]
    questions += [Access(op=Op.SOCKET, source="/x", family=2, type=t, protocol=p) for t, p in ((1, 6), (2, 17), (3, 1))]
    assert list(compare(read_policies(file), "block", questions)) == []

"""The matcher in the kernel says what the interpreter says, on the live kernel and without attaching anything."""

from __future__ import annotations

import random

import pytest

from bpf.errors import BpfError
from enforcer.bpf_lsm.matcher import Matcher
from enforcer.compile import Interpreter, Tables, compile_tables
from enforcer.compile.outcomes import FACTS
from enforcer.compile.paths import as_bytes
from models.policy import Policy, Posture

PARTS = ("a", "b", "tmp-1", "log", "é", "n" * 200)
GLOBS = ("*", "tmp-*", "?", "**/log", "{a,b*}", "[ab]", "*-1")
AGENTS = ("/bin/one", "/bin/two", "/" + "d/" * 60 + "three")


def random_path(rng: random.Random) -> str:
    return "/" + "/".join(rng.choice(PARTS) for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4, 30))))


def random_policy(rng: random.Random) -> Policy:
    def rule(**key: object) -> dict[str, object]:
        made: dict[str, object] = {**key, "action": rng.choice(("Allow", "Audit", "Block"))}
        made |= {flag: True for flag in ("readOnly", "ownerOnly") if rng.random() < 0.3}
        if "pattern" not in key and rng.random() < 0.4:
            made["fromSource"] = [{"path": path} for path in rng.sample(AGENTS, rng.choice((1, 2)))]
        return made

    folders = [random_path(rng).rstrip("/") + "/" for _ in range(8)]
    section = {
        "matchPaths": [rule(path=random_path(rng)) for _ in range(rng.randrange(12))],
        "matchDirectories": [
            rule(dir=rng.choice(folders), recursive=rng.random() < 0.5) for _ in range(rng.randrange(6))
        ],
        "matchPatterns": [rule(pattern=rng.choice(folders) + rng.choice(GLOBS)) for _ in range(rng.randrange(3))],
    }
    process = {
        kind: [{k: v for k, v in made.items() if k != "readOnly"} for made in rules] for kind, rules in section.items()
    }
    process["matchPaths"] += [{"execname": rng.choice(PARTS), "action": "Block"}]
    spec = {"file": section, "process": process}
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": "random"}, "spec": spec})


def asked(interpreter: Interpreter, path: str, facts: int, source: int, *, process: bool) -> int:
    """The interpreter's answer, posture left out, as the matcher gives it."""
    from enforcer.compile import Head

    head = interpreter.tables.head
    names = ((Head.PROCESS_PATHS, Head.PROCESS_PATTERNS), (Head.FILE_PATHS, Head.FILE_PATTERNS))[not process]
    starts = (*(head(name) for name in names), head(Head.PROCESS_NAMES) if process else 0)
    parts = interpreter.keys(as_bytes(path), source, *starts)
    return next((outcome for part in parts if (outcome := interpreter.ask(part, facts))), 0)


def matcher(tables: Tables) -> Matcher:
    try:
        return Matcher(tables)
    except BpfError as error:
        pytest.skip(f"no BPF here: {error}")


@pytest.mark.parametrize("seed", range(25))
def test_the_kernel_asks_as_the_interpreter(seed: int) -> None:
    rng = random.Random(seed)
    policy = random_policy(rng)
    tables = compile_tables([policy], Posture())
    interpreter = Interpreter(tables)
    named = [rule.value.rstrip("/") for rule in tables.rules if rule.match in ("path", "dir")]
    with matcher(tables) as kernel:
        for agent in (*AGENTS, "/bin/three", "/"):
            assert kernel.source(agent) == interpreter.source(agent)
        answers = set()
        for _ in range(250):
            path = rng.choice(named) + rng.choice(("", "", "/a", "/a/log", "x")) if named and rng.random() < 0.7 else ""
            path = path or random_path(rng)
            facts, source, process = (
                rng.randrange(len(FACTS)),
                rng.randrange(len(tables.sources) + 1),
                rng.random() < 0.5,
            )
            wanted = asked(interpreter, path, facts, source, process=process)
            assert kernel.ask(path, facts, source, process=process) == wanted, (path, facts, source, process)
            answers.add(wanted & 7)
        assert len(answers) > 1

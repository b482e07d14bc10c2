"""The AppArmor back end on a kernel that has it: verdicts, alerts, the command line, containers."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from containers import StartContainer
from enforce_world import BIN, WORLD, Agent, Deed, World, deeds, policies
from test_guest_enforce_oracle import is_denied

from enforcer.apparmor import Profiles, profiles
from enforcer.apparmor.alerts import told
from enforcer.apparmor.loading import label, load, loaded, remove
from enforcer.apparmor.log import Log
from enforcer.apparmor.order import overlap
from enforcer.errors import PolicyRefused
from models.policy import (
    Action,
    Dialect,
    Op,
    Policy,
    Posture,
    Verdict,
    compile,  # noqa: A004
    dump_policies,
    rules,
)

HERE = Path(__file__).parent
SECONDS = float(os.environ.get("DISCOVER_ORACLE_SECONDS", "60"))
SEED = int(os.environ.get("DISCOVER_ORACLE_SEED", "1"))
CLASSES = ("process", "file", "network", "capabilities")
DISCOVER = str(Path(sys.executable).with_name("discover"))


@pytest.fixture(scope="module", autouse=True)
def securityfs() -> None:
    if not Path("/sys/kernel/security/apparmor").exists():
        subprocess.run(["mount", "-t", "securityfs", "none", "/sys/kernel/security"], check=True)


@pytest.fixture(scope="module")
def world() -> World:
    for name in ("protected_hardlinks", "protected_symlinks", "protected_regular", "protected_fifos"):
        Path(f"/proc/sys/fs/{name}").write_text("0")
    made = World()
    built = BIN / "one"
    subprocess.run(["cc", "-O1", "-static", "-o", built, HERE / "judged.c"], check=True)
    shutil.copy(built, BIN / "two")
    return made


def policy(name: str = "one", **spec: Any) -> Policy:
    return Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": spec})


def confined(path: str, uid: int, profile: str) -> Agent:
    """An agent that is started under a profile."""
    return Agent(path, uid, False, ("aa-exec", "-p", profile, "--"))


def without(value: Any, *fields: str) -> Any:
    if isinstance(value, dict):
        return {k: without(v, *fields) for k, v in value.items() if k not in fields}
    return [without(v, *fields) for v in value] if isinstance(value, list) else value


def expressible(rng: random.Random, agents: list[str], posture: Posture) -> tuple[list[Policy], Profiles]:
    """Random policies that AppArmor can follow; without what it never can."""
    while True:
        drop = ("pts",) if rng.random() < 0.3 else ("pts", "ownerOnly")
        written = [Policy.from_document(without(p.to_document(), *drop)) for p in policies(rng, agents)]
        try:
            return written, profiles(written, posture, "discover-oracle", block=CLASSES)
        except PolicyRefused:
            continue


def open_profiles(made: Profiles) -> str:
    """Profiles of the same names that allow everything: an agent is started under them, then they are replaced."""
    rules = 'ptrace, signal, network, capability, mount, umount, "/{,**}" rwmlkix,'
    return "abi <abi/3.0>,\n" + "\n".join(f'profile "{p.name}" {{ {rules} }}' for p in made.found)


def judged_alike(deed: Deed, written: list[Policy]) -> bool:
    """Whether AppArmor is asked the same question; what it is asked otherwise is in docs/enforcer-back-ends.md."""
    access = deed.access
    if access.op is Op.OPEN and access.read and not (access.write or access.create):
        listing = [r for p in written for r in rules(p) if r.section == "process" and r.action is not Action.BLOCK]
        if any(overlap(r, replace(r, match="path", value=access.path)) for r in listing):
            return False  # what may be executed may be read
    if access.op in (Op.SOCKET, Op.CONNECT, Op.BIND, Op.LISTEN, Op.ACCEPT):
        return access.protocol in (0, 6, 17) and access.type in (1, 2)
    return access.op is not Op.LINK or not any(p.spec.process for p in written)


def test_the_kernel_decides_as_the_decision_function(world: World) -> None:
    rng = random.Random(SEED)
    paths = [str(BIN / "one"), str(BIN / "two")]
    done, sets = Counter[str](), 0
    wrong: list[str] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and len(wrong) < 5:
        posture = Posture(*(rng.choice(("audit", "block", "block")) for _ in range(3)))
        written, made = expressible(rng, paths, posture)
        ruleset = compile(written, posture, Dialect.DISCOVER)
        load(open_profiles(made))
        path = rng.choice(paths)
        agent = confined(path, rng.choice((0, 0, 1000)), made.of(path))
        assert agent.do("open r /") == 0
        assert label(agent.process.pid) == made.of(path)
        load(made.text)
        sets += 1
        under = f"{agent} {posture}\n{written}\n{made.text}"
        try:
            with Log() as log:
                denials = 0
                for deed in deeds(world, agent, rng, 40):
                    if not judged_alike(deed, written):
                        continue
                    decision = ruleset.decide(deed.access)
                    error = agent.do(deed.line)
                    done[decision.verdict] += 1
                    denied = is_denied(deed, error)
                    denials += denied and deed.access.op is not Op.CAPABLE  # of those the kernel tells the first
                    if denied != (decision.verdict is Verdict.BLOCK):
                        wrong.append(f"{deed}: errno {error}, but {decision}\n{under}")
                    if error == 0:
                        for name in deed.touched:
                            world.restore(name)
                world.mended()
                said = [t for t, _ in told(log.take(), made, ruleset) if t.denied]
                if sum(t.count for t in said) < denials:
                    wrong.append(f"{denials} denials, told {said}\n{under}")
        finally:
            agent.end()
            remove(p.name for p in made.found)
    print(f"{sum(done.values())} accesses under {sets} policy sets: {dict(done)}")
    assert not wrong, "\n".join(wrong)
    assert sum(done.values()) >= 300
    assert min(done[v] for v in Verdict) > 20
    assert "discover-oracle" not in loaded()


ALLOWED, OTHER = f"{WORLD}/a/f", f"{WORLD}/a/x.log"
HOSTILE = f'{WORLD}/a/n\n"apparmor=\\x20}} , é'


def only(*paths: str, block: bool = True) -> tuple[list[Policy], Profiles]:
    written = [policy(file={"matchPaths": [{"path": p} for p in paths], "action": "Allow"})]
    entry = str(BIN / "one")
    made = profiles(written, Posture.all("block"), "discover-t", block=CLASSES if block else (), entry=entry)
    return written, made


@pytest.mark.parametrize("block", [False, True])
def test_complain_tells_what_enforce_denies_with_names_that_try_to_end_a_record(world: World, block: bool) -> None:
    written, made = only(ALLOWED, block=block)
    Path(HOSTILE).write_text("x")
    load(made.text)
    with Log() as log:
        agent = confined(str(BIN / "one"), 0, "discover-t")
        try:
            assert agent.do(f"open r {ALLOWED}") == 0
            assert agent.do(f"open r {OTHER}") == (errno.EACCES if block else 0)
            assert agent.do(f"mkdir {WORLD}/new") == (errno.EACCES if block else 0)
        finally:
            agent.end()
        by_python = ["aa-exec", "-p", "discover-t", "--", sys.executable, "-c", f"open({HOSTILE!r})"]
        done = subprocess.run(by_python, capture_output=True, check=False) if not block else None
        assert done is None or done.returncode == 0
        ruleset = compile(written, Posture.all("block"), Dialect.DISCOVER)
        found = {(t.op, t.path): t for t, _ in told(log.take(), made, ruleset)}
    remove(p.name for p in made.found)
    shutil.rmtree(f"{WORLD}/new", ignore_errors=True)
    Path(HOSTILE).unlink()
    assert found["open", OTHER].denied is block
    assert found["mkdir", f"{WORLD}/new"].denied is block
    assert ("open", ALLOWED) not in found
    if not block:
        assert ("open", HOSTILE) in found


def test_deny_rules_are_told_in_audit_and_deny_nothing(world: World) -> None:
    written = [
        policy(
            file={"matchPaths": [{"path": OTHER, "action": "Block"}]},
            process={"matchPaths": [{"path": f"{WORLD}/a/run", "action": "Block"}]},
            capabilities={"matchCapabilities": [{"capability": "sys_chroot", "action": "Block"}]},
            network={"matchProtocols": [{"protocol": "udp", "action": "Block"}]},
        )
    ]
    made = profiles(written, Posture.all("block"), "discover-t", entry=str(BIN / "one"))
    load(made.text)
    with Log() as log:
        agent = confined(str(BIN / "one"), 0, "discover-t")
        try:
            for deed in (f"open r {OTHER}", f"exec {WORLD}/a/run", "capable sys_chroot", "socket 2 2 0"):
                assert agent.do(deed) == 0, deed
        finally:
            agent.end()
        found = told(log.take(), made, compile(written, Posture.all("block"), Dialect.DISCOVER))
    remove(p.name for p in made.found)
    rules = {(t.policy_class, rule.where.split("[")[0] if rule else "") for t, rule in found}
    assert rules >= {
        ("file", "spec.file.matchPaths"),
        ("process", "spec.process.matchPaths"),
        ("capabilities", "spec.capabilities.matchCapabilities"),
        ("network", "spec.network.matchProtocols"),
    }
    assert not any(t.denied for t, _ in found)
    assert all(t.kind == 3 for t, rule in found if rule)


def discover(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([DISCOVER, "enforce", *words], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


CAT = "/usr/bin/cat"


def cat_policy(folder: Path, *more: dict[str, Any]) -> Path:
    """What cat needs, and whatever else."""
    libraries = {"dir": "/usr/lib/", "recursive": True, "readOnly": True}
    spec = {
        "process": {"matchPaths": [{"path": CAT}], "action": "Allow"},
        "file": {
            "matchPaths": [{"path": "/etc/ld.so.cache", "readOnly": True}, {"path": "/etc/hostname"}, *more],
            "matchDirectories": [libraries],
            "action": "Allow",
        },
    }
    file = folder / "cat.yaml"
    file.write_text(dump_policies([policy("cat", selector={"matchLabels": {"app": "cat"}}, **spec)]))
    return file


def test_a_command_runs_under_its_policy(tmp_path: Path) -> None:
    file = cat_policy(tmp_path)
    block = ("--mode", "block", "--accept-incomplete", "--accept-violations", "--backend", "apparmor")
    done = discover(str(file), *block, "--", "cat", "/etc/hostname", "/etc/passwd", status=1)
    assert Path("/etc/hostname").read_text() in done.stdout
    assert "Permission denied" in done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    told = [a for a in told if a["Resource"] != "/etc/locale.alias"]  # libc's, in some locales
    assert [(a["Data"], a["Resource"]) for a in told] == [("op=open", "/etc/passwd")]
    (alert,) = told
    assert (alert["Action"], alert["PolicyName"], alert["Source"]) == ("Block", "DefaultPosture", CAT)
    assert "discover-cat" not in loaded()


def test_audit_then_block_then_break_glass(tmp_path: Path, container: StartContainer) -> None:
    spec = {
        "process": {"matchPaths": [{"path": "/bin/busybox"}], "action": "Allow"},
        "file": {
            "matchDirectories": [{"dir": "/", "recursive": True, "action": "Allow"}],
            "matchPaths": [{"path": "/etc/passwd", "action": "Block"}],
        },
    }
    file = tmp_path / "box.yaml"
    file.write_text(dump_policies([policy("box", selector={"matchLabels": {"app": "box"}}, **spec)]))
    running = container("sleep", "1000", by="docker")
    refused = discover(str(file), "--backend", "apparmor", "--container", running.id[:12], status=2)
    assert "runs already" in refused.stderr
    assert "--security-opt apparmor=discover-box" in refused.stderr
    assert "discover-box" not in loaded()

    daemon = subprocess.Popen(
        [DISCOVER, "enforce", str(file), "--backend", "apparmor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        for _ in range(600):
            if loaded().get("discover-box"):
                break
            time.sleep(0.2)
        assert loaded()["discover-box"] == "complain"
        box = container("sleep", "1000", options=["--security-opt", "apparmor=discover-box"], by="docker")
        assert label(box.pid) == "discover-box"
        assert "root" in box.execute("cat", "/etc/passwd")
        (row,) = [json.loads(x) for x in discover("status", "--json").stdout.splitlines()]
        assert (row["backend"], row["block"]) == ("apparmor", [])
        assert row["processes"] >= 1
        violated = discover("promote", "box", "--accept-incomplete", status=2)
        assert "violation" in violated.stderr
        discover("promote", "box", "--accept-incomplete", "--accept-violations")
        assert loaded()["discover-box"] == "enforce"
        done = subprocess.run(
            ["docker", "exec", box.id, "cat", "/etc/passwd"], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "Permission denied" in done.stderr
        assert "root" in box.execute("cat", "/etc/group")
        discover("break-glass")
        assert loaded()["discover-box"] == "complain"
        assert "root" in box.execute("cat", "/etc/passwd")
    finally:
        daemon.send_signal(signal.SIGINT)
        out, err = daemon.communicate(timeout=120)
    alerts = [json.loads(line) for line in out.decode().splitlines()]
    assert {a["Action"] for a in alerts if a["Resource"] == "/etc/passwd"} == {"Block", "Audit (Block)"}, err
    lines = discover("logs", "box", "--policy", "box").stdout
    assert "/etc/passwd" in lines
    refused = discover(
        str(file),
        "--mode",
        "block",
        "--confirm-within",
        "60s",
        "--backend",
        "apparmor",
        "--accept-incomplete",
        "--accept-violations",
        status=3,
    )
    assert "systemd" in refused.stderr
    discover("stop", "box")
    assert "discover-box" not in loaded()

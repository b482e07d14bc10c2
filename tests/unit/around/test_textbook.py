"""The textbook's policies: every outcome under a real KubeArmor is foretold; what replaces them keeps the promises."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from evidence_made import read, seen, write
from places import DATASETS, ROOT, SHARED

from discover.check import check
from discover.simulate import simulate_one
from models.checks import IDS, Severity
from models.dataset import open_dataset
from models.evidence import Seen, gather
from models.policy import (
    Dialect,
    Op,
    Policy,
    Posture,
    Target,
    Verdict,
    check_limits,
    compile,  # noqa: A004
    load_policies,
    read_policies,
)
from models.simulate import Simulation, simulate

BUSYBOX = "/bin/busybox"
TOKEN = "/run/secrets/kubernetes.io/serviceaccount/..2026_01_01_00_00_00.1/token"
LINUX = {"fs": "overlay"}


def execute(path: str) -> Seen:
    return seen(Op.EXEC, path, parent="/usr/bin/parent", **LINUX)


def socket(kind: int, protocol: int, op: Op = Op.SOCKET) -> Seen:
    return seen(op, type=kind, protocol=protocol, family=2)


TCP, UDP, RAW, PING = (1, 6), (2, 17), (3, 255), (3, 1)


def over(policies: list[Policy], *what: Seen) -> Simulation:
    ruleset = compile(policies, Posture.all("block"), Dialect.KUBEARMOR_BPFLSM)
    return simulate(ruleset, what, dialect=Dialect.KUBEARMOR_BPFLSM)


def told(simulation: Simulation) -> set[str]:
    return {d.path for g in (*simulation.groups, *simulation.audited) for d in g.denials}


def corrected() -> dict[str, str]:
    """The YAML of the page, by the name under which the policy is taught there."""
    text = (ROOT / "docs" / "textbook.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {
        re.search(r"^\*([a-z-]+)\.\*", s, re.MULTILINE)[1]: re.search(r"```yaml\n(.*?)```", s, re.DOTALL)[1]  # type: ignore[index]
        for s in sections
    }


CORRECTED = corrected()

# -- as they are taught


@cache
def taught(name: str) -> Path:
    file = SHARED / "textbook" / f"{name}.yaml"
    if not file.exists():
        pytest.skip(f"needs {file} (DISCOVER_SHARED)")
    return file


@cache
def mistakes(name: str) -> dict[str, set[Severity]]:
    found: dict[str, set[Severity]] = {}
    for finding in check([taught(name)]).findings:
        found.setdefault(finding.mistake.id, set()).add(finding.mistake.severity)
    return found


def has(*wanted: str) -> Callable[[dict[str, set[Severity]]], bool]:
    """Whether every one of these is found, as an error or a warning."""
    serious = {Severity.ERROR, Severity.WARNING}
    return lambda found: all(found.get(w, set()) & serious for w in wanted)


CHECKED = [
    ("web-app-audit", "the shell and wget leave no trace: busybox", has("symlink-path", "busybox-applet")),
    ("web-app-hardened", "every exec fails, a probe's too", has("exec-probe")),
    ("web-app-hardened", "after a restart nginx dies: /run/nginx.pid", has("needs-of-software")),
    ("web-app-hardened", "after a restart it does not even start", has("exec-needs-file", "needs-libraries")),
    ("nodejs-minimal", "true while it runs, not after a restart", has("exec-needs-file", "needs-libraries")),
    ("checkout-lockdown", "names no longer resolve", has("needs-names")),
    ("checkout-lockdown", "os.userInfo() fails", has("needs-users")),
    ("checkout-lockdown", "tcp goes to any port", lambda found: "tcp-any-destination" in found),
    ("postgres-hardened", "each new connection fails: /dev/shm", has("needs-of-software")),
    ("postgres-hardened", "it does not start: * is literal", lambda f: f["literal-glob"] == {Severity.ERROR}),
    ("postgres-hardened", "its socket's directory is a link", lambda f: f["symlink-path"] == {Severity.ERROR}),
    ("block-shells", "sh runs: busybox", has("busybox-applet", "symlink-path")),
    ("block-shells", "patterns are ignored", lambda f: f["patterns"] == {Severity.ERROR}),
    ("protect-tokens", "the token can be read: /var/run is a link", lambda f: f["symlink-path"] == {Severity.ERROR}),
    ("frontend-network", "as promised", lambda f: not {s for many in f.values() for s in many} & {Severity.ERROR}),
]


@pytest.mark.shared
def test_every_finding_is_one_that_the_page_explains() -> None:
    for name in CORRECTED:
        assert mistakes(name).keys() <= IDS.keys()


@pytest.mark.shared
@pytest.mark.parametrize(("name", "outcome", "foretold"), CHECKED, ids=[f"{n}: {o}" for n, o, _ in CHECKED])
def test_check_foretells(name: str, outcome: str, foretold: Callable[[Any], bool]) -> None:
    assert foretold(mistakes(name)), mistakes(name)


PAGE, CACHE, LOG = "/usr/share/nginx/html/index.html", "/var/cache/nginx/x", "/var/log/nginx/access.log"
SIMULATED = [
    ("web-app-audit", "/etc/passwd leaves an entry", [read("/etc/passwd")], {"/etc/passwd"}),
    ("web-app-audit", "the shell and wget leave none", [execute(BUSYBOX)], set()),
    (
        "web-app-hardened",
        "nginx serves",
        [read(PAGE), read("/etc/nginx/nginx.conf"), write(LOG), write(CACHE, create=True)],
        set(),
    ),
    (
        "web-app-hardened",
        "shell, wget and cat /etc/shadow fail",
        [execute(BUSYBOX), read("/etc/shadow")],
        {BUSYBOX, "/etc/shadow"},
    ),
    ("web-app-hardened", "after a restart nginx dies", [write("/run/nginx.pid", create=True)], {"/run/nginx.pid"}),
    (
        "nodejs-minimal",
        "only node runs",
        [execute(BUSYBOX), read("/app/server.js"), read("/etc/hosts")],
        {BUSYBOX},
    ),
    (
        "nodejs-minimal",
        "a dropped binary can be neither written nor run",
        [write("/usr/bin/dropped", create=True), execute("/tmp/dropped")],
        {"/usr/bin/dropped", "/tmp/dropped"},
    ),
    (
        "checkout-lockdown",
        "a miner can neither start nor write its configuration",
        [execute("/tmp/miner"), write("/root/.config/miner.json", create=True)],
        {"/tmp/miner", "/root/.config/miner.json"},
    ),
    ("checkout-lockdown", "names no longer resolve", [read("/etc/hosts")], {"/etc/hosts"}),
    ("checkout-lockdown", "os.userInfo() fails", [read("/etc/passwd")], {"/etc/passwd"}),
    ("checkout-lockdown", "the connection to port 3333 is allowed", [socket(*TCP), socket(*TCP, Op.CONNECT)], set()),
    (
        "postgres-hardened",
        "each new connection fails",
        [write("/dev/shm/PostgreSQL.1804289383", create=True)],
        {"/dev/shm/PostgreSQL.1804289383"},
    ),
    (
        "postgres-hardened",
        "after a restart it does not start",
        [execute("/usr/lib/postgresql/15/bin/postgres")],
        {"/usr/lib/postgresql/15/bin/postgres"},
    ),
    ("block-shells", "sh runs", [execute(BUSYBOX)], set()),
    ("block-shells", "patterns are ignored", [execute("/usr/bin/python3.11"), execute("/usr/bin/perl")], set()),
    ("protect-tokens", "the token can be read", [read(TOKEN)], set()),
    ("frontend-network", "tcp and udp work", [socket(*TCP), socket(*UDP)], set()),
]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "outcome", "what", "denied"), SIMULATED, ids=[f"{s[0]}: {s[1]}" for s in SIMULATED])
def test_simulate_foretells(name: str, outcome: str, what: list[Seen], denied: set[str]) -> None:
    assert told(over(read_policies(taught(name)), *what)) == denied


@pytest.mark.shared
def test_simulate_foretells_that_raw_sockets_and_ping_fail() -> None:
    policies = read_policies(taught("frontend-network"))
    assert over(policies, socket(*RAW), socket(*PING)).total.denied == 2


@pytest.mark.shared
@pytest.mark.parametrize("name", ["web-app-hardened", "nodejs-minimal", "checkout-lockdown", "postgres-hardened"])
def test_simulate_foretells_that_every_exec_fails(name: str) -> None:
    assert "/proc/4711/fd" in {d.path for d in over(read_policies(taught(name))).runtime}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "dataset", "denied"),
    [
        ("web-app-hardened", "nginx", "/run/nginx.pid"),
        ("postgres-hardened", "postgres", "/usr/lib/postgresql/15/bin/postgres"),
        ("checkout-lockdown", "nodeweb", "/etc/hosts"),
    ],
)
def test_a_recording_of_the_real_software_foretells_it(name: str, dataset: str, denied: str) -> None:
    (evidence,) = gather(open_dataset(DATASETS / dataset))
    simulation = simulate_one(read_policies(taught(name)), evidence, dialect=Dialect.KUBEARMOR_BPFLSM)
    assert denied in told(simulation)
    assert simulation.units_hit == set(evidence.units)


# -- and as they should be

MAY_WARN = {"no-evidence"}


def test_the_page_has_all_eight() -> None:
    assert set(CORRECTED) == {
        "web-app-audit",
        "web-app-hardened",
        "nodejs-minimal",
        "checkout-lockdown",
        "postgres-hardened",
        "block-shells",
        "protect-tokens",
        "frontend-network",
    }


@pytest.mark.parametrize("name", CORRECTED)
def test_what_replaces_it_passes_check(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(CORRECTED[name])
    serious = [f for f in check([file]).findings if f.mistake.severity is not Severity.NOTE]
    assert {f.mistake.id for f in serious} <= MAY_WARN
    grades = {f.grade for f in check_limits(load_policies(CORRECTED[name]), Target.KUBEARMOR_BPFLSM)}
    assert "error" not in grades


RESTART = [
    read("/etc/ld.so.cache"),
    read("/lib/ld-musl-x86_64.so.1", **LINUX),
    read("/usr/lib/x86_64-linux-gnu/libc.so.6", **LINUX),
]
NAMES = [read("/etc/hosts"), read("/etc/resolv.conf"), read("/etc/passwd")]
PROMISES: list[tuple[str, list[Seen], Verdict]] = [
    ("web-app-audit", [execute(BUSYBOX), execute("/usr/bin/bash"), read("/etc/passwd")], Verdict.AUDIT),
    (
        "web-app-hardened",
        [
            *RESTART,
            execute("/usr/sbin/nginx"),
            read(PAGE),
            read("/etc/nginx/nginx.conf"),
            write(LOG),
            write(CACHE, create=True),
            write("/run/nginx.pid", create=True),
        ],
        Verdict.ALLOW,
    ),
    ("web-app-hardened", [execute(BUSYBOX), read("/etc/shadow"), write("/usr/sbin/nginx")], Verdict.BLOCK),
    (
        "nodejs-minimal",
        [*RESTART, *NAMES, execute("/usr/local/bin/node"), read("/app/server.js"), write("/tmp/x", create=True)],
        Verdict.ALLOW,
    ),
    (
        "nodejs-minimal",
        [
            execute(BUSYBOX),
            execute("/tmp/dropped"),
            write("/usr/bin/dropped", create=True),
            socket(*RAW),
        ],
        Verdict.BLOCK,
    ),
    (
        "checkout-lockdown",
        [*RESTART, *NAMES, execute("/usr/local/bin/node"), write("/app/x", create=True), socket(*TCP)],
        Verdict.ALLOW,
    ),
    (
        "checkout-lockdown",
        [execute("/tmp/miner"), write("/root/.config/miner.json", create=True), read("/etc/shadow")],
        Verdict.BLOCK,
    ),
    (
        "postgres-hardened",
        [
            *RESTART,
            execute("/usr/lib/postgresql/15/bin/postgres"),
            write("/dev/shm/PostgreSQL.1804289383", create=True),
            write("/run/postgresql/.s.PGSQL.5432.lock", create=True),
            write("/var/lib/postgresql/15/main/base/1/2"),
        ],
        Verdict.ALLOW,
    ),
    ("postgres-hardened", [execute(BUSYBOX), execute("/usr/bin/bash"), read("/etc/shadow")], Verdict.BLOCK),
    (
        "block-shells",
        [execute(BUSYBOX), *(execute(f"/usr/bin/{n}") for n in ("bash", "dash", "python3.11", "perl", "ruby"))],
        Verdict.BLOCK,
    ),
    ("block-shells", [execute("/usr/sbin/nginx"), read("/etc/shadow")], Verdict.ALLOW),
    ("protect-tokens", [read(TOKEN)], Verdict.BLOCK),
    ("protect-tokens", [read("/run/secrets/other"), execute(BUSYBOX)], Verdict.ALLOW),
    ("frontend-network", [socket(*TCP), socket(*UDP)], Verdict.ALLOW),
    ("frontend-network", [socket(*RAW), socket(*PING)], Verdict.BLOCK),
]


@pytest.mark.parametrize(("name", "what", "verdict"), PROMISES, ids=[f"{n}: {v}" for n, _, v in PROMISES])
def test_what_replaces_it_keeps_every_promise(name: str, what: list[Seen], verdict: Verdict) -> None:
    ruleset = compile(load_policies(CORRECTED[name]), Posture.all("block"), Dialect.KUBEARMOR_BPFLSM)
    for one in what:
        assert ruleset.decide(one.access).verdict is verdict, one.access


@pytest.mark.parametrize("name", ["web-app-hardened", "nodejs-minimal", "checkout-lockdown", "postgres-hardened"])
def test_under_what_replaces_it_an_exec_probe_works(name: str) -> None:
    left = {d.path for d in over(load_policies(CORRECTED[name])).runtime}
    assert left <= {"a netlink socket"}  # raw sockets stay closed where that was the promise


def test_the_miner_s_connection_is_for_a_network_policy() -> None:
    _, network = yaml.safe_load_all(CORRECTED["checkout-lockdown"])
    assert (network["kind"], network["spec"]["policyTypes"]) == ("NetworkPolicy", ["Egress"])
    ports = {p["port"] for rule in network["spec"]["egress"] for p in rule["ports"]}
    assert 3333 not in ports
    assert all(rule["to"] and rule["ports"] for rule in network["spec"]["egress"])


def test_postgres_works_under_what_replaces_it() -> None:
    (evidence,) = gather(open_dataset(DATASETS / "postgres"))
    policies = load_policies(CORRECTED["postgres-hardened"])
    simulation = simulate_one(policies, evidence, dialect=Dialect.KUBEARMOR_BPFLSM)
    ours = "/usr/lib/postgresql/15/bin/postgres"
    server = {d.path for d in simulation.denials if d.seen.access.source == ours}
    others = {d.seen.access.source for d in simulation.denials} - {ours}
    assert simulation.total.accesses > 9000
    assert server <= {"/usr/bin/dash"}  # the archive command's shell
    started_by = {"/usr/bin/python3.11", "/usr/bin/setpriv"}
    assert others <= {"/usr/bin/dash", "/usr/bin/cp"} | started_by

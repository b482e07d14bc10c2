"""What a policy admits of what exists, counted by the index and by asking about every file."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quality.baselines.grants import Grant, Kind, assemble
from benchmarks.quality.judge import compiled
from benchmarks.quality.sensitive import is_sensitive
from benchmarks.quality.stock import Stock, admitted
from models.policy import Access, Op, ProcessPattern, Spec, Target
from models.policy.model import File, Process
from tests.unit.quality.rows import material, row

USED = [row("/srv/app/used"), row("/srv/app/written", "read+write")]
NAMES = [
    "/srv/app/used",
    "/srv/app/written",
    "/srv/app/other",
    "/srv/app/deep/one.log",
    "/srv/app/deep/two.log",
    "/srv/apple",
    "/srv/secret.key",
    "/etc/shadow",
    "/usr/bin/app",
    "/usr/bin/sh",
]


def stocked(names: list[str] = NAMES) -> Any:
    packaged = {"/usr/bin/app", "/usr/bin/sh", "/etc/shadow"}
    inventory = [
        {"path": n, "mode": 0o755 if "/bin/" in n else 0o644, "uid": 0, "package": "base" if n in packaged else None}
        for n in names
    ]
    return material(USED, inventory)


def grants(*wanted: Grant) -> Spec:
    return assemble(stocked(), wanted, patterns=True)


def test_beyond_what_was_used_by_read_and_write_and_package() -> None:
    spec = grants(Grant(Kind.TREE, "/srv/", writes=False), Grant(Kind.CHILDREN, "/srv/app/", writes=True))
    have = stocked()
    found = admitted(spec, Target.DISCOVER, Stock(have.evidence.inventory), have)
    # read: other, one.log, two.log, apple, secret.key; written: used (only read so far) and other
    assert (found.reads, found.writes, found.rights) == (5, 2, 7)
    assert (found.reads_packaged, found.writes_packaged) == (0, 0)
    # no process rule lists anything: whatever is executable may run; what acted has run already
    assert found.executables == 1
    assert found.sensitive == ["/srv/secret.key"]


def test_a_class_without_an_allow_list_admits_everything() -> None:
    have = stocked()
    found = admitted(Spec(), Target.DISCOVER, Stock(have.evidence.inventory), have)
    assert found.reads == len(NAMES) - 3
    assert found.writes == len(NAMES) - 1
    assert found.executables == 1
    assert found.reads_packaged == 2


def test_executables_by_pattern() -> None:
    have = stocked()
    process = Process(match_patterns=(ProcessPattern(pattern="/usr/bin/*"),), action="Allow")
    found = admitted(Spec(process=process, file=File()), Target.DISCOVER, Stock(have.evidence.inventory), have)
    assert found.executables == 1
    assert found.reads == len(NAMES) - 3


def test_without_an_inventory_it_says_so() -> None:
    have = material(USED)
    found = admitted(grants(Grant(Kind.TREE, "/", writes=True)), Target.DISCOVER, Stock(have.evidence.inventory), have)
    assert not found.known


SEGMENT = st.sampled_from(["a", "b", "ab", "a.log", "1", "22", "x-1"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map(lambda s: "/" + "/".join(s))
DIRECTORIES = st.lists(SEGMENT, max_size=3).map(lambda s: "/" + "".join(f"{n}/" for n in s))
GRANTS = st.one_of(
    st.builds(Grant, st.just(Kind.PATH), PATHS, st.booleans()),
    st.builds(Grant, st.sampled_from([Kind.CHILDREN, Kind.TREE]), DIRECTORIES, st.booleans()),
    st.builds(Grant, st.just(Kind.PATTERN), PATHS.map(lambda p: p.replace("a", "*").replace("b", "?")), st.booleans()),
)


@settings(deadline=None)
@given(names=st.sets(PATHS, max_size=30), wanted=st.lists(GRANTS, min_size=1, max_size=6))
def test_the_index_counts_what_asking_about_every_file_counts(names: set[str], wanted: list[Grant]) -> None:
    have = material(USED, [{"path": n, "mode": 0o644} for n in sorted(names)])
    spec = assemble(have, wanted, patterns=True)
    found = admitted(spec, Target.DISCOVER, Stock(have.evidence.inventory), have)
    ruleset = compiled(spec, Target.DISCOVER)

    def ask(path: str, *, write: bool) -> bool:
        return ruleset.decide(Access(op=Op.OPEN, path=path, read=not write, write=write, owner_match=True)).allowed

    assert found.reads == sum(ask(n, write=False) for n in names)
    assert found.writes == sum(ask(n, write=True) for n in names)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/etc/shadow", True),
        ("/etc/shadow-", True),
        ("/run/secrets/kubernetes.io/serviceaccount/token", True),
        ("/var/run/secrets/kubernetes.io/serviceaccount/..2026_03_01/token", True),
        ("/root/.bashrc", True),
        ("/home/a/.ssh/id_ed25519", True),
        ("/srv/tls/server.key", True),
        ("/etc/ssl/private/snakeoil.pem", True),
        ("/etc/ssl/certs/ca-certificates.crt", False),
        ("/etc/passwd", False),
        ("/usr/share/keyrings/archive.gpg", False),
    ],
)
def test_sensitive(path: str, answer: bool) -> None:
    assert is_sensitive(path) is answer

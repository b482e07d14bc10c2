"""Each baseline does what its source does, on cases small enough to do by hand."""

import pytest

from benchmarks.quality.baselines import BASELINES, karmor, kubescape, operator
from benchmarks.quality.baselines.gradm import CREATE, READ, WRITE, reduced
from benchmarks.quality.baselines.grants import Grant, Kind, assemble
from benchmarks.quality.folds import folds
from benchmarks.quality.judge import compiled, judge
from benchmarks.quality.material import dataset_material
from models.policy import LIMITS, Access, Op, Spec, Target
from tests.unit.quality.rows import APP, material, row


def file_rules(spec: Spec) -> dict[str, tuple[str, bool]]:
    """For each file rule its shape and whether it is for reading alone."""
    assert spec.file is not None
    found = {r.path: ("path", bool(r.read_only)) for r in spec.file.match_paths}
    found |= {r.dir: ("tree" if r.recursive else "children", bool(r.read_only)) for r in spec.file.match_directories}
    return found | {r.pattern: ("pattern", bool(r.read_only)) for r in spec.file.match_patterns}


def test_karmor_makes_a_directory_of_more_than_three_children() -> None:
    three = material([row(f"/etc/app/{n}") for n in "abc"])
    assert file_rules(karmor.learn(three, True)) == {f"/etc/app/{n}": ("path", True) for n in "abc"}
    four = material([row(f"/etc/app/{n}") for n in "abcd"] + [row("/srv/x/y", "write")])
    assert file_rules(karmor.learn(four, True)) == {"/etc/app/": ("tree", True), "/srv/x/y": ("path", False)}


def test_karmor_aggregates_from_the_leaves_up_and_takes_all_of_tmp() -> None:
    rows = [row(f"/usr/{d}/x/y") for d in "abcd"] + [row("/tmp/one", "read+write")]
    assert file_rules(karmor.learn(material(rows), True)) == {"/usr/": ("tree", True), "/tmp/": ("tree", False)}


def test_karmor_gives_a_directory_the_rights_of_what_it_stands_for() -> None:
    rows = [row(f"/d/{n}") for n in "abc"] + [row("/d/e/f", "write")]
    assert file_rules(karmor.learn(material(rows), True)) == {"/d/": ("tree", False)}


def test_kubescape_collapses_above_fifty_names_and_above_a_hundred_in_etc() -> None:
    fifty = [f"/data/{n:03}" for n in range(50)]
    assert kubescape.collapsed(fifty) == {p: ["data", p[-3:]] for p in fifty}
    rows = [row(f"/data/{n:03}/log") for n in range(51)] + [row(f"/etc/{n:03}") for n in range(100)]
    rules = file_rules(kubescape.learn(material(rows), True))
    assert rules.pop("/data/*/log") == ("pattern", True)
    assert rules == {f"/etc/{n:03}": ("path", True) for n in range(100)}


def test_kubescape_makes_one_of_neighbouring_wildcards_and_keeps_the_image_literal() -> None:
    rows = [row(f"/data/{a:03}/{b:03}") for a in range(51) for b in range(2)] + [
        row(f"/data/x/{n:03}") for n in range(60)
    ]
    stock = [{"path": "/data/000/000", "package": "data"}]
    rules = file_rules(kubescape.learn(material(rows, stock), True))
    assert rules == {"/data/**": ("pattern", True)}  # the image's file needs no rule of its own here
    written = [{**r, "access": "write"} if r["path"] == "/data/000/000" else r for r in rows]
    rules = file_rules(kubescape.learn(material(written, stock), True))
    assert rules == {"/data/**": ("pattern", True), "/data/000/000": ("path", False)}


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/proc/1234/task/1240/stat", f"/proc/{operator._PID}/task/{operator._PID}/stat"),
        ("/a/0c0e1b7a-3f0e-4a53-9d0e-2a0f8e7b6c5d.tmp", "/a/*.tmp"),
        ("/a/" + "0f" * 16, "/a/*"),
        ("/log/app-20260301.gz", "/log/app-*.gz"),
        ("/sys/devices/system/cpu/online", "/sys/devices/**"),
        ("/log/12345", "/log/12345"),
        ("/a/{b}", "/a/\\{b\\}"),
    ],
)
def test_operator_has_fixed_slots(path: str, pattern: str) -> None:
    assert operator.varied(path) == pattern


def test_operator_opens_a_directory_of_two_files_read_and_written() -> None:
    rows = [row(f"/both/{n}", "read+write") for n in "ab"] + [row(f"/only/{n}", "write") for n in "ab"]
    rows += [row("/single/a", "read+write"), row("/both/c", "read")]
    rules = file_rules(operator.learn(material(rows), True))
    assert rules == {
        "/both/*": ("pattern", False),
        "/only/a": ("path", False),
        "/only/b": ("path", False),
        "/single/a": ("path", False),
    }


def test_gradm_folds_files_of_a_directory_by_its_score() -> None:
    few = reduced({f"/srv/app/{n}": READ for n in "abc"})
    assert [n.path for n in few.below()] == ["/srv/app/a", "/srv/app/b", "/srv/app/c"]
    many = reduced({f"/srv/app/{n}": READ for n in "abcdefgh"})
    # /srv/app: eight files and eight nodes below are three points, twice since all is read: from four on its files fold
    assert [(n.path, n.folded, n.mode) for n in many.below() if n.mode] == [("/srv/app", Kind.CHILDREN, READ)]
    more = reduced({f"/srv/app/{n}": READ for n in "abcdefghijkl"})
    # twelve and twelve are five points: from eight on all below folds
    assert [(n.path, n.folded) for n in more.below() if n.mode] == [("/srv/app", Kind.TREE)]


def test_gradm_finds_the_directory_above_among_names_that_sort_between() -> None:
    root = reduced({"/a": READ, "/a-b": READ, "/a/c": READ})
    assert [n.path for n in root.children] == ["/a", "/a-b"]
    assert [n.path for n in root.children[0].children] == ["/a/c"]


def test_gradm_never_reduces_some_and_always_reduces_others() -> None:
    root = reduced(
        {f"/var/{n}": READ for n in "abcdefghijklmnopqrstuvwxyz"} | {f"/tmp/x/{n}": WRITE for n in "abcdefg"}
    )
    folded = {n.path: n.folded for n in root.below()}
    assert folded["/tmp"] is Kind.TREE
    assert folded["/var"] is Kind.PATH
    assert folded["/var/z"] is Kind.PATH


def test_gradm_drops_what_its_directory_has_anyway() -> None:
    modes = {f"/srv/data/{n}": READ | WRITE | CREATE for n in range(12)} | {"/srv/data/odd": READ}
    (rule,) = [n for n in reduced(modes).below() if n.mode]
    assert rule.folded is not Kind.PATH
    assert rule.mode & WRITE


def test_what_a_wider_grant_holds_is_left_out_only_with_no_more_rights() -> None:
    grants = [
        Grant(Kind.TREE, "/srv/", writes=False),
        Grant(Kind.PATH, "/srv/a", writes=False),
        Grant(Kind.PATH, "/srv/b", writes=True),
        Grant(Kind.CHILDREN, "/srv/c/", writes=False),
    ]
    rules = file_rules(assemble(material([row("/srv/a")]), grants, patterns=True))
    assert rules == {"/srv/": ("tree", True), "/srv/b": ("path", False)}


def test_without_patterns_the_nearest_directory_that_fits() -> None:
    long = "/" + "d" * 70 + "/file"
    grants = [
        Grant(Kind.PATTERN, "/srv/app/*.tmp", writes=True),
        Grant(Kind.PATTERN, "/srv/*/log", writes=False),
        Grant(Kind.CHILDREN, long + "/", writes=False),
        Grant(Kind.PATH, "/x/" + "n" * 250, writes=False),
    ]
    rules = file_rules(assemble(material([row("/srv/a")]), grants, patterns=False))
    assert rules == {"/": ("tree", True), "/srv/app/": ("children", False)}
    assert all(len(path) <= LIMITS[Target.PORTABLE].path_bytes for path in rules)


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize("dataset", ["nginx", "redis"])
def test_a_baseline_denies_little_of_what_it_learned_from(method: str, dataset: str) -> None:
    """Only karmor's trie forgets: a directory's own path, once something lies below it."""
    whole = dataset_material(dataset)[0]
    for target in (Target.DISCOVER, Target.PORTABLE):
        spec = BASELINES[method](whole, LIMITS[target].patterns)
        denied = judge(compiled(spec, target), whole.seen)
        assert denied.all.of > 200
        assert denied.all.denied == 0 or (method == "karmor" and denied.all.share < 0.05)


def test_every_unit_is_held_out_once() -> None:
    units = dataset_material("redis")[0].evidence.units
    found = [f for f in folds("redis") if f.kind == "unit"]
    assert [f.test for f in found] == [(u,) for u in units]
    assert all(set(f.train) == set(units) - set(f.test) for f in found)


def test_held_out_denials_of_the_literal_union_are_what_only_that_unit_did() -> None:
    whole = dataset_material("redis")[0]
    for unit in whole.evidence.units:
        rest, held = whole.of(u for u in whole.evidence.units if u != unit), whole.of([unit])
        denied = judge(compiled(BASELINES["literal"](rest, True), Target.DISCOVER), held.seen)
        new = [s for s in held.seen if s.access.path and s.access.op is not Op.EXEC and s.access.path not in rest.files]
        grown = [
            s
            for s in held.seen
            if s.access.path in rest.files
            and not rest.files[s.access.path].writes
            and s.access.op is not Op.EXEC
            and held.files[s.access.path].writes
            and (s.access.op is not Op.OPEN or s.access.write or s.access.create or s.access.truncate)
        ]
        assert denied.all.denied == len([s for s in new if s.access.path.startswith("/")]) + len(grown)


def test_an_access_that_was_never_seen_is_denied() -> None:
    whole = dataset_material("nginx")[0]
    for method, learn in BASELINES.items():
        ruleset = compiled(learn(whole, True), Target.DISCOVER)
        assert not ruleset.decide(Access(op=Op.OPEN, path="/root/.ssh/id_rsa", source=APP, read=True)).allowed, method
        assert not ruleset.decide(Access(op=Op.EXEC, path="/bin/sh", source=APP, parent=APP)).allowed, method

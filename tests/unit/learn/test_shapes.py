"""Names that vary in a part of known shape, and names that only differ."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.learn.shapes import beside, cluster, escape, well_known
from models.policy import compile_pattern

KINDS = {
    "number": (["job-17", "job-4", "job-2305"], "job-[0-9]*", ["job-9", "job-77777"], ["job-x", "job-", "run-1"]),
    "counter": (["seg.0001", "seg.0002", "seg.0104"], "seg.[0-9][0-9][0-9][0-9]", ["seg.9999"], ["seg.1", "seg.00001"]),
    "time": (
        ["dump-1764000001.gz", "dump-1764000002.gz", "dump-1764009999.gz"],
        f"dump-{'[0-9]' * 10}.gz",
        ["dump-1799999999.gz"],
        ["dump-1.gz"],
    ),
    "hash": (
        ["c-0a1b2c3d4e5f", "c-ffee00112233", "c-a0b1c2d3e4f5"],
        f"c-{'[0-9a-f]' * 12}",
        ["c-000000000000"],
        ["c-000000000000.so", "c-00000000000g", "c-0"],
    ),
    "uuid": (
        [
            "1b4e28ba-2fa1-11d2-883f-0016d3cca427.json",
            "6fa459ea-ee8a-3ca4-894e-db77e160355e.json",
            "886313e1-3b8a-5372-9b90-0c9aee199e5d.json",
        ],
        "-".join("[0-9a-f]" * n for n in (8, 4, 4, 4, 12)) + ".json",
        ["00000000-0000-4000-8000-000000000000.json"],
        ["00000000-0000-4000-8000-00000000000.json", "1b4e28ba.json"],
    ),
    "random suffix": (
        ["upload-Ab3xYz", "upload-q9W0aB", "upload-ZZt5u1"],
        "upload-" + "[0-9A-Za-z]" * 6,
        ["upload-000000"],
        ["upload-Ab3xY", "upload-Ab3x/z", "upload-"],
    ),
}
PYTHON = ["tmpk3j_8x2a", "tmp0d4v_zzq", "tmpw8_1hs0c"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_slot_from_three_examples_and_from_no_fewer(kind: str) -> None:
    names, pattern, others, strangers = KINDS[kind]
    (group,), left = cluster(names)
    assert (group.pattern, group.kind, left) == (pattern, kind, [])
    assert group.names == tuple(sorted(names))
    for name in (*names, *others):
        assert compile_pattern(pattern).fullmatch(name), name
    for name in strangers:
        assert not compile_pattern(pattern).fullmatch(name), name
    for two in (names[:2], names[1:], [names[0], names[2]], [names[0]] * 5):
        assert cluster(two) == ([], sorted(set(two)))


def test_names_of_pythons_tempfile() -> None:
    (group,), left = cluster(PYTHON)
    assert (group.pattern, group.kind, left) == ("tmp" + "[0-9a-z_]" * 8, "random suffix", [])


@pytest.mark.parametrize(
    "names",
    [
        ["index.html", "about.html", "style.css", "logo.svg"],
        ["locale", "passwd", "group", "hosts", "resolv", "nsswitch"],
        ["indexPage.js", "aboutPage.js", "loginPage.js"],
        ["README", "LICENSE", "NOTICE", "AUTHORS"],
        ["backup-monday", "backup-tuesday", "backup-wednesday"],
        ["libssl.so", "libcrypto.so", "libz.so"],
        ["alpha", "betas", "gamma", "delta"],
    ],
)
def test_words_are_no_shape(names: list[str]) -> None:
    assert cluster(names) == ([], sorted(names))


def test_places_that_do_not_vary_stay() -> None:
    (group,), _ = cluster(["v2-worker-11.log", "v2-worker-12.log", "v2-worker-250.log"])
    assert group.pattern == "v2-worker-[0-9]*.log"
    assert not compile_pattern(group.pattern).fullmatch("v3-worker-11.log")


def test_a_long_hash_is_written_to_its_last_digit() -> None:
    (group,), _ = cluster([c * 20 + "0a" * 10 for c in "abc"])
    assert compile_pattern(group.pattern).fullmatch("0" * 40)
    assert not compile_pattern(group.pattern).fullmatch("0" * 39)
    assert not compile_pattern(group.pattern).fullmatch("0" * 40 + ".evil.so")


def test_names_that_fit_a_group_join_it() -> None:
    # "abcdef" alone is a word; beside others it is one of them
    groups, left = cluster(["item-12ab9f", "item-00ff00", "item-9a9a9a", "item-abcdef", "readme"])
    assert [g.names for g in groups] == [("item-00ff00", "item-12ab9f", "item-9a9a9a", "item-abcdef")]
    assert left == ["readme"]


@pytest.mark.parametrize(
    ("names", "pattern", "other", "stranger"),
    [
        (
            ["report-2026-03.csv", "report-2026-04.csv", "report-2026-11.csv"],
            "report-Y-M.csv",
            "report-2027-01.csv",
            "",
        ),
        (
            ["a.2026-03-01.log", "a.2026-03-02.log", "a.2026-03-30.log"],
            "a.Y-M-M.log",
            "a.2031-12-31.log",
            "a.x-03-01.log",
        ),
        (
            ["a.2026-03-01.7.log", "a.2026-03-01.8.log", "a.2026-03-01.99.log"],
            "a.Y-M-M.N.log",
            "a.2026-03-02.7.log",
            "",
        ),
        # no month 13: a version, whose first number stays
        (["v-2026-13", "v-2026-14", "v-2026-77"], "v-2026-N", "v-2026-5", "v-2027-13"),
    ],
)
def test_a_date_varies_whole(names: list[str], pattern: str, other: str, stranger: str) -> None:
    (group,), _ = cluster(names)
    written = re.sub(r"[YMN]", lambda m: {"Y": "[0-9]" * 4, "M": "[0-9][0-9]", "N": "[0-9]*"}[m[0]], pattern)
    assert group.pattern == written
    assert compile_pattern(group.pattern).fullmatch(other)
    assert not compile_pattern(group.pattern).fullmatch(stranger)


@pytest.mark.parametrize(
    ("directory", "name", "pattern"),
    [
        ("/proc", "4711", "[0-9]*"),
        ("/proc/4711/task", "4712", "[0-9]*"),
        ("/proc/[0-9]*/fd", "3", "[0-9]*"),
        ("/dev/pts", "0", "[0-9]*"),
        ("/srv/data", "#1234", "#[0-9]*"),
        (
            "/etc/config",
            "..2026_03_01_10_11_12.123456789",
            "..[0-9][0-9][0-9][0-9]_[0-9][0-9]_[0-9][0-9]_[0-9][0-9]_[0-9][0-9]_[0-9][0-9].[0-9]*",
        ),
        ("/sys/fs/cgroup/memory/docker", "0123456789abcdef" * 4, "[0-9a-f]" * 64),
        ("/sys/fs/cgroup/kubepods.slice", "cri-containerd-" + "ab" * 32 + ".scope", None),
    ],
)
def test_names_that_are_known_to_vary(directory: str, name: str, pattern: str | None) -> None:
    known = well_known(directory, name)
    assert known is not None
    assert pattern is None or known[0] == pattern
    assert compile_pattern(known[0]).fullmatch(name)


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("/proc", "self"),
        ("/proc", "meminfo"),
        ("/proc", "1x"),
        ("/proc/sys/net", "4"),
        ("/srv", "4711"),
        ("/srv/data", "#1234a"),
        ("/srv/data", "x#1234"),
        ("/etc/config", "..2026_03_01"),
        ("/etc/config", "..data"),
        ("/srv/fs/cgroup", "0123456789abcdef" * 4),
    ],
)
def test_other_names_are_not(directory: str, name: str) -> None:
    assert well_known(directory, name) is None


@pytest.mark.parametrize(
    ("name", "sibling", "is_one"),
    [
        ("redis.conf.nK0Lzj", "redis.conf", True),
        ("redis.conf-nK0Lzj", "redis.conf", True),
        ("dump.rdbXy12Ab", "dump.rdb", True),
        ("redis.conf.backup", "redis.conf", False),
        ("redis.conf.nK0Lz", "redis.conf", False),
        ("redis.conf", "redis.conf", False),
        ("other.conf.nK0Lzj", "redis.conf", False),
        ("passwd.d/nK0Lzj", "passwd", False),
    ],
)
def test_a_temporary_copy_beside_its_file(name: str, sibling: str, is_one: bool) -> None:
    found = beside(name, sibling)
    assert (found is not None) == is_one
    if found:
        assert compile_pattern(found[0]).fullmatch(name)
        assert not compile_pattern(found[0]).fullmatch(sibling)


HOSTILE = [
    "a\n1",
    "*",
    "**",
    "?",
    "[a-z]",
    "{a,b}",
    "\\",
    "^1",
    "a" * 4000,
    "x" * 4000 + "1",
    "\udcff\udcfe",
    "\udcff9",
    "\x00\x01",
    "\x1b[31mred\x1b[0m",
    "ünï-cödé-1",
    "٣٤٥",
    "²³",
    "1²3",
    "名前1",
    "\u202egnp.exe",
    " ",
    "-",
    "--",
    "#",
    "..",
    "9" * 400,
    "f" * 3000,
]


def test_hostile_names_are_groups_only_of_what_they_hold() -> None:
    groups, left = cluster(HOSTILE)
    assert sorted([*left, *(n for g in groups for n in g.names)]) == sorted(HOSTILE)
    for name in HOSTILE:
        assert compile_pattern(escape(name)).fullmatch(name), name
        # a literal in the glob language is no wider than what cannot be written in it
        if not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
            assert not compile_pattern(escape(name)).fullmatch(name + "x")
            assert not compile_pattern(escape(name)).fullmatch("y" * len(name))


@pytest.mark.parametrize("prefix", ["*", "a\n", "[x]", "{y}", "\\", "\udcff", "n" * 3000, "ünï"])
def test_hostile_beginnings_stay_literal(prefix: str) -> None:
    names = [f"{prefix}-{n}" for n in (17, 4, 2305)]
    (group,), left = cluster(names)
    assert left == []
    expression = compile_pattern(group.pattern)
    assert all(expression.fullmatch(n) for n in [*names, f"{prefix}-5"])
    assert not expression.fullmatch("zz-5")
    assert not expression.fullmatch(f"{prefix}-x")


NAMES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12),
        st.from_regex(r"\A[a-z]{0,4}[-_.]?[0-9a-f]{1,12}(\.[a-z]{1,3})?\Z"),
        st.from_regex(r"\Atmp[0-9a-zA-Z_]{6,8}\Z"),
        st.from_regex(r"\A20[0-9]{2}-[01][0-9](-[0-3][0-9])?\Z"),
        st.uuids().map(str),
    ),
    max_size=40,
)


@given(NAMES, st.randoms())
@settings(deadline=None, max_examples=300)
def test_groups_hold_their_names_and_no_name_is_lost(names: list[str], random: object) -> None:
    groups, left = cluster(names)
    inside = [n for g in groups for n in g.names]
    assert sorted([*inside, *left]) == sorted(set(names))
    for group in groups:
        assert len(group.names) >= 3
        expression = compile_pattern(group.pattern)
        assert all(expression.fullmatch(n) and n.startswith(group.prefix) for n in group.names), group
        assert not expression.fullmatch("")
        assert not expression.fullmatch("a/b")
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert cluster(shuffled) == (groups, left)


def test_linear_in_the_names() -> None:
    groups, left = cluster([f"{n:032x}" for n in range(20_000)] + [f"w{n}x" for n in range(20_000)])
    assert sum(len(g.names) for g in groups) + len(left) == 40_000
    assert len(groups) < 20


def test_a_padded_word_of_eight_digits_counts_in_hexadecimal() -> None:
    """Three examples without a letter are no proof of a decimal count: ten are followed by A."""
    (group,), left = cluster(["00000001", "00000002", "00000104"])
    assert (group.pattern, group.kind, left) == ("[0-9A-Fa-f]" * 8, "counter", [])

"""What names become: themselves while the set is closed, a slot, a directory or a tree when new ones keep coming."""

from __future__ import annotations

import pytest
from rules_of import made, texts

from benchmarks.quality.synthetic.rows import app, opened, row
from models.learn import Why
from models.policy import Target

UNITS = "abcdef"
WORDS = [
    "amber",
    "birch",
    "cedar",
    "dahlia",
    "ember",
    "fennel",
    "garnet",
    "hazel",
    "indigo",
    "jasper",
    "kelp",
    "laurel",
    "maple",
    "nettle",
    "olive",
    "poppy",
    "quartz",
    "rowan",
    "sage",
    "tulip",
    "umber",
    "violet",
    "willow",
    "yarrow",
    "zinnia",
]
IMAGE = ("/usr/bin/other", "/srv/www/unused.html", "/srv/data/cold/old.bin")


def every(path: str, access: str = "read", units: str = UNITS) -> list[dict]:  # type: ignore[type-arg]
    return [opened(u, path, access) for u in units]


def base() -> list[dict]:  # type: ignore[type-arg]
    return [r for u in UNITS for r in app(u)]


def test_a_closed_set_stays_literal_however_large() -> None:
    rows = base() + [r for w in WORDS for r in every(f"/srv/www/{w}")]
    assert texts(made(rows, inventory=IMAGE), "/srv") == {f"path /srv/www/{w} r" for w in WORDS}


def test_new_names_over_units_earn_the_directory() -> None:
    rows = base() + [opened(u, f"/srv/www/{WORDS[4 * n + k]}") for n, u in enumerate(UNITS) for k in range(4)]
    learned = made(rows, inventory=IMAGE)
    assert texts(learned, "/srv") == {"dir /srv/www/ r"}
    (rule,) = (r for r in learned.rules if getattr(r.rule, "dir", "") == "/srv/www/")
    assert rule.evidence.why is Why.DIRECTORY
    assert rule.evidence.units == tuple(UNITS)
    assert (rule.evidence.behaviours, rule.evidence.count) == (24, 72)
    assert (rule.evidence.admits.existing, rule.evidence.admits.examples) == (1, ("/srv/www/unused.html",))


def test_files_of_one_ending_earn_the_ending_and_no_more() -> None:
    rows = base() + [opened(u, f"/srv/www/{WORDS[4 * n + k]}.html") for n, u in enumerate(UNITS) for k in range(4)]
    learned = made(rows, inventory=[*IMAGE, *(f"/srv/www/{w}.php" for w in WORDS)])
    assert texts(learned, "/srv") == {"pattern /srv/www/*.html r"}


def test_directories_and_names_that_keep_coming_earn_the_tree() -> None:
    rows = base() + [
        opened(u, f"/srv/data/{WORDS[4 * n + k]}/{WORDS[k]}{j}x", "write+create")
        for n, u in enumerate(UNITS)
        for k in range(4)
        for j in range(2)
    ]
    assert texts(made(rows, inventory=IMAGE), "/srv") == {"tree /srv/data/ rw"}


def test_one_unit_that_sprays_earns_nothing() -> None:
    rows = base() + [opened("a", f"/srv/www/{w}", "write+create") for w in WORDS]
    assert texts(made(rows, inventory=IMAGE), "/srv") == {f"path /srv/www/{w} rw" for w in WORDS}


def test_two_units_are_no_proof() -> None:
    rows = [r for u in "ab" for r in app(u)]
    rows += [opened(u, f"/srv/www/{WORDS[8 * n + k]}") for n, u in enumerate("ab") for k in range(8)]
    assert all(t.startswith("path ") for t in texts(made(rows, inventory=IMAGE), "/srv"))


@pytest.mark.parametrize("directory", ["/etc/app", "/usr/lib/app", "/bin", "/root", "/etc/cron.d", "/home/ann/.ssh"])
@pytest.mark.parametrize("names", ["words", "shaped", "copies"])
def test_nothing_new_is_written_in_a_protected_directory(directory: str, names: str) -> None:
    made_up = {
        "words": [[WORDS[4 * n + k] for k in range(4)] for n in range(6)],
        "shaped": [[f"job-{100 * n + k}" for k in range(4)] for n in range(6)],
        "copies": [[f"unused.A{n}b{k}Cd" for k in range(4)] for n in range(6)],
    }[names]
    rows = base() + [
        opened(u, f"{directory}/{name}", "write+create")
        for u, some in zip(UNITS, made_up, strict=True)
        for name in some
    ]
    learned = made(rows, inventory=IMAGE)
    assert texts(learned, f"{directory}/") == {f"path {directory}/{n} rw" for some in made_up for n in some}


def test_a_file_is_replaced_through_a_copy_beside_it_also_in_etc() -> None:
    rows = base()
    for u in UNITS:
        copy = f"/etc/app/app.conf.k{u}9XyZ"
        rows += [opened(u, copy, "write+create"), opened(u, "/etc/app/app.conf")]
        rows += [
            row(u, **{"class": "file"}, op="rename-from", path=copy),
            row(u, **{"class": "file"}, op="rename-to", path="/etc/app/app.conf"),
        ]
    learned = made(rows, inventory=IMAGE)
    assert texts(learned, "/etc/app/") == {
        "path /etc/app/app.conf rw",
        "pattern /etc/app/app.conf." + "[0-9A-Za-z]" * 6 + " rw",
    }


def test_a_directory_for_reading_leaves_what_is_written_in_it_literal() -> None:
    rows = base() + [opened(u, f"/srv/www/{WORDS[4 * n + k]}") for n, u in enumerate(UNITS) for k in range(4)]
    rows += every("/srv/www/index", "read+write") + every("/srv/www/index")
    assert texts(made(rows, inventory=IMAGE), "/srv") == {"dir /srv/www/ r", "path /srv/www/index rw"}


def test_slots_of_directories_merge_what_lies_below() -> None:
    rows = base()
    for n, u in enumerate(UNITS):
        for k in range(3):
            folder = f"/srv/sessions/{n}{k}4e28ba-2fa1-41d2-883f-0016d3cca427"
            rows += [
                opened(u, f"{folder}/state.json", "write+create"),
                opened(u, f"{folder}/lock", "read"),
                opened(u, f"{folder}/chunks/{1000 * n + k}", "write+create"),
            ]
    uuid = "-".join("[0-9a-f]" * n for n in (8, 4, 4, 4, 12))
    assert texts(made(rows, inventory=IMAGE), "/srv") == {
        f"pattern /srv/sessions/{uuid}/state.json rw",
        f"pattern /srv/sessions/{uuid}/lock r",
        f"pattern /srv/sessions/{uuid}/chunks/[0-9]* rw",
    }


def test_what_owners_use_is_owner_only_and_what_makes_names_is_not() -> None:
    rows = base()
    for n, u in enumerate(UNITS):
        rows += [opened(u, f"/proc/{100 + n}/status", owner_match=True)]
        rows += [opened(u, f"/srv/run/job-{n}.pid", "write+create", owner_match=True)]
    learned = made(rows, inventory=IMAGE)
    by_pattern = {r.rule.pattern: r.rule for r in learned.rules if r.field == "match_patterns"}
    assert by_pattern["/proc/[0-9]*/status"].owner_only
    assert by_pattern["/proc/[0-9]*/status"].read_only
    assert not by_pattern["/srv/run/job-[0-9]*.pid"].owner_only


@pytest.mark.parametrize("written", ["oom_score_adj", "comm", "uid_map", "task/{pid}/comm", "attr/exec"])
def test_what_is_written_below_a_pid_keeps_the_slot(written: str) -> None:
    rows = base()
    for n, u in enumerate(UNITS):
        pid = str(4000 + n)
        rows += [opened(u, f"/proc/{pid}/status"), opened(u, f"/proc/{pid}/{written.format(pid=pid)}", "write")]
    assert texts(made(rows, inventory=IMAGE), "/proc") == {
        "pattern /proc/[0-9]*/status r",
        f"pattern /proc/[0-9]*/{written.format(pid='[0-9]*')} rw",
    }


def test_secrets_are_not_swallowed_by_an_earned_directory() -> None:
    rows = base() + [opened(u, f"/srv/www/{WORDS[4 * n + k]}") for n, u in enumerate(UNITS) for k in range(4)]
    learned = made(rows, inventory=[*IMAGE, "/srv/www/server.key"])
    assert all(t.startswith("path ") for t in texts(learned, "/srv"))
    # people can say what else is secret
    learned = made(rows, inventory=IMAGE, sensitive=("/srv/www/unused.html",))
    assert all(t.startswith("path ") for t in texts(learned, "/srv"))


def test_a_secret_that_was_used_is_literal_and_marked() -> None:
    learned = made(base() + every("/srv/tls/server.key"), inventory=IMAGE)
    (rule,) = (r for r in learned.rules if getattr(r.rule, "path", "") == "/srv/tls/server.key")
    assert rule.evidence.note == "sensitive; it was used"


@pytest.mark.parametrize(
    "name",
    ["a\nb", "*", "[x]", "{y,z}", "back\\slash", "\udcff\udcfe", "ünï", "n" * 255, " ", "-rf", "\x1b[31m", "a'b\"c"],
)
def test_hostile_names_are_held_and_hold_nothing_else(name: str) -> None:
    raw = name.encode("utf-8", "surrogateescape")
    path = "/srv/" + raw.decode("utf-8", "backslashreplace")
    odd = {"path_raw": b"/srv/" + raw} if "\udcff" in name else {}
    rows = base() + [opened(u, path, **odd) for u in UNITS]
    (text,) = texts(made(rows, inventory=IMAGE), "/srv")
    assert text.endswith(" r")
    if name == "*":
        assert text == "path /srv/* r"  # in a path it is an ordinary character


@pytest.mark.parametrize("target", list(Target))
def test_no_units_and_no_rows(target: Target) -> None:
    learned = made([row("a", **{"class": "file"}, op="mmap-exec", path="/usr/lib/x.so", object="file")], target)
    assert not [r for r in learned.rules if r.section == "file"]


def test_a_slot_over_sensitive_files_says_so() -> None:
    rows = [opened(u, f"/proc/{n}/{leaf}") for u, n in (("a", 7), ("b", 8), ("c", 9)) for leaf in ("maps", "status")]
    notes = {r.rule.pattern: r.evidence.note for r in made(rows).rules if getattr(r.rule, "pattern", None)}
    assert notes == {
        "/proc/[0-9]*/maps": "slot: pid; sensitive, and it was used",
        "/proc/[0-9]*/status": "slot: pid",
    }

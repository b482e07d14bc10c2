"""What a target can hold, and what is said where it cannot."""

from __future__ import annotations

import random

import pytest
from rules_of import made, short, stock_of, texts

from benchmarks.quality.synthetic.rows import app, opened
from models.learn import CannotFit, Why
from models.policy import LIMITS, KubeArmorPolicy, Metadata, Target, check_limits, key_count

UNITS = "abcdef"
BPFLSM = Target.KUBEARMOR_BPFLSM
NARROW = (BPFLSM, Target.PORTABLE)


def base() -> list[dict]:  # type: ignore[type-arg]
    return [r for u in UNITS for r in app(u)]


def words(number: int) -> list[str]:
    maker = random.Random(11)
    return sorted({"".join(maker.choices("aeioubdklmnrst", k=7)) for _ in range(number)})


def library(number: int) -> list[str]:
    return [f"/usr/lib/python3/{w[:2]}/{w}.py" for w in words(number)]


@pytest.mark.parametrize("target", NARROW)
def test_more_paths_than_keys_become_package_directories_for_reading(target: Target) -> None:
    paths = library(500)
    rows = base() + [opened(u, p) for p in paths for u in UNITS]
    inventory = [{"path": p, "package": "python3"} for p in paths]
    inventory += [{"path": f"/usr/share/doc/{w}"} for w in words(300)]
    learned = made(rows, target, inventory=inventory)
    assert learned.keys is not None
    assert learned.keys <= 256
    policy = KubeArmorPolicy(metadata=Metadata(name="x"), spec=learned.spec)
    assert key_count([policy]) == learned.keys
    wide = [r for r in learned.rules if r.field == "match_directories"]
    assert wide
    assert all(r.evidence.why in (Why.LIMITS, Why.COMPLETE) and r.rule.read_only for r in wide)
    assert sum(r.evidence.admits.existing for r in learned.rules) == 0
    # what has no limit holds each for itself, unless one rule on a package's directory admits nothing more
    unused = [{"path": f"{folder}/unused.py", "package": "python3"} for folder in {p.rpartition("/")[0] for p in paths}]
    assert len(texts(made(rows, inventory=inventory + unused), "/usr/lib/python3")) == len(paths)
    assert texts(made(rows, inventory=inventory), "/usr/lib/python3") == {"tree /usr/lib/python3/ r"}


@pytest.mark.parametrize("target", list(Target))
def test_what_is_learned_passes_the_check_of_its_target(target: Target) -> None:
    rows = base() + [opened(u, f"/srv/data/{n}-{u}{k}", "write+create") for n, u in enumerate(UNITS) for k in range(5)]
    learned = made(rows, target, inventory=["/srv/data/cold"])
    policy = KubeArmorPolicy(metadata=Metadata(name="x"), spec=learned.spec)
    assert [f for f in check_limits([policy], target) if f.grade == "error"] == []


@pytest.mark.parametrize("target", NARROW)
def test_more_secrets_than_keys_are_refused_with_the_nearest_target(target: Target) -> None:
    rows = base() + [opened(u, f"/srv/{w}/{w}.key") for w in words(400) for u in UNITS]
    with pytest.raises(CannotFit) as refused:
        made(rows, target, inventory=[f"/srv/{w}/other.key" for w in words(400)])
    assert refused.value.nearest is Target.DISCOVER
    assert "--target discover" in refused.value.hint
    assert refused.value.reasons
    assert made(rows, inventory=["/srv/x"]).keys is None


@pytest.mark.parametrize("target", NARROW)
def test_a_directory_longer_than_64_bytes_is_not_written(target: Target) -> None:
    folder = "/srv/" + "d" * 70
    rows = base() + [
        opened(u, f"{folder}/{w}", "write+create") for n, u in enumerate(UNITS) for w in words(24)[4 * n :][:4]
    ]
    learned = made(rows, target, inventory=["/srv/cold"])
    assert LIMITS[target].directory_bytes == 64
    for rule in learned.rules:
        if rule.field == "match_directories":
            assert len(rule.rule.dir.encode()) <= 64
    # the other targets take the directory
    assert texts(made(rows, inventory=["/srv/cold"]), "/srv") == {f"dir {folder}/ rw"}


@pytest.mark.parametrize("target", NARROW)
def test_a_path_of_more_than_twenty_names_is_held_by_a_directory_above(target: Target) -> None:
    deep = "/srv/" + "/".join("d" * 22)
    rows = base() + [opened(u, f"{deep}/leaf") for u in UNITS]
    learned = made(rows, target, inventory=["/srv/cold"])
    rules = [r.rule for r in learned.rules if "/srv" in short(r.rule)]
    assert rules
    for rule in rules:
        assert (getattr(rule, "dir", None) or rule.path).strip("/").count("/") < 20
    assert texts(made(rows, inventory=["/srv/cold"]), "/srv") == {f"path {deep}/leaf r"}


@pytest.mark.parametrize("target", NARROW)
@pytest.mark.parametrize("name", ["n" * 210, "a\nb"])
def test_a_name_that_no_path_rule_takes_is_held_by_its_directory(target: Target, name: str) -> None:
    rows = base() + [opened(u, f"/srv/odd/{name}") for u in UNITS]
    assert texts(made(rows, target, inventory=["/srv/cold"]), "/srv") == {"dir /srv/odd/ r"}
    (only,) = texts(made(rows, inventory=["/srv/cold"]), "/srv")
    assert only.startswith("pattern ")


@pytest.mark.parametrize("target", NARROW)
def test_such_a_name_beside_a_secret_is_refused(target: Target) -> None:
    rows = base() + [opened(u, "/srv/odd/" + "n" * 210) for u in UNITS]
    with pytest.raises(CannotFit, match="sensitive"):
        made(rows, target, inventory=["/srv/odd/server.key"])


def test_globs_in_a_name_where_the_target_would_take_them_for_one() -> None:
    rows = base() + [opened(u, "/srv/odd/st*r") for u in UNITS]
    assert texts(made(rows, BPFLSM, inventory=["/srv/cold"]), "/srv") == {"path /srv/odd/st*r r"}
    apparmor = texts(made(rows, Target.KUBEARMOR_APPARMOR, inventory=["/srv/cold"]), "/srv")
    assert apparmor == {"pattern /srv/odd/st\\*r r"}
    assert texts(made(rows, Target.PORTABLE, inventory=["/srv/cold"]), "/srv") == {"dir /srv/odd/ r"}


@pytest.mark.parametrize("target", NARROW)
def test_pids_without_patterns_are_bound_to_those_who_look(target: Target) -> None:
    rows = base() + [opened(u, f"/proc/{300 + n}/status") for n, u in enumerate(UNITS)]
    learned = made(rows, target, inventory=["/srv/cold"])
    (rule,) = (r.rule for r in learned.rules if getattr(r.rule, "dir", "") == "/proc/")
    assert (rule.recursive, rule.read_only) == (True, True)
    assert [s.path for s in rule.from_source] == ["/usr/bin/app"]
    assert any("/proc has to be allowed whole" in w and "/usr/bin/app" in w for w in learned.warnings)


@pytest.mark.parametrize("target", NARROW)
def test_names_that_vary_and_cannot_be_held_are_told(target: Target) -> None:
    rows = base() + [opened(u, f"/etc/passwd.A{n}b9Cd", "write+create") for n, u in enumerate(UNITS)]
    learned = made(rows, target, inventory=["/srv/cold"])
    assert any(w.startswith("/etc: names as passwd.A0b9Cd vary from run to run") for w in learned.warnings)
    # where a directory holds them, nothing is said
    rows = base() + [opened(u, f"/srv/up/job-{n}", "write+create") for n, u in enumerate(UNITS)]
    learned = made(rows, target, inventory=["/srv/cold"])
    assert texts(learned, "/srv") == {"dir /srv/up/ rw"}
    assert not [w for w in learned.warnings if "vary from run to run" in w]


@pytest.mark.parametrize("target", [BPFLSM, Target.KUBEARMOR_APPARMOR, Target.PORTABLE])
def test_kubearmor_also_reads_what_it_runs(target: Target) -> None:
    rows = base() + [dict(r, path="/usr/bin/helper") for r in base() if r["op"] == "exec"]
    assert "path /usr/bin/helper r" in texts(made(rows, target))
    assert "path /usr/bin/helper r" not in texts(made(rows))


def test_additions_count_as_keys() -> None:
    from models.learn import LearnedRule, RuleEvidence
    from models.policy import FilePath

    decided = RuleEvidence(why=Why.DECIDED, note="x")
    more = tuple(LearnedRule("file", "match_paths", FilePath(path=f"/opt/{w}"), decided) for w in words(120))
    rows = base() + [opened(u, f"/usr/share/app/{w}") for w in words(150) for u in UNITS]
    stock = [{"path": f"/usr/share/app/{w}", "package": "app"} for w in words(150)]
    learned = made(rows, BPFLSM, inventory=stock, additions=more)
    assert learned.keys is not None
    assert learned.keys <= 256
    assert {f"path /opt/{w} rw" for w in words(120)} <= texts(learned, "/opt")
    assert stock_of(*stock).num_rows == len(stock)

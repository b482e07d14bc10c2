"""The bars and the comparison, on results made up for the purpose."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.__main__ import main, parser
from benchmarks.quality.document import section, updated
from benchmarks.quality.folds import Result
from benchmarks.quality.judge import Denials, Tally
from benchmarks.quality.report import bar_table, flat, method_table
from benchmarks.quality.stock import Admitted
from benchmarks.quality.verdicts import Bar, bars, compare, failed
from models.policy import Target

DISCOVER = Target.DISCOVER
Results = dict[tuple[str, Target, str], Result]


def result(method: str, denied: int, admitted: int, rules: int, **more: object) -> Result:
    denials = Denials(steady=Tally(denied, 1000, denied, 100_000), all=Tally(denied, 2000, denied, 200_000))
    denials.classes["process"] = Tally(0, 10, 0, 10)
    stock = more.pop("stock", Admitted(files=5000, reads=admitted))
    fields = {"by_unit": denials, "units": 5, "rules": rules, "admitted": stock, **more}
    return Result("d", DISCOVER, method, **fields)  # type: ignore[arg-type]


def results(*some: Result) -> Results:
    return {(r.dataset, r.target, r.method): r for r in some}


def test_a_baseline_is_better_only_if_it_is_worse_in_nothing() -> None:
    ours = result("learned", 10, 10, 50)
    found = compare(
        results(ours, result("literal", 300, 0, 900), result("karmor", 5, 900, 20), result("gradm", 10, 10, 49)),
        "d",
        DISCOVER,
    )
    assert found is not None
    assert found.beaten_by == ("gradm",)
    assert found.better_in == {"literal": ("admission",), "karmor": ("denials", "rules"), "gradm": ("rules",)}
    assert (found.peer, found.ratio) == ("gradm", 1.0)


def test_the_peer_denies_no_more_and_fits() -> None:
    ours = result("learned", 10, 10, 50)
    others = [result("karmor", 5, 900, 20), result("operator", 9, 100, 80, fits=False), result("literal", 11, 0, 1)]
    found = compare(results(ours, *others), "d", DISCOVER)
    assert found is not None
    assert found.peer == "karmor"
    assert found.ratio == 10 / 900
    nobody = compare(results(ours, others[2]), "d", DISCOVER)
    assert nobody is not None
    assert (nobody.peer, nobody.ratio) == ("", None)


def test_without_an_inventory_nothing_is_said_about_admission() -> None:
    blind = Admitted(known=False)
    ours, other = result("learned", 10, 0, 50, stock=blind), result("gradm", 10, 0, 49, stock=blind)
    found = compare(results(ours, other), "d", DISCOVER)
    assert found is not None
    assert (found.beaten_by, found.ratio) == (None, None)
    assert all(b.holds is None for b in bars(results(ours, other)) if "admitted" in b.measure or "better" in b.measure)


def test_the_bars() -> None:
    figures = {b.measure: b for b in bars(results(result("learned", 10, 90, 50), result("karmor", 5, 900, 20)))}
    assert figures["denials, steady"].holds is True
    assert figures["denials, steady"].figure == "10 of 1000 (1.00%)"
    assert figures["denials, by count"].holds is True
    assert figures["denials, exec"].holds is True
    assert figures["files admitted, against the best baseline"].holds is True
    worse = {b.measure: b for b in bars(results(result("learned", 21, 91, 50), result("karmor", 5, 900, 20)))}
    assert worse["denials, steady"].holds is False
    assert worse["denials, by count"].holds is False
    assert worse["files admitted, against the best baseline"].holds is False
    assert {b.measure for b in failed(list(worse.values()))} == {"denials, steady", "denials, by count"}


def test_a_refusal_is_told_and_a_secret_fails() -> None:
    refused = bars(results(result("learned", 0, 0, 0, refused="cannot hold it")))
    assert [(b.figure, b.holds) for b in refused] == [("cannot hold it", None)]
    open_ = result("learned", 0, 5, 9, stock=Admitted(files=9, reads=5, executables=1, sensitive=["/etc/shadow"]))
    bad = {b.measure for b in failed(bars(results(open_)))}
    assert bad == {"sensitive files admitted", "executables admitted"}


def test_hostile_words_stay_in_their_cell() -> None:
    line = bar_table([Bar("m", "d", "t", "b", "a|b", True)]).splitlines()[-1]
    assert line == "| m | d | t | b | a\\|b | yes |"
    assert "21 of 1,000 (2.10%)" in method_table(results(result("learned", 21, 0, 1)), DISCOVER)


def test_the_table_of_a_notebook_is_flat() -> None:
    rows = flat(results(result("learned", 21, 5, 9), result("literal", 30, 0, 900, stock=Admitted(known=False))))
    assert [(r["method"], r["steady_denied"], r["all_of"], r["readable"]) for r in rows] == [
        ("learned", 21, 2000, 5),
        ("literal", 30, 2000, None),
    ]
    assert rows[0].keys() == rows[1].keys()
    assert all(v is None or isinstance(v, str | int | bool) for row in rows for v in row.values())


def test_the_last_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    found = results(result("learned", 21, 91, 50), result("karmor", 5, 900, 20))
    comparison = compare(found, "d", DISCOVER)
    assert comparison is not None
    text = section(found, [comparison], bars(found))
    assert "| d | **learned** | 21 of 1,000 (2.10%) |" in text
    assert "| denials, steady | d | discover |" in text
    page = tmp_path / "quality.md"
    page.write_text("# Page\n\nwords\n\n## The last run\n\nold\n")
    updated(page, text)
    updated(page, text)
    assert page.read_text() == "# Page\n\nwords\n\n" + text


def test_the_command_line(capsys) -> None:  # type: ignore[no-untyped-def]
    assert parser().parse_args(["--quick", "--dataset", "nginx"]).dataset == ["nginx"]
    assert main(["--scale", "--workloads", "2"]) == 2
    assert "at least 4" in capsys.readouterr().err
    code = main(["--dataset", "redis", "--target", "discover", "--method", "literal", "--quick", "--jobs", "1"])
    out = capsys.readouterr().out
    assert code == 0  # no bar is the baselines'
    assert "| redis | literal |" in out

"""The review as Markdown, SARIF and plain values; and what each of them says of a policy."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from discover.cli.report import command
from discover.errors import UsageError
from discover.report import as_markdown, as_sarif
from discover.report.markdown import LIMIT, code, plain
from discover.report.sarif import _unlinked
from discover.review import Review, open_review
from discover.review.difference import rule_words
from discover.words import percent
from models.dataset import open_dataset

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("/etc/passwd", "`/etc/passwd`"),
        ("a`b", "`` a`b ``"),
        ("``", "``` `` ```"),
        ("a|b", "`a\\|b`"),
        ("new\nline", "`new\\nline`"),
        ("\x1b[2J", "`\\x1b[2J`"),
        ("<script>", "`<script>`"),
    ],
)
def test_a_code_span_holds_any_name(text: str, span: str) -> None:
    assert code(text) == span


def test_plain_text_is_no_markup_and_calls_nobody() -> None:
    assert plain("**bold** <b> [x](y) #1") == "\\*\\*bold\\*\\* \\<b\\> \\[x\\]\\(y\\) \\#1"
    assert "@someone" not in plain("@someone")
    assert "https://" not in plain("https://evil.example")


def test_markdown_says_what_a_pull_request_has_to(redis: Review) -> None:
    text = as_markdown([redis])
    for title in ("Look at these rules first", "What was observed", "Coverage: incomplete", "Simulation"):
        assert f"### {title}" in text
    places = [text.index(rule_words(r.rule)) for r in redis.first]
    assert places == sorted(places)
    assert places[-1] < text.index("What was observed")
    assert "Lost while recording: nothing." in text
    assert f"0 of {redis.simulation.total.accesses} distinct recorded accesses" in text
    (file,) = [c for c in redis.coverage.assessment.classes if c.name == "file"]
    assert f"| file | {file.raw.behaviours} | {percent(file.new)} (" in text


def test_markdown_of_hostile_names(hostile: Path, hostile_policy: Path) -> None:
    text = as_markdown([open_review(open_dataset([hostile]), hostile_policy)])
    assert len(text) <= LIMIT
    assert "\x1b" not in text
    for line in text.splitlines():
        outside = "".join(line.split("`")[::2]) if line.count("`") % 2 == 0 and "``" not in line else ""
        assert "<script>" not in outside


def test_sarif_points_at_the_rule_in_the_file(tmp_path: Path, redis: Review) -> None:
    policy = tmp_path / "policies" / "redis.yaml"
    policy.parent.mkdir()
    policy.write_text(redis.text)
    review = open_review(open_dataset([ROOT / "datasets/redis"]), policy)
    review.__dict__["coverage"] = redis.coverage  # worked out already
    document = as_sarif([review], tmp_path)
    run = document["runs"][0]
    assert document["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    lines = redis.text.splitlines()
    seen = 0
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "policies/redis.yaml"
        line = lines[place["region"]["startLine"] - 1]
        if result["ruleId"] == "discover/capability":
            assert line.strip() == "- capability: sys_admin"
            seen += 1
        if result["message"]["text"].startswith("Allow file "):
            value = line.split(": ", 1)[1].strip('" ')
            assert f"Allow file {value} " in result["message"]["text"].replace(":", " ")
            seen += 1
    assert seen >= 2
    prints = [r["partialFingerprints"]["discoverConcern/v1"] for r in run["results"]]
    assert len(set(prints)) == len(prints)
    moved = open_review(open_dataset([ROOT / "datasets/redis"]), policy)
    moved.__dict__["coverage"] = review.coverage
    policy.write_text("# a comment\n" + redis.text)
    again = as_sarif([moved], tmp_path)["runs"][0]["results"]
    assert [r["partialFingerprints"] for r in again] == [r["partialFingerprints"] for r in run["results"]]


def test_sarif_of_a_folder_points_at_the_file_that_holds_the_policy(tmp_path: Path, redis: Review) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "cache.yaml").write_text(redis.text)
    other = "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: other}\n"
    (tmp_path / "policies" / "a.yaml").write_text(f"{other}spec:\n  selector: {{matchLabels: {{app: other}}}}\n")
    dataset = open_dataset([ROOT / "datasets/redis"])
    review = open_review(dataset, tmp_path / "policies", select=["app=redis"])
    review.__dict__["coverage"] = redis.coverage
    (run,) = as_sarif([review], tmp_path)["runs"]
    places = [r["locations"][0]["physicalLocation"] for r in run["results"]]
    assert {p["artifactLocation"]["uri"] for p in places} == {"policies/cache.yaml"}
    assert any(p["region"]["startLine"] > 20 for p in places)


def test_sarif_makes_no_link_of_a_name() -> None:
    assert _unlinked("open /srv/[here](https://evil.example)") == "open /srv/[here]\u200b(https://evil.example)"


def test_a_policy_by_hand_is_reviewed_too(tmp_path: Path) -> None:
    """Without a sidecar: evidence comes from the recording, and what it would deny is said."""
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: p}\n"
        "spec:\n  selector: {matchLabels: {app: redis}}\n  file:\n    action: Allow\n    matchDirectories:\n"
        "    - {dir: /etc/, recursive: true}\n    - {dir: /never/, recursive: true}\n"
    )
    review = open_review(open_dataset([ROOT / "datasets/redis"]), policy)
    etc, never = review.rules
    assert etc.why == ""
    assert etc.evidence.behaviours > 5
    assert {c.kind for c in etc.attention} >= {"protected", "wide"}
    assert {c.kind for c in never.attention} == {"wide", "unused"}
    assert review.files.totals["denied"] > 50
    assert review.simulation.total.denied > 100
    assert "discover/denies" in {r["ruleId"] for r in as_sarif([review])["runs"][0]["results"]}


def test_what_exists_and_is_admitted_is_named(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: p}\nspec:\n"
        "  file:\n    action: Allow\n    matchPatterns:\n    - {pattern: '/var/www/html/css/page-[0-9]*.css'}\n"
        "    - {pattern: '/etc/shado*'}\n"
    )
    dataset = open_dataset([ROOT / "datasets/nginx-shell"])
    review = open_review(dataset, policy)
    css, shadow = review.rules
    exist = set(dataset.inventory()["path"].to_pylist())
    used = {s.access.path for s in review.seen}
    expected = {p for p in exist - used if re.fullmatch(r"/var/www/html/css/page-[0-9][^/]*\.css", p)}
    assert len(expected) > 3
    assert set(review.unseen["p", css.rule.where]) == expected
    assert css.evidence.admits.existing == len(expected)
    assert shadow.attention[0].kind == "sensitive"
    assert "/etc/shadow" in shadow.evidence.admits.sensitive
    assert review.files.totals["unseen"] == len(expected) + len(review.unseen["p", shadow.rule.where])
    assert review.first[0] is shadow


def test_the_command_writes_what_the_ending_says(tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        done = CliRunner().invoke(command, [str(ROOT / "datasets/nginx-idle"), *map(str, arguments)])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert run("-o", tmp_path / "r.html") == ""
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads(run("--json"))["coverage"]["verdict"] == "idle"
    assert run().startswith("## command/nginx\n")
    assert json.loads(run("--format", "sarif"))["runs"]


def test_a_policy_that_is_not_there_is_usage() -> None:
    done = CliRunner().invoke(command, [str(ROOT / "datasets/nginx-idle"), "--policy", "nowhere.yaml"])
    assert isinstance(done.exception, UsageError)
    assert "nowhere.yaml does not exist" in str(done.exception)

"""The page in a real browser: it opens, filters, expands, and nothing in it obeys a workload's names."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discover.report import as_html
from discover.report.html import LIMIT
from discover.review import Review, open_reviews
from models.dataset import open_dataset

ROOT = Path(__file__).parents[3]
SCRIPT = "/srv/<script>alert(1)</script>"
Open = Callable[..., Any]


def told(locator: Any, pattern: str) -> None:
    """Wait until it says so. (The page's policy forbids what `wait_for_function` would evaluate.)"""
    from playwright.sync_api import expect

    expect(locator).to_have_text(re.compile(pattern))


def page(place: Path, folder: Path, **more: Any) -> Path:
    file = folder / "report.html"
    file.write_text(as_html(list(open_reviews(open_dataset([place]), **more))), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def hostile_page(hostile: Path, hostile_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page(hostile, tmp_path_factory.mktemp("page"), policy=hostile_policy)


@pytest.fixture(scope="module")
def redis_page(redis: Review, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(as_html([redis]), encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_opens_without_a_word_and_without_network(opened: Open, redis_page: Path, scheme: str, width: int) -> None:
    it = opened(redis_page, color_scheme=scheme, viewport={"width": width, "height": 800})
    assert it.said == []
    assert it.network() == []
    assert it.page.evaluate("document.documentElement.scrollWidth") == width
    figures = it.page.locator("figure.chart").count()
    assert figures >= 6
    assert it.page.locator("figure.chart svg").count() == figures


def test_theme_follows_the_system_and_the_button(opened: Open, redis_page: Path) -> None:
    it = opened(redis_page, color_scheme="dark")

    def background() -> str:
        return str(it.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(21, 23, 26)"
    it.page.click("#theme")
    assert background() == "rgb(251, 251, 250)"
    it.page.wait_for_selector("figure.chart svg text[fill='#1c1e21']")
    it.page.click("#theme")
    assert background() == "rgb(21, 23, 26)"
    assert it.said == []


def test_search_finds_and_a_click_shows_the_evidence(opened: Open, redis: Review, redis_page: Path) -> None:
    it = opened(redis_page)
    rows = it.page.locator(".rule")
    assert it.page.locator("[data-count]").text_content() == f"{len(redis.rules)} rules"
    it.page.fill("[data-filter=text]", "smaps")
    told(it.page.locator("[data-count]"), "^1 of ")
    assert rows.count() == 1
    button = rows.locator("button")
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    evidence = rows.locator(".evidence").text_content()
    assert re.search(r"/proc/\d+/smaps", evidence)  # an example, and not the rule again
    assert "/usr/bin/redis-check-rdb" in evidence
    it.page.fill("[data-filter=text]", "")
    it.page.select_option("[data-filter=section]", "capabilities")
    capabilities = sum(r.rule.section == "capabilities" for r in redis.rules)
    told(it.page.locator("[data-count]"), f"^{capabilities} of ")
    it.page.select_option("[data-filter=kind]", "capability")
    told(it.page.locator("[data-count]"), "^1 of ")
    assert "sys_admin" in rows.text_content()


def test_the_keyboard_is_enough(opened: Open, redis_page: Path) -> None:
    it = opened(redis_page)
    it.page.keyboard.press("Tab")
    assert it.page.evaluate("document.activeElement.className") == "skip"
    it.page.focus(".rule button >> nth=0")
    it.page.keyboard.press("Enter")
    assert it.page.locator(".rule >> nth=0").locator(".evidence").is_visible()
    it.page.keyboard.press("Tab")
    assert it.page.evaluate("document.activeElement.closest('.rule') === document.querySelectorAll('.rule')[1]")
    it.page.focus(".first a >> nth=0")
    it.page.keyboard.press("Enter")
    where = it.page.evaluate("document.activeElement.closest('.rule').dataset.where")
    assert where == it.page.locator(".first a >> nth=0").get_attribute("data-rule")
    assert it.page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_the_file_tree_opens_filters_and_leads_to_rules(opened: Open, redis: Review, redis_page: Path) -> None:
    it = opened(redis_page)
    tree = it.page.locator("[data-tree]")
    assert tree.locator("summary").count() >= 4
    tree.locator("summary", has_text="etc/").first.click()
    tree.locator(".leaf", has_text="passwd").first.wait_for()
    assert tree.locator(".leaf", has_text="passwd").count() == 1
    it.page.select_option("[data-files=mark]", "sensitive")
    told(it.page.locator("[data-files-count]"), "entr")
    assert tree.locator(".leaf").count() >= redis.files.totals["sensitive"] > 0
    tree.locator("a.rule-link").first.click()
    assert it.page.locator(".rule button[aria-expanded=true]").count() == 1


def test_hostile_names_stay_text(opened: Open, hostile_page: Path) -> None:
    source = hostile_page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in source
    it = opened(hostile_page)
    assert it.page.evaluate("document.querySelectorAll('script').length") == 3  # data, vega, ours
    it.page.fill("[data-filter=text]", "alert(1)")
    told(it.page.locator("[data-count]"), "^1 of ")
    it.page.locator(".rule button").click()
    assert it.page.locator(".rule .what .mono").text_content() == SCRIPT
    it.page.fill("[data-files=text]", "alert(1)")
    told(it.page.locator("[data-files-count]"), "entr")
    assert SCRIPT.removeprefix("/srv") in it.page.locator("[data-tree]").text_content()
    assert "web-<b>3</b>" in it.page.locator("#recorded-0 table").text_content()
    assert it.dialogs == []
    assert it.said == []
    text = it.page.evaluate("document.body.textContent")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_no_script_but_its_own_runs(opened: Open, hostile_page: Path, tmp_path: Path) -> None:
    """Even where escaping failed: the page's policy refuses an injected element and an injected handler."""
    broken = tmp_path / "broken.html"
    text = hostile_page.read_text(encoding="utf-8")
    broken.write_text(
        text.replace("</footer>", "</footer><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>"),
        encoding="utf-8",
    )
    it = opened(broken)
    assert it.page.evaluate("window.hit") is None
    assert any("Content Security Policy" in s for s in it.said)


def test_the_difference_is_on_the_page(opened: Open, redis: Review, tmp_path: Path) -> None:
    policy = redis.policies[0]
    kept = [p for p in policy.spec.file.match_paths if p.path != "/etc/passwd"]
    old = replace(policy, spec=replace(policy.spec, file=replace(policy.spec.file, match_paths=tuple(kept))))
    file = tmp_path / "d.html"
    compared = replace(redis, against=(old,))
    compared.__dict__["coverage"] = redis.coverage  # worked out already
    file.write_text(as_html([compared]), encoding="utf-8")
    it = opened(file)
    section = it.page.locator("#difference-0")
    told(section.locator(".diff li"), r"^\+ Allow file /etc/passwd \(readOnly\) new permits more$")
    assert "0 newly denied" in section.text_content()
    assert it.page.locator("nav a", has_text="Difference").count() == 1


def test_of_several_workloads_the_sections_are_those_of_the_one_in_view(
    opened: Open, redis: Review, hostile: Path, hostile_policy: Path, tmp_path: Path
) -> None:
    file = tmp_path / "two.html"
    second = next(open_reviews(open_dataset([hostile]), hostile_policy))
    file.write_text(as_html([redis, second]), encoding="utf-8")
    it = opened(file)
    assert it.said == []
    it.page.locator("nav.workloads a").nth(1).click()
    it.page.locator(".bar nav a", has_text="Rules").dispatch_event("click")  # click() would scroll to the top first
    assert it.page.evaluate("location.hash") == "#rules-1"
    it.page.locator("nav.workloads a").nth(0).click()
    it.page.locator(".bar nav a", has_text="Rules").dispatch_event("click")  # click() would scroll to the top first
    assert it.page.evaluate("location.hash") == "#rules-0"


def test_a_search_without_a_hit_says_so(opened: Open, redis_page: Path) -> None:
    it = opened(redis_page)
    it.page.fill("[data-filter=text]", "nothing is called that")
    told(it.page.locator("[data-count]"), "^0 of ")
    assert it.page.locator("[data-rules]").text_content() == "No rule fits."
    it.page.fill("[data-files=text]", "nothing is called that")
    told(it.page.locator("[data-files-count]"), "^0 ")
    assert it.page.locator("[data-tree]").text_content() == "No file fits."


def test_on_paper_it_is_light_and_whole(opened: Open, redis: Review, redis_page: Path) -> None:
    it = opened(redis_page, color_scheme="dark")
    it.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    it.page.emulate_media(media="print")
    assert it.page.locator(".rule").count() == len(redis.rules)
    assert it.page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 30, 33)"
    assert it.page.evaluate("getComputedStyle(document.querySelector('.chart svg text')).fill") == "rgb(28, 30, 33)"
    assert not it.page.locator(".top").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nginx", "nginx-idle", "nginx-shell", "nodeweb", "postgres", "pyweb", "redis"])
def test_every_dataset_has_a_page(opened: Open, tmp_path: Path, name: str) -> None:
    file = page(ROOT / "datasets" / name, tmp_path)
    assert file.stat().st_size < LIMIT
    it = opened(file)
    assert it.said == []
    assert it.network() == []
    assert it.page.locator(".rule").count() > 10

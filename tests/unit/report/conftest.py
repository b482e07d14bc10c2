"""A recording with names that a hostile workload would choose, and a real Chromium to look at its report."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discover.review import Review, open_review
from models.dataset import open_dataset

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(Path(__file__).parents[1] / "dataset"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from synthetic import record

    place = tmp_path_factory.mktemp("hostile") / "recording"
    record(place, ["web-1", "web-2", "web-<b>3</b>"])
    return place


@pytest.fixture(scope="session")
def hostile_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy by hand that names one of those files, admits the folder of the others, and denies most else."""
    file = tmp_path_factory.mktemp("policy") / "web.yaml"
    file.write_text(
        "apiVersion: security.kubearmor.com/v1\nkind: KubeArmorPolicy\nmetadata: {name: web}\n"
        "spec:\n  file:\n    action: Allow\n"
        "    matchPaths:\n    - {path: /srv/<script>alert(1)</script>}\n"
        "    matchDirectories:\n    - {dir: /srv/, recursive: true}\n"
    )
    return file


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium (Debian has it: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def redis() -> Review:
    return open_review(open_dataset([ROOT / "datasets/redis"]))


class Opened:
    """A page that was opened, with everything that went wrong in it and everything that it asked the network for."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.dialogs: list[str] = []
        self.page.on("console", lambda m: self.said.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.said.append(f"error: {e}"))
        self.page.on("dialog", lambda d: (self.dialogs.append(d.message), d.dismiss()))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-drawn]", timeout=30_000)

    def network(self) -> list[str]:
        return [u for u in self.asked if not u.startswith(("file:", "data:", "blob:"))]


@pytest.fixture
def opened(chromium: Any) -> Iterator[Any]:
    pages: list[Opened] = []

    def go(file: Path, **options: Any) -> Opened:
        pages.append(Opened(chromium, file, **options))
        return pages[-1]

    yield go
    for one in pages:
        one.context.close()

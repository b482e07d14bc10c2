"""The review as one self-contained page: no network, no names that a browser would obey, less than `LIMIT` bytes.

Three walls keep what a workload chose as a name from becoming markup: jinja escapes it, the script puts it on the page
as text alone, and the page's own content security policy runs no script but the three whose hashes it names. Vega
evaluates its expressions with an interpreter (``ast: true``), so that no ``eval`` has to be allowed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from discover.errors import DiscoverError
from discover.report.words import facts, verdict_sentence
from discover.review import Review
from discover.review.attention import KINDS
from discover.review.files import MARKS
from discover.review.pictures import COLOURS, NAMES
from discover.review.plain import as_json, clean, file_json
from discover.version import VERSION

__all__ = ["LIMIT", "as_html"]

LIMIT = 2_000_000
"""Bytes of a page, at most."""
_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN = re.findall('data-picture="([a-z]+)"', (_TEMPLATES / "page.html").read_text(encoding="utf-8"))
_DETAIL = (20, 8, 3, 1)
"""Examples of what a rule covers; where the page grows too large, the next smaller number is tried."""


def as_html(reviews: Sequence[Review], title: str = "") -> str:
    """The page of one or several workloads. Raises `DiscoverError` where no detail left out makes it small enough."""
    page = ""
    for detail in _DETAIL:
        page = _render(reviews, title, detail)
        if len(page.encode("utf-8", "replace")) <= LIMIT:
            return page
    raise DiscoverError(
        f"the report of {len(reviews)} workloads would have {len(page):,} bytes, and {LIMIT:,} is the limit",
        "one report a workload: --workload NAME",
    )


def _render(reviews: Sequence[Review], title: str, detail: int) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["said"] = _said
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    vega = _vega()
    workloads = [_workload(review, detail) for review in reviews]
    names = ", ".join(str(w["plain"]["workload"]) for w in workloads)
    page: str = environment.get_template("page.html").render(
        title=clean(title) or f"{names} under review",
        version=VERSION,
        style=style,
        scripts=[vega, script],
        hashes=" ".join(f"'sha256-{_hash(s)}'" for s in (vega, script)),
        workloads=workloads,
        data=_data([w["data"] for w in workloads]),
        kinds=KINDS,
        marks=MARKS,
        colours=COLOURS,
        shortened=detail if detail != _DETAIL[0] else 0,
    )
    return page


def _said(text: str) -> Any:
    """A sentence of ours as HTML: what stands between backticks as code, a number kept together with its sign."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with jinja

    times = "\N{MULTIPLICATION SIGN}"
    safe = str(escape(text)).replace(f" {times}", f"\u00a0{times}")
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", safe))  # noqa: S704 - escaped above


def _workload(review: Review, detail: int) -> dict[str, Any]:
    plain = clean(as_json(review, detail))
    numbers = {rule["where"]: n for n, rule in enumerate(plain["rules"])}
    units = {u["unit"]: n for n, u in enumerate(plain["units"])}
    rules = [{**r, "units": [units[u] for u in r["units"] if u in units]} for r in plain["rules"]]
    files = clean(file_json(review.files, detail, {r.where: numbers[clean(r.where)] for r in review.rules}))
    return {
        "plain": plain,
        "facts": [clean(asdict(f)) for f in facts(review)],
        "at_most": review.at_most,
        "surprises": [len(news) for news in review.coverage.assessment.news.values() if news],
        "sentence": clean(verdict_sentence(review)),
        "first": [plain["rules"][numbers[w]] for w in plain["first"]],
        "text": "\n".join(clean(review.text.splitlines())),
        "data": {
            "units": [u["unit"] for u in plain["units"]],
            "rules": rules,
            "files": files,
            "pictures": {name: _spec(review, name) for name in NAMES if name in _SHOWN},
        },
    }


def _spec(review: Review, name: str) -> Any:
    """The picture for Vega-Embed; `autosize` leaves the configuration, which the page's theme replaces."""
    spec = review.picture(name).to_dict()
    config = spec.pop("config", {})
    if name == "files":  # the page says it in words
        spec["layer"][0]["encoding"]["color"]["legend"] = None
    return clean({**spec, "autosize": config.get("autosize", "fit-x")})


def _data(value: Any) -> str:
    r"""JSON inside a ``<script>`` element: nothing that could end it or begin markup (``<`` is ``\u003c``)."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; it cannot end its element."""
    import altair  # noqa: PLC0415 - heavy
    import vl_convert  # noqa: PLC0415 - heavy

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    # in a script's text, "</script" stands only inside string and regular expression literals, where \/ is /
    return bundle.replace("</script", "<\\/script").replace("<!--", "\\u003c!--")

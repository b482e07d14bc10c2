"""The pictures of a review, as altair charts: the same ones in a notebook and in the report.

Colours are Okabe and Ito's (2008), told apart with every common colour blindness; each has a second cue (place, shape
or text) beside it. Backgrounds are transparent, so that a page decides about light and dark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import altair as alt
import pandas as pd

from discover.errors import UsageError
from discover.review.files import MARKS, FileNode
from discover.review.showing import Picture
from discover.text import printable
from models.behaviour import Phase

if TYPE_CHECKING:
    from discover.review.make import Review

__all__ = ["COLOURS", "NAMES", "picture"]

COLOURS = {
    "observed": "#0072B2",
    "generalised": "#E69F00",
    "unseen": "#CC79A7",
    "denied": "#D55E00",
    "open": "#999999",
}
SENSITIVE = "#A8200D"
"""Of the dot in a folder with sensitive files."""
_CLASSES = {"exec": "#D55E00", "file": "#0072B2", "socket": "#009E73", "capability": "#CC79A7"}
_PHASES = alt.Axis(orient="top", labelAngle=0, labelPadding=14, labelExpr="split(datum.label, '-')")
_BELOW = alt.Legend(orient="bottom", title=None)
_MOST_PEERS = 40
_MOST_UNITS = 60
_DEEPEST = 5


def picture(review: Review, name: str) -> Picture:
    """One of `NAMES`. Raises `UsageError` for another name."""
    if name not in _PICTURES:
        raise UsageError(f"no picture {name!r}", f"there are {', '.join(_PICTURES)}")
    chart = _PICTURES[name](review)
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return Picture(
        chart.configure(background="transparent", autosize=fit)
        .configure_legend(labelLimit=260)
        .configure_view(stroke=None)
    )


def _height(rows: int, step: int) -> int:
    """A fixed height for so many rows: with a step, Vega-Lite cannot fit the width to the page."""
    return max(rows, 1) * step


def _short(text: str, most: int = 46) -> str:
    """A name that fits beside a picture: its end tells files apart."""
    name = printable(text)
    return name if len(name) <= most else "…" + name[1 - most :]


def _units(review: Review) -> Any:
    rows = [
        {"unit": _short(u.unit, 28), "phase": phase, "behaviours": n, "events": u.events[phase]}
        for u in review.units[:_MOST_UNITS]
        for phase, n in u.behaviours.items()
    ]
    frame = pd.DataFrame(rows, columns=["unit", "phase", "behaviours", "events"])
    phases = [str(p) for p in Phase if str(p) in set(frame["phase"])]
    order = [_short(u.unit, 28) for u in review.units[:_MOST_UNITS]]
    return (
        alt.Chart(frame, width="container", height=_height(len(order), 16))
        .mark_rect()
        .encode(
            x=alt.X("phase:N", sort=phases, title=None, axis=_PHASES),
            y=alt.Y("unit:N", sort=order, title=None),
            color=alt.Color(
                "behaviours:Q",
                title="distinct behaviours",
                scale=alt.Scale(type="symlog", scheme="viridis"),
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=["unit", "phase", "behaviours", "events"],
        )
    )


def _curve(review: Review) -> Any:
    rows = [
        {"class": str(c.name), "units": n, "share": value / c.curve[-1], "accesses": round(value, 1)}
        for c in review.coverage.assessment.classes
        for n, value in enumerate(c.curve, 1)
        if c.curve and c.curve[-1]
    ]
    frame = pd.DataFrame(rows, columns=["class", "units", "share", "accesses"])
    return (
        alt.Chart(frame, width="container", height=220)
        .mark_line(point=True)
        .encode(
            x=alt.X("units:Q", title="units recorded", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("share:Q", title="seen, of all seen so far", axis=alt.Axis(format="%"), scale=alt.Scale(zero=True)),
            color=_class_colour(),
            shape=alt.Shape("class:N", scale=alt.Scale(domain=list(_CLASSES)), legend=_BELOW),
            tooltip=["class", "units", alt.Tooltip("share:Q", format=".1%"), "accesses"],
        )
    )


def _chances(review: Review) -> Any:
    rows = []
    for one in review.coverage.assessment.classes:
        low = one.learned.low if one.learned else one.raw.low
        rows.append({"class": str(one.name), "chance": one.new, "low": low, "high": one.high})
    base = alt.Chart(pd.DataFrame(rows), width="container", height=_height(len(rows), 30))
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(format="%", values=[n / 5 for n in range(6)])
    x = alt.X("low:Q", title="chance that one more unit shows something new", scale=scale, axis=axis)
    y = alt.Y("class:N", title=None, sort=list(_CLASSES))
    tooltip = ["class", *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("chance", "low", "high"))]
    bar = base.mark_bar(size=8, opacity=0.5).encode(x=x, x2="high:Q", y=y, color=_class_colour(None), tooltip=tooltip)
    tick = base.mark_tick(thickness=3, size=18).encode(x="chance:Q", y=y, color=_class_colour(None), tooltip=tooltip)
    limit = (
        alt.Chart(pd.DataFrame([{"limit": review.at_most, "what": "complete up to here"}]))
        .mark_rule(strokeDash=[4, 3], color="#888888")
        .encode(x="limit:Q", tooltip=["what", alt.Tooltip("limit:Q", format=".0%")])
    )
    return alt.layer(bar, tick, limit).properties(width="container")


def _class_colour(legend: Any = alt.Undefined) -> alt.Color:
    scale = alt.Scale(domain=list(_CLASSES), range=list(_CLASSES.values()))
    if legend is alt.Undefined:
        legend = _BELOW
    return alt.Color("class:N", scale=scale, legend=legend)


def _peers(review: Review) -> Any:
    """Executables on the left, peers on the right; who listens or is called has its peer's line dashed."""
    ordered = sorted(review.links, key=lambda x: (x.exe, x.kind, -x.count, x.peer))
    kept = ordered[:_MOST_PEERS]  # the table says how many there are
    exes = list(dict.fromkeys(x.exe for x in kept))
    peers = list(dict.fromkeys(x.peer for x in kept))
    height = max(len(exes), len(peers), 2) * 26
    left = {e: (n + 0.5) / len(exes) for n, e in enumerate(exes)}
    right = {p: (n + 0.5) / len(peers) for n, p in enumerate(peers)}
    lines = [
        {
            "x": 0,
            "y": left[x.exe],
            "x2": 1,
            "y2": right[x.peer],
            "executable": printable(x.exe),
            "kind": x.kind,
            "peer": printable(x.peer),
            "count": x.count,
            "units": x.units,
            "outcome": "every attempt failed" if x.failed else "succeeded",
        }
        for x in kept
    ]
    nodes = [{"x": 0, "y": y, "name": _short(e, 42), "whole": printable(e)} for e, y in left.items()]
    ends = [{"x": 1, "y": y, "name": _short(p, 42), "whole": printable(p)} for p, y in right.items()]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.8, 1.8], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[1, 0]))
    kinds = ["connects to", "sends to", "listens on", "is called by"]
    edge = (
        alt.Chart(pd.DataFrame(lines, columns=list(lines[0]) if lines else ["x", "y", "x2", "y2"]))
        .mark_rule(opacity=0.85)
        .encode(
            x=x,
            y=y,
            x2="x2:Q",
            y2="y2:Q",
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=kinds, range=["#D55E00", "#E69F00", "#0072B2", "#009E73"]),
                legend=alt.Legend(orient="bottom", title=None),
            ),
            strokeDash=alt.StrokeDash("outcome:N", legend=None, sort=["succeeded", "every attempt failed"]),
            strokeWidth=alt.StrokeWidth("count:Q", scale=alt.Scale(type="log", range=[1.5, 5]), legend=None),
            tooltip=["executable", "kind", "peer", "count", "units", "outcome"],
        )
    )
    layers: list[Any] = [edge] if lines else []
    sides: list[tuple[list[dict[str, Any]], Literal["left", "right"], int]] = [(nodes, "right", -8), (ends, "left", 8)]
    for rows, align, shift in sides:
        base = alt.Chart(pd.DataFrame(rows, columns=["x", "y", "name", "whole"]))
        layers.append(base.mark_point(filled=True, size=70, color="#888888").encode(x=x, y=y, tooltip=["whole"]))
        layers.append(base.mark_text(align=align, dx=shift, limit=260).encode(x=x, y=y, text="name", tooltip=["whole"]))
    return alt.layer(*layers).properties(width="container", height=height)


def _processes(review: Review) -> Any:
    rows = [
        {
            "line": n,
            "depth": p.depth,
            "name": _short(p.path, 60) + (" ↑" if p.again else ""),
            "mark": (p.marks or ("other",))[0],
            "executions": p.executions,
            "units": len(p.units),
            "phases": ", ".join(p.phases),
            "did": printable("; ".join(p.did)),
        }
        for n, p in enumerate(review.processes)
    ]
    frame = pd.DataFrame(rows)
    deepest = max([p.depth for p in review.processes], default=0)
    base = alt.Chart(frame, width="container", height=_height(len(rows), 20)).encode(
        x=alt.X("depth:Q", axis=None, scale=alt.Scale(domain=[0, deepest + 8], nice=False)),
        y=alt.Y("line:O", axis=None),
        tooltip=["name", "executions", "units", "phases", "did"],
    )
    marks = ["other", "shell", "tool", "scratch", "session", "runtime"]
    colours = ["#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#009E73", "#999999"]
    points = base.mark_point(filled=True, size=70).encode(
        color=alt.Color("mark:N", scale=alt.Scale(domain=marks, range=colours), legend=_BELOW),
        shape=alt.Shape("mark:N", scale=alt.Scale(domain=marks), legend=_BELOW),
    )
    return alt.layer(points, base.mark_text(align="left", dx=9).encode(text="name")).properties(width="container")


def _files(review: Review) -> Any:
    """An icicle: each folder as wide as the square root of the files in it, coloured by what most of them are."""
    rows: list[dict[str, Any]] = []

    def visit(node: FileNode, path: str, left: float, width: float, depth: int) -> None:
        total = sum(node.totals.get(m, 0) for m in MARKS)
        if not total or width < 0.002:
            return
        most = max(MARKS, key=lambda m: node.totals.get(m, 0))
        worst = "denied" if node.totals.get("denied") else most
        rows.append(
            {
                "left": left,
                "right": left + width,
                "top": depth,
                "bottom": depth + 1,
                "mark": worst,
                "folder": printable(path or "/"),
                "name": _short(path.rpartition("/")[2] or "/", 18),
                "middle": left + width / 2,
                "corner": left + width,
                "sensitive": node.totals.get("sensitive", 0),
                **{m: node.totals.get(m, 0) for m in MARKS},
            }
        )
        if depth >= _DEEPEST:
            return
        below = [c for c in node.children.values() if c.children and not c.group]
        weights = [sum(c.totals.get(m, 0) for m in MARKS) ** 0.5 for c in below]
        whole = sum(weights) or 1
        place = left
        for child, weight in sorted(zip(below, weights, strict=True), key=lambda pair: -pair[1]):
            share = width * weight / whole
            visit(child, f"{path}/{child.name}", place, share, depth + 1)
            place += share

    visit(review.files, "", 0.0, 1.0, 0)
    frame = pd.DataFrame(rows)
    base = alt.Chart(frame, width="container", height=240)
    deepest = max([r["bottom"] for r in rows], default=1)
    y = alt.Y("top:Q", axis=None, scale=alt.Scale(domain=[0, deepest], reverse=True, nice=False))
    tooltip = ["folder", *MARKS, "sensitive"]
    boxes = base.mark_rect(stroke="#888888", strokeWidth=0.5, opacity=0.6).encode(
        x=alt.X("left:Q", axis=None, scale=alt.Scale(domain=[0, 1])),
        x2="right:Q",
        y=y,
        y2="bottom:Q",
        color=alt.Color(
            "mark:N",
            scale=alt.Scale(domain=list(MARKS), range=list(COLOURS.values())),
            legend=alt.Legend(orient="bottom", title=None),
        ),
        tooltip=tooltip,
    )
    # a name is written where its box is wide enough for it, however wide the page is
    words = (
        base.transform_calculate(
            shown="(datum.right - datum.left) * width > 6.2 * length(datum.name) + 6 ? datum.name : ''"
        )
        .mark_text(fontSize=10, dy=12)
        .encode(x="middle:Q", y=y, text="shown:N", tooltip=tooltip)
    )
    secret = (
        base.transform_filter("datum.sensitive > 0 && (datum.right - datum.left) * width > 12")
        .mark_point(filled=True, shape="circle", size=45, color=SENSITIVE, stroke="#FFFFFF", xOffset=-7, yOffset=7)
        .encode(x="corner:Q", y=y, tooltip=tooltip)
    )
    return alt.layer(boxes, words, secret).properties(width="container")


def _simulation(review: Review) -> Any:
    """By unit: what the policy denies, and what a policy learned without that unit would deny of it."""
    denied: dict[str, int] = defaultdict(int)
    for denial in review.simulation.denials:
        for unit in denial.seen.units:
            denied[unit] += 1
    news = review.coverage.assessment.news
    rows = []
    # units of which nothing is denied, either way, have no bar and need no line
    hit = [u for u in review.units if denied.get(u.unit) or news.get(u.unit)]
    for row in (hit or review.units)[:_MOST_UNITS]:
        name = _short(row.unit, 28)
        rows.append({"unit": name, "what": "denied by this policy", "accesses": denied.get(row.unit, 0)})
        rows.append({"unit": name, "what": "denied had it not been recorded", "accesses": len(news.get(row.unit, ()))})
    frame = pd.DataFrame(rows, columns=["unit", "what", "accesses"])
    return (
        alt.Chart(frame, width="container", height=_height(len(rows), 12))
        .mark_bar()
        .encode(
            x=alt.X(
                "accesses:Q",
                title="distinct accesses",
                axis=alt.Axis(tickMinStep=1, format="d"),
                scale=alt.Scale(domain=[0, max([1, *frame["accesses"]])]),
            ),
            y=alt.Y("unit:N", title=None, sort=[_short(u.unit, 28) for u in review.units]),
            yOffset=alt.YOffset("what:N"),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(range=["#D55E00", "#0072B2"]),
                legend=alt.Legend(orient="bottom", title=None, columns=1),
            ),
            tooltip=["unit", "what", "accesses"],
        )
    )


_PICTURES: dict[str, Callable[[Review], Any]] = {
    "units": _units,
    "processes": _processes,
    "files": _files,
    "peers": _peers,
    "curve": _curve,
    "chances": _chances,
    "simulation": _simulation,
}
NAMES = tuple(_PICTURES)

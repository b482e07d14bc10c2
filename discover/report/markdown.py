"""The review as Markdown: the body of a pull request, short enough for every forge, hostile names inside code spans."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from discover.report.words import facts, verdict_sentence
from discover.review import Review
from discover.review.difference import change_words, rule_words
from discover.text import printable
from discover.words import access_words, in_order, listed, many, percent, share
from models.evidence import Seen

__all__ = ["LIMIT", "as_markdown", "code", "plain", "said"]

LIMIT = 60_000
"""Characters; GitHub takes 65,536 in a body."""
_SIGNS = {"good": "✅", "look": "⚠️", "bad": "❌"}


def code(text: str, most: int = 300) -> str:
    """A code span that the text cannot end: a fence longer than any run of backticks in it (CommonMark 6.1)."""
    safe = printable(text)
    if len(safe) > most:
        safe = safe[: most - 1] + "…"
    longest = max((len(run) for run in re.findall("`+", safe)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or safe.startswith(" ") else ""
    # a table's cell ends at a bar even inside a code span (GFM 4.10)
    return f"{fence}{pad}{safe}{pad}{fence}".replace("|", "\\|")


def plain(text: str) -> str:
    """Text as it is: nothing in it becomes markup, a mention, a link or a reference."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~<>&])", r"\\\1", printable(text))
    return escaped.replace("@", "@\u200b").replace("://", ":\u200b//")


def said(text: str) -> str:
    """A sentence of ours: what stands between backticks as code, all else as `plain` text."""
    return "".join(code(part) if n % 2 else plain(part) for n, part in enumerate(text.split("`")))


def as_markdown(reviews: Sequence[Review], most: int = 15) -> str:
    """The body; lists are cut to `most` entries, and to fewer where it would pass `LIMIT`."""
    text = ""
    for entries in (most, 8, 4, 2):
        text = "\n".join(line for review in reviews for line in _lines(review, entries)) + "\n"
        if len(text) <= LIMIT:
            break
    return text if len(text) <= LIMIT else text[: LIMIT - 40].rsplit("\n", 1)[0] + "\n\n(cut: see the report)\n"


def _lines(review: Review, most: int) -> Iterator[str]:
    yield f"## {plain(str(review.evidence.workload))}"
    yield ""
    yield plain(verdict_sentence(review)) + "."
    for image, digest in review.evidence.images:
        yield f"Image {code(f'{image} {digest}'.strip())}."
    yield ""
    yield "| | | |"
    yield "|---|---|---|"
    for fact in facts(review):
        yield f"| {_SIGNS[fact.state]} {fact.name} | **{plain(fact.value)}** | {plain(fact.more)} |"
    yield ""
    yield from _first(review, most)
    yield from _observed(review, most)
    yield from _coverage(review)
    yield from _simulated(review, most)
    yield from _changed(review, most)


def _first(review: Review, most: int) -> Iterator[str]:
    yield "### Look at these rules first"
    yield ""
    if not review.first:
        yield "No rule stands out."
    for rule in review.first[:most]:
        yield f"- {code(rule_words(rule.rule))}: {plain('; '.join(c.text for c in rule.attention))}"
    if len(review.first) > most:
        yield f"- and {len(review.first) - most} more"
    yield ""


def _observed(review: Review, most: int) -> Iterator[str]:
    yield "### What was observed"
    yield ""
    phases = in_order(p for u in review.units for p in u.behaviours)
    yield f"{many(len(review.units), 'unit')}, in the phases {plain(listed(phases))}."
    yield ""
    for one in [e for e in review.processes if not e.again][:most]:
        marks = f" **({', '.join(one.marks)})**" if one.marks else ""
        yield f"{'  ' * one.depth}- {code(one.path)}{marks}: {plain('; '.join(one.did)) or 'nothing of its own'}"
    yield ""
    lost = {k: v for k, v in review.evidence.lost.items() if v}
    yield f"Lost while recording: {plain(listed(f'{n:,} {c}' for c, n in sorted(lost.items()))) or 'nothing'}."
    yield ""


def _coverage(review: Review) -> Iterator[str]:
    assessment = review.coverage.assessment
    yield f"### Coverage: {review.coverage.verdict}"
    yield ""
    yield "| class | distinct accesses | chance that one more unit shows something new | enough |"
    yield "|---|--:|--:|---|"
    for one in assessment.classes:
        low = one.learned.low if one.learned else one.raw.low
        chance = f"{percent(one.new)} ({percent(low)} to {percent(one.high)})" if one.watched else "unwatched"
        enough = "yes" if one.watched and one.high <= review.at_most else "no"
        yield f"| {one.name} | {one.raw.behaviours:,} | {chance} | {enough} |"
    yield ""
    for advice in review.coverage.advice[:5]:
        yield f"- {said(advice)}"
    for outlier in review.outliers:
        yield f"- {code(outlier.unit)} behaves unlike the others: {plain('; '.join(outlier.reasons[:4]))}"
    yield ""


def _simulated(review: Review, most: int) -> Iterator[str]:
    total = review.simulation.total
    yield "### Simulation"
    yield ""
    yield (
        f"With posture block the policy would deny {share(total.denied, total.accesses)} distinct recorded accesses, "
        f"in {share(len(review.simulation.units_hit), len(review.evidence.units))} units."
    )
    yield ""
    yield from _accesses((d.seen for d in review.simulation.denials), most)


def _accesses(seen: Iterable[Seen], most: int) -> Iterator[str]:
    every = list(seen)
    for one in every[:most]:
        yield f"- {code(access_words(one.access))} by {code(one.access.source)}, {many(one.count, 'time')}"
    if len(every) > most:
        yield f"- and {len(every) - most:,} more"
    if every:
        yield ""


def _changed(review: Review, most: int) -> Iterator[str]:
    difference = review.difference
    if difference is None:
        return
    yield "### Difference to the policy in force"
    yield ""
    if not difference:
        yield "None."
        yield ""
        return
    ordered = sorted(difference.changes, key=lambda c: not c.gives)
    for change in ordered[: most * 2]:
        now, was = change_words(change)
        before = f" (was {code(was)})" if was else ""
        yield f"- {'**permits more**, ' if change.gives else ''}{change.kind}: {code(now)}{before}"
    if len(difference.changes) > most * 2:
        yield f"- and {len(difference.changes) - most * 2:,} more"
    yield ""
    for title, seen in (("Newly allowed", difference.newly_allowed), ("Newly denied", difference.newly_denied)):
        if seen:
            yield f"{title}, of what was recorded:"
            yield ""
            yield from _accesses(seen, most)

"""What a request says: what changed and why, what a person should look at first, and how to go back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from discover.propose.layout import Place
from discover.report import as_markdown
from discover.report.markdown import LIMIT, code, plain
from discover.review import Review
from discover.review.difference import change_words, sign
from discover.text import printable
from discover.words import listed, many
from models.policy import KubeArmorHostPolicy
from models.policy_diff import Change

__all__ = ["MARK", "body_of", "message_of", "title_of"]

MARK = "<!-- discover: this text is written again by each run; comments are the place for people -->"
_MOST = 40
_TITLE = 255
"""GitLab's limit; GitHub takes one character more."""


def title_of(reviews: Sequence[Review]) -> str:
    """The title, and the commit's first line."""
    (first, *rest) = reviews
    name = printable(first.policies[0].name)
    new = first.difference is None
    counts = "" if new else f": {_counts(first)}"
    more = f" and {len(rest)} more" if rest else ""
    title = f"{'Add' if new else 'Update'} KubeArmor policy {name}{more}{counts if not rest else ''}"
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"


def _counts(review: Review) -> str:
    changes = review.difference.changes if review.difference else ()
    gives = sum(c.gives for c in changes)
    return f"{many(len(changes), 'change')}, {gives} permit more" if changes else "no change of rules"


def message_of(reviews: Sequence[Review]) -> str:
    """The commit's message: the title, then what changed, a line each."""
    lines = [title_of(reviews), ""]
    for review in reviews:
        lines.append(f"From {many(len(review.evidence.units), 'unit')} of {review.evidence.workload}.")
        lines += [f"Image {image} {digest}".rstrip() for image, digest in review.evidence.images]
        if review.difference:
            changes = review.difference.changes
            lines += [f"{'-' if sign(c) == _MINUS else sign(c)} {change_words(c)[0]}" for c in changes[:_MOST]]
            if len(changes) > _MOST:
                lines.append(f"and {len(changes) - _MOST} more")
    return "\n".join(printable(line)[:500] for line in lines)


_MINUS = "\N{MINUS SIGN}"


def body_of(reviews: Sequence[Review], places: Sequence[Place], base: str) -> str:
    """The body, short enough for every forge."""
    head = "\n".join(line for r, p in zip(reviews, places, strict=True) for line in _changed(r, p))
    tail = "\n".join(_rollback(reviews, places, base))
    rest = as_markdown([_without_difference(r) for r in reviews])
    room = LIMIT - len(head) - len(tail) - len(MARK) - 10
    if len(rest) > room:
        rest = rest[:room].rsplit("\n", 1)[0] + "\n\n(cut: the review beside the policy has all of it)\n"
    return f"{head}\n{rest}\n{tail}\n\n{MARK}\n"


def _without_difference(review: Review) -> Review:
    """The same, without the chapter that stands at the top already; what was worked out stays worked out."""
    from dataclasses import replace  # noqa: PLC0415 - one line

    other = replace(review, against=None)
    other.__dict__.update({k: v for k, v in review.__dict__.items() if k not in ("against", "difference")})
    return other


def _changed(review: Review, place: Place) -> Iterator[str]:
    yield f"## What changes: {code(place.file('.yaml'))}"
    yield ""
    difference = review.difference
    if difference is None:
        yield f"A new policy for {plain(str(review.evidence.workload))}: {many(len(review.rules), 'rule')}."
        yield ""
        return
    images = ", ".join(code(f"{i} {d}".strip()) for i, d in review.evidence.images)
    yield f"{_counts(review)}{f', as recorded from {images}' if images else ''}."
    yield ""
    ordered = sorted(difference.changes, key=lambda c: not c.gives)
    for change in ordered[:_MOST]:
        yield from _change(change, review)
    if len(ordered) > _MOST:
        yield f"- and {len(ordered) - _MOST} more"
    yield ""
    if difference.newly_denied:
        denied = many(len(difference.newly_denied), "recorded access", "recorded accesses")
        yield (f"**{denied}** that the policy in force allows would be denied now; see the simulation.")
        yield ""


def _change(change: Change, review: Review) -> Iterator[str]:
    now, was = change_words(change)
    yield f"- {'⚠️ ' if change.gives else ''}**{change.kind}**: {code(now)}" + (f", was {code(was)}" if was else "")
    for rule in review.rules:
        if any(rule.rule.where == n.where and rule.rule.policy == n.policy for n in change.new):
            evidence = rule.evidence
            yield (
                f"  - why: {len(evidence.units)} of {len(review.evidence.units)} units, {evidence.count:,} times, "
                f"{plain(listed(evidence.phases))}, by {listed((code(e) for e in evidence.executables), 3)}"
                + (f"; e.g. {code(evidence.examples[0])}" if evidence.examples and was + now else "")
            )


def _rollback(reviews: Sequence[Review], places: Sequence[Place], base: str) -> Iterator[str]:
    names = [r.policies[0].metadata.namespace or r.evidence.workload.namespace or "NAMESPACE" for r in reviews]
    host = [isinstance(r.policies[0], KubeArmorHostPolicy) for r in reviews]
    yield "## How to roll back"
    yield ""
    yield f"- Revert the merge on {code(base)}; a GitOps controller then restores what was in force."
    if not all(host):
        yield "- At once, without Git: set the namespace's posture to audit; nothing unlisted is denied any more then:"
        yield ""
        yield "  ```sh"
        for namespace in sorted(set(names)):
            yield f"  kubectl annotate namespace {namespace} --overwrite kubearmor-file-posture=audit \\"
            yield "    kubearmor-network-posture=audit kubearmor-capabilities-posture=audit"
        yield "  ```"
        yield ""
    for place, namespace, is_host in zip(places, names, host, strict=True):
        what = f"kubearmorhostpolicy {place.name}" if is_host else f"kubearmorpolicy {place.name} -n {namespace}"
        yield f"- Or remove the policy: {code(f'kubectl delete {what}')}"

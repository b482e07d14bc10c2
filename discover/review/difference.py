"""What changes when one set of policies replaces another: rules, and the verdicts on what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.evidence import Seen
from models.policy import Dialect, Policy, Posture, Rule, compile  # noqa: A004
from models.policy_diff import Change, Kind
from models.policy_diff import compare as compare_rules

__all__ = ["Difference", "change_words", "compare", "rule_words", "sign"]

_SIGNS = {Kind.NEW: "+", Kind.GONE: "\N{MINUS SIGN}"}
_CLASSES = {
    Kind.OPENED: "is no allow-list any more: everything in it is permitted",
    Kind.CLOSED: "is an allow-list now: what it does not list follows the posture",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """From the old policies to the new ones."""

    changes: tuple[Change, ...]
    newly_allowed: tuple[Seen, ...]
    """Recorded accesses that the old policies deny and the new ones allow."""
    newly_denied: tuple[Seen, ...]
    """Recorded accesses that the old policies allow and the new ones deny."""

    def __bool__(self) -> bool:
        return bool(self.changes or self.newly_allowed or self.newly_denied)

    @property
    def gives(self) -> tuple[Change, ...]:
        """The changes that permit something new."""
        return tuple(c for c in self.changes if c.gives)


def compare(old: Sequence[Policy], new: Sequence[Policy], seen: Iterable[Seen]) -> Difference:
    """Compare by what rules permit, not by where they stand; `seen` is judged under both, posture Block."""
    first = compile(old, Posture.all("block"), Dialect.DISCOVER)
    second = compile(new, Posture.all("block"), Dialect.DISCOVER)
    allowed: list[Seen] = []
    denied: list[Seen] = []
    for one in seen:
        was, now = first.decide(one.access).allowed, second.decide(one.access).allowed
        if was != now:
            (allowed if now else denied).append(one)
    return Difference(tuple(compare_rules(old, new)), tuple(allowed), tuple(denied))


def sign(change: Change) -> str:
    """``+``, ``-`` (as a minus sign) or ``~``."""
    return _SIGNS.get(change.kind, "~")


def change_words(change: Change) -> tuple[str, str]:
    """What is there now (or is gone), and what was there before, if both are."""
    if change.kind in _CLASSES:
        return f"{change.section} {_CLASSES[change.kind]}", ""
    new, old = "; ".join(map(rule_words, change.new)), "; ".join(map(rule_words, change.old))
    return (new or old, old if new else "")


def rule_words(rule: Rule) -> str:
    """A rule in a line: ``Allow file /etc/nginx/ (recursive, readOnly) from /usr/sbin/nginx``."""
    flags = {"recursive": rule.recursive, "readOnly": rule.read_only, "ownerOnly": rule.owner_only}
    named = ", ".join(n for n, yes in flags.items() if yes)
    source = f" from {', '.join(rule.sources)}" if rule.sources else ""
    return f"{rule.action} {rule.section} {rule.value}" + (f" ({named})" if named else "") + source

"""What changed between two versions of a policy, by what the rules permit and not by their text.

A rule of the new version that permits all that one of the old did, and more, is *wider*; one that permits only a part
of it is *narrower*; both may stand for several rules of the other side. Order, comments, severities, tags and messages
change nothing here but are named (`Change.restated`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.policy import Access, Action, Dialect, Op, Policy, Posture, Rule, compile, rules  # noqa: A004
from models.rule_cover import covers, same_object

__all__ = ["Change", "Kind", "compare", "lists_of"]


_Right = tuple[object, ...]


class Kind(StrEnum):
    """What happened to a rule."""

    NEW = "new"
    GONE = "gone"
    WIDER = "wider"
    NARROWER = "narrower"
    ACTION = "other action"
    OPENED = "class opened"
    """The class was an allow-list and is none now: everything in it is permitted."""
    CLOSED = "class closed"
    """The class became an allow-list: what it does not list is denied."""
    RESTATED = "restated"
    """The same right with another severity, other tags or another message."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    kind: Kind
    section: str
    old: tuple[Rule, ...] = ()
    """The rules of the old version that it is about."""
    new: tuple[Rule, ...] = ()

    gives: bool = False
    """Whether it permits something that was not permitted before."""


def _gives(kind: Kind, old: Sequence[Rule], new: Sequence[Rule]) -> bool:
    """Whether a change of this kind permits something new, from the rules alone."""
    blocks = any(r.action is Action.BLOCK for r in (*old, *new))
    match kind:
        case Kind.NEW | Kind.WIDER:
            return not blocks
        case Kind.GONE | Kind.NARROWER:
            return blocks
        case Kind.ACTION:
            return any(r.action is Action.BLOCK for r in old)
    return False


def lists_of(policies: Iterable[Policy]) -> set[str]:
    """The classes that are allow-lists; ``dns`` apart from ``network``."""
    return {_class(r) for p in policies for r in rules(p) if r.action is Action.ALLOW}


def _class(rule: Rule) -> str:
    return "dns" if rule.match == "domain" else rule.section


def compare(old: Sequence[Policy], new: Sequence[Policy]) -> list[Change]:
    """Everything that differs, the classes first, then by section in the order of the rules."""
    before, after = lists_of(old), lists_of(new)
    changes = [Change(Kind.OPENED, name, gives=True) for name in sorted(before - after)]
    changes += [Change(Kind.CLOSED, name) for name in sorted(after - before)]
    olds = [r for p in old for r in rules(p)]
    news = [r for p in new for r in rules(p)]
    known = {_right(r): r for r in olds}
    kept = {_right(r) for r in news} & known.keys()
    changes += _restated(known, news, kept)
    left = [r for r in olds if _right(r) not in kept]
    came = [r for r in news if _right(r) not in kept]
    return changes + _matched(left, came, olds, news, _Effect(old, new))


def _right(rule: Rule) -> _Right:
    """What a rule permits, as a key."""
    value = rule.value.lower() if rule.match == "protocol" else rule.value
    return (
        rule.section,
        rule.match,
        value,
        rule.action,
        rule.recursive,
        rule.read_only,
        rule.owner_only,
        rule.no_terminal,
        tuple(sorted(rule.allowed_args)),
        None if rule.sources is None else tuple(sorted(rule.sources)),
        rule.path,
    )


def _restated(
    known: dict[tuple[object, ...], Rule], news: Iterable[Rule], kept: set[tuple[object, ...]]
) -> list[Change]:
    found = []
    for rule in news:
        if _right(rule) in kept:
            was = known[_right(rule)]
            if (was.severity, was.tags, was.message) != (rule.severity, rule.tags, rule.message):
                found.append(Change(Kind.RESTATED, rule.section, (was,), (rule,)))
    return found


class _Effect:
    """Whether a rule's going or coming changes what happens, asked of the decision function.

    A rule that another one covers may still have mattered: a read-only rule inside a wider one takes something away,
    and an exact path keeps a Block on its directory off.
    """

    def __init__(self, old: Sequence[Policy], new: Sequence[Policy]) -> None:
        self.old, self.new = (compile(list(p), Posture.all("block"), Dialect.DISCOVER) for p in (old, new))

    def of(self, rule: Rule) -> Kind | None:
        """Wider, narrower or, as far as the rule's own objects show, nothing."""
        pairs = [(self.old.decide(a).allowed, self.new.decide(a).allowed) for a in _probes(rule)]
        if (False, True) in pairs:
            return Kind.WIDER
        return Kind.NARROWER if (True, False) in pairs else None


def _probes(rule: Rule) -> Iterator[Access]:
    """Accesses to the objects of a rule: itself, a name in it and one further down."""
    if rule.section not in ("process", "file"):
        return
    objects = [rule.value]
    if rule.match == "dir":
        objects = [rule.value.rstrip("/") or "/", f"{rule.value}probe", f"{rule.value}probe/probe"]
    elif rule.match == "pattern":
        objects = [rule.value.replace("**", "probe/probe").replace("*", "probe")]
    for path in objects:
        for source in ("", *(rule.sources or ())):
            if rule.section == "process":
                yield Access(op=Op.EXEC, path=path, parent=source, owner_match=True)
                continue
            for owner in (True, False):
                yield Access(op=Op.OPEN, path=path, source=source, read=True, owner_match=owner)
                yield Access(op=Op.OPEN, path=path, source=source, write=True, owner_match=owner)


def _matched(
    left: list[Rule], came: list[Rule], olds: Sequence[Rule], news: Sequence[Rule], effect: _Effect
) -> list[Change]:
    changes: list[Change] = []
    gone, fresh = list(left), list(came)

    def settle(kind: Kind, old: Sequence[Rule], new: Sequence[Rule]) -> None:
        gives = _gives(kind, old, new) or any(effect.of(r) is Kind.WIDER for r in (*old, *new))
        changes.append(Change(kind, (old or new)[0].section, tuple(old), tuple(new), gives))
        for rule in old:
            if rule in gone:
                gone.remove(rule)
        for rule in new:
            if rule in fresh:
                fresh.remove(rule)

    for rule in came:  # another action on the same thing
        if was := [r for r in gone if same_object(r, rule) and r.action is not rule.action]:
            settle(Kind.ACTION, was, [rule])
    for rule in came:
        if rule in fresh and (was := [r for r in gone if covers(rule, r)]):
            settle(Kind.WIDER, was, [rule])
    for rule in left:
        if rule in gone and (now := [r for r in fresh if covers(rule, r)]):
            settle(Kind.NARROWER, [rule], now)
    # what another rule covers is no loss and no gain, unless it mattered beside that one
    for rule in list(gone):
        cover = next((r for r in news if covers(r, rule)), None)
        if cover is None:
            settle(Kind.GONE, [rule], [])
        elif kind := effect.of(rule):
            settle(kind, [rule], [cover])
    for rule in list(fresh):
        cover = next((r for r in olds if covers(r, rule)), None)
        if cover is None:
            settle(Kind.NEW, [], [rule])
        elif kind := effect.of(rule):
            settle(kind, [cover], [rule])
    order = list(Kind)
    return sorted(changes, key=lambda c: (c.section, order.index(c.kind)))

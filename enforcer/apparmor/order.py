"""Where the order of a policy's keys says something else than AppArmor, which has none.

A policy asks the most specific key first. AppArmor joins all rules that match: any deny wins, else any allow. The two
agree on most policies; `settle` finds the denies that make them agree, and the rules for which nothing does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.policy import Action, Rule, compile_pattern
from models.policy.patterns import literal_prefix

__all__ = ["Deny", "Item", "Settled", "items", "overlap", "settle"]

Facet = tuple[str, str]
"""What is done (``r``, ``w``, ``x``, ``use``) and by whom (``owner``, ``other``)."""
_DONE = {"file": ("r", "w"), "process": ("x",), "network": ("use",), "capabilities": ("use",)}
_LEVELS = {"path": 0, "execname": 1, "pattern": 2, "dir": 3}


@dataclass(frozen=True, slots=True)
class Item:
    """A rule as it holds in one profile."""

    rule: Rule
    rank: tuple[int, int]
    """Lower is asked first."""
    facets: frozenset[Facet]
    """Of a listing rule what it permits, of a Block rule what it denies."""

    @property
    def lists(self) -> bool:
        """Whether it makes something listed: Block never does."""
        return self.rule.action is not Action.BLOCK


@dataclass(frozen=True, slots=True)
class Deny:
    """A deny that AppArmor needs: everything `done` to what the rule is about."""

    rule: Rule
    done: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a profile says about one class."""

    listing: tuple[Item, ...]
    denies: tuple[Deny, ...]
    refused: tuple[tuple[Rule, str], ...]
    """Rules that AppArmor cannot follow, and why."""


def everything(section: str) -> frozenset[Facet]:
    """All facets of a class."""
    return frozenset((done, whose) for done in _DONE[section] for whose in ("owner", "other"))


def items(rules: Iterable[Rule], source: str) -> list[Item]:
    """The rules that hold for a source (``""``: for whoever no rule names), with their rank."""
    found = []
    for rule in rules:
        if rule.sources is not None and source not in [s for s in rule.sources if s]:
            continue
        level = _LEVELS.get(rule.match, 0) + (4 if rule.sources is None else 0)
        found.append(Item(rule, (level, -len(rule.value) if rule.match == "dir" else 0), _facets(rule)))
    return sorted(found, key=lambda item: item.rank)


def _facets(rule: Rule) -> frozenset[Facet]:
    permitted = frozenset(
        (done, whose)
        for done, whose in everything(rule.section)
        if not (rule.read_only and done == "w") and not (rule.owner_only and whose == "other")
    )
    if rule.action is not Action.BLOCK or not (rule.read_only or rule.owner_only):
        return permitted
    return everything(rule.section) - permitted


def settle(
    found: Sequence[Item],
    *,
    closed: bool,
    overlapping: Callable[[Rule, Rule], bool],
    opened: Callable[[Rule], bool] = lambda _rule: False,
) -> Settled:
    """Decide which denies are needed. `closed`: what is not listed is denied.

    `opened`: whether something that a Block rule is about is allowed for another reason than the rules of this class.
    """
    listing = [i for i in found if i.lists]
    denies: list[Deny] = []
    refused: list[tuple[Rule, str]] = []

    def permitting(item: Item, facets: frozenset[Facet], *, wider: bool) -> Item | None:
        return next(
            (
                other
                for other in listing
                if other is not item
                and (other.rank >= item.rank if wider else other.rank < item.rank)
                and other.facets & facets
                and overlapping(item.rule, other.rule)
            ),
            None,
        )

    def deny(item: Item, facets: frozenset[Facet]) -> None:
        exception = permitting(item, facets, wider=False)
        if exception is None and not closed:
            exception = next(
                (o for o in listing if o.rank < item.rank and overlapping(item.rule, o.rule)),
                None,
            )
        done = frozenset(d for d, _ in facets)
        if exception is not None:
            text = f"is an exception to {item.rule.where}, and in AppArmor a deny wins over every other rule"
            refused.append((exception.rule, text))
        elif any((d, "owner") not in facets for d in done):
            refused.append((item.rule, "denies what others than the owner do, and AppArmor can name the owner alone"))
        else:
            denies.append(Deny(item.rule, done))

    for item in found:
        if not item.lists:
            if not closed or opened(item.rule) or permitting(item, item.facets, wider=True):
                deny(item, item.facets)
            continue
        if not closed:
            continue
        stops = everything(item.rule.section) - item.facets
        beside = [o for o in listing if o is not item and o.rank == item.rank and overlapping(item.rule, o.rule)]
        stops -= frozenset(f for o in beside for f in o.facets if _same_key(o.rule, item.rule))
        wider = [o for o in listing if o.rank > item.rank and o.facets & stops and overlapping(item.rule, o.rule)]
        needed = frozenset(f for o in wider for f in o.facets) & stops
        if needed and any(o.facets & needed and not _same_key(o.rule, item.rule) for o in beside):
            refused.append((item.rule, f"stands beside another pattern and within {wider[0].rule.where}"))
        elif needed:
            deny(item, needed)
    return Settled(tuple(listing), tuple(denies), tuple(refused))


def _same_key(one: Rule, other: Rule) -> bool:
    return (one.match, one.value, one.recursive) == (other.match, other.value, other.recursive)


# -- which paths two rules may share


def overlap(one: Rule, other: Rule) -> bool:
    """Whether a path can be meant by both; True where that is not known."""
    first, second = sorted((one, other), key=lambda r: _LEVELS[r.match])
    value = second.value
    match first.match, second.match:
        case "path", "path":
            return first.value == value
        case "path", "execname":
            return first.value.rpartition("/")[2] == value
        case "path", "pattern":
            return compile_pattern(value).fullmatch(first.value) is not None
        case "path", "dir":
            return _holds(second, first.value)
        case "execname", "execname":
            return first.value == value
        case "dir", "dir":
            return _directories(first, second)
        case "pattern", "dir":
            return _share(literal_prefix(first.value), value)
        case "pattern", "pattern":
            return first.value == value or _share(literal_prefix(first.value), literal_prefix(value))
    return True


def _holds(directory: Rule, path: str) -> bool:
    if path + "/" == directory.value:
        return True
    below = path.startswith(directory.value)
    return below and (directory.recursive or "/" not in path[len(directory.value) :])


def _directories(one: Rule, other: Rule) -> bool:
    upper, lower = sorted((one, other), key=lambda r: len(r.value))
    if not lower.value.startswith(upper.value):
        return False
    return upper.recursive or _holds(upper, lower.value.rstrip("/")) or lower.value == upper.value


def _share(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)

"""``dead-rule``: rules that another makes pointless, by the same key or by covering them."""

from __future__ import annotations

from collections.abc import Iterator

from models.checks.context import Context, Mistake, Severity
from models.policy import Action, Rule, WrittenRuleset
from models.rule_cover import covers, path_covers

__all__ = ["dead_rule"]


def dead_rule(context: Context) -> Iterator[Mistake]:
    """A rule that never decides, or adds nothing to a wider one."""
    written = context.written
    lost: set[tuple[str, str, str]] = set()
    if isinstance(written, WrittenRuleset) and not context.kubearmor:  # KubeArmor takes the last: `last-wins`
        for conflict in written.conflicts:
            loser, winner = conflict.loses, conflict.wins
            lost.add((loser.policy, loser.where, loser.value))
            message = f"{loser.action} {loser.value} never takes effect: {_name(winner)} blocks the same, in any order"
            yield context.mistake("dead-rule", Severity.WARNING, loser, message, "keep one of the two")
    rules = [r for r in context.rules if r.section in ("process", "file", "network", "capabilities")]
    wide = [n for n, r in enumerate(rules) if r.match in ("dir", "pattern", "execname") or r.value.lower() == "all"]
    same_value: dict[tuple[str, str, str], list[int]] = {}
    for n, rule in enumerate(rules):
        same_value.setdefault(_object(rule), []).append(n)
    for index, rule in enumerate(rules):
        if (rule.policy, rule.where, rule.value) in lost:
            continue
        candidates = dict.fromkeys([*same_value[_object(rule)], *wide])
        wider = next((rules[n] for n in candidates if _makes_superfluous(rules, rules[n], n, rule, index)), None)
        if wider is not None:
            same = covers(rule, wider)
            message = f"{rule.action} {rule.value} adds nothing: {_name(wider)} " + (
                "says the same" if same else f"({wider.value}) has all of it"
            )
            yield context.mistake("dead-rule", Severity.NOTE, rule, message, "leave it out")


def _object(rule: Rule) -> tuple[str, str, str]:
    return rule.section, rule.match, rule.value.lower() if rule.match == "protocol" else rule.value


def _name(rule: Rule) -> str:
    return f"{rule.policy} {rule.where}"


def _makes_superfluous(rules: list[Rule], wider: Rule, at: int, rule: Rule, index: int) -> bool:
    if at == index or not covers(wider, rule) or _flags(wider) != _flags(rule):
        return False  # a read-only rule inside a wider one takes something away
    if covers(rule, wider):
        return at < index  # the same twice: the first stays
    if wider.section not in ("process", "file"):
        return True
    # what lies between the two, or beside them on the narrower one's paths, may need the narrower rule to win
    between = (
        r
        for n, r in enumerate(rules)
        if n not in (at, index)
        and r.section == rule.section
        and (path_covers(r, rule) or path_covers(rule, r) or r.match in ("pattern", "execname"))
        and not (r.action is Action.ALLOW and covers(r, rule))
    )
    return not any(_interferes(r, wider, rule) for r in between)


def _flags(rule: Rule) -> tuple[object, ...]:
    return rule.read_only, rule.owner_only, rule.no_terminal, rule.allowed_args


def _interferes(other: Rule, wider: Rule, rule: Rule) -> bool:
    """Whether a third rule would decide some of the narrower rule's accesses differently once that is gone."""
    if other.action is rule.action and covers(wider, other) and path_covers(rule, other):
        return False
    return not path_covers(other, wider) or other.match in ("pattern", "execname") or other.sources is not None

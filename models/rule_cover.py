"""When one rule permits all that another permits: what makes a rule superfluous, and a change wider or narrower."""

from __future__ import annotations

from models.policy import Rule, compile_pattern
from models.policy.patterns import SPECIAL, literal_prefix

__all__ = ["covers", "path_covers", "same_object"]


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether `wide` permits whatever `narrow` permits. True for equal rules; False where it is not certain."""
    return (
        wide.section == narrow.section
        and wide.action is narrow.action
        and _object_covers(wide, narrow)
        and (not wide.read_only or narrow.read_only)
        and (not wide.owner_only or narrow.owner_only)
        and (not wide.no_terminal or narrow.no_terminal)
        and (
            not wide.allowed_args or (bool(narrow.allowed_args) and set(narrow.allowed_args) <= set(wide.allowed_args))
        )
        and _sources_cover(wide, narrow)
    )


def _sources_cover(wide: Rule, narrow: Rule) -> bool:
    if wide.sources is None:
        return True
    return narrow.sources is not None and set(narrow.sources) <= set(wide.sources)


def _object_covers(wide: Rule, narrow: Rule) -> bool:
    if wide.section in ("process", "file"):
        return path_covers(wide, narrow)
    if wide.match == "domain" and narrow.match == "domain":
        return ("." + narrow.value.strip(".").lower()).endswith("." + wide.value.strip(".").lower())
    if wide.match == "protocol" and narrow.match == "protocol":
        return wide.value.lower() in ("all", narrow.value.lower())
    return same_object(wide, narrow)


def same_object(one: Rule, other: Rule) -> bool:
    """Whether two rules are about the same thing, whatever they permit."""
    return (one.section, one.match, one.value.lower() if one.match == "protocol" else one.value) == (
        other.section,
        other.match,
        other.value.lower() if other.match == "protocol" else other.value,
    )


def path_covers(wide: Rule, narrow: Rule) -> bool:
    """Whether every path of `narrow` is one of `wide`. Of two different patterns nothing is known, so False."""
    if wide.match == narrow.match and wide.value == narrow.value:
        return wide.recursive or not narrow.recursive
    if wide.match == "dir":
        if narrow.match == "path" and narrow.value + "/" == wide.value:
            return True  # the directory itself
        if narrow.match == "execname":
            return wide.value == "/" and wide.recursive
        if narrow.match == "pattern":
            prefix = literal_prefix(narrow.value)
            inside = prefix.startswith(wide.value)
            rest = narrow.value[len(wide.value) :]
            return inside and (wide.recursive or ("/" not in rest and "**" not in rest))
        inside = narrow.value.startswith(wide.value)
        rest = narrow.value[len(wide.value) :]
        if narrow.match == "dir":
            return inside and wide.recursive
        return inside and (wide.recursive or "/" not in rest)
    if wide.match == "pattern":
        if narrow.match == "path":
            return compile_pattern(wide.value).fullmatch(narrow.value) is not None
        if narrow.match == "dir" and wide.value.endswith("**") and not any(c in wide.value[:-2] for c in SPECIAL):
            return narrow.value.startswith(wide.value[:-2]) and len(narrow.value) > len(wide.value) - 2
    if wide.match == "execname" and narrow.match == "path":
        return narrow.value.rpartition("/")[2] == wide.value
    return False

r"""Names that differ in a part of known shape: pids, uuids, hashes, counters, temporary suffixes.

`cluster` takes the names of one directory and finds groups of at least three that are the same but for such parts.
A part keeps its shape: digits stay digits, a hash keeps its length, a suffix of ``mkstemp`` its six letters and digits.
Words that merely differ are no shape: whether ``*`` may stand for them is decided by price and evidence, elsewhere.

How a name is read, first to last:

1. runs of letters and digits are tokens, everything else stands for itself;
2. a token of digits varies; so do the digits of ``page12``, one that mixes letters and digits otherwise, and one with a
   capital inside (``ocikSO``);
3. names alike in all that does not vary are one group;
4. names left over that fit a group join it (``item-abcdef`` beside ``item-12ab9f``), and names of one length with a
   common beginning and a rest that looks random are one (Python's ``tmpk3j_8x2a``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.policy.patterns import compile_pattern

__all__ = [
    "EXAMPLES",
    "Group",
    "beside",
    "cluster",
    "escape",
    "joined",
    "looks_random",
    "united",
    "varies_alone",
    "well_known",
]

EXAMPLES = 3
"""Differing examples that a slot is learned from."""
_SPECIAL = frozenset("*?[]{},\\^")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_TOKENS = re.compile(rf"{_UUID.pattern}|[0-9A-Za-z]+|[^0-9A-Za-z]")
_WORD_NUMBER = re.compile(r"([A-Za-z]{2,}|[g-zG-Z])([0-9]+)")
_HEX = re.compile(r"[0-9a-f]+")
_HEX_UPPER = re.compile(r"[0-9A-F]+")
_EPOCH = re.compile(r"1[5-9][0-9]{8}(?:[0-9]{3}){0,3}")
_KERNEL = ("/proc", "/dev/pts", "/sys/fs/cgroup")
_CONTAINER_ID = re.compile(r"(|.*[-_])([0-9a-f]{32}|[0-9a-f]{64})(\..*|)")
_CAMEL = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,})*[A-Z]?")
"""Words written as one: ``indexPage``, ``IndexPage``, ``Readme``."""
_MIXED = re.compile(r"(?=.*[A-Za-z]).*[0-9]")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_MONTH = re.compile(r"0[1-9]|1[0-2]")
_DAY = re.compile(r"0[1-9]|[12][0-9]|3[01]")
_PYTHON = 8
"""Python's tempfile: eight of ``abcdefghijklmnopqrstuvwxyz0123456789_`` (``_RandomNameSequence``)."""
EXACT = 64
"""A part of a fixed length is written character by character up to this; a longer one ends in as many ``?``."""


@dataclass(frozen=True)
class Group:
    """Names of one shape: `pattern` in the glob language of `models.policy.patterns`, and the names that it holds."""

    pattern: str
    names: tuple[str, ...]
    kind: str
    """What varies, for people: ``number``, ``counter``, ``hash``, ``random suffix``, ``uuid``, ``time``."""
    prefix: str
    """The literal beginning that all share."""


def escape(text: str) -> str:
    """A literal in the glob language; what no rule can hold (control characters, broken UTF-8) becomes ``?``."""
    out = []
    for character in text:
        if character in _SPECIAL:
            out.append("\\" + character)
        elif character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character <= "\udfff":
            out.append("?")
        else:
            out.append(character)
    return "".join(out)


def varies_alone(directory: str) -> bool:
    """Whether `well_known` may know more names of a directory than those that begin with ``#`` or a dot."""
    return directory.startswith(_KERNEL)


def well_known(directory: str, name: str) -> tuple[str, str] | None:
    """The pattern and kind of a name that is known to vary from run to run, from a single example.

    The kernel's own name spaces and Kubernetes' atomic writer: ``/proc/PID``, ``/proc/PID/task/TID``,
    ``/proc/PID/fd/N``, ``/dev/pts/N``, ``#INODE`` of an ``O_TMPFILE``, a container's id in the name of its cgroup,
    ``..2026_01_02_…`` of a mounted ConfigMap.
    """
    if name.isdigit() and (directory == "/proc" or re.fullmatch(r"/proc/[^/]+/(task|fd|fdinfo)|/dev/pts", directory)):
        return "[0-9]*", "pid" if directory.startswith("/proc") and "/fd" not in directory else "number"
    if directory.startswith("/sys/fs/cgroup") and (match := _CONTAINER_ID.fullmatch(name)):
        return f"{escape(match[1])}{'[0-9a-f]' * len(match[2])}{escape(match[3])}", "container id"
    if re.fullmatch(r"#[0-9]+", name):
        return "#[0-9]*", "file without a name"
    if re.fullmatch(r"\.\.[0-9]{4}(_[0-9]{2}){5}\.[0-9]+", name):
        day = "[0-9]" * 4 + "_[0-9][0-9]" * 5
        return f"..{day}.[0-9]*", "ConfigMap revision"
    return None


def beside(name: str, sibling: str) -> tuple[str, str, str] | None:
    """The pattern, kind and literal beginning of a temporary copy: a file's own name and six random letters and digits.

    ``redis.conf.nK0Lzj`` beside ``redis.conf``: what ``mkstemp`` makes of the template ``redis.conf.XXXXXX``. One that
    is renamed to its sibling needs no second example.
    """
    rest = name.removeprefix(sibling)
    match = re.fullmatch(r"([.\-_~#+]?)([0-9A-Za-z]{6})", rest) if rest != name else None
    if not match or not _is_odd(match[2]):
        return None
    prefix = sibling + match[1]
    return escape(prefix) + "[0-9A-Za-z]" * 6, "temporary copy", prefix


def looks_random(values: Sequence[str]) -> bool:
    """Whether texts are more like random letters and digits than like words: most mix the two, or cases, inside."""
    odd = sum(1 for v in values if _is_odd(v))
    return odd > 0 and odd * 2 >= len(values)


def _is_odd(value: str) -> bool:
    if not value.isalpha() and _MIXED.match(value):
        return len(value) >= 4
    return len(value) >= 5 and not value.islower() and not value.isupper() and not _CAMEL.fullmatch(value)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place that varies, while names are being grouped."""


_SLOT = _Slot()
_Signature = tuple["str | _Slot", ...]


def _read(name: str, *, whole: bool) -> tuple[_Signature, tuple[str, ...]]:
    """What stays and what varies of a name; `whole` lets a token vary only as a whole."""
    signature: list[str | _Slot] = []
    values: list[str] = []
    for token in _TOKENS.findall(name):
        if not token[0].isalnum() or not token.isascii():
            signature.append(token)
        elif "-" in token or token.isdigit():
            signature.append(_SLOT)
            values.append(token)
        elif token.isalpha() and not _is_odd(token):
            signature.append(token)
        elif not whole and (match := _WORD_NUMBER.fullmatch(token)):
            signature += [match[1], _SLOT]
            values.append(match[2])
        else:
            signature.append(_SLOT)
            values.append(token)
    return tuple(signature), tuple(values)


def cluster(names: Iterable[str]) -> tuple[list[Group], list[str]]:
    """The groups in the names of one directory, and the names in none; both in a fixed order.

    Linear in the number of names: each is read twice at most.
    """
    left = sorted(set(names))
    groups, left = _buckets(left)
    for whole in (False, True):
        if len(left) < EXAMPLES:
            break
        read: dict[_Signature, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
        for name in left:
            signature, values = _read(name, whole=whole)
            if values:
                read[signature].append((name, values))
        for signature, members in read.items():
            groups += _grouped(signature, members)
        taken = {n for g in groups for n in g.names}
        left = [n for n in left if n not in taken]
    groups, left = joined(groups, left)
    more, left = _beginnings(left)
    return united(groups + more), left


def united(groups: list[Group]) -> list[Group]:
    """One group a pattern: names of one shape can have been read in two ways."""
    by_pattern: dict[str, Group] = {}
    for group in groups:
        known = by_pattern.get(group.pattern)
        names = group.names if known is None else tuple(sorted({*known.names, *group.names}))
        by_pattern[group.pattern] = Group(group.pattern, names, group.kind, group.prefix)
    return [by_pattern[p] for p in sorted(by_pattern)]


def _buckets(names: list[str]) -> tuple[list[Group], list[str]]:
    """Directories of a hashed store: names of one to four hexadecimal digits, letters and digits among them."""
    families: dict[int, list[str]] = defaultdict(list)
    for name in names:
        if len(name) <= 4 and _HEX.fullmatch(name):
            families[len(name)].append(name)
    groups = []
    for size, members in sorted(families.items()):
        mixed = any(n.isdigit() for n in members) and any(not n.isdigit() for n in members)
        if len(members) >= 2 * EXAMPLES and mixed:
            groups.append(Group("[0-9a-f]" * size, tuple(members), "hash", ""))
    taken = {n for g in groups for n in g.names}
    return groups, [n for n in names if n not in taken]


def _grouped(signature: _Signature, members: list[tuple[str, tuple[str, ...]]]) -> list[Group]:
    """One group, with the places that do not vary after all made literal; none if no place has enough examples."""
    if len(members) < EXAMPLES:
        return []
    varies = [len({values[i] for _, values in members}) for i in range(len(members[0][1]))]
    if max(varies) < EXAMPLES:
        return []
    columns = [sorted({values[i] for _, values in members}) for i in range(len(varies))]
    dates = _dates(signature, columns)
    pieces: list[str] = []
    prefix: list[str] = []
    kinds: list[str] = []
    place = -1
    for piece in signature:
        if isinstance(piece, str):
            literal: str | None = piece
        else:
            place += 1
            column = columns[place]
            literal = column[0] if len(column) == 1 and place not in dates else None
        if literal is not None:
            pieces.append(escape(literal))
            if not kinds:
                prefix.append(literal)
            continue
        start = _word_before(column)
        shape = ("[0-9]" * len(column[0]), "time") if place in dates else _shape([v[len(start) :] for v in column])
        if shape is None:
            return []
        pieces.append(escape(start) + shape[0])
        if not kinds:
            prefix.append(start)
        kinds.append(shape[1])
    names = tuple(sorted(n for n, _ in members))
    return [Group("".join(pieces), names, _kind(kinds), "".join(prefix))]


def _word_before(values: Sequence[str]) -> str:
    """The word that all values of one length begin with: ``tmp`` of ``tmpk3j78x2a``. Three letters are no accident."""
    if len({len(v) for v in values}) > 1:
        return ""
    start = re.match(r"[A-Za-z]*", _common(values))
    return start[0] if start and len(start[0]) >= 3 and len(values[0]) - len(start[0]) >= 6 else ""


def _dates(signature: _Signature, columns: Sequence[Sequence[str]]) -> set[int]:
    """The places that are a year, a month and a day: all of a date varies, though a part of it did not so far."""
    found: set[int] = set()
    place = -1
    for at, piece in enumerate(signature):
        if isinstance(piece, str):
            continue
        place += 1
        if not all(_YEAR.fullmatch(v) for v in columns[place]):
            continue
        between = signature[at + 1 : at + 2]
        parts = [place]
        for number, allowed in enumerate((_MONTH, _DAY), 1):
            step = at + 2 * number
            following = signature[step : step + 1]
            if signature[step - 1 : step] != between or len(following) == 0 or isinstance(following[0], str):
                break
            if not all(allowed.fullmatch(v) for v in columns[place + number]):
                break
            parts.append(place + number)
        if len(parts) > 1 and between[0] in tuple("-_."):
            found.update(parts)
    return found


def _kind(kinds: Sequence[str]) -> str:
    for kind in ("uuid", "random suffix", "hash", "time", "counter"):
        if kind in kinds:
            return kind
    return kinds[0]


def _shape(values: Sequence[str]) -> tuple[str, str] | None:
    """The pattern and the kind of a place from the values it had; None where they look like words."""
    lengths = {len(v) for v in values}
    fixed = len(lengths) == 1
    size = max(lengths)
    if all(v.isdigit() for v in values):
        if all(_EPOCH.fullmatch(v) for v in values):
            return "[0-9]" * min(lengths) + ("" if fixed else "*"), "time"
        if fixed and size > 1 and any(v.startswith("0") for v in values):
            # a count of whole words padded with zeros is hexadecimal: PostgreSQL's …0009 is followed by …000A
            letters = "[0-9A-Fa-f]" if size % 8 == 0 else "[0-9]"
            return _repeat(letters, size), "counter"
        # four digits today are five tomorrow: pids and object numbers grow
        return "[0-9]*", "number"
    if all(_UUID.fullmatch(v) for v in values):
        letters = "[0-9a-f]" if all(v == v.lower() for v in values) else "[0-9a-fA-F]"
        return "-".join(letters * n for n in (8, 4, 4, 4, 12)), "uuid"
    for expression, letters in ((_HEX, "[0-9a-f]"), (_HEX_UPPER, "[0-9A-F]")):
        if all(expression.fullmatch(v) for v in values) and (looks_random(values) or (fixed and size >= 6)):
            return (_repeat(letters, size) if fixed else letters + "*"), "hash"
    if not looks_random(values):
        return None
    if fixed and size == _PYTHON and all(v == v.lower() for v in values):
        return "[0-9a-z_]" * size, "random suffix"
    return (_repeat("[0-9A-Za-z]", size) if fixed else "[0-9A-Za-z]*"), "random suffix"


def _repeat(letters: str, size: int) -> str:
    return letters * min(size, EXACT) + "?" * max(0, size - EXACT)


def joined(groups: list[Group], left: list[str]) -> tuple[list[Group], list[str]]:
    """Left-over names go to the group that they fit."""
    if not groups or not left:
        return groups, left
    by_prefix = [(g.prefix, compile_pattern(g.pattern), g) for g in groups]
    gained: dict[str, list[str]] = defaultdict(list)
    rest = []
    for name in left:
        for prefix, expression, group in by_prefix:
            if name.startswith(prefix) and expression.fullmatch(name):
                gained[group.pattern].append(name)
                break
        else:
            rest.append(name)
    return [
        Group(g.pattern, tuple(sorted((*g.names, *gained[g.pattern]))), g.kind, g.prefix) if gained[g.pattern] else g
        for g in groups
    ], rest


def _beginnings(left: list[str]) -> tuple[list[Group], list[str]]:
    """Names of one length with a common beginning of two letters or more and a random rest of six to sixteen."""
    families: dict[tuple[int, str], list[str]] = defaultdict(list)
    for name in left:
        if len(name) >= 8:
            families[len(name), name[:2]].append(name)
    groups = []
    for (_, _), names in sorted(families.items()):
        if len(names) < EXAMPLES:
            continue
        # a letter that all rests happen to share belongs to the rest, not to the beginning
        prefix = re.sub(r"[0-9A-Za-z]*$", "", _common(names)) or _common(names)
        rests = [n[len(prefix) :] for n in names]
        size = len(rests[0])
        if not 6 <= size <= 16 or not all(re.fullmatch(r"[0-9A-Za-z_]+", r) for r in rests):
            continue
        if sum(1 for r in rests if any(c.isdigit() or c == "_" for c in r)) * 3 < len(rests) * 2:
            continue
        letters = "[0-9a-z_]" if all(r == r.lower() for r in rests) else "[0-9A-Za-z_]"
        groups.append(Group(escape(prefix) + _repeat(letters, size), tuple(sorted(names)), "random suffix", prefix))
    taken = {n for g in groups for n in g.names}
    return groups, [n for n in left if n not in taken]


def _common(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    size = 0
    while size < min(len(first), len(last)) and first[size] == last[size]:
        size += 1
    return first[:size]

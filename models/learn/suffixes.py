"""Names that vary in ways that a look at each name alone does not show.

- `suffixed`: one part of equal length is another in each name and the rest is the same, ``job-bD6Ccs``, ``job-mBxWvr``,
  ``job-AYlpjn``: most of the parts look random, or the directory is one for files that come and go;
- `generations`: files that the workload writes anew under the next number, ``appendonly.aof.1.incr.aof`` and ``.2.``:
  two in a row are a count that goes on;
- `fan`: directories of one to three hexadecimal digits over names of long hashes, ``f/5a/045c…``: the store's fan, so
  that a handful of examples is enough for all of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from models.learn.shapes import EXAMPLES, Group, escape, looks_random
from models.learn.trie import Node

__all__ = ["fan", "generations", "suffixed"]

_PART = re.compile(r"[0-9A-Za-z]{6,16}")
_HASH = re.compile(r"[0-9a-f]{16,}(\..*)?")
_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{1,9}(?![0-9A-Za-z])")
"""A number that stands alone between other characters."""
_FEW = re.compile(r"[0-9a-f]{1,3}")
_DEEPEST = 3
"""Levels of a fan: ``f/5a/…`` has two."""


def suffixed(names: Sequence[str], *, scratch: bool) -> tuple[list[Group], list[str]]:
    """Groups of at least three names that differ in one part of the same length, and the names in none.

    `scratch`: the names are in a directory for files that come and go, where three fresh names are proof enough.
    """
    families: dict[tuple[str, str, int], dict[str, str]] = defaultdict(dict)
    for name in sorted(set(names)):
        for match in _PART.finditer(name):
            families[name[: match.start()], name[match.end() :], len(match[0])][name] = match[0]
    groups = []
    taken: set[str] = set()
    for (before, after, size), members in sorted(families.items(), key=lambda f: (-len(f[1]), f[0])):
        free = {n: v for n, v in members.items() if n not in taken}
        values = list(free.values())
        if len(free) < EXAMPLES or not (looks_random(values) or (scratch and before)):
            continue
        lower = all(v == v.lower() for v in values)
        # eight of Python's tempfile, which has an underscore among them; else six and more of mkstemp's
        letters = "[0-9a-z_]" if lower and size == 8 else "[0-9A-Za-z]"
        pattern = escape(before) + letters * size + escape(after)
        groups.append(Group(pattern, tuple(free), "random suffix", before))
        taken |= free.keys()
    return groups, [n for n in names if n not in taken]


def generations(children: Sequence[Node]) -> list[Group]:
    """Groups of two and more written names that differ in one number, which counts without a gap."""
    families: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for child in sorted(children, key=lambda c: c.name):
        if child.writes:
            for match in _NUMBER.finditer(child.name):
                if not match[0].startswith("0"):
                    families[child.name[: match.start()], child.name[match.end() :]][int(match[0])] = child.name
    groups = []
    taken: set[str] = set()
    for (before, after), members in sorted(families.items(), key=lambda f: (-len(f[1]), f[0])):
        free = {n: name for n, name in members.items() if name not in taken}
        if len(free) >= 2 and max(free) - min(free) == len(free) - 1 and before.strip("._-"):
            pattern = f"{escape(before)}[0-9]*{escape(after)}"
            groups.append(Group(pattern, tuple(sorted(free.values())), "generation", before))
            taken |= set(free.values())
    return groups


def fan(children: Sequence[Node]) -> list[Group]:
    """The short hexadecimal directories among some names below which all is hashes, three at least, by their length."""
    by_size: dict[int, list[Node]] = defaultdict(list)
    for child in children:
        if child.children and _FEW.fullmatch(child.name):
            by_size[len(child.name)].append(child)
    groups = []
    for size, members in sorted(by_size.items()):
        leaves = [leaf for child in members for leaf in _leaves(child, 1)]
        if len(leaves) >= EXAMPLES and all(_HASH.fullmatch(leaf) for leaf in leaves):
            groups.append(Group("[0-9a-f]" * size, tuple(sorted(c.name for c in members)), "hash", ""))
    return groups


def _leaves(node: Node, depth: int) -> Iterator[str]:
    """The names of the files below; an empty one for what is too deep, or no directory of a fan."""
    for child in node.children.values():
        if not child.children:
            yield child.name
        elif depth < _DEEPEST and _FEW.fullmatch(child.name):
            yield from _leaves(child, depth + 1)
        else:
            yield ""

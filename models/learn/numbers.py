r"""A number beside one that varies: ``t3_16455`` and ``t3_16458``, of which the next unit has ``t4_16491``.

In names that a workload makes up, a number that stayed the same in *n* units is another in the next with a chance of
about 1 in *n* + 1 (Laplace's rule of succession), and every name of the group is denied then: with the price of a
denial that is dearer than an open number for any *n* that is ever recorded. So it varies as well, where

- the varying part is a number itself, and the workload wrote all the names;
- the directory is not one whose names decide what runs (`models.learn.sensitive.is_protected`);
- the number is in the stem: that of an ending (``.mp3``) is its name, and a digit of a hash or a version of several
  parts (``3.11``) is no count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from models.learn.shapes import Group
from models.learn.trie import Node

__all__ = ["with_numbers"]

_NUMBER = "[0-9]*"
_COUNT = re.compile(r"(?<![0-9A-Za-z.])([g-zG-Z]?)([1-9][0-9]{0,8})(?![0-9A-Za-z.])")
"""A number of its own, or after a single letter that is no hexadecimal digit."""


def with_numbers(group: Group, members: Sequence[Node]) -> Group:
    """The group with the numbers of its literal parts open, where they may be; else as it is."""
    if group.kind != "number" or not all(m.writes and not m.children for m in members):
        return group
    stem, ending = _split(group.pattern)
    literals = re.split(r"(\[[^\]]*\]\*?)", stem)
    # the neighbours of a literal part are slots: a number that touches one is no number of its own
    opened = []
    for place, text in enumerate(literals):
        if place % 2:
            opened.append(text)
            continue
        before, after = ("0" if place else ""), ("0" if place + 1 < len(literals) else "")
        marked = _COUNT.sub(rf"\1{_NUMBER}", before + text + after)
        opened.append(marked[len(before) : len(marked) - len(after)])
    pattern = "".join(opened) + ending
    if pattern == group.pattern:
        return group
    first = _COUNT.search(group.prefix + "_")
    prefix = group.prefix[: first.start(2)] if first else group.prefix
    return replace(group, pattern=pattern, prefix=prefix)


def _split(pattern: str) -> tuple[str, str]:
    """The stem, and the ending with its dot where it is a word."""
    match = re.search(r"\.[0-9]?[A-Za-z][0-9A-Za-z]{0,9}\Z", pattern)
    return (pattern[: match.start()], match[0]) if match else (pattern, "")

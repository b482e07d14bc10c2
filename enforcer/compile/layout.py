"""Lays automata and tables out as one array of 64-bit words: what a policy is in the kernel.

A *double array*: a state is a place in the array, its column `c` the word at place + c, which belongs to it if the
word's upper half says so. Rows of different states interlock, so that a trie of a hundred thousand states, with one or
two columns each, takes about a word a column. No row crosses a block: the kernel looks a block up once and reads on.
"""

from __future__ import annotations

from array import array

from enforcer.compile.automaton import WIDTH, Automata
from enforcer.errors import PolicyRefused

__all__ = ["BLOCK", "Words", "place_rows"]

BLOCK = 4096
"""Words in one block, which is one entry of the kernel's array map (32 KiB)."""
HEAD = 64
"""Words at the beginning that `tables.Head` uses."""
MOST = 1 << 28  # places that fit beside the flags
_TRIES = 48


class Words:
    """A growing array of words in whole blocks."""

    def __init__(self) -> None:
        self.data = array("Q", bytes(8 * BLOCK))

    def grow(self, words: int) -> None:
        """Have at least so many words."""
        missing = words - len(self.data)
        if missing > 0:
            self.data.frombytes(bytes(8 * BLOCK * -(-missing // BLOCK)))
        if len(self.data) > MOST:
            raise PolicyRefused(
                f"the policy's tables need more than {MOST} words", "enforce fewer rules on one workload"
            )


class _Places:
    """Free words, and the places that are some state's."""

    def __init__(self) -> None:
        self.used = bytearray(b"\1" * HEAD + b"\0" * (BLOCK - HEAD))
        self.taken = bytearray(b"\1" + bytes(BLOCK - 1))  # no state at 0
        self.cursor = HEAD

    def find(self, columns: list[int]) -> int:
        """A place whose words at these columns are free, all in one block."""
        used, taken, lowest = self.used, self.taken, columns[0]
        tries, at = 0, self.cursor
        while True:
            free = used.find(0, at)
            if free < 0:
                used.extend(bytes(BLOCK))
                taken.extend(bytes(BLOCK))
                continue
            place = free - lowest
            if place % BLOCK > BLOCK - WIDTH:  # its row would cross into the next block
                at = (place // BLOCK + 1) * BLOCK + lowest
                continue
            if not taken[place] and not any(used[place + column] for column in columns):
                return place
            tries, at = tries + 1, free + 1
            if tries == _TRIES:
                self.cursor = at

    def take(self, place: int, columns: list[int]) -> None:
        """Give these words to the state at `place`."""
        self.taken[place] = 1
        for column in columns:
            self.used[place + column] = 1


def place_rows(automata: Automata, words: Words) -> tuple[list[int], int]:
    """Write all rows; the place of each state, and the first word behind them."""
    places, found = _Places(), [0] * len(automata)
    order = _near_first(automata)
    columns_of = {}
    for state in order:
        columns = sorted(automata.rows[state]) or [WIDTH - 1]
        found[state] = places.find(columns)
        places.take(found[state], columns)
        columns_of[state] = columns
    words.grow(len(places.used))
    data, flags = words.data, automata.flags
    for state in order:
        place, row = found[state], automata.rows[state]
        owner = place << 32
        for column in columns_of[state]:
            value = row.get(column, 0)
            if column != WIDTH - 1 and value:
                value = found[value] | flags[value]
            data[place + column] = owner | value
    return found, len(words.data)


def _near_first(automata: Automata) -> list[int]:
    """States in the order in which a path meets them, so that it stays in few blocks."""
    order, pending, seen = [], [], bytearray(len(automata))
    for root in range(1, len(automata)):
        if seen[root]:
            continue
        seen[root] = 1
        pending.append(root)
        while pending:
            state = pending.pop()
            order.append(state)
            for column, following in automata.rows[state].items():
                if column != WIDTH - 1 and following and not seen[following]:
                    seen[following] = 1
                    pending.append(following)
    return order

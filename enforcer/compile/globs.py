"""``matchPatterns`` as one automaton: each glob nondeterministic over bytes, all together one whose states are sets.

The globs are those of `models.policy.patterns`. ``?`` and ``[^…]`` take one character of UTF-8, or one byte where the
name is none. The number of sets may explode (``**a**`` many times over), so it has a bound, past which the policy is
refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from enforcer.compile.automaton import ACCEPT, DEFAULT, LOOP, STOP, Automata
from enforcer.errors import PolicyRefused
from models.policy import Rule

__all__ = ["STATES", "patterns"]

STATES = 8_192
"""Most states of the patterns of one class."""
_MEMBERS = 1024  # characters beyond ASCII in one set
ANY = (1 << 256) - 2  # a path has no NUL
NAME = ANY & ~(1 << 0x2F)
_ASCII = ((1 << 128) - 2) & ~(1 << 0x2F)


def _bytes(first: int, last: int) -> int:
    return (1 << last + 1) - (1 << first)


_STRAY = _bytes(0x80, 0xC1) | _bytes(0xF5, 0xFF)  # where a character begins, these begin none
_TAIL = _bytes(0x80, 0xBF)
_LONGER = (  # RFC 3629, section 4
    (_bytes(0xC2, 0xDF), _TAIL),
    (1 << 0xE0, _bytes(0xA0, 0xBF), _TAIL),
    (_bytes(0xE1, 0xEC) | _bytes(0xEE, 0xEF), _TAIL, _TAIL),
    (1 << 0xED, _bytes(0x80, 0x9F), _TAIL),
    (1 << 0xF0, _bytes(0x90, 0xBF), _TAIL, _TAIL),
    (_bytes(0xF1, 0xF3), _TAIL, _TAIL, _TAIL),
    (1 << 0xF4, _bytes(0x80, 0x8F), _TAIL, _TAIL),
)


class _Nfa:
    """States with edges (set of bytes as a number of 256 bits, where it leads) and edges that take no byte."""

    def __init__(self) -> None:
        self.edges: list[list[tuple[int, int]]] = []
        self.free: list[list[int]] = []
        self.accepts: dict[int, int] = {}

    def state(self) -> int:
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def step(self, state: int, mask: int) -> int:
        following = self.state()
        self.edges[state].append((mask, following))
        return following

    def sequences(self, state: int, choices: Sequence[Sequence[int]]) -> int:
        end = self.state()
        for masks in choices:
            at = state
            for mask in masks[:-1]:
                at = self.step(at, mask)
            self.edges[at].append((masks[-1], end))
        return end

    def closure(self, states: frozenset[int]) -> frozenset[int]:
        found, pending = set(states), list(states)
        while pending:
            for following in self.free[pending.pop()]:
                if following not in found:
                    found.add(following)
                    pending.append(following)
        return frozenset(found)


class _Reader:
    """Reads one glob into an automaton; the grammar is that of `models.policy.patterns.compile_pattern`."""

    def __init__(self, nfa: _Nfa, pattern: str, refuse: Callable[[str, str], PolicyRefused]) -> None:
        self.nfa, self.text, self.at, self.refuse = nfa, pattern, 0, refuse

    def read(self, start: int) -> int:
        """The state after the whole pattern."""
        return self._alternatives(start, inside=False)

    def _alternatives(self, start: int, *, inside: bool) -> int:
        nfa, ends, state = self.nfa, [], start
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if inside and char == "}":
                break
            if inside and char == ",":
                ends.append(state)
                state = nfa.state()
                nfa.free[start].append(state)
            else:
                state = self._one(state, char)
        if not ends:
            return state
        end = nfa.state()
        for last in (*ends, state):
            nfa.free[last].append(end)
        return end

    def _one(self, state: int, char: str) -> int:
        nfa = self.nfa
        if char == "*":
            mask = NAME
            while self.text[self.at : self.at + 1] == "*":
                self.at, mask = self.at + 1, ANY
            loop = nfa.state()
            nfa.free[state].append(loop)
            nfa.edges[loop].append((mask, loop))
            return loop
        if char == "?":
            return nfa.sequences(state, ((_ASCII | _STRAY,), *_LONGER))
        if char == "[":
            return self._set(state)
        if char == "{":
            inner = nfa.state()
            nfa.free[state].append(inner)
            return self._alternatives(inner, inside=True)
        if char == "\\" and self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
        for byte in char.encode("utf-8", "surrogateescape"):
            state = nfa.step(state, 1 << byte)
        return state

    def _set(self, state: int) -> int:
        text = self.text
        negated = text.startswith("^", self.at)
        end = text.find("]", self.at + 1 + negated)
        body = text[self.at + negated : end]
        self.at = end + 1
        ascii_members, longer = 0, set()
        index = 0
        while index < len(body):
            first = last = ord(body[index])
            if body[index + 1 : index + 2] == "-" and index + 2 < len(body):
                last = ord(body[index + 2])
                index += 2
            index += 1
            if last < first:
                raise self.refuse(f"[{body}] has a range that runs backwards", "write its ends the other way round")
            if last >= 0x80 and last - max(first, 0x80) >= _MEMBERS:
                raise self.refuse(
                    f"[{body}] has too many characters", f"name at most {_MEMBERS} beyond ASCII, or use ?"
                )
            ascii_members |= _bytes(first, min(last, 0x7F)) if first < 0x80 else 0
            longer |= set(range(max(first, 0x80), last + 1))
        if negated:
            if longer:
                raise self.refuse(f"[^{body}] leaves out characters beyond ASCII", "leave out ASCII characters alone")
            return self.nfa.sequences(state, ((_ASCII & ~ascii_members | _STRAY,), *_LONGER))
        choices = [[1 << b for b in chr(code).encode("utf-8", "surrogateescape")] for code in sorted(longer)]
        return self.nfa.sequences(state, ([ascii_members & _ASCII], *choices))


@lru_cache(maxsize=4096)
def _members(mask: int) -> tuple[int, ...]:
    return tuple(byte for byte in range(256) if mask >> byte & 1)


def patterns(
    rules: Sequence[Rule], automata: Automata, part: Callable[[list[Rule]], int], *, limit: int = STATES
) -> int:
    """The start of the automaton of these rules; 0 without any. A path's end means ``part(the rules it matches)``.

    Raises `PolicyRefused` for a set that cannot be written in bytes, and for more states than `limit`.
    """
    if not rules:
        return 0
    nfa = _Nfa()
    root = nfa.state()
    for number, rule in enumerate(rules):
        start = nfa.state()
        nfa.free[root].append(start)
        nfa.accepts[_Reader(nfa, rule.value, _refusing(rule)).read(start)] = number
    return _Determined(nfa, automata, rules, part, limit).start(root)


def _refusing(rule: Rule) -> Callable[[str, str], PolicyRefused]:
    def refuse(why: str, hint: str) -> PolicyRefused:
        return PolicyRefused(f"{rule.policy} {rule.where}: pattern {rule.value!r}: {why}", hint)

    return refuse


class _Determined:
    def __init__(
        self, nfa: _Nfa, automata: Automata, rules: Sequence[Rule], part: Callable[[list[Rule]], int], limit: int
    ) -> None:
        self.nfa, self.automata, self.rules, self.part, self.limit = nfa, automata, rules, part, limit
        self.known: dict[frozenset[int], int] = {}
        self.pending: list[frozenset[int]] = []

    def start(self, root: int) -> int:
        first = self.place(self.nfa.closure(frozenset({root})))
        while self.pending:
            self.expand(self.pending.pop())
        return first

    def place(self, states: frozenset[int]) -> int:
        place = self.known.get(states)
        if place is None:
            if len(self.known) >= self.limit:
                sections = {rule.section for rule in self.rules}
                raise PolicyRefused(
                    f"the {len(self.rules)} {'/'.join(sections)} patterns together need more than {self.limit} states",
                    "fewer patterns with ** in the middle; or name directories and paths instead",
                )
            place = self.known[states] = self.automata.add()
            self.pending.append(states)
        return place

    def expand(self, states: frozenset[int]) -> None:
        nfa, place = self.nfa, self.known[states]
        row = self.automata.rows[place]
        matched = sorted(nfa.accepts[s] for s in states if s in nfa.accepts)
        if matched:
            row[ACCEPT] = self.part([self.rules[n] for n in matched])
        edges = [edge for s in states for edge in nfa.edges[s]]
        blocks = [ANY]  # bytes that lead to the same place, refined by each edge
        for mask in {mask for mask, _ in edges}:
            blocks = [half for block in blocks for half in (block & mask, block & ~mask) if half]
        leads = {}
        for block in blocks:
            targets = frozenset(target for mask, target in edges if mask & block)
            leads[block] = self.place(nfa.closure(targets)) if targets else 0
        wide = Counter[int]()
        for block, target in leads.items():
            wide[target] += block.bit_count()
        default = wide.most_common(1)[0][0]
        for block, target in leads.items():
            if target != default:
                row |= dict.fromkeys(_members(block), target or self._dead())
        if default == place:
            self.automata.flags[place] |= LOOP if any(column < 256 for column in row) else STOP
        elif default:
            row[DEFAULT] = default

    def _dead(self) -> int:
        nothing: frozenset[int] = frozenset()
        if nothing not in self.known:
            self.known[nothing] = self.automata.add(STOP)
        return self.known[nothing]

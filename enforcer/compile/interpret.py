"""The kernel program's half in Python: reads the words of `Tables` exactly as ``bpf/enforce_decide.h`` does.

Tests hold it against the decision function over any number of random policies; the same accesses are then asked of the
kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enforcer.compile.automaton import ACCEPT, CONTEXT, DEFAULT, LOOP, SLASH, STOP
from enforcer.compile.outcomes import TABLE, Kind, facts_number, kind_of, rule_of
from enforcer.compile.paths import as_bytes
from enforcer.compile.tables import CAPABILITY_SLOTS, PROTOCOL_ORDER, TYPE_ORDER, Head, Tables
from models.policy import CAPABILITIES, Access, Facts, Op, PolicyClass, Verdict
from models.policy.access import FILE_OPS

__all__ = ["Answer", "Interpreter"]

_PLACE = (1 << 28) - 1
_KIND_VERDICT = {Kind.ALLOW: Verdict.ALLOW, Kind.AUDIT: Verdict.AUDIT, Kind.BLOCK: Verdict.BLOCK}
_TCP, _UDP, _SCTP, _MPTCP = 6, 17, 132, 262
_USUAL = {1: _TCP, 2: _UDP, 5: _SCTP}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the tables say of one access; `rule` is 0 for the posture, `path` the name that was audited or denied."""

    verdict: Verdict
    rule: int = 0
    path: str = ""


_ALLOWED = Answer(Verdict.ALLOW)


class Interpreter:
    """Asks one policy's tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables, self.words = tables, tables.words

    def run(self, start: int, text: bytes) -> int:
        """What the automaton at `start` says of a text; 0 if nothing."""
        if not start:
            return 0
        state, context = start, 0
        for byte in text:
            following = self._cell(state, byte)
            if not following:
                if state & LOOP:
                    following = state
                else:
                    following = self._cell(state, DEFAULT)
                    if not following:
                        following = (context and self._cell(context, byte)) or context
            if not following:
                return 0
            state = following
            if state & STOP:
                return self._cell(state, ACCEPT)
            if byte == SLASH:
                context = self._cell(state, CONTEXT) or context
        word = self.words[(state & _PLACE) + ACCEPT]
        if word >> 32 == state & _PLACE:
            return word & 0xFFFFFFFF
        return self._cell(context, ACCEPT) if context else 0

    def _cell(self, state: int, column: int) -> int:
        place = state & _PLACE
        word = self.words[place + column]
        return word & 0xFFFFFFFF if word >> 32 == place else 0

    def decide(self, access: Access) -> Answer:
        """Judge one access."""
        if access.op is Op.EXEC:
            return self._exec(access)
        if access.op in (Op.RENAME, Op.LINK):
            first = self._file(access, access.path)
            if first.verdict is Verdict.BLOCK:
                return first
            second = self._file(access, access.target, second=True)
            return first if second.verdict is Verdict.ALLOW else second
        if access.op in FILE_OPS - {Op.WRITE, Op.SETXATTR}:
            return self._file(access, access.path)
        if access.op is Op.CAPABLE:
            number = CAPABILITIES.index(access.capability)
            return self._keyed(Head.CAPABILITIES, access.source, number, CAPABILITY_SLOTS, access.capability)
        if access.policy_class is PolicyClass.NETWORK:
            return self._socket(access)
        return _ALLOWED

    def source(self, path: str) -> int:
        """The number of an executable among the policy's sources."""
        return self.run(self.tables.head(Head.SOURCES), as_bytes(path)) if path else 0

    def _file(self, access: Access, path: str, *, second: bool = False) -> Answer:
        if not path.startswith("/") or not self.tables.head(Head.FILE_RULES):
            return _ALLOWED
        outcome = self._file_outcome(path, access.source, facts_number(Facts.of(access, second=second)))
        return self._answer(outcome, Head.FILE_DEFAULT, path)

    def _file_outcome(self, path: str, source: str, facts: int) -> int:
        head = self.tables.head
        for part in self.keys(as_bytes(path), self.source(source), head(Head.FILE_PATHS), head(Head.FILE_PATTERNS), 0):
            if outcome := self.ask(part, facts):
                return outcome
        return 0

    def _exec(self, access: Access) -> Answer:
        head = self.tables.head
        outcome, named, facts = 0, access.path.startswith("/"), facts_number(Facts.of(access))
        if named:
            starts = head(Head.PROCESS_PATHS), head(Head.PROCESS_PATTERNS), head(Head.PROCESS_NAMES)
            for part in self.keys(as_bytes(access.path), self.source(access.parent), *starts):
                if outcome := self.ask(part, facts):
                    break
        answer = self._answer(outcome, Head.PROCESS_DEFAULT, access.path)
        if answer.verdict is not Verdict.BLOCK and named and head(Head.FILE_RULES):
            file = self._file_outcome(access.path, access.source, facts)
            if kind_of(file) is Kind.BLOCK:
                return Answer(Verdict.BLOCK, rule_of(file), access.path)
        return answer

    def keys(self, path: bytes, source: int, start: int, pattern_start: int, names_start: int) -> Iterator[int]:
        """Parts in the order in which they decide."""
        record = self._record(self.run(start, path))
        name = self._record(self.run(names_start, path.rpartition(b"/")[2]))
        if source:
            own, own_directories = self._from_source(record, source)
            yield own
            yield self._from_source(name, source)[0]
            yield own_directories
        yield record[0] & 0xFFFFFFFF
        yield name[0] & 0xFFFFFFFF
        yield self.run(pattern_start, path)
        yield record[0] >> 32

    def _record(self, number: int) -> tuple[int, int]:
        at = self.tables.head(Head.RECORDS) + 2 * number
        return self.words[at], self.words[at + 1]

    def _from_source(self, record: tuple[int, int], source: int) -> tuple[int, int]:
        first, low, high = record[1] & 0xFFFFFFFF, 0, record[1] >> 32
        while low < high:
            middle = (low + high) // 2
            word = self.words[first + 2 * middle]
            if word & 0xFFFFFFFF == source:
                return word >> 32, self.words[first + 2 * middle + 1]
            low, high = (middle + 1, high) if word & 0xFFFFFFFF < source else (low, middle)
        return 0, 0

    def ask(self, part: int, facts: int) -> int:
        """What a part says of an access with these facts."""
        return self._half(self.tables.head(Head.PARTS), 8 * (part & ~TABLE) + facts) if part & TABLE else part

    def _half(self, start: int, number: int) -> int:
        return self.words[start + number // 2] >> 32 * (number % 2) & 0xFFFFFFFF

    def _answer(self, outcome: int, default: Head, path: str) -> Answer:
        if kind_of(outcome) in (Kind.NOTHING, Kind.NOT_PERMITTED):
            outcome = self.tables.head(default)
        return Answer(_KIND_VERDICT[kind_of(outcome)], rule_of(outcome), path)

    def _socket(self, access: Access) -> Answer:
        protocol = access.protocol or _USUAL.get(access.type, 0)
        if protocol == _MPTCP:
            protocol = _TCP
        place = PROTOCOL_ORDER.index(protocol) if protocol in PROTOCOL_ORDER else 0
        kind = TYPE_ORDER.index(access.type) if access.type in TYPE_ORDER else 0
        slots = len(PROTOCOL_ORDER) * len(TYPE_ORDER)
        return self._keyed(Head.SOCKETS, access.source, place * len(TYPE_ORDER) + kind, slots, "")

    def _keyed(self, section: Head, source: str, key: int, slots: int, resource: str) -> Answer:
        if not (start := self.tables.head(section)):
            return _ALLOWED
        outcome = self._half(start, self.source(source) * slots + key)
        return Answer(_KIND_VERDICT[kind_of(outcome)], rule_of(outcome), resource)

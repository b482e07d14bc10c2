"""Policies to tables: one array of words that the kernel walks once a path, whatever the number of rules.

    >>> tables = compile_tables(policies, Posture.all("block"))         # doctest: +SKIP
    >>> tables.words, tables.rules                                      # doctest: +SKIP

What a policy asks for and these tables cannot say exactly is refused, never left out.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from enforcer.compile import globs, paths
from enforcer.compile.automaton import Automata
from enforcer.compile.layout import BLOCK, Words, place_rows
from enforcer.compile.outcomes import Kind, Outcomes
from enforcer.compile.paths import Record, Records, Sources
from enforcer.errors import PolicyRefused
from models.policy import (
    CAPABILITIES,
    PROTOCOLS,
    SOCKET_TYPES,
    Cell,
    Facts,
    KeyTable,
    PathTable,
    Policy,
    PolicyClass,
    Posture,
    Rule,
    Said,
    Target,
    WrittenRuleset,
    check_limits,
    rules,
)

__all__ = ["CAPABILITY_SLOTS", "MAGIC", "PROTOCOL_ORDER", "TYPE_ORDER", "Head", "Tables", "compile_tables"]

MAGIC = 0x00005448  # version 0, checked by the kernel program
CAPABILITY_SLOTS = 64
PROTOCOL_ORDER = (0, *PROTOCOLS.values())
"""Protocols that rules can name; 0 stands for every other one."""
TYPE_ORDER = (0, *SOCKET_TYPES.values())
WORST_BYTES = 64 << 20
_NO_FACTS = Facts(False, False, False, None)


class Head(IntEnum):
    """32-bit numbers at the beginning of the first block, by place."""

    MAGIC = 0
    FILE_PATHS = 1
    """Starts of automata; 0: there is none."""
    FILE_PATTERNS = 2
    PROCESS_PATHS = 3
    PROCESS_PATTERNS = 4
    PROCESS_NAMES = 5
    SOURCES = 6
    FILE_DEFAULT = 7
    """What happens to what no rule is about: an outcome."""
    PROCESS_DEFAULT = 8
    PARTS = 9
    """Word at which the tables of parts begin, four words each."""
    RECORDS = 10
    """Word at which records begin, two words each: itself, directories; first word and number of its sources."""
    SOCKETS = 11
    """Word at which the outcomes of sockets begin, two a word: by source, protocol, type. 0: nothing is judged."""
    CAPABILITIES = 12
    MOUNT = 13
    """What happens to a mount, which no rule can list."""
    FILE_RULES = 14
    """Whether there is any rule about files."""
    PROCESS_RULES = 15


@dataclass(frozen=True, slots=True)
class Tables:
    """A policy set as the kernel takes it."""

    words: array[int]
    """Whole blocks of `BLOCK` words."""
    rules: tuple[Rule, ...]
    """Rule number n of an outcome is ``rules[n - 1]``."""
    sources: tuple[str, ...]
    """Executables that rules name as sources, from number 1."""

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return len(self.words) // BLOCK

    def head(self, name: Head) -> int:
        """One number of the head."""
        return self.words[name // 2] >> 32 * (name % 2) & 0xFFFFFFFF


def compile_tables(policies: Iterable[Policy], posture: Posture) -> Tables:
    """Compile policies that all cover the same workload. Raise `PolicyRefused` for what the tables cannot say."""
    policies = list(policies)
    _refuse(policies)
    try:
        ruleset = WrittenRuleset.compile(policies, posture)
    except (ValueError, re.error) as error:
        raise PolicyRefused(f"a pattern cannot be read: {error}", "see `docs/policy-semantics.md`, Patterns") from None
    return _Compiler(ruleset).tables()


def _refuse(policies: Sequence[Policy]) -> None:
    for finding in check_limits(policies, Target.DISCOVER):
        if finding.grade == "error":
            raise PolicyRefused(f"{finding.policy} {finding.where}: {finding.message}", finding.fix)
    for policy in policies:
        for rule in rules(policy):
            why = _cannot(rule)
            if why:
                raise PolicyRefused(f"{rule.policy} {rule.where}: {why[0]}", why[1])


def _cannot(rule: Rule) -> tuple[str, str] | None:
    if rule.allowed_args:
        why = "allowedArgs: this back end does not see arguments before they can be changed by another thread"
        return why, "leave allowedArgs out"
    if rule.match == "domain":
        return (
            "matchDNSQueries: this back end does not read what is sent",
            "allow udp, and name hosts in a network policy",
        )
    if rule.match == "syscall":
        return "system calls are not judged by security hooks", "leave spec.syscalls out; `discover record` shows them"
    if rule.match == "capability" and rule.value.lower().removeprefix("cap_") not in CAPABILITIES:
        return f"no capability is called {rule.value!r}", f"one of {', '.join(CAPABILITIES)}"
    return None


class _Compiler:
    def __init__(self, ruleset: WrittenRuleset) -> None:
        self.ruleset = ruleset
        self.automata, self.outcomes, self.records = Automata(), Outcomes(), Records()
        keyed = (ruleset.network, ruleset.capabilities)
        named = [source for table in keyed for (_, _, source) in table.exact]
        self.sources = Sources([*ruleset.file.sources, *ruleset.process.sources, *named])

    def tables(self) -> Tables:
        starts = {
            Head.FILE_PATHS: self._paths(self.ruleset.file),
            Head.FILE_PATTERNS: self._patterns(self.ruleset.file),
            Head.PROCESS_PATHS: self._paths(self.ruleset.process),
            Head.PROCESS_PATTERNS: self._patterns(self.ruleset.process),
            Head.PROCESS_NAMES: paths.names(
                self.ruleset.process, self.automata, self.outcomes, self.records, self.sources
            ),
            Head.SOURCES: paths.sources(self.sources, self.automata),
        }
        words = Words()
        places, end = place_rows(self.automata, words)
        head = {name: places[state] for name, state in starts.items()}
        sockets, capabilities = self._sockets(), self._capabilities()
        head |= {
            Head.MAGIC: MAGIC,
            Head.FILE_DEFAULT: self._default(PolicyClass.FILE),
            Head.PROCESS_DEFAULT: self._default(PolicyClass.PROCESS),
            Head.MOUNT: max(self._default(c) for c in (PolicyClass.FILE, PolicyClass.PROCESS)),
            Head.FILE_RULES: _any(self.ruleset.file),
            Head.PROCESS_RULES: _any(self.ruleset.process),
        }
        data = array("Q")
        parts = _halves([outcome for table in self.outcomes.tables for outcome in table])
        for name, section in (
            (Head.PARTS, parts),
            (Head.RECORDS, self._records(end + len(parts))),
            (Head.SOCKETS, _halves(sockets)),
            (Head.CAPABILITIES, _halves(capabilities)),
        ):
            head[name] = end + len(data) if section else 0
            data.extend(section)
        words.grow(end + len(data))
        words.data[end : end + len(data)] = data
        if len(words.data) * 8 > WORST_BYTES:
            size = len(words.data) >> 17
            raise PolicyRefused(
                f"the policy's tables need {size} MB",
                f"at most {WORST_BYTES >> 20} MB: fewer patterns, rules or sources",
            )
        for name, number in head.items():
            words.data[name // 2] |= number << 32 * (name % 2)
        return Tables(words.data, tuple(self.outcomes.rules), tuple(self.sources.numbers))

    def _paths(self, table: PathTable) -> int:
        return paths.paths(table, self.automata, self.outcomes, self.records, self.sources)

    def _patterns(self, table: PathTable) -> int:
        return globs.patterns(table.patterns, self.automata, lambda matched: self.outcomes.part([Cell(matched)]))

    def _default(self, policy_class: PolicyClass) -> int:
        mode = self.ruleset.lists.get(policy_class)
        return int({None: Kind.ALLOW, "audit": Kind.AUDIT, "block": Kind.BLOCK}[mode])

    def _records(self, at: int) -> array[int]:
        """Two words a record, then the sources of all: the number and the part of the path, the part of directories."""
        all_records: list[Record] = self.records.all
        first = at + 2 * len(all_records)
        heads, entries = array("Q"), array("Q")
        for record in all_records:
            heads.append(record.itself | record.directories << 32)
            heads.append((first + len(entries)) | len(record.from_sources) << 32)
            for number, itself, directories in record.from_sources:
                entries.extend((number | itself << 32, directories))
        return heads + entries

    def _sockets(self) -> list[int]:
        return self._keyed(
            PolicyClass.NETWORK,
            self.ruleset.network,
            [
                [("protocol", protocol), ("type", kind), ("all", "")]
                for protocol in PROTOCOL_ORDER
                for kind in TYPE_ORDER
            ],
        )

    def _capabilities(self) -> list[int]:
        names = (*CAPABILITIES, *[""] * (CAPABILITY_SLOTS - len(CAPABILITIES)))
        return self._keyed(PolicyClass.CAPABILITIES, self.ruleset.capabilities, [[("capability", n)] for n in names])

    def _keyed(
        self, policy_class: PolicyClass, table: KeyTable, keys: Sequence[Sequence[tuple[str, str | int]]]
    ) -> list[int]:
        if not table.exact:
            return []
        default = self._default(policy_class)
        found = []
        for source in ("", *self.sources.numbers):
            for key in keys:
                outcome = 0
                for cell in table.search(key, source, together=True):
                    said, rule = cell.constant if cell.constant is not None else cell.judge(_NO_FACTS)
                    if said is not Said.NOTHING:
                        outcome = self.outcomes.of(said, rule)
                        break
                found.append(default if outcome in (Kind.NOTHING, Kind.NOT_PERMITTED) else outcome)
        return found


def _any(table: PathTable) -> bool:
    return bool(table.exact or table.names or table.directories or table.patterns)


def _halves(numbers: Sequence[int]) -> array[int]:
    even = [*numbers, 0] if len(numbers) % 2 else numbers
    return array("Q", [low | high << 32 for low, high in zip(even[::2], even[1::2], strict=True)])

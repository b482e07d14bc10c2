"""Units that behave unlike the others: set apart and named, not learned from in silence.

What counts is what a unit *alone* did, weighed by what it would mean if it were an intrusion: an executable that no
other replica ran, one that lies where files come and go, a credential that no other read, a new kind of capability. A
unit of a rare but ordinary load has new file names, which weigh nearly nothing; six replicas of which one ran a miner
from /tmp are told apart without a model of either. (Tried instead: isolation forests and local outlier factors on the
units' incidence, which with six units call whoever ran the longest load an outlier.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.accesses import Seen
from models.learn.result import Outlier
from models.learn.sensitive import SHELLS, TOOLS, Sensitive, is_protected, is_scratch, levers_among
from models.learn.trie import Item
from models.policy.access import Op

__all__ = ["FEWEST", "Oddity", "oddities", "outliers", "rarities"]

FEWEST = 4
"""Units from which one can be unlike the others."""
_THRESHOLD = 10.0
_CERTAIN = 15.0
"""A weight that needs no being alone: two of six units that run a file from /tmp are two intrusions."""
_SHELL = 6.0
_REASONS = 8
_POWERFUL = frozenset(
    {"sys_ptrace", "sys_module", "sys_rawio", "net_raw", "dac_read_search", "sys_boot", "mac_admin", "mac_override"}
    | {"bpf", "perfmon", "sys_admin"}
)
_AF_NETLINK, _SOCK_RAW = 16, 3
_ODD_FAMILIES = {17: "packet", 38: "alg", 40: "vsock"}


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that is told of when few units do it."""

    reason: str
    weight: float
    units: frozenset[str]
    worth_saying: bool
    """Whether a person should know even where it is learned."""


def outliers(odd_ones: Iterable[Oddity], units: Sequence[str]) -> list[Outlier]:
    """The units whose own behaviour weighs more than the threshold and ten times that of the unit in the middle."""
    own: dict[str, dict[str, float]] = defaultdict(dict)
    for odd in odd_ones:
        few = len(odd.units) * 3 <= len(units) if odd.weight >= _CERTAIN else len(odd.units) == 1
        if few:
            for unit in odd.units:
                own[unit][odd.reason] = odd.weight
    return _told(own, units)


def rarities(odd_ones: Iterable[Oddity], units: Sequence[str]) -> list[str]:
    """What fewer than half of the units did and a person should know of, though it was learned; one sentence each."""
    told = []
    for odd in odd_ones:
        if odd.worth_saying and len(odd.units) * 2 < len(units):
            names = ", ".join(sorted(odd.units)[:3]) + (" and others" if len(odd.units) > 3 else "")
            told.append(f"only {len(odd.units)} of {len(units)} units {odd.reason} ({names})")
    return sorted(told)


def oddities(
    seen: Iterable[Seen], items: Mapping[str, Item], units: Sequence[str], sensitive: Sensitive
) -> list[Oddity]:
    """What may be told of; nothing where too few units were recorded. `seen` are no files, `items` the files."""
    return list(_oddities(seen, items, units, sensitive)) if len(units) >= FEWEST else []


def _oddities(
    seen: Iterable[Seen], items: Mapping[str, Item], units: Sequence[str], sensitive: Sensitive
) -> Iterator[Oddity]:
    executed: dict[str, set[str]] = defaultdict(set)
    callers: dict[str, set[str]] = defaultdict(set)
    capable: dict[str, set[str]] = defaultdict(set)
    mapped: dict[str, set[str]] = defaultdict(set)
    sockets: dict[str, set[str]] = defaultdict(set)
    for one in seen:
        access = one.access
        if access.op is Op.EXEC:
            executed[access.path] |= one.units
            callers[access.path] |= {access.source, access.parent}
        elif access.op is Op.CAPABLE:
            capable[access.capability] |= one.units
        elif access.op is Op.MMAP_EXEC and is_scratch(access.path.rpartition("/")[0]):
            mapped[access.path] |= one.units
        elif access.op is Op.SOCKET and (kind := _odd_socket(one)):
            sockets[kind] |= one.units
    for path, by in executed.items():
        weight, tool = _execution(path)
        # a chain of programs that one of them starts is one surprise: the first that an ordinary program executes. What
        # a shell starts to fetch something or to look around is another
        chained = all(c in executed and len(executed[c]) * 3 <= len(units) for c in callers[path] if c and c != path)
        counts = weight >= _CERTAIN or not chained or (tool and weight != _SHELL)
        yield Oddity(f"executed {path}", weight if counts else 0.0, frozenset(by), tool)
    for name, by in capable.items():
        strong = name in _POWERFUL
        yield Oddity(f"used the capability {name}", 10.0 if strong else 2.0, frozenset(by), strong)
    for path, by in mapped.items():
        yield Oddity(f"mapped for execution {path}", _CERTAIN, frozenset(by), True)
    for kind, by in sockets.items():
        yield Oddity(f"made {kind} sockets", 10.0, frozenset(by), True)
    yield from _files(items, units, sensitive)


def _odd_socket(one: Seen) -> str:
    access = one.access
    if access.family in _ODD_FAMILIES:
        return _ODD_FAMILIES[access.family]
    return "raw" if access.type == _SOCK_RAW and access.family != _AF_NETLINK else ""


def _files(items: Mapping[str, Item], units: Sequence[str], sensitive: Sensitive) -> Iterator[Oddity]:
    most = max(1, len(units) // 2)
    few = [(p, i) for p, i in items.items() if 0 < (i.reads | i.writes).bit_count() <= most]
    secret = frozenset(sensitive.among([p for p, _ in few]))
    levers = levers_among([p for p, i in few if i.writes])
    for path, item in few:
        of_proc = path.startswith("/proc/") and not path.endswith("/environ")
        lever = path in levers
        if lever or (path in secret and not of_proc):
            weight, said = 10.0, True
        elif item.writes and not of_proc and is_protected(path.rpartition("/")[0]):
            weight, said = 0.5, False
        else:
            continue
        by = frozenset(u for place, u in enumerate(units) if item.units >> place & 1)
        yield Oddity(f"{'wrote' if item.writes else 'read'} {path}", weight, by, said)


def _execution(path: str) -> tuple[float, bool]:
    """How much an executable weighs, and whether it is a tool that a person should know of."""
    name = path.rpartition("/")[2]
    if not path.startswith("/") or is_scratch(path.rpartition("/")[0]):
        return 20.0, True
    stem = name.rstrip("0123456789.-")
    if name in SHELLS or stem in SHELLS:
        return _SHELL, True
    tool = name in TOOLS or stem in TOOLS
    return (5.0 if tool else 3.0), tool


def _told(own: Mapping[str, Mapping[str, float]], units: Sequence[str]) -> list[Outlier]:
    scores = {u: sum(own.get(u, {}).values()) for u in units}
    middle = sorted(scores.values())[len(scores) // 2]
    apart = sorted(u for u, score in scores.items() if score >= max(_THRESHOLD, 10 * middle))
    if len(apart) * 3 > len(units):
        # a third of all units is no exception but a second way of working
        return []
    return [
        Outlier(
            unit,
            round(scores[unit], 2),
            tuple(r for r, _ in sorted(own[unit].items(), key=lambda item: (-item[1], item[0]))[:_REASONS]),
        )
        for unit in apart
    ]

"""Policies as AppArmor profiles: one for each executable that a rule names as its source, and one for all others.

An executable's profile is entered by executing it, so a rule's ``fromSource`` is where it stands. The text is for
AppArmor 3 and newer, under the features of 3.0, so that newer mediation (user namespaces, io_uring) stays out of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from enforcer.apparmor.order import Item, Settled, items, overlap, settle
from enforcer.apparmor.quoting import Inexact, counts_bytes, glob, literal, word
from enforcer.errors import PolicyRefused
from models.policy import (
    Access,
    Action,
    Dialect,
    Op,
    Policy,
    PolicyClass,
    Posture,
    Rule,
    Ruleset,
    compile,  # noqa: A004
    compile_pattern,
    rules,
)
from models.policy.names import capability_name

__all__ = ["CLASSES", "Profile", "Profiles", "profiles"]

CLASSES = ("process", "file", "network", "capabilities")
_TYPES = {
    "tcp": ("stream",),
    "udp": ("dgram",),
    **{t: (t,) for t in ("stream", "dgram", "raw", "rdm", "seqpacket", "dccp", "packet")},
    "all": ("",),
}
_PERMS = {"r": "rmk", "w": "wlk"}
_ALWAYS = ("ptrace,", "signal,", "dbus,", "umount,")
_UNIX = re.compile(r"(.*)\bnetwork(?: (stream|dgram|seqpacket))?,")
"""A rule about sockets that is one about AF_UNIX too: a plain ``unix,`` allows all on kernels without such rules."""


@dataclass(frozen=True)
class Profile:
    """One profile of a set."""

    name: str
    source: str
    """The executable that it is for; empty: all that have none of their own."""
    text: str


@dataclass(frozen=True)
class Profiles:
    """A policy set in AppArmor's language."""

    name: str
    found: tuple[Profile, ...]
    notes: tuple[str, ...] = field(default=())
    """What AppArmor does otherwise than the policies say, without denying or admitting what they name."""

    @property
    def text(self) -> str:
        """All of them, for the parser."""
        return "abi <abi/3.0>,\n\n" + "\n".join(p.text for p in self.found)

    def of(self, executable: str) -> str:
        """The name of the profile that an executable runs under."""
        return next((p.name for p in self.found if p.source and p.source == executable), self.name)


def profiles(
    policies: Sequence[Policy],
    posture: Posture,
    name: str,
    *,
    block: Iterable[str] = (),
    extra_files: Iterable[str] = (),
    entry: str = "",
) -> Profiles:
    """Translate policies.

    `name` is the profiles' first name. `block`: the classes in which they deny; none makes them tell only (complain).
    `extra_files` may be read and written whatever the policies say: what the first process is handed. `entry` is its
    executable, which has to be mapped. Raises `PolicyRefused` with every rule that AppArmor cannot follow.
    """
    return _Translator(policies, posture, name, tuple(block), tuple(extra_files), entry).translate()


class _Translator:
    def __init__(
        self,
        policies: Sequence[Policy],
        posture: Posture,
        name: str,
        block: tuple[str, ...],
        extra_files: tuple[str, ...],
        entry: str,
    ) -> None:
        self.policies, self.posture, self.name, self.block = policies, posture, name, block
        self.extra_files, self.entry = extra_files, entry
        self.rules = [r for p in policies for r in rules(p)]
        self.ruleset: Ruleset = compile(policies, posture, Dialect.DISCOVER)
        sources = sorted({s for r in self.rules if r.section in CLASSES for s in r.sources or () if s})
        self.names = {"": name} | {s: f"{name}//{n}" for n, s in enumerate(sources, 1)}
        self.refused: dict[str, None] = {}
        self.notes: dict[str, None] = {}

    def translate(self) -> Profiles:
        for rule in self.rules:
            if problem := _impossible(rule):
                self._refuse(rule, problem)
        for policy in self.policies:
            for what in ("apparmor", "presets", "syscalls", "device"):
                if getattr(policy.spec, what):
                    self.refused[f"{policy.name} spec.{what}: is no rule of this back end"] = None
        sourced = next((r for r in self.rules if r.section in CLASSES and r.sources), None)
        if sourced and self._closed("file") and not self._closed("process"):
            self._refuse(sourced, "fromSource needs a list of executables beside a list of files (spec.process)")
        found = [] if self.refused else [self._profile(source) for source in self.names]
        if self.refused:
            raise PolicyRefused(
                "AppArmor cannot do what these rules say:\n  " + "\n  ".join(self.refused),
                "use --backend bpf-lsm, or write them otherwise",
            )
        self._say_what_differs()
        return Profiles(self.name, tuple(found), tuple(self.notes))

    def _refuse(self, rule: Rule, why: str) -> None:
        self.refused[f"{rule.policy} {rule.where}: {why}"] = None

    def _denies(self, section: str) -> bool:
        return section in self.block

    def _listed(self, section: str) -> bool:
        return any(r.section == section and r.action is Action.ALLOW for r in self.rules)

    def _closed(self, section: str) -> bool:
        """Whether what is not listed is not allowed: in complain mode that is what makes it told."""
        if not self._listed(section):
            return False
        return not self.block or (self._denies(section) and self.posture.of(PolicyClass(section)) == "block")

    def _settled(self, section: str, source: str) -> Settled:
        held = [r for r in self.rules if r.section == section]
        if self.block and not self._denies(section):
            held = []
        overlapping = _same_objects if section in ("network", "capabilities") else overlap
        settled = settle(
            items(held, source),
            closed=self._closed(section),
            overlapping=overlapping,
            opened=self._executed if section == "file" else lambda _rule: False,
        )
        for rule, why in settled.refused:
            self._refuse(rule, why)
        return settled

    def _executed(self, rule: Rule) -> bool:
        """Whether what a file rule is about may be executed: then it may be mapped, and read."""
        if not self._closed("process"):
            return True
        listed = [r for r in self.rules if r.section == "process" and r.action is not Action.BLOCK]
        return any(overlap(rule, one) for one in listed)

    def _profile(self, source: str) -> Profile:
        flags = ["attach_disconnected", "mediate_deleted", *(() if self.block else ("complain",))]
        lines = [*_ALWAYS, *self._mounts()]
        for section, write in (
            ("file", self._files),
            ("process", self._processes),
            ("network", self._network),
            ("capabilities", self._capabilities),
        ):
            lines += write(source, self._settled(section, source))
        lines = list(dict.fromkeys(lines))
        head = f"profile {word(literal(self.names[source]))} flags=({','.join(flags)}) {{"
        return Profile(self.names[source], source, "\n".join([head, *(f"  {line}" for line in lines), "}", ""]))

    def _mounts(self) -> list[str]:
        strict = any(self._closed(section) for section in ("file", "process"))
        return [] if strict else ["mount,", "remount,", "pivot_root,"]

    # -- files -----------------------------------------------------------------------------------------------------

    def _files(self, source: str, settled: Settled) -> Iterator[str]:
        if not self._closed("file"):
            yield '"/{,**}" rwmlk,'
        else:
            for path in self.extra_files:
                yield f"{word(literal(path))} rwk,"
            for path in self._mapped(source):
                yield f"{path} rm,"
        for item in settled.listing:
            yield from self._granted(item)
        for deny in settled.denies:
            done = "".join(_PERMS[d] for d in sorted(deny.done))
            perms = "".join(dict.fromkeys(done)) + ("x" if "r" in deny.done else "")
            for path in self._globs(deny.rule):
                yield f"audit deny {path} {perms},"

    def _granted(self, item: Item) -> Iterator[str]:
        perms = {whose: "".join(_PERMS[d] for d in "rw" if (d, whose) in item.facets) for whose in ("owner", "other")}
        told = "audit " if item.rule.action is Action.AUDIT else ""
        owner, other = ("".join(dict.fromkeys(perms[w])) for w in ("owner", "other"))
        for path in self._globs(item.rule):
            if other:
                yield f"{told}{path} {other},"
            if owner != other:
                yield f"{told}owner {path} {owner},"

    def _mapped(self, source: str) -> Iterator[str]:
        """What is executed under another profile and maps its file under this one."""
        if source:
            yield word(literal(source))
            return
        if self.entry:
            yield word(literal(self.entry))
        for rule in self.rules:
            if rule.section == "process" and rule.action is not Action.BLOCK:
                yield from self._executables(rule)

    def _globs(self, rule: Rule) -> list[str]:
        """The paths of a rule; a directory's has a slash at its end here."""
        if rule.match == "path":
            return [word(literal(rule.value) + "{,/}")] if rule.value != "/" else ['"/"']
        if rule.match == "dir":
            above = literal(rule.value.rstrip("/"))
            if not above:
                return ['"/{,**}"' if rule.recursive else '"/{,*,*/}"']
            return [word(above + ("{,/,/**}" if rule.recursive else "{,/,/*,/*/}"))]
        text = self._pattern(rule)
        found = [word(text)] if text.endswith("**") else [word(text), word(text + "/")]
        return found + self._root(rule)

    @staticmethod
    def _root(rule: Rule) -> list[str]:
        """The root, where a pattern matches it: after a slash AppArmor's stars want a character."""
        return ['"/"'] if compile_pattern(rule.value).fullmatch("/") else []

    def _pattern(self, rule: Rule) -> str:
        if counts_bytes(rule.value):
            self.notes[f"{rule.policy} {rule.where}: ? and [^…] are one byte, not one character"] = None
        try:
            return glob(rule.value)
        except Inexact as why:
            self._refuse(rule, str(why))
            return "/"

    # -- the rest --------------------------------------------------------------------------------------------------

    def _executables(self, rule: Rule) -> list[str]:
        match rule.match:
            case "path":
                return [word(literal(rule.value))]
            case "execname":
                return [word("/{,**/}" + literal(rule.value))]
            case "dir":
                above = literal(rule.value.rstrip("/"))
                inside = "/**" if rule.recursive else "/*"
                return [word(above + (f"{{,{inside}}}" if above else inside))]
        return [word(self._pattern(rule)), *self._root(rule)]

    def _processes(self, source: str, settled: Settled) -> Iterator[str]:
        how = "ix" if not source else f"px -> {word(literal(self.name))}"
        if not self._closed("process"):
            yield f'"/{{,**}}" {how},'
        for item in settled.listing:
            told = "audit " if item.rule.action is Action.AUDIT else ""
            owner = "" if ("x", "other") in item.facets else "owner "
            for path in self._executables(item.rule):
                if item.rule.match != "path" or item.rule.value not in self.names:
                    yield f"{told}{owner}{path} {how},"
        for target, name in self.names.items():
            if not target:
                continue
            whose = [o for o in (True, False) if self._may_execute(source, target, owner=o)]
            if whose:
                own = "owner " if False not in whose else ""
                yield f"{own}{word(literal(target))} px -> {word(literal(name))},"
        for deny in settled.denies:
            for path in self._executables(deny.rule):
                yield f"audit deny {path} x,"

    def _may_execute(self, source: str, target: str, *, owner: bool) -> bool:
        if not self._closed("process"):
            return True  # a deny says the rest
        access = Access(op=Op.EXEC, path=target, parent=source, source=source, owner_match=owner, argv=())
        return self.ruleset.decide(access).rule is not None and self.ruleset.decide(access).allowed

    def _network(self, _source: str, settled: Settled) -> Iterator[str]:
        for line in _keyed(settled, self._closed("network"), "network", _sockets):
            yield line
            if found := _UNIX.fullmatch(line):
                kind = f" type={found[2]}" if found[2] else ""
                yield f"{found[1]}unix{kind},"

    def _capabilities(self, _source: str, settled: Settled) -> Iterator[str]:
        yield from _keyed(settled, self._closed("capabilities"), "capability", lambda r: (capability_name(r.value),))

    def _say_what_differs(self) -> None:
        for section in CLASSES:
            if self.block and not self._denies(section) and any(r.section == section for r in self.rules):
                self.notes[f"{section}: in Audit while another class is in Block, so nothing of it is told"] = None
            elif self.block and self._listed(section) and self.posture.of(PolicyClass(section)) == "audit":
                self.notes[f"{section}: what no rule lists happens, and is not told"] = None
        if self._closed("network"):
            self.notes["network: sockets are told apart by family and type; tcp is any stream, udp any dgram"] = None
        if any(r.section == "process" and r.sources for r in self.rules):
            text = "process fromSource: the executable that executes, which after `sh -c` is sh and not its parent"
            self.notes[text] = None
        if len(self.names) > 1:
            self.notes["fromSource: with no_new_privs an executable cannot change to its own profile"] = None
        if self._closed("file") and self._closed("process"):
            self.notes["file: what may be executed may be read"] = None


def _impossible(rule: Rule) -> str:
    if rule.no_terminal:
        return "pts: AppArmor does not ask for a terminal"
    if rule.allowed_args:
        return "allowedArgs: AppArmor does not see arguments"
    if rule.match == "domain":
        return "matchDNSQueries: AppArmor does not see names"
    if rule.section == "network" and rule.value.lower() not in _TYPES:
        return f"{rule.value}: AppArmor tells sockets apart by family and type alone"
    return ""


def _sockets(rule: Rule) -> tuple[str, ...]:
    return _TYPES[rule.value.lower()]


def _same_objects(one: Rule, other: Rule) -> bool:
    if one.section == "capabilities":
        return capability_name(one.value) == capability_name(other.value)
    first, second = set(_sockets(one)), set(_sockets(other))
    return "" in first | second or bool(first & second)


def _keyed(settled: Settled, closed: bool, keyword: str, names: Callable[[Rule], tuple[str, ...]]) -> Iterator[str]:
    if not closed:
        yield f"{keyword},"
    for item in settled.listing:
        told = "audit " if item.rule.action is Action.AUDIT else ""
        for name in names(item.rule):
            yield f"{told}{keyword} {name},".replace(" ,", ",")
    for deny in settled.denies:
        for name in names(deny.rule):
            yield f"audit deny {keyword} {name},".replace(" ,", ",")

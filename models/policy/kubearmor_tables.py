"""The rule table that KubeArmor v1.7.4 fills for one container, from policies, as its BPF-LSM enforcer does it.

Facts restated from ``KubeArmor/enforcer/bpflsm/rulesHandling.go`` (how rules become keys) and
``KubeArmor/BPF/shared.h`` (what the kernel reads). Keys are pairs of a path and a source, 200 bytes each; the kernel
side reads at most 199 bytes of a path, so a rule on a path of exactly 200 bytes is stored and never found. Audit rules
and patterns leave no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from models.policy.model import Action
from models.policy.names import CAPABILITIES, PROTOCOLS, SOCKET_TYPES, capability_name
from models.policy.policy import Policy, Rule, rules
from models.policy.posture import Posture

__all__ = [
    "ARGS",
    "CAPABILITY_KEY",
    "DENY",
    "DIR",
    "EXEC",
    "HINT",
    "NO_TTY",
    "OWNER",
    "PROTOCOL_KEY",
    "READ",
    "RECURSIVE",
    "TYPE_KEY",
    "WRITE",
    "Key",
    "Table",
    "kernel_path",
]

EXEC, WRITE, READ, OWNER, DIR, RECURSIVE, HINT, DENY, ARGS, NO_TTY = (1 << bit for bit in range(10))
PATH_BYTES = 200
PATH_COMPONENTS = 20
"""``prepend_path`` takes twenty steps from the leaf up: of a deeper path only the last twenty names are seen."""

Key = tuple[str, str]
"""(path, source); the path of a network or capability key is ``TYPE_KEY``, ``PROTOCOL_KEY`` or ``CAPABILITY_KEY`` and
the number, as characters."""
TYPE_KEY, PROTOCOL_KEY, CAPABILITY_KEY = "\x02", "\x03", "\xc8"


def _cut(text: str, size: int) -> str:
    if len(text) * 4 < size:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    return text if len(raw) <= size else raw[:size].decode("utf-8", "surrogateescape")


@lru_cache(maxsize=1 << 16)
def kernel_path(path: str) -> str:
    """Return a path as the kernel side has it for a look-up: the last twenty names, then the first 199 bytes."""
    if path.count("/") > PATH_COMPONENTS:
        path = "/" + "/".join(path.split("/")[-PATH_COMPONENTS:])
    return _cut(path, PATH_BYTES - 1)


@dataclass(slots=True)
class Table:
    """The keys of one container and which classes are allow-lists."""

    process: dict[Key, int] = field(default_factory=dict)
    file: dict[Key, int] = field(default_factory=dict)
    file_process_bits: dict[Key, int] = field(default_factory=dict)
    network: dict[Key, int] = field(default_factory=dict)
    capabilities: dict[Key, int] = field(default_factory=dict)
    process_list: bool = False
    file_list: bool = False
    network_list: bool = False
    dns_list: bool = False
    capabilities_list: bool = False
    origin: dict[tuple[str, Key], Rule] = field(default_factory=dict)
    """The rule that last wrote a key, by section and key; a hint belongs to the rule that needed it."""

    @classmethod
    def build(cls, policies: Iterable[Policy]) -> Table:
        """Fill a table as ``UpdateContainerRules`` does, policy by policy."""
        table = cls()
        for policy in policies:
            ours = list(rules(policy))
            alls = [r for r in ours if r.match == "protocol" and r.value.lower() == "all"]
            for rule in ours:
                table._add(rule)
            for rule in alls:  # "all" becomes a rule for every socket type, after the policy's own protocol rules
                for number in SOCKET_TYPES.values():
                    table._add_network(rule, TYPE_KEY + chr(number))
        for key in table.file:  # fuseProcAndFileRules
            if key in table.process:
                table.file_process_bits[key] = table.process[key]
        return table

    def __len__(self) -> int:
        """Return how many of the 256 keys the container's map needs, the allow-list markers included."""
        markers = (self.process_list, self.file_list, self.network_list, self.dns_list, self.capabilities_list)
        keys = self.process.keys() | self.file.keys() | self.network.keys() | self.capabilities.keys()
        return len(keys) + sum(markers)

    def masks(self) -> tuple[dict[Key, int], dict[Key, int]]:
        """Return the process and the file masks of every path key, as the map holds them in the end."""
        process = {k: m for k, m in self.process.items() if k not in self.file}
        process |= {k: self.file_process_bits.get(k, 0) for k in self.file}
        return process, {k: 0 for k in self.process if k not in self.file} | self.file

    def _add(self, rule: Rule) -> None:
        if rule.action is Action.AUDIT or rule.match == "pattern":
            return
        match rule.section:
            case "process":
                self.process_list |= rule.action is Action.ALLOW
                self._add_path(rule, self.process, EXEC)
            case "file":
                self.file_list |= rule.action is Action.ALLOW
                self._add_path(rule, self.file, READ if rule.read_only else READ | WRITE)
            case "network" if rule.match == "protocol":
                word = rule.value.lower()
                if word in PROTOCOLS:
                    self._add_network(rule, PROTOCOL_KEY + chr(PROTOCOLS[word]))
                elif word in SOCKET_TYPES:
                    self._add_network(rule, TYPE_KEY + chr(SOCKET_TYPES[word]))
                else:  # "all": an empty key beside the expanded ones
                    self._add_network(rule, "")
            case "network":
                self.dns_list |= rule.action is Action.ALLOW
                for suffix in ("", ".cluster.local", ".svc.cluster.local", ".domain.name"):
                    for source in rule.sources or ("",):
                        key = (_cut(rule.value.strip(".") + suffix, PATH_BYTES), _cut(source, PATH_BYTES))
                        self._put("network", self.network, key, self._mask(rule, 0), rule)
            case "capabilities":
                self.capabilities_list |= rule.action is Action.ALLOW
                name = capability_name(rule.value)
                number = CAPABILITIES.index(name) if name in CAPABILITIES else 0
                for source in rule.sources or ("",):
                    key = (CAPABILITY_KEY + chr(number), _cut(source, PATH_BYTES))
                    self._put("capabilities", self.capabilities, key, self._mask(rule, 0), rule)
            case _:
                pass

    def _add_network(self, rule: Rule, path: str) -> None:
        self.network_list |= rule.action is Action.ALLOW
        for source in rule.sources or ("",):
            self._put("network", self.network, (path, _cut(source, PATH_BYTES)), self._mask(rule, 0), rule)

    def _add_path(self, rule: Rule, table: dict[Key, int], bits: int) -> None:
        mask = self._mask(rule, bits)
        for source in rule.sources or ("",):
            source_key = _cut(source, PATH_BYTES)
            if rule.match == "dir":
                self._add_directory(rule, table, source_key, mask | (RECURSIVE if rule.recursive else 0))
            else:
                self._put(rule.section, table, (_cut(rule.value, PATH_BYTES), source_key), mask, rule)

    def _add_directory(self, rule: Rule, table: dict[Key, int], source: str, mask: int) -> None:
        """Add a directory as ``dirtoMap`` does: itself as a file, itself, and a hint for each directory above it.

        One value runs through the loop, so an ancestor that is a rule of its own lends its flags to the hints below.
        """
        parts = rule.value.split("/")
        self._put(rule.section, table, (_cut("/".join(parts[:-1]), PATH_BYTES), source), mask, rule)
        key = (_cut(rule.value, PATH_BYTES), source)
        mask |= DIR
        if table.get(key, 0) & HINT:
            mask |= HINT
        self._put(rule.section, table, key, mask, rule)
        for depth in range(1, len(parts) - 1):
            mask = mask & ~DIR | HINT
            key = (_cut("/".join(parts[:depth]) + "/", PATH_BYTES), source)
            old = table.get(key)
            if old is not None and old & DIR:
                mask = old | HINT
                table[key] = mask  # still the older rule's key
            else:
                self._put(rule.section, table, key, mask, rule)

    def _put(self, section: str, table: dict[Key, int], key: Key, mask: int, rule: Rule) -> None:
        table[key] = mask
        self.origin[section, key] = rule

    @staticmethod
    def _mask(rule: Rule, bits: int) -> int:
        return (
            bits
            | (OWNER if rule.owner_only else 0)
            | (NO_TTY if rule.no_terminal else 0)
            | (ARGS if rule.allowed_args else 0)
            | (DENY if rule.action is Action.BLOCK else 0)
        )


def posture_modes(table: Table, posture: Posture) -> Mapping[str, str]:
    """Return ``block`` or ``audit`` for each class that is an allow-list."""
    listed = {
        "process": (table.process_list, posture.file),
        "file": (table.file_list, posture.file),
        "network": (table.network_list, posture.network),
        "dns": (table.dns_list, posture.network),
        "capabilities": (table.capabilities_list, posture.capabilities),
    }
    return {name: mode for name, (is_list, mode) in listed.items() if is_list}

"""The observer's vocabulary in user space: its enums by the dataset's names."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpf.btf import Btf
from bpf.declarations import Declarations
from models.behaviour import Access, Class, Loss, Object, Operation, Phase

__all__ = ["FAMILIES", "TYPES", "Abi", "class_of", "object_of", "protocol_name"]

FAMILIES = {int(f): f.name.removeprefix("AF_").lower() for f in socket.AddressFamily}
TYPES = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket", 6: "dccp", 10: "packet"}
_INTERNET = {
    0: "ip", 1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 41: "ipv6", 47: "gre", 50: "esp", 51: "ah",
    58: "icmpv6", 103: "pim", 132: "sctp", 136: "udplite", 255: "raw", 262: "mptcp",
}  # fmt: skip
_NETLINK = {
    0: "route", 2: "usersock", 3: "firewall", 4: "sock_diag", 5: "nflog", 6: "xfrm", 7: "selinux", 8: "iscsi",
    9: "audit", 10: "fib_lookup", 11: "connector", 12: "netfilter", 15: "kobject_uevent", 16: "generic",
    18: "scsitransport", 20: "rdma", 21: "crypto",
}  # fmt: skip
_KINDS = {
    0o100000: Object.FILE,
    0o040000: Object.DIRECTORY,
    0o120000: Object.SYMLINK,
    0o020000: Object.DEVICE,
    0o060000: Object.DEVICE,
    0o010000: Object.FIFO,
    0o140000: Object.SOCKET,
}


def protocol_name(family: int, kind: int, number: int) -> str | None:
    """The protocol's name. A socket asked for with protocol 0 gets its type's own: a stream tcp, datagrams udp."""
    if family in (socket.AF_INET, socket.AF_INET6):
        if number == 0 and kind in (1, 2):
            return "tcp" if kind == 1 else "udp"
        return _INTERNET.get(number, str(number))
    if family == socket.AF_NETLINK:
        return _NETLINK.get(number, str(number))
    return str(number) if number else None


def object_of(mode: int) -> Object:
    """The kind of object that an inode's mode tells."""
    return _KINDS.get(mode & 0o170000, Object.UNKNOWN)


def class_of(op: Operation) -> Class:
    """The class that an operation counts for."""
    if op is Operation.EXEC:
        return Class.EXEC
    if op is Operation.CAPABLE:
        return Class.CAPABILITY
    if op in _SOCKET_OPERATIONS:
        return Class.SOCKET
    return Class.FILE


_SOCKET_OPERATIONS = {
    Operation.SOCKET,
    Operation.CONNECT,
    Operation.BIND,
    Operation.LISTEN,
    Operation.ACCEPT,
    Operation.SEND,
}


@dataclass(frozen=True)
class Abi:
    """Numbers of one loaded object, from its BTF.

    `operations`, `phases`, `losses`: the dataset's word by the kernel's number. `kinds`, `flags`, `modes`: the kernel's
    number by its name without prefix. `record`, `long_record`, `raw_record`,
    `namespace_record`: dtypes of the rings.
    """

    call_numbers: dict[str, int]
    operations: dict[int, Operation]
    phases: dict[int, Phase]
    losses: dict[int, Loss]
    accesses: list[tuple[int, Access]]
    kinds: dict[str, int]
    flags: dict[str, int]
    modes: dict[str, int]
    record: np.dtype[Any]
    long_record: np.dtype[Any]
    raw_record: np.dtype[Any]
    namespace_record: np.dtype[Any]

    @classmethod
    def of(cls, btf: Btf | Declarations) -> Abi:
        """Read it from an object's BTF."""
        operations = btf.enum("operation")
        return cls(
            call_numbers=operations,
            operations={
                n: Operation[name[3:]] for name, n in operations.items() if name.startswith("OP_") and name != "OP_NONE"
            },
            phases={n: Phase[name.removeprefix("PHASE_")] for name, n in btf.enum("phase").items()},
            losses={
                n: Loss[name.removeprefix("LOSS_")] for name, n in btf.enum("loss").items() if name != "LOSS_CAUSES"
            },
            accesses=[(n, Access[name.removeprefix("ACCESS_")]) for name, n in btf.enum("access").items()],
            kinds=_bare(btf, "record_kind", "RECORD_"),
            flags=_bare(btf, "record_flags", "FLAG_"),
            modes=_bare(btf, "task_mode", "MODE_"),
            record=btf.struct("record"),
            long_record=btf.struct("long_record"),
            raw_record=btf.struct("raw_record"),
            namespace_record=btf.struct("namespace_record"),
        )

    def access(self, bits: int) -> str | None:
        """The `access` column for the kernel's bits."""
        return "+".join(word for bit, word in self.accesses if bits & bit) or None


def _bare(btf: Btf | Declarations, enum: str, prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): number for name, number in btf.enum(enum).items()}

"""The verifier's limit on the stack that a program and what it calls share, counted as Linux 5.10 to 6.1 count it.

Otherwise it would show on such a kernel alone, in the VM tier: newer ones round a frame to 16 bytes, not to 32.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import bpf
from bpf import build

LIMIT, ROUND = 512, 32  # MAX_BPF_STACK; check_max_stack_depth() in kernel/bpf/verifier.c
OBJECTS = sorted(
    target.object for target in build.targets(Path(bpf.__file__).parent) if "observer" in target.object.name
)
CALL = 0x85
FRAME = 10  # r10
FUNC = 2


class Elf:
    """The code of an object: functions by section and place, and the calls between them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        (table,) = struct.unpack_from("<Q", data, 40)
        size, count, self.names = struct.unpack_from("<HHH", data, 58)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
        symbols = next(s for s in self.sections if s[1] == 2)
        strings = self.bytes_of(symbols[6])
        self.symbols = []
        for at in range(symbols[4], symbols[4] + symbols[5], 24):
            name, info, _, section, value, length = struct.unpack_from("<IBBHQQ", data, at)
            text = strings[name : strings.index(b"\0", name)].decode()
            self.symbols.append((text, info & 15, section, value // 8, length // 8))
        self.functions = {(s[2], s[3]): s for s in self.symbols if s[1] == FUNC}

    def bytes_of(self, section: int) -> bytes:
        _, _, _, _, offset, size, *_ = self.sections[section]
        return self.data[offset : offset + size]

    def relocations(self, section: int) -> dict[int, int]:
        """Place in the section's code -> symbol, for the section that REL entries are for."""
        found = {}
        for index, entry in enumerate(self.sections):
            if entry[1] == 9 and entry[7] == section:
                body = self.bytes_of(index)
                for at in range(0, len(body), 16):
                    offset, info = struct.unpack_from("<QQ", body, at)
                    found[offset // 8] = info >> 32
        return found

    def instructions(self, function: tuple[int, int]) -> Iterator[tuple[int, int, int, int, int, int]]:
        """(place, opcode, destination, source, offset, immediate) of each instruction."""
        section, start = function
        body = self.bytes_of(section)
        for place in range(start, start + self.functions[function][4]):
            opcode, registers, offset, immediate = struct.unpack_from("<BBhi", body, place * 8)
            yield place, opcode, registers & 15, registers >> 4, offset, immediate

    def depth(self, function: tuple[int, int]) -> int:
        """The bytes of its own stack that a function uses."""
        deepest = 0
        taken = {}  # registers that point into the frame
        for _, opcode, destination, source, offset, immediate in self.instructions(function):
            kind = opcode & 7
            if kind in (1, 2, 3):  # load, store
                base = source if kind == 1 else destination
                if base == FRAME:
                    deepest = max(deepest, -offset)
            if opcode == 0xBF and source == FRAME:
                taken[destination] = 0
            elif opcode == 0x07 and destination in taken:
                deepest = max(deepest, -immediate)
                del taken[destination]
        return deepest

    def callees(self, function: tuple[int, int]) -> set[tuple[int, int]]:
        """The functions that it calls."""
        section, found = function[0], set()
        relocations = self.relocations(section)
        for place, opcode, _, source, _, immediate in self.instructions(function):
            if opcode != CALL or source != 1:
                continue
            if place in relocations:
                _, kind, target, value, _ = self.symbols[relocations[place]]
                if target:  # else a function of the kernel's
                    found.add((target, value if kind == FUNC else immediate + 1))
            else:
                found.add((section, place + immediate + 1))
        return found

    def deepest(self, function: tuple[int, int]) -> tuple[int, list[str]]:
        """The stack of the worst chain of calls that begins here, and that chain."""
        own = -(-max(self.depth(function), 1) // ROUND) * ROUND
        below = [self.deepest(callee) for callee in self.callees(function)]
        size, names = max(below, default=(0, []))
        return own + size, [f"{self.functions[function][0]} ({own})", *names]


def programs(elf: Elf) -> list[tuple[int, int]]:
    """Functions in sections of their own: .text holds what they call."""
    names = elf.bytes_of(elf.names)
    text = {i for i, s in enumerate(elf.sections) if names[s[0] :].startswith(b".text\0")}
    return [function for function in elf.functions if function[0] not in text]


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_no_chain_of_calls_exceeds_the_stack(path: Path) -> None:
    elf = Elf(path.read_bytes())
    chains = [elf.deepest(function) for function in programs(elf)]
    assert len(chains) >= 7
    worst, names = max(chains)
    assert 256 < worst <= LIMIT, f"{worst} bytes: {' -> '.join(names)}"

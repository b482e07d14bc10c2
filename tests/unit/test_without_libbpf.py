"""What takes libbpf's place for the bcc back end: layouts read from our headers, kernel layouts, and the linker."""

import struct
from pathlib import Path

import numpy as np
import pytest

from bpf.declarations import Declarations
from bpf.layout import kernel_layout, wanted
from bpf.link import Function, Linker
from bpf.object import BpfObject, object_path
from collectors.live.abi import Abi
from collectors.live.bcc_sources import FOLDER, HEADERS, Sources

STRUCTURES = (
    *("record_head", "record", "long_record", "raw_record", "behaviour_key", "behaviour", "task", "actor_key"),
    *("cgroup_state", "call", "observer_state"),
)


@pytest.fixture(scope="module")
def compiled() -> BpfObject:
    return BpfObject(object_path("observer.tracepoint"))


@pytest.fixture(scope="module")
def declared() -> Declarations:
    return Declarations(*(FOLDER / name for name in HEADERS))


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_laid_out_as_clang_does(name: str, compiled: BpfObject, declared: Declarations) -> None:
    assert declared.struct(name) == compiled.btf.struct(name)


def test_the_vocabulary_is_clangs(compiled: BpfObject, declared: Declarations) -> None:
    assert Abi.of(declared) == Abi.of(compiled.btf)


def test_both_compilers_have_the_same_programs_and_maps(compiled: BpfObject) -> None:
    sources = Sources(find_vma=True)
    assert {name: f"tp_btf/{hook}" for name, hook in sources.attach_to.items()} == {
        name: compiled.section_of(name) for name in compiled.programs
    }
    sections = {".rodata", ".bss", ".data"}
    assert set(sources.maps) == {name for name in compiled._maps if not any(name.endswith(s) for s in sections)}
    for name, source in sources.maps.items():
        found = (
            [sources.declarations.type(word) for word in (source.key_type, source.value_type)]
            if (name in {"behaviours", "cgroups", "tasks", "targets", "actors", "executables"})
            else None
        )
        assert found is None or tuple(found) == compiled.map_types(name)


def test_numbers_are_read_as_c_does(tmp_path: Path) -> None:
    header = tmp_path / "some.h"
    header.write_text(
        "#define WIDE 0x10 /* a comment */\n#define MODE 0170\nenum few { A, B = 4, C, D = 1 << 5 };\n"
        "struct odd {\n\t__u8 a; // one\n\t__u64 b, *c;\n\t__u16 d[WIDE / 8 + 1];\n};\n"
    )
    declared = Declarations(header)
    assert declared.enum("few") == {"A": 0, "B": 4, "C": 5, "D": 32}
    assert declared.number("MODE + WIDE") == 0o170 + 16
    odd = declared.struct("odd")
    assert {name: odd.fields[name][1] for name in odd.names} == {"a": 0, "b": 8, "c": 16, "d": 24}
    assert odd["d"].shape == (3,)
    assert odd.itemsize == 32
    with pytest.raises(ValueError, match="not a number"):
        declared.number("f(1)")


def test_every_member_of_kernel_h_gets_its_place() -> None:
    header = FOLDER / "kernel.h"
    places = {pair: 8 * place for place, pair in enumerate(wanted(header))}
    text = kernel_layout(header, lambda structure, member: places[structure, member])
    for (structure, member), offset in places.items():
        if "." not in member and structure not in ("kuid_t", "atomic_t"):
            assert f"{member}) == {offset}" in text, (structure, member)
    assert "struct inode" in text
    assert "} kuid_t;" in text


def test_a_member_that_the_kernel_lacks_is_marked(tmp_path: Path) -> None:
    header = tmp_path / "kernel.h"
    header.write_text("#define KERNEL_STRUCT x\n\nstruct a___new {\n\tint b;\n\tstruct c *d[2];\n} KERNEL_STRUCT;\n")
    text = kernel_layout(header, lambda structure, member: {("a", "b"): 4}.get((structure, member)))
    assert "struct a___new { union { struct { char gap_0[4]; int b; };" in text
    assert "struct c *d[2] __attribute__((aligned(MISSING_ALIGNMENT)));" in text


CALL, EXIT, WIDE, MOVE = 0x85, 0x95, 0x18, 0xB7


def instruction(code: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, registers, offset, immediate)


def call(at: int, to: int) -> bytes:
    return instruction(CALL, 0x10, 0, to - at - 1)


SECTION = b"".join([
    call(0, 4), call(1, 8), call(2, 12), instruction(EXIT),
    instruction(WIDE, 0x11, 0, 3), bytes(8), call(6, 10), instruction(EXIT),  # a program: a map, and a local function
    instruction(MOVE, 0, 0, 1), instruction(EXIT),  # told of by the directory, called by none
    call(10, 12), instruction(EXIT),
    instruction(WIDE, 0x20, 0, 1000), bytes(8), instruction(EXIT),
])  # fmt: skip
DIRECTORY = [Function("main"), Function("unused", 1), Function("checked_alone", 2)]


def test_a_program_gets_what_it_calls_and_no_more() -> None:
    linker = Linker(SECTION, DIRECTORY)
    linker.descriptors({3: 33, 1000: 44})
    program = linker.program("main")
    code = np.frombuffer(program.code, np.dtype([("c", "u1"), ("r", "u1"), ("o", "<i2"), ("i", "<i4")]))
    assert code["c"].tolist() == [WIDE, 0, CALL, EXIT, CALL, EXIT, WIDE, 0, EXIT]
    assert code["i"].tolist() == [33, 0, 1, 0, 1, 0, 44, 0, 0]
    described = [struct.unpack_from("<II", program.functions, 8 * i) for i in range(3)]
    assert [place for place, _ in described] == [0, 4, 6]
    assert b"\0main\0" in program.btf
    assert b"\0local_1\0" in program.btf
    assert b"\0checked_alone\0" in program.btf
    assert b"unused" not in program.btf


def test_the_linker_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="3 calls, not 2"):
        Linker(SECTION, DIRECTORY[:2])
    with pytest.raises(KeyError):
        Linker(SECTION, DIRECTORY).descriptors({3: 33})

"""Compile C by the BPF Compiler Collection, in a process of its own: ``python bcc_compile.py BCC_FOLDER DESCRIPTOR``.

Reads a JSON request ``{"text": …, "flags": [...], "values": [...]}`` from standard input and writes the answer
``{"code": base64, "values": {name: number}}``, or ``{"error": …}``, to the open file descriptor. The compiler's own
words go to standard error. A process of its own because clang and LLVM take 100 MB that a recorder of
many hours should not hold, and because bcc prints.

`code` is the section that holds all functions, from the directory on, which stands first (see bpf/compat_bcc.h).
`values` names functions that only return a constant: what they return.

Uses the standard library alone and imports nothing of ours: any Python 3 may run it.
"""

import base64
import ctypes
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

CALL, EXIT, WIDE = 0x85, 0x95, 0x18
MOVE, MOVE_32 = 0xB7, 0xB4


def load_bcc(folder: str) -> Any:
    """The ``bcc`` package in `folder`, whatever else is called so on this machine."""
    spec = importlib.util.spec_from_file_location(
        "bcc", Path(folder) / "__init__.py", submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError(folder)
    package = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = package
    spec.loader.exec_module(package)
    return package


def instruction(address: int, place: int) -> tuple[int, int, int, int]:
    """(opcode, source register, offset, immediate) of the instruction at that place."""
    raw = ctypes.string_at(address + 8 * place, 8)
    offset = int.from_bytes(raw[2:4], "little", signed=True)
    return raw[0], raw[1] >> 4, offset, int.from_bytes(raw[4:8], "little", signed=True)


def extent(address: int, start: int, entries: set[int]) -> int:
    """The place behind the function that begins at `start`; what it calls goes to `entries`."""
    reached: set[int] = set()
    todo = [start]
    while todo:
        place = todo.pop()
        while place not in reached:
            reached.add(place)
            opcode, source, offset, immediate = instruction(address, place)
            following = place + 1
            if opcode == WIDE:
                following = place + 2
                reached.add(place + 1)
            elif opcode == CALL and source == 1:
                entries.add(following + immediate)
            elif opcode == EXIT:
                break
            elif opcode & 7 in (5, 6) and opcode != CALL:
                if opcode == 5:
                    following += offset
                else:
                    todo.append(following + offset)
            place = following
    return max(reached) + 1


def section(address: int) -> bytes:
    """All code from the directory's first instruction on."""
    entries, end = {0}, 0
    done: set[int] = set()
    while todo := entries - done:
        start = todo.pop()
        if start < 0:
            raise ValueError("a function lies before the directory")
        done.add(start)
        end = max(end, extent(address, start, entries))
    return ctypes.string_at(address, 8 * end)


def constant(address: int) -> int:
    """What a function returns that only returns a constant."""
    raw = ctypes.string_at(address, 24)
    if raw[0] in (MOVE, MOVE_32) and raw[1] == 0 and raw[8] == EXIT:
        return int.from_bytes(raw[4:8], "little", signed=True)
    if raw[0] == WIDE and raw[1] == 0 and raw[16] == EXIT:
        return int.from_bytes(raw[4:8] + raw[12:16], "little")
    raise ValueError("not a constant")


def compiled(folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    lib = load_bcc(folder).BPF.__init__.__globals__["lib"]
    flags = [flag.encode() for flag in request["flags"]]
    array = (ctypes.c_char_p * len(flags))(*flags)
    module = lib.bpf_module_create_c_from_string(request["text"].encode(), 0, array, len(flags), False, None)
    if not module:
        return {"error": "the compiler refused it"}
    answer: dict[str, Any] = {"values": {}}
    for name in request["values"]:
        answer["values"][name] = constant(lib.bpf_function_start(module, name.encode()))
    if start := lib.bpf_function_start(module, b"all"):
        answer["code"] = base64.b64encode(section(start)).decode()
    return answer


def main() -> int:
    """Run as a command."""
    folder, descriptor = sys.argv[1], int(sys.argv[2])
    try:
        answer = compiled(folder, json.load(sys.stdin))
    except (ImportError, OSError, ValueError, AttributeError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    with open(descriptor, "w") as out:
        json.dump(answer, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

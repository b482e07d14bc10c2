"""The bpf(2) system call itself, for machines without libbpf: maps, programs, links and program BTF.

Functions that libbpf has too are called as there and answer as there (a negative errno), so that `bpf.maps.Map` works
over either. Structures are ``union bpf_attr`` of include/uapi/linux/bpf.h, which only ever grows at its ends.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import platform
import resource
import struct
from typing import Any

from bpf.errors import BpfError, KernelRefused
from bpf.maps import Map

__all__ = [
    "RawMap",
    "SystemCalls",
    "create_map",
    "freeze",
    "load_btf",
    "load_program",
    "open_raw_tracepoint",
    "pin",
    "test_run",
    "unlimited_memory",
]

_NUMBERS = {"x86_64": 321, "aarch64": 280}
_ATTR_SIZE = 128
_CREATE, _LOOKUP, _UPDATE, _DELETE, _NEXT, _LOAD, _PIN, _GET = range(8)
_TEST_RUN = 10
_INFO, _RAW_TRACEPOINT, _BTF, _FREEZE, _LOOKUP_BATCH = 15, 17, 18, 22, 24
_LOG_SIZE = 1 << 24
_RAW_TRACEPOINT_PROGRAM = 17


def _bpf(command: int, attr: bytes) -> tuple[int, Any]:
    """(result or negative errno, the attributes as the kernel left them)."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise BpfError(f"the number of bpf(2) on {platform.machine()} is not known")
    buffer = c.create_string_buffer(attr, _ATTR_SIZE)
    result = int(c.CDLL(None, use_errno=True).syscall(number, command, buffer, _ATTR_SIZE))
    return -c.get_errno() if result < 0 else result, buffer


class SystemCalls:
    """What `bpf.maps.Map` asks of libbpf, made without it; `byref` arguments as there."""

    @staticmethod
    def bpf_map_lookup_elem(fd: int, key: int, value: int) -> int:
        """Copy a value out."""
        return _bpf(_LOOKUP, struct.pack("<IxxxxQQQ", fd, key, value, 0))[0]

    @staticmethod
    def bpf_map_update_elem(fd: int, key: int, value: int, flags: int) -> int:
        """Write an entry."""
        return _bpf(_UPDATE, struct.pack("<IxxxxQQQ", fd, key, value, flags))[0]

    @staticmethod
    def bpf_map_delete_elem(fd: int, key: int) -> int:
        """Delete an entry."""
        return _bpf(_DELETE, struct.pack("<IxxxxQ", fd, key))[0]

    @staticmethod
    def bpf_map_lookup_batch(
        fd: int, first: int | None, following: int, keys: int, values: int, count: Any, _options: None
    ) -> int:
        """Copy many entries out; `count` says how many there is room for, then how many there were."""
        attr = struct.pack("<QQQQIIQQ", first or 0, following, keys, values, count._obj.value, fd, 0, 0)
        result, left = _bpf(_LOOKUP_BATCH, attr)
        count._obj.value = struct.unpack_from("<I", left, 32)[0]
        return result

    @staticmethod
    def bpf_obj_get(path: bytes) -> int:
        """Open a pin."""
        name = c.create_string_buffer(path)
        return _bpf(_GET, struct.pack("<QII", c.addressof(name), 0, 0))[0]

    @staticmethod
    def bpf_obj_get_info_by_fd(fd: int, info: Any, size: Any) -> int:
        """Fill a ctypes array with what the kernel tells of a map or a program."""
        result, left = _bpf(_INFO, struct.pack("<IIQ", fd, size._obj.value, c.addressof(info)))
        size._obj.value = struct.unpack_from("<I", left, 4)[0]
        return result


class RawMap(Map):
    """A map reached without libbpf."""

    @staticmethod
    def library() -> Any:
        """The system calls themselves."""
        return SystemCalls


def unlimited_memory() -> None:
    """Before Linux 5.11 maps and programs count as locked memory, which is limited to less than one ring."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def create_map(name: str, kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    """The descriptor of a new map; sizes in bytes."""
    attr = struct.pack("<IIIIIII16s", kind, key, value, entries, flags, 0, 0, name.encode()[:15])
    return _checked(f"create map {name}", _bpf(_CREATE, attr))


def freeze(fd: int) -> None:
    """No more writes from user space: what the programs read there is constant from now on."""
    _checked("freeze a map", _bpf(_FREEZE, struct.pack("<I", fd)))


def load_btf(data: bytes) -> int:
    """The descriptor of type information for programs."""
    buffer = c.create_string_buffer(data, len(data))
    return _checked("load BTF", _bpf(_BTF, struct.pack("<QQIII", c.addressof(buffer), 0, len(data), 0, 0)))


def load_program(name: str, code: bytes, btf: int = -1, functions: bytes = b"") -> int:
    """Load a raw tracepoint program; `functions`: an array of ``struct bpf_func_info``. `KernelRefused` has the log."""
    instructions, licence = c.create_string_buffer(code, len(code)), c.create_string_buffer(b"Dual BSD/GPL")
    described = c.create_string_buffer(functions, max(len(functions), 1))

    def attempt(level: int, log: Any) -> int:
        attr = struct.pack(
            "<IIQQIIQII16sIIIIQI",
            *(_RAW_TRACEPOINT_PROGRAM, len(code) // 8, c.addressof(instructions), c.addressof(licence)),
            *(level, len(log) if level else 0, c.addressof(log) if level else 0, 0, 0, name.encode()[:15], 0, 0),
            *(max(btf, 0), 8 if functions else 0, c.addressof(described) if functions else 0, len(functions) // 8),
        )
        return _bpf(_LOAD, attr)[0]

    fd = attempt(0, b"")
    if fd >= 0:
        return fd
    log = c.create_string_buffer(_LOG_SIZE)
    again = attempt(1, log)
    if again >= 0:
        return again
    raise KernelRefused(f"load program {name}", -again, log.value.decode(errors="replace"))


def open_raw_tracepoint(name: str, program: int) -> int:
    """Attach a program; the link lives as long as its descriptor or a pin. `KernelRefused` 2: no such tracepoint."""
    label = c.create_string_buffer(name.encode())
    return _checked(
        f"attach to raw tracepoint {name}", _bpf(_RAW_TRACEPOINT, struct.pack("<QI", c.addressof(label), program))
    )


def pin(fd: int, path: bytes) -> None:
    """Pin a map or a link to a path on a bpffs."""
    name = c.create_string_buffer(path)
    _checked(f"pin {path.decode(errors='replace')}", _bpf(_PIN, struct.pack("<QII", c.addressof(name), fd, 0)))


def test_run(program: int, repeat: int) -> tuple[int, int]:
    """Run a program on an empty packet without attaching it: its answer, and nanoseconds a run (mean of `repeat`)."""
    packet = c.create_string_buffer(64)
    attr = struct.pack("<IIIIQQII", program, 0, len(packet), 0, c.addressof(packet), 0, repeat, 0)
    result, left = _bpf(_TEST_RUN, attr)
    _checked("run a program", (result, left))
    return int(struct.unpack_from("<I", left, 4)[0]), int(struct.unpack_from("<I", left, 36)[0])


def _checked(what: str, answer: tuple[int, Any]) -> int:
    result, _ = answer
    if result < 0:
        raise KernelRefused(what, -result)
    return result

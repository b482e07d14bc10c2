"""One compiled BPF object: open it, set its constants, load it, attach its programs, reach its maps."""

from __future__ import annotations

import ctypes as c
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bpf.btf import Btf
from bpf.errors import KernelRefused, ObjectMissing
from bpf.libbpf import captured_log, check, libbpf
from bpf.maps import Map

__all__ = ["BpfObject", "object_path"]

FOLDER = Path(__file__).parent


def object_path(name: str) -> Path:
    """Where ``observer.tracepoint`` and its like are installed."""
    path = FOLDER / f"{name}.bpf.o"
    if not path.exists():
        raise ObjectMissing(
            f"{path} is missing", "python -m bpf.build compiles it (needs clang); a wheel has it inside"
        )
    return path


def _label(name: str) -> str:
    """A map's name as a pin: bpffs refuses a dot, and data sections carry a prefix of the object's name."""
    return "bss" if name.endswith(".bss") else name


class BpfObject:
    """An opened object file. Order of use: `constants`, `resize`, `only`, `load`, `attach`.

    Closing detaches what was attached and not pinned. Use it as a context manager.
    """

    map_class = Map

    def __init__(self, path: Path) -> None:
        self.path = path
        self._image = path.read_bytes()  # libbpf refers to it until closed
        self._links: dict[str, int] = {}
        captured_log()
        pointer = libbpf().bpf_object__open_mem(self._image, len(self._image), None)
        if error := check(pointer):
            raise KernelRefused(f"open {path.name}", error, captured_log())
        self._pointer: int = pointer
        self.btf = Btf(libbpf().bpf_object__btf(pointer))
        self._programs = dict(self._each(libbpf().bpf_object__next_program, libbpf().bpf_program__name))
        self._maps = dict(self._each(libbpf().bpf_object__next_map, libbpf().bpf_map__name))

    def _each(self, following: Any, name: Any) -> Iterator[tuple[str, int]]:
        current = None
        while current := following(self._pointer, current):
            yield name(current).decode(), current

    @property
    def programs(self) -> list[str]:
        """Names of the programs in the object."""
        return list(self._programs)

    def section_of(self, program: str) -> str:
        """The ELF section of a program, which names what it attaches to."""
        return str(libbpf().bpf_program__section_name(self._programs[program]).decode())

    def _map_named(self, name: str) -> int:
        """A map by its name; data sections carry a prefix of the object's name."""
        for known, pointer in self._maps.items():
            if known == name or (name.startswith(".") and known.endswith(name)):
                return pointer
        raise KeyError(name)

    def constants(self, **values: int | bytes) -> None:
        """Set ``const volatile`` globals before loading: integers, or bytes for arrays and structures."""
        size = c.c_size_t()
        address = libbpf().bpf_map__initial_value(self._map_named(".rodata"), c.byref(size))
        section = self.btf.section(".rodata")
        for name, value in values.items():
            offset, width, _ = section[name]
            data = value if isinstance(value, bytes) else value.to_bytes(width, "little", signed=value < 0)
            if len(data) > width:
                raise ValueError(f"{name} takes {width} bytes, not {len(data)}")
            c.memmove(address + offset, data, len(data))

    def resize(self, name: str, entries: int) -> None:
        """Give a map another size (entries; bytes for a ring, a power of two of at least a page) before loading."""
        if error := check(libbpf().bpf_map__set_max_entries(self._map_named(name), entries)):
            raise KernelRefused(f"resize map {name} to {entries}", error, captured_log())

    def reuse(self, folder: Path) -> None:
        """Take the maps that `pin` has put there, with what is in them, in the place of new ones; before loading."""
        for name, pointer in self._maps.items():
            pinned = folder / "maps" / _label(name)
            if ".rodata" in name or not pinned.exists():
                continue
            fd = libbpf().bpf_obj_get(os.fsencode(pinned))
            if error := check(fd):
                raise KernelRefused(f"open pinned map {pinned}", error, captured_log())
            error = check(libbpf().bpf_map__reuse_fd(pointer, fd))  # keeps a duplicate
            os.close(fd)
            if error:
                raise KernelRefused(f"go on with map {name}", error, captured_log())

    def only(self, *programs: str) -> None:
        """Load these programs and no others."""
        for name, pointer in self._programs.items():
            libbpf().bpf_program__set_autoload(pointer, name in programs)

    def without(self, *programs: str) -> None:
        """Leave these programs out."""
        for name in programs:
            libbpf().bpf_program__set_autoload(self._programs[name], False)

    def load(self) -> Self:
        """Create the maps and load the programs; `KernelRefused` carries the verifier's log."""
        captured_log()
        if error := check(libbpf().bpf_object__load(self._pointer)):
            raise KernelRefused(f"load {self.path.name}", error, captured_log())
        return self

    def attach(self, *programs: str) -> None:
        """Attach these programs, or all that were loaded."""
        for name in programs or self._programs:
            pointer = self._programs[name]
            if not libbpf().bpf_program__autoload(pointer):
                continue
            link = libbpf().bpf_program__attach(pointer)
            if error := check(link):
                raise KernelRefused(f"attach {name} ({self.section_of(name)})", error, captured_log())
            self._links[name] = link

    def detach(self) -> None:
        """Take all programs off their hooks; maps stay readable until `close`."""
        for link in self._links.values():
            libbpf().bpf_link__destroy(link)
        self._links.clear()

    def program_fd(self, name: str) -> int:
        """The descriptor of a loaded program."""
        return int(libbpf().bpf_program__fd(self._programs[name]))

    def recursion_misses(self, name: str) -> int:
        """How often the kernel skipped the program because it was running already on that CPU (counted since 5.12)."""
        info = (c.c_uint64 * 32)()  # struct bpf_prog_info; recursion_misses lies at byte 208
        size = c.c_uint32(c.sizeof(info))
        if check(libbpf().bpf_obj_get_info_by_fd(self.program_fd(name), info, c.byref(size))) or size.value < 216:
            return 0
        return int(info[26])

    def map(self, name: str) -> Map:
        """A map after loading, with dtypes from BTF where it declares key and value."""
        pointer = self._map_named(name)
        fd = libbpf().bpf_map__fd(pointer)
        return Map(name, fd, *self.map_types(name), int(libbpf().bpf_map__max_entries(pointer)))

    def map_types(self, name: str) -> tuple[np.dtype[Any] | None, np.dtype[Any] | None]:
        """The dtypes of a map's key and value."""
        pointer = self._map_named(name)
        numbers = libbpf().bpf_map__btf_key_type_id(pointer), libbpf().bpf_map__btf_value_type_id(pointer)
        key, value = (np.dtype(self.btf.format(n)) if n else None for n in numbers)
        return key, value

    def variable(self, name: str, fd: int | None = None) -> np.ndarray[Any, Any]:
        """A global of ``.bss``, shared with the programs: an array of one element that is theirs, not a copy."""
        offset, _, number = self.btf.section(".bss")[name]
        fd = libbpf().bpf_map__fd(self._map_named(".bss")) if fd is None else fd
        memory = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return np.frombuffer(memory, np.dtype(self.btf.format(number)), 1, offset)

    def pin(self, folder: Path) -> None:
        """Pin every map and every attached link below `folder` (on a bpffs), so that they outlive this process."""
        for kind in ("maps", "links"):
            (folder / kind).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, pointer in self._maps.items():
            if ".rodata" in name:
                continue
            target = folder / "maps" / _label(name)
            if error := check(libbpf().bpf_map__pin(pointer, os.fsencode(target))):
                raise KernelRefused(f"pin map {name}", error, captured_log())
        for name, link in self._links.items():
            if error := check(libbpf().bpf_link__pin(link, os.fsencode(folder / "links" / name))):
                raise KernelRefused(f"pin link {name}", error, captured_log())

    def replace_pins(self, folder: Path) -> None:
        """Pin the attached links in the place of those that are there, and maps that are not there yet.

        What loses its pin is detached, after what takes its place was attached.
        """
        for name, pointer in self._maps.items():
            target = folder / "maps" / _label(name)
            if ".rodata" in name or target.exists():
                continue
            if error := check(libbpf().bpf_map__pin(pointer, os.fsencode(target))):
                raise KernelRefused(f"pin map {name}", error, captured_log())
        for name, link in self._links.items():
            fresh = folder / "links" / f"{name}_new"
            if error := check(libbpf().bpf_link__pin(link, os.fsencode(fresh))):
                raise KernelRefused(f"pin link {name}", error, captured_log())
            fresh.replace(folder / "links" / name)
        for old in (folder / "links").iterdir():
            if old.name not in self._links:
                old.unlink()

    def close(self) -> None:
        """Detach and free; pinned maps and links stay."""
        self.detach()
        if self._pointer:
            libbpf().bpf_object__close(self._pointer)
            self._pointer = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

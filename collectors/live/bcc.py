"""The observer compiled by the BPF Compiler Collection of the distribution, for hosts without libbpf or without BTF.

`BccObject` is used like `bpf.object.BpfObject`. The sources are the same (`bpf/compat_bcc.h` says how); bcc compiles
them in a process of its own (`bcc_compile.py`), and everything else is done here with bpf(2) alone: maps are created,
programs linked, loaded and attached to raw tracepoints.
"""

from __future__ import annotations

import base64
import ctypes as c
import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from bpf import raw
from bpf.errors import BpfError
from bpf.kernel_btf import KernelBtf
from bpf.layout import Offsets, from_btf, kernel_layout, wanted
from bpf.link import Linker
from bpf.maps import Map
from bpf.raw import RawMap
from collectors.live.bcc_headers import read_offsets
from collectors.live.bcc_sources import FOLDER, Sources

__all__ = ["BCC_FOLDER", "BCC_OBJECT", "BccObject", "compile_c", "write_stub_tree"]

BCC_FOLDER = Path("/usr/lib/python3/dist-packages/bcc")
"""Where Debian and Ubuntu put it. The ``bcc`` on PyPI is another thing."""

BCC_OBJECT = "observer.bcc"
"""The variant's name; there is no such object file."""

FLAGS = (
    "-DDISCOVER_BCC",
    "-Werror=implicit-function-declaration",
    "-Wno-int-conversion",  # arguments of a tracepoint are numbers
    "-Wno-duplicate-decl-specifier",
    "-fno-vectorize",  # the front end compiles for this machine, which has vectors; BPF has none
    "-fno-slp-vectorize",
    "-fno-unroll-loops",  # an unrolled loop loses the bound that the verifier looks for
)
_ARRAY = 2
_READ_ONLY, _MAPPABLE = 1 << 7, 1 << 10  # BPF_F_RDONLY_PROG, BPF_F_MMAPABLE
_TIMEOUT = 300
_KERNEL_HEADERS = Path("/sys/kernel/kheaders.tar.xz")  # bcc unpacks it by itself

_STUB = """\
#pragma once
#define CONFIG_BPF_SYSCALL 1
#define LINUX_VERSION_CODE 0
#define KERNEL_VERSION(a, b, c) 1
#define PAGE_SIZE 4096
#define __bitwise
#define __aligned_u64 __u64 __attribute__((aligned(8)))
typedef unsigned char __u8, u8;
typedef unsigned short __u16, u16, __be16, __le16, __sum16;
typedef unsigned int __u32, u32, __be32, __le32, __wsum;
typedef unsigned long long __u64, u64, __be64, __le64;
typedef signed char __s8, s8;
typedef short __s16, s16;
typedef int __s32, s32;
typedef long long __s64, s64;
typedef unsigned long size_t, uintptr_t;
"""
_EMPTY = (
    *("include/linux/types.h", "include/linux/version.h", "include/linux/log2.h", "include/linux/bpf_common.h"),
    *("include/linux/ptrace.h", "include/uapi/linux/bpf.h", "include/uapi/linux/if_packet.h"),
    *("arch/x86/include/asm/page.h", "arch/arm64/include/asm/page.h"),
)


class BccObject:
    """The observer's sources. Order of use: `constants`, `resize`, `without`, `load`, `attach`."""

    map_class = RawMap

    def __init__(self) -> None:
        self.path = FOLDER / f"{BCC_OBJECT}.bpf.o"
        if not (BCC_FOLDER / "libbcc.py").exists():
            raise BpfError(f"the BPF Compiler Collection is not in {BCC_FOLDER}", "apt-get install python3-bpfcc")
        try:
            self._kernel: KernelBtf | None = KernelBtf()
        except LookupError:
            self._kernel = None
        find_vma = self._kernel is not None and self._kernel.has("func", "bpf_find_vma")  # since 5.17
        self._sources = Sources(find_vma=find_vma)
        self.btf = self._sources.declarations
        self._tables = dict.fromkeys(self._sources.tables, b"")
        self._sizes: dict[str, int] = {}
        self._left_out: set[str] = set()
        self._fds: dict[str, int] = {}
        self._programs: dict[str, int] = {}
        self._links: dict[str, int] = {}

    @property
    def programs(self) -> list[str]:
        """Names of the programs."""
        return list(self._sources.attach_to)

    def section_of(self, program: str) -> str:
        """What a program attaches to, as an ELF section would name it."""
        return f"tp_btf/{self._sources.attach_to[program]}"

    def constants(self, **values: int | bytes) -> None:
        """Set constants before loading: integers, or bytes for tables."""
        for name, value in values.items():
            if isinstance(value, bytes):
                self._tables[name] = value
            elif name in self._sources.settings:
                self._sources.settings[name] = f"{value}ull" if value >= 0 else f"({value})"
            else:
                raise KeyError(name)

    def resize(self, name: str, entries: int) -> None:
        """Give a map another size (entries; bytes for a ring, a power of two of at least a page) before loading."""
        self._sizes[name] = entries

    def without(self, *programs: str) -> None:
        """Leave these programs out."""
        self._left_out |= set(programs)

    def load(self) -> Self:
        """Compile, create the maps and load the programs; `KernelRefused` carries the verifier's log."""
        text, figures = self._sources.text()
        with tempfile.TemporaryDirectory(prefix="discover-bcc-") as folder:
            stub = Path(folder)
            write_stub_tree(stub)
            (stub / "kernel_layout.h").write_text(kernel_layout(FOLDER / "kernel.h", self._offsets()))
            flags = [*FLAGS, *self._sources.flags, f"-I{FOLDER}", f"-I{stub}"]
            answer = compile_c(text, flags, figures, stub)
        self._kernel = None  # megabytes
        self._sources.take_figures(answer["values"])
        self._create_maps()
        linker = Linker(base64.b64decode(answer["code"]), self._sources.directory())
        numbers = {source.number: name for name, source in self._sources.maps.items()}
        numbers |= {number: name for name, number in self._sources.values.items()}
        linker.descriptors({number: self._fds[name] for number, name in numbers.items()})
        for name in self.programs:
            if name not in self._left_out:
                program = linker.program(name)
                btf = raw.load_btf(program.btf)
                try:
                    self._programs[name] = raw.load_program(name, program.code, btf, program.functions)
                finally:
                    os.close(btf)
        return self

    def _offsets(self) -> Offsets:
        if self._kernel is not None:
            return from_btf(self._kernel)
        release = os.uname().release
        tree = os.environ.get("BCC_KERNEL_SOURCE", f"/lib/modules/{release}/build")
        if not Path(tree).exists() and not _KERNEL_HEADERS.exists():
            raise BpfError(
                "this kernel has no BTF, and its headers are not installed", f"apt-get install linux-headers-{release}"
            )
        return read_offsets(list(wanted(FOLDER / "kernel.h")), compile_c)

    def _create_maps(self) -> None:
        raw.unlimited_memory()
        for name, m in self._sources.maps.items():
            entries = self._sizes.setdefault(name, m.max_entries)
            self._fds[name] = raw.create_map(name, m.type, m.key, m.value, entries, m.map_flags)
        for name, kind in self._sources.shared.items():
            self._fds[name] = raw.create_map(name, _ARRAY, 4, self.btf.struct(kind).itemsize, 1, _MAPPABLE)
        width = self.btf.struct("call").itemsize * self.btf.number("CALLS")
        for name, content in self._tables.items():
            self._fds[name] = raw.create_map(name, _ARRAY, 4, width, 1, _READ_ONLY)
            table = RawMap(name, self._fds[name], np.dtype("u4"), np.dtype(f"V{width}"), 1)
            table.set(0, np.void(content.ljust(width, b"\0")))
            raw.freeze(self._fds[name])

    def attach(self, *programs: str) -> None:
        """Attach these programs, or all that were loaded."""
        for name in programs or self._programs:
            if name in self._programs:
                tracepoint = self._sources.attach_to[name]
                self._links[name] = raw.open_raw_tracepoint(tracepoint, self._programs[name])

    def detach(self) -> None:
        """Take all programs off their tracepoints; maps stay readable until `close`."""
        for link in self._links.values():
            os.close(link)
        self._links.clear()

    def recursion_misses(self, name: str) -> int:
        """How often the kernel skipped the program because it was running already on that CPU (counted since 5.12)."""
        info = (c.c_uint64 * 32)()  # struct bpf_prog_info; recursion_misses lies at byte 208
        size = c.c_uint32(c.sizeof(info))
        if name not in self._programs:
            return 0
        if raw.SystemCalls.bpf_obj_get_info_by_fd(self._programs[name], info, c.byref(size)) or size.value < 216:
            return 0
        return int(info[26])

    def map(self, name: str) -> Map:
        """A map after loading."""
        return RawMap(name, self._fds[name], *self.map_types(name), self._sizes[name])

    def map_types(self, name: str) -> tuple[np.dtype[Any] | None, np.dtype[Any] | None]:
        """The dtypes of a map's key and value, from the headers."""
        source = self._sources.maps[name]
        key, value = (self.btf.type(word) if word else None for word in (source.key_type, source.value_type))
        return key, value

    def variable(self, name: str, fd: int | None = None) -> np.ndarray[Any, Any]:
        """A variable shared with the programs: an array of one element that is theirs, not a copy."""
        fd = self._fds[name] if fd is None else fd
        memory = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return np.frombuffer(memory, self.btf.struct(self._sources.shared[name]), 1)

    def pin(self, folder: Path) -> None:
        """Pin every map and every attached link below `folder` (on a bpffs), so that they outlive this process."""
        for kind in ("maps", "links"):
            (folder / kind).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, fd in self._fds.items():
            if name not in self._tables:  # the shared variable's pin is called as libbpf's section of variables
                raw.pin(fd, os.fsencode(folder / "maps" / ("bss" if name in self._sources.shared else name)))
        for name, link in self._links.items():
            raw.pin(link, os.fsencode(folder / "links" / name))

    def close(self) -> None:
        """Detach and free; pinned maps and links stay."""
        self.detach()
        for fd in (*self._programs.values(), *self._fds.values()):
            os.close(fd)
        self._programs.clear()
        self._fds.clear()


def write_stub_tree(folder: Path) -> None:
    """What bcc's own header wants of a kernel's source tree, so that no kernel headers are needed."""
    for name in _EMPTY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "include/linux/kconfig.h").write_text(_STUB)


def compile_c(text: str, flags: Iterable[str], values: Iterable[str], tree: Path | None) -> dict[str, Any]:
    """What `bcc_compile` answers; `tree`: the kernel's source tree, or None for the distribution's headers."""
    environment = dict(os.environ)
    if tree:
        environment["BCC_KERNEL_SOURCE"] = str(tree)
    script = Path(__file__).with_name("bcc_compile.py")
    with tempfile.TemporaryFile() as answer:
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(BCC_FOLDER), str(answer.fileno())],
            input=json.dumps({"text": text, "flags": list(flags), "values": list(values)}).encode(),
            capture_output=True,
            pass_fds=[answer.fileno()],
            env=environment,
            timeout=_TIMEOUT,
            check=False,
        )
        answer.seek(0)
        content = answer.read()
    result: dict[str, Any] = json.loads(content) if content else {"error": f"it ended with status {done.returncode}"}
    if error := result.get("error"):
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if "error" in line]
        raise BpfError("\n  ".join([f"bcc does not compile the observer: {error}", *said[:6]]))
    return result

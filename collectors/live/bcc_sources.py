"""What bcc compiles: a small main file around the observer's headers, and what the headers declare for user space."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import bpf
from bpf.declarations import Declarations, without_comments
from bpf.link import Function

__all__ = ["FOLDER", "MapSource", "Sources"]

FOLDER = Path(bpf.__file__).parent
HEADERS = (
    *("record.h", "state.h", "walk.h", "observe.h", "actor.h", "object.h", "lifecycle.h"),
    *("calls.h", "invocation.h", "call_files.h", "call_sockets.h", "syscalls.h"),
)

_SHARED = {"state": "observer_state"}
_TABLES = ("calls", "calls_compat")
_FIRST_VALUE, _FIRST_CALLBACK = 1000, 2000

_MAP = re.compile(r"struct \{([^{}]*)\} (\w+) SEC\(\"\.maps\"\)")
_PROGRAM = re.compile(r'SEC\("tp_btf/(\w+)"\)\s*int BPF_PROG\((\w+),')
_FUNCTION = re.compile(r"^__noinline (\w+) (\w+)\(([^)]*)\)", re.MULTILINE)
_CALLBACK = re.compile(r"^CALLBACK (\w+) (\w+)\(([^)]*)\)", re.MULTILINE)
_CONSTANT = re.compile(r"^CONSTANT\((\w+), (\w+), (-?\w+)\);", re.MULTILINE)


@dataclass
class MapSource:
    """A map as the headers declare it; numbers and sizes (bytes) are known once it was compiled."""

    members: tuple[str, ...]
    key_type: str = ""
    value_type: str = ""
    number: int = 0
    type: int = 0
    max_entries: int = 0
    map_flags: int = 0
    key: int = 0
    value: int = 0


class Sources:
    """The observer's headers.

    `attach_to`: program -> raw tracepoint. `functions`: those that are numbers in code, or are checked alone.
    `shared` and `tables`: maps of one element that stand for variables and constants -> their structure.
    """

    def __init__(self, *, find_vma: bool) -> None:
        self.declarations = Declarations(*(FOLDER / name for name in HEADERS))
        text = without_comments("\n".join((FOLDER / name).read_text() for name in HEADERS))
        self.shared, self.tables = _SHARED, _TABLES
        self.attach_to: dict[str, str] = {name: tracepoint for tracepoint, name in _PROGRAM.findall(text)}
        self.maps = {name: _map_source(body) for body, name in _MAP.findall(text)}
        self.settings: dict[str, str] = {name: value for _, name, value in _CONSTANT.findall(text)}
        functions = _FUNCTION.findall(text)
        callbacks = _CALLBACK.findall(text) if find_vma else []
        self._prototypes = [
            f"__noinline {kind} {name}({arguments});" for kind, name, arguments in functions + callbacks
        ]
        self.functions = [Function(name, _count(arguments)) for _, name, arguments in functions]
        self.functions += [Function(n, None, _FIRST_CALLBACK + i) for i, (_, n, _) in enumerate(callbacks)]
        self._arguments = {name: _count(arguments) for _, name, arguments in functions + callbacks}
        self.flags = ["-DHAVE_FIND_VMA"] if find_vma else []

    @property
    def values(self) -> dict[str, int]:
        """The numbers that stand in code for variables and tables."""
        return {name: _FIRST_VALUE + i for i, name in enumerate((*self.shared, *self.tables))}

    def directory(self) -> list[Function]:
        """What the first function calls, in that order."""
        return [*map(Function, self.attach_to), *self.functions]

    def text(self) -> tuple[str, list[str]]:
        """The main file, and its functions that return a figure."""
        numbers = self.values | {f.name: f.number for f in self.functions if f.number is not None}
        lines = [f"#define SETTING_{name} {value}" for name, value in self.settings.items()]
        lines += [f"#define NUMBER_{name} {number}" for name, number in numbers.items()]
        lines += ['#include "kernel.h"', *self._prototypes]
        lines += [f"__noinline int {name}(unsigned long long *ctx);" for name in self.attach_to]
        calls = [f"{name}(ctx);" for name in self.attach_to]
        calls += [f"{f.name}({', '.join('0' * self._arguments[f.name])});" for f in self.functions]
        lines += ["int all(unsigned long long *ctx)", "{", *calls, "return 0;", "}", '#include "observer.bpf.c"']
        figures = self._figures()
        lines += [f"unsigned long long figure_{n}(void *ctx) {{ return {value}; }}" for n, value in figures.items()]
        return "\n".join(lines) + "\n", [f"figure_{name}" for name in figures]

    def _figures(self) -> dict[str, str]:
        figures: dict[str, str] = {}
        for name, source in self.maps.items():
            figures |= {f"{name}_{member}": f"COUNT_OF(*{name}.{member})" for member in ("number", *source.members)}
            figures |= {f"{name}_{m}": f"sizeof(*{name}.{m})" for m in ("key", "value") if getattr(source, f"{m}_type")}
        return figures

    def take_figures(self, values: dict[str, int]) -> None:
        """Fill in what the compiled functions returned."""
        for name, source in self.maps.items():
            for member in ("number", "key", "value", *source.members):
                setattr(source, member, values.get(f"figure_{name}_{member}", 0))


def _count(arguments: str) -> int:
    return 0 if arguments.strip() in ("", "void") else arguments.count(",") + 1


def _map_source(body: str) -> MapSource:
    types = dict(re.findall(r"__type\((key|value), ([^)]+)\)", body))
    return MapSource(tuple(re.findall(r"__uint\((\w+),", body)), types.get("key", ""), types.get("value", ""))

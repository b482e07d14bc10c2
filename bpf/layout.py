"""The structures of `kernel.h` with the offsets of the running kernel, for a compiler that cannot relocate them.

Each member gets a padded structure of its own and all share one union, so that gaps and order do not matter::

    struct qstr { union {
        struct { char gap_0[0]; __u64 hash_len; };
        struct { char gap_1[8]; unsigned char *name; };
    }; };

A member that this kernel does not have lies far out and has `MISSING_ALIGNMENT`, which `bpf_core_field_exists` reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bpf.declarations import Member, members_of, without_comments
from bpf.kernel_btf import KernelBtf

__all__ = ["Offsets", "from_btf", "kernel_layout", "wanted"]

_STRUCTURE = re.compile(
    r"(?P<typedef>typedef )?struct(?: (?P<tag>\w+))?(?P<body> \{(?:[^{}]|\{[^{}]*\})*\})?(?P<kernel> KERNEL_STRUCT)?"
    r"(?: (?P<alias>\w+))?;"
)
_MISSING = "__attribute__((aligned(MISSING_ALIGNMENT)))"

Offsets = Callable[[str, str], int | None]
"""(structure, member with dots for what is inside) -> offset in bytes, None where the kernel has no such member."""


def wanted(header: Path) -> Iterator[tuple[str, str]]:
    """Each structure and member of the kernel that the header declares, a flavour's suffix taken off."""
    for _, name, members in _structures(header):
        for member in members:
            yield _kernel_name(name), member.name
            for inner in member.inline:
                yield _kernel_name(name), f"{member.name}.{inner.name}"


def kernel_layout(header: Path, offset_of: Offsets) -> str:
    """C text that declares what `header` declares, at the offsets that `offset_of` tells."""
    lines = ["/* The kernel's structures, as far as the programs read them, for this kernel alone. */"]
    for text, name, members in _structures(header):
        if not members:
            lines.append(text)
            continue
        kernel_name = _kernel_name(name)
        body = _union(kernel_name, members, offset_of)
        typedef = text.startswith("typedef")
        lines.append(f"{'typedef struct' if typedef else f'struct {name}'} {body}{f' {name}' if typedef else ''};")
        for member in members:
            if (offset := offset_of(kernel_name, member.name)) is not None:
                of = name if typedef else f"struct {name}"
                lines.append(f'_Static_assert(__builtin_offsetof({of}, {member.name}) == {offset}, "not aligned");')
    return "\n".join(lines) + "\n"


def _structures(header: Path) -> Iterator[tuple[str, str, list[Member]]]:
    """(text, name, members); no members for what is to be kept as it stands: no kernel structure, or only named."""
    text = without_comments(header.read_text())
    text = text[text.index("#define KERNEL_STRUCT") :]
    for match in _STRUCTURE.finditer(text):
        members = members_of(match["body"].strip()[1:-1]) if match["body"] and match["kernel"] else []
        yield match[0], match["alias"] or match["tag"] or "", members


def _kernel_name(name: str) -> str:
    return name.partition("___")[0]


def _union(of: str, members: Iterable[Member], offset_of: Offsets, prefix: str = "", within: int = 0) -> str:
    parts = []
    for place, member in enumerate(members):
        name = prefix + member.name
        offset = offset_of(of, name)
        stars, length = "*" * member.stars, f"[{member.length}]" if member.length else ""
        kind = member.type
        if member.inline:
            kind = "struct " + _union(of, member.inline, offset_of, f"{name}.", offset or 0)
        if offset is None:
            parts.append(f"{kind} {stars}{member.name}{length} {_MISSING};")
        else:
            parts.append(f"struct {{ char gap_{place}[{offset - within}]; {kind} {stars}{member.name}{length}; }};")
    return "{ union { " + " ".join(parts) + " }; }"


def from_btf(btf: KernelBtf) -> Offsets:
    """Offsets from the kernel's own BTF. Of several structures with one name, the first that has the member counts."""

    def offset_of(structure: str, member: str) -> int | None:
        first, _, inner = member.partition(".")
        for number in btf.structs(structure):
            if found := btf.member(number, first):
                if not inner:
                    return found[0]
                below = btf.member(found[1], inner)
                return found[0] + below[0] if below else None
        return None

    return offset_of

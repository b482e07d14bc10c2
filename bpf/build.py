"""Compile every ``*.bpf.c`` of a folder to the ``*.bpf.o`` beside it: ``python -m bpf.build [FOLDER] [--force]``.

This module holds the one clang command line of the project. It uses only the standard library and imports nothing of
ours, because the packaging hook (``scripts/hatch_build.py``) loads it by path in an isolated build environment.

A source gives one object, ``exec.bpf.c`` → ``exec.bpf.o``, unless a comment near its top names variants, each with the
flags that make it (several joined by commas)::

    /* variants: tracepoint=-DBACKEND_TRACEPOINT lsm=-DBACKEND_LSM,-DCAN_DENY */

which gives ``observer.tracepoint.bpf.o`` and ``observer.lsm.bpf.o`` from ``observer.bpf.c``.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CFLAGS", "BuildError", "Target", "build", "targets"]

FOLDER = Path(__file__).resolve().parent

CFLAGS = (
    "-g",  # BTF is made from the debug information; the DWARF itself is stripped afterwards
    "-O2",
    "-mcpu=v3",  # 32-bit ALU and jumps; accepted since Linux 5.1
    "-target",
    "bpf",
    "-std=gnu11",
    "-Wall",
    "-Werror",
    "-fno-stack-protector",
)

_SUFFIX = ".bpf.c"
_HEAD = 4096  # bytes in which the variants comment is looked for
_VARIANTS = re.compile(r"/\*[\s*]*variants:(.*?)\*/", re.DOTALL)
_VARIANT = re.compile(r"(?P<name>[a-z0-9_]+)=(?P<flags>-\S+)")


class BuildError(Exception):
    """A BPF object could not be made; the message ends with a ``hint:`` line where there is something to do."""


@dataclass(frozen=True)
class Target:
    """One object to make: its source, where it goes, and the flags of its variant (none for a plain source)."""

    source: Path
    object: Path
    flags: tuple[str, ...] = ()

    def command(self, clang: str, output: Path) -> list[str]:
        """Return the clang command that writes `output`; equal sources give equal bytes in any folder."""
        folder = self.source.parent
        return [
            clang,
            *CFLAGS,
            f"-ffile-prefix-map={folder}=bpf",
            f"-I{folder}",
            *(f"-I{path}" for path in _multiarch_includes()),
            *self.flags,
            "-c",
            str(self.source),
            "-o",
            str(output),
        ]


def _multiarch_includes() -> list[Path]:
    """Return where Debian and Ubuntu keep ``asm/types.h``, which clang does not search for ``-target bpf``."""
    return sorted(Path("/usr/include").glob(f"{platform.machine()}-linux-*"))


def targets(folder: Path = FOLDER) -> list[Target]:
    """Return the objects that the sources of `folder` give, sorted; raises BuildError on a malformed variants line."""
    found = []
    for source in sorted(folder.glob(f"*{_SUFFIX}")):
        stem = source.name.removesuffix(_SUFFIX)
        variants = _VARIANTS.search(source.read_bytes()[:_HEAD].decode("utf-8", "replace"))
        if variants is None:
            found.append(Target(source, folder / f"{stem}.bpf.o"))
            continue
        for word in variants.group(1).replace("*", " ").split():
            variant = _VARIANT.fullmatch(word)
            if variant is None:
                raise BuildError(f"{source}: variant {word!r} is not name=-DFLAG[,-DFLAG…]")
            flags = tuple(variant["flags"].split(","))
            found.append(Target(source, folder / f"{stem}.{variant['name']}.bpf.o", flags))
    return found


def _is_current(target: Target, inputs: Sequence[Path]) -> bool:
    if not target.object.exists():
        return False
    made = target.object.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= made for path in (target.source, *inputs))


def build(folder: Path = FOLDER, *, force: bool = False) -> list[Path]:
    """Compile what is missing or older than its source, the folder's headers or this module; return what was made.

    An object appears whole or not at all, so that several builds may run at once. Raises BuildError when clang is
    missing and something has to be compiled, or when a source does not compile (with clang's own words).
    """
    folder = folder.resolve()
    inputs = [*sorted(folder.glob("*.h")), Path(__file__)]
    stale = [t for t in targets(folder) if force or not _is_current(t, inputs)]
    if not stale:
        return []
    clang = shutil.which(os.environ.get("CLANG", "clang"))
    if clang is None:
        raise BuildError(
            f"clang was not found, and {stale[0].object.name} has to be compiled\n"
            "hint: apt-get install clang llvm libbpf-dev linux-libc-dev, or install from a wheel, which needs none"
        )
    return [_compile(target, clang) for target in stale]


def _compile(target: Target, clang: str) -> Path:
    fresh = target.object.with_name(f".{target.object.name}.{os.getpid()}")
    try:
        # Relative paths inside the object depend on the working directory: always the source's own.
        done = subprocess.run(
            target.command(clang, fresh), capture_output=True, text=True, check=False, cwd=target.source.parent
        )
        if done.returncode:
            raise BuildError(f"{target.source.name} does not compile ({target.object.name}):\n{done.stderr.strip()}")
        _strip(fresh, clang)
        fresh.replace(target.object)
    finally:
        fresh.unlink(missing_ok=True)
    return target.object


def _strip(path: Path, clang: str) -> None:
    """Remove DWARF, which is nine tenths of the object and which nothing reads; BTF stays."""
    version = re.search(r"-(\d+)$", str(Path(clang).resolve().name))
    names = ["llvm-strip", *([f"llvm-strip-{version[1]}"] if version else [])]
    strip = next((found for name in names if (found := shutil.which(name))), None)
    if strip is None:
        raise BuildError("llvm-strip was not found\nhint: apt-get install llvm")
    subprocess.run([strip, "-g", str(path)], check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command: print what was compiled, one line each; 0 fine, 3 when it could not be done."""
    parser = argparse.ArgumentParser(prog="python -m bpf.build", description="Compile *.bpf.c to *.bpf.o beside them.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--force", action="store_true", help="compile even what is up to date")
    options = parser.parse_args(arguments)
    try:
        made = build(options.folder, force=options.force)
    except BuildError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    for path in made:
        sys.stdout.write(f"compiled {path.name} ({path.stat().st_size} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""From options to a recording under way: the target found, a back end loaded, the command held at its gate."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.abc
import os
import platform
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.live.backend import BACKENDS, Pinned, Settings, load, subsystem_index
from collectors.live.launch import Launched, launch
from collectors.live.session import Session
from collectors.redact import Redactor
from collectors.target import TargetSpec, resolve
from collectors.writer import RecordingWriter
from discover.errors import DiscoverError, UsageError
from discover.record.memory import give_back
from discover.record.options import RecordOptions
from discover.record.run import Outcome, Progress, Run, Stop
from discover.version import VERSION
from models.dataset_layout import read_manifest, segment_files

__all__ = ["record", "resume"]

_PRIORITY = -10
BPFFS = Path("/sys/fs/bpf")


class _NoPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("not while recording")


@contextlib.contextmanager
def _slim() -> Iterator[None]:
    """Keeps pyarrow from importing pandas when it first converts a list (90 MB), and from hoarding memory."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    pa.set_memory_pool(pa.system_memory_pool())  # which gives back what is freed
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@_slim()
def record(options: RecordOptions, tell: Callable[[Progress], None]) -> Outcome:
    """Record what `options` say into their output folder; `tell` is called about four times a second.

    Raises `DiscoverError` (and those of target, back end and writer, which carry hints) with what was recorded until
    then whole on disk.
    """
    if os.geteuid() != 0:
        raise DiscoverError(
            "recording needs root: it loads programs into the kernel", f"sudo discover record -o {options.output} …"
        )
    if options.spec.command and shutil.which(options.spec.command[0]) is None:
        raise UsageError(f"there is no program {options.spec.command[0]!r}", "give the command's path after --")
    target = resolve(options.spec)
    run = uuid.uuid4().hex[:12]
    settings = Settings(
        track_host=target.kind == "host",
        own_mounts_needed=target.kind in ("container", "pod"),
        subsystem=subsystem_index(target.hierarchy),
        raw=options.raw,
        ring_size=options.ring_size,
        behaviours=options.behaviours,
    )
    loaded = load(options.backend, settings)
    redactor = Redactor.load(options.redact_rules)
    pins = _pins(run) if options.survive else None
    manifest = {
        "id": run,
        "discover_version": VERSION,
        "target": {"kind": target.kind, "description": target.describe(), **_plain_spec(options)},
        "command": redactor.argv(list(target.command)),
        "backend": loaded.backend.name,
        "object": loaded.object.path.name.removesuffix(".bpf.o"),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "watched": loaded.backend.watched(loaded.programs),
        "pins": str(pins) if pins else None,
        "options": {
            "stream": options.raw,
            "redact_rules": str(options.redact_rules.resolve()) if options.redact_rules else None,
            "raw": False,
            "for": options.limit,
            "drills": [d.name for d in options.drills],
        },
    }
    child: Launched | None = None
    with Stop() as stop, RecordingWriter.create(options.output, manifest, redact=redactor.segment) as writer:
        child = launch(target.command) if target.command else None
        session = Session(target, loaded, writer, run=run, redact=redactor.argv, raw=options.raw)
        try:
            give_back()
            _hurry()
            session.start(pins)
            if child:
                session.watch(child.pid, "RUNTIME_INIT")
                _release(child)
            return Run(options, target, session, loaded, writer, stop, tell, child).to_the_end()
        except BaseException:
            if child and child.poll() is None:
                child.send(signal.SIGTERM)
            loaded.detach()
            raise
        finally:
            loaded.close()


def _hurry() -> None:
    """Before the workload in the queue for a processor: what waits too long in the ring is lost."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


def _release(child: Launched) -> None:
    try:
        child.release()
    except OSError as error:
        raise UsageError(
            f"cannot run {child.command[0]!r}: {error.strerror}", "give the command's path after --"
        ) from None


def _plain_spec(options: RecordOptions) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(options.spec).items() if v and k != "command"}


def _pins(run: str) -> Path | None:
    """Where this recording's maps are pinned; None where there is no bpffs."""
    if not os.path.ismount(BPFFS) and not _mount_bpffs():
        return None
    return BPFFS / "discover" / run


def _mount_bpffs() -> bool:
    if not BPFFS.is_dir():
        return False
    failed: int = ctypes.CDLL(None, use_errno=True).mount(b"bpf", bytes(BPFFS), b"bpf", 0, b"mode=0700")
    return not failed


@_slim()
def resume(path: Path, tell: Callable[[Progress], None], limit: float | None = None) -> Outcome:
    """Go on with a recording whose recorder was killed: the kernel has gone on counting."""
    manifest = read_manifest(path)
    pins = Path(manifest["pins"]) if manifest.get("pins") else None
    if pins is None or not (pins / "links").is_dir():
        hint = f"`discover datasets finish {path}` keeps what it has; then record anew"
        raise DiscoverError(f"nothing in the kernel is left of the recording {path}", hint)
    asked: dict[str, Any] = {k: v for k, v in manifest["target"].items() if k not in ("kind", "description")}
    spec = TargetSpec(**asked) if manifest["target"]["kind"] != "command" else TargetSpec(tuple(manifest["command"]))
    target = resolve(spec)
    loaded = Pinned(BACKENDS[manifest["backend"]], manifest["object"], pins)
    rules = manifest["options"].get("redact_rules")
    redactor = Redactor.load(Path(rules) if rules else None)
    options = RecordOptions(spec=spec, output=path, limit=limit, raw=bool(manifest["options"].get("stream")))
    with Stop() as stop, RecordingWriter.resume(path, same_counters=True, redact=redactor.segment) as writer:
        _hurry()
        session = Session(target, loaded, writer, run=manifest["id"], redact=redactor.argv, raw=options.raw)
        session.counters.behaviours = sum(pq.read_metadata(file).num_rows for file in segment_files(path))
        return Run(options, target, session, loaded, writer, stop, tell, None).to_the_end()

"""The back end that `discover record` would use here, found by letting it choose and load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpf.errors import BpfError
from collectors import procs
from collectors.cgroups import CgroupError, detect
from collectors.live.backend import BACKENDS, Loaded, NoBackend, Refusal, Settings, load, subsystem_index
from collectors.probe.attempts import Attempt, Outcome, errno_name
from models.behaviour import Class

__all__ = ["Choice", "choose"]

_RESTS_ON = {"lsm": "lsm", "fentry": "fentry", "tracepoint": "tp_btf"}
"""Back end to the kind of program without which it cannot be loaded."""

# Enough to be loaded; a recording asks for more memory than a look should take.
_RING = 1 << 16
_BEHAVIOURS = 1 << 10


@dataclass(frozen=True)
class Choice:
    """`backend` is None where none works. `object` is the compiled variant that was loaded, `watched` as in a manifest.

    `cgroup_mode` is ``v1``, ``v2``, ``hybrid`` or ``none``; `hierarchy` the tree by which containers are told apart.
    """

    backend: str | None
    object: str | None
    watched: dict[str, dict[str, str]]
    refusals: list[Refusal] = field(default_factory=list)
    cgroup_mode: str = "none"
    hierarchy: str | None = None


def choose(attempts: Mapping[str, Attempt] | None = None, *, trying: bool = True) -> Choice:
    """Choose as a recording of the whole host would.

    `attempts` (by name, see `attempts.PROGRAMS`) saves time: a back end is passed over whose kind of program the kernel
    has just refused. Without them each is loaded whole. `trying` False (no privilege) only says what the cgroups are.
    """
    cgroups = detect()
    try:
        tree = cgroups.telling(p.cgroups for p in procs.snapshot().values() if not p.kernel_thread).name
    except CgroupError as error:
        return _none([Refusal("every back end", str(error), error.hint)], cgroups.mode, None)
    if not trying:
        return _none([], cgroups.mode, tree, "not tried without root")
    try:
        settings = Settings(track_host=True, subsystem=subsystem_index(tree), ring_size=_RING, behaviours=_BEHAVIOURS)
        loaded, refusals = _load(settings, attempts)
    except NoBackend as error:
        return _none(error.refusals, cgroups.mode, tree)
    except (BpfError, LookupError) as error:
        return _none([Refusal("every back end", str(error), getattr(error, "hint", ""))], cgroups.mode, tree)
    try:
        return Choice(
            backend=loaded.backend.name,
            object=loaded.object.path.name.removesuffix(".bpf.o"),
            watched=loaded.backend.watched(loaded.programs),
            refusals=refusals,
            cgroup_mode=cgroups.mode,
            hierarchy=tree,
        )
    finally:
        loaded.close()


def _load(settings: Settings, attempts: Mapping[str, Attempt] | None) -> tuple[Loaded, list[Refusal]]:
    if attempts is None:
        loaded = load("auto", settings)
        return loaded, list(loaded.refusals)
    refusals: list[Refusal] = []
    for name in BACKENDS:
        attempt = attempts.get(_RESTS_ON.get(name, ""))
        if attempt is not None and attempt.outcome is Outcome.REFUSED:
            reason = f"{attempt.name} programs are refused ({errno_name(attempt.errno)}): {attempt.reason}"
            refusals.append(Refusal(name, reason))
            continue
        try:
            loaded = load(name, settings)
        except NoBackend as error:
            refusals += error.refusals
            continue
        return loaded, refusals + list(loaded.refusals)
    raise NoBackend(refusals)


def _none(refusals: list[Refusal], mode: str, tree: str | None, note: str = "no back end works here") -> Choice:
    watched = {str(c): {"state": "unwatched", "note": note} for c in Class}
    return Choice(None, None, watched, refusals, mode, tree)

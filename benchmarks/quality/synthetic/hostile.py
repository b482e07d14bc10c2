"""Workloads that want a wide policy, or that someone broke into: none of it may be learned."""

from __future__ import annotations

import random
import string
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.quality.judge import compiled, described
from benchmarks.quality.material import DATASETS, dataset_material
from benchmarks.quality.stock import Stock
from benchmarks.quality.synthetic.rows import executed, opened, row, with_rows
from benchmarks.quality.verdicts import Bar
from models.evidence import Evidence, accesses, of_units
from models.learn import CannotFit, Learned, Options, learn
from models.policy import Access, Op, Target

__all__ = ["calm", "intrusion", "parts", "poisoned", "six", "sprayed"]

UNITS = 6
SPRAYED = 10_000
TOKEN = "/run/secrets/kubernetes.io/serviceaccount/token"


def six(dataset: str, *, at: int = 0) -> Evidence:
    """The evidence of six of a dataset's units."""
    evidence = dataset_material(dataset)[0].evidence
    units = evidence.units[at : at + UNITS]
    return replace(evidence, units=units, behaviours=of_units(evidence.behaviours, units))


def intrusion(unit: str, exe: str) -> list[dict[str, Any]]:
    """A shell from the service, a miner that it drops and runs, and what it takes with it."""
    shell, miner = "/usr/bin/dash", "/tmp/.x/xmrig"
    inet = {"class": "socket", "family": "inet", "type": "stream", "protocol": "tcp"}
    return [
        executed(unit, shell, exe=exe),
        opened(unit, shell, exe=shell),
        opened(unit, "/etc/shadow", exe=shell),
        opened(unit, TOKEN, exe=shell),
        row(unit, **{"class": "file"}, op="mkdir", path="/tmp/.x", exe=shell, object="directory"),
        opened(unit, miner, "write+create", exe=shell),
        row(unit, **{"class": "file"}, op="chmod", path=miner, exe=shell, object="file"),
        executed(unit, miner, exe=shell),
        opened(unit, miner, exe=miner),
        opened(unit, "/tmp/.x/config.json", exe=miner),
        row(unit, op="connect", exe=miner, address="198.51.100.7", port=3333, **inet),
        row(unit, **{"class": "capability"}, op="capable", capability="CAP_DAC_READ_SEARCH", exe=shell),
    ]


def _learn(evidence: Evidence, target: Target) -> Learned | None:
    try:
        return learn(evidence, Options(target=target))
    except CannotFit:
        return None


@dataclass(frozen=True)
class Scene:
    """Six real units of which none is called unlike the others, and one that will be broken into."""

    evidence: Evidence
    clean: Learned
    victim: str
    service: str
    """The executable that does most there."""


def _scene(dataset: str, target: Target) -> Scene | None:
    """The first such six; None where no policy fits or a unit is named in every six."""
    count = len(dataset_material(dataset)[0].evidence.units)
    for at in range(max(1, count - UNITS + 1)):
        evidence = six(dataset, at=at)
        clean = _learn(evidence, target)
        if clean is not None and not clean.outliers:
            exes = Counter(evidence.behaviours["exe"].to_pylist())
            service = min(exes, key=lambda exe: (-exes[exe], exe))
            return Scene(evidence, clean, evidence.units[UNITS // 2], service)
    return None


def poisoned(target: Target = Target.DISCOVER, datasets: tuple[str, ...] = DATASETS) -> list[Bar]:
    """One of six real units is broken into: whether it is named, and what of it is in the policy."""
    found = []
    measure, bar = "a poisoned unit among six", "named, and nothing of it learned"
    for dataset in datasets:
        scene = _scene(dataset, target)
        if scene is None:
            found.append(Bar(measure, dataset, target, bar, "no six units that work alike", None))
            continue
        bad = intrusion(scene.victim, scene.service)
        learned, new, taken = _taken(scene, bad, target)
        named = [o.unit for o in learned.outliers]
        others = [u for u in named if u != scene.victim]
        figure = f"{'named' if scene.victim in named else 'not named'}, {len(taken)} of its {len(new)} accesses allowed"
        figure += f" ({'; '.join(taken[:4])})" if taken else ""
        figure += f", {len(others)} others named" if others else ""
        found.append(Bar(measure, dataset, target, bar, figure, named == [scene.victim] and not taken))
    return found


def _taken(scene: Scene, bad: list[dict[str, Any]], target: Target) -> tuple[Learned, list[Access], list[str]]:
    """What is learned with these rows, what they add to what is allowed anyway, and what of it the policy allows."""
    learned = learn(with_rows(scene.evidence, bad), Options(target=target))
    ruleset, before = compiled(learned.spec, target), compiled(scene.clean.spec, target)
    new = [a for a in _accesses(scene.evidence, bad) if not before.decide(a).allowed]
    return learned, new, [described(a) for a in new if ruleset.decide(a).allowed]


def _accesses(evidence: Evidence, rows: list[dict[str, Any]]) -> list[Access]:
    alone = replace(evidence, behaviours=evidence.behaviours.slice(0, 1))
    own = {s.access for s in accesses(alone.behaviours, leave_out=())}
    seen = accesses(with_rows(alone, rows).behaviours, leave_out=())
    return [s.access for s in seen if s.access not in own and s.access.policy_class]


def _parts(unit: str, exe: str) -> dict[str, list[dict[str, Any]]]:
    """Single steps of an intrusion, each of which gives it away."""
    shell = "/usr/bin/dash"
    capable = {"class": "capability", "op": "capable", "capability": "CAP_SYS_PTRACE"}
    raw = {"class": "socket", "op": "socket", "family": "packet", "type": "raw"}
    return {
        "a shell": [executed(unit, shell, exe=exe), opened(unit, shell, exe=shell)],
        "a service-account token": [opened(unit, TOKEN, exe=exe)],
        "/etc/shadow": [opened(unit, "/etc/shadow", exe=exe)],
        "an SSH key": [opened(unit, "/root/.ssh/id_rsa", exe=exe)],
        "a program without a file": [executed(unit, "memfd:kworker", exe=exe)],
        "a program in /dev/shm": [
            opened(unit, "/dev/shm/kdevtmpfsi", "write+create", exe=exe),
            executed(unit, "/dev/shm/kdevtmpfsi", exe=exe),
        ],
        "ld.so.preload": [opened(unit, "/etc/ld.so.preload", "write+create", exe=exe)],
        "a cron job": [opened(unit, "/etc/cron.d/x", "write+create", exe=exe)],
        "a packet socket": [row(unit, exe=exe, **raw)],
        "ptrace": [row(unit, exe=exe, **capable)],
        "curl": [executed(unit, "/usr/bin/curl", exe=exe), opened(unit, "/usr/bin/curl", exe="/usr/bin/curl")],
        "another's environment": [opened(unit, "/proc/1/environ", exe=exe)],
    }


def parts(target: Target = Target.DISCOVER, datasets: tuple[str, ...] = DATASETS) -> list[Bar]:
    """Single steps of an intrusion in one of six real units, and a whole one in two: whether anybody is told."""
    told: dict[str, list[bool]] = {}
    for dataset in datasets:
        scene = _scene(dataset, target)
        if scene is None:
            continue
        both = intrusion(scene.victim, scene.service) + intrusion(scene.evidence.units[0], scene.service)
        for name, bad in {**_parts(scene.victim, scene.service), "two whole ones": both}.items():
            learned, new, taken = _taken(scene, bad, target)
            warned = set(learned.warnings) - set(scene.clean.warnings)
            if new:
                told.setdefault(name, []).append(bool(learned.outliers) or bool(warned) or not taken)
    bar = "named or warned of (aim)"
    return [
        Bar("a step of an intrusion", name, target, bar, f"in {sum(some)} of {len(some)} datasets", all(some))
        for name, some in told.items()
    ]


def calm(target: Target = Target.DISCOVER) -> list[Bar]:
    """No unit of the real recordings is called unlike the others, among all or among six of them."""
    found = []
    for dataset in DATASETS:
        whole = dataset_material(dataset)[0].evidence
        windows = [whole, *(six(dataset, at=at) for at in range(0, max(1, len(whole.units) - UNITS + 1), UNITS // 2))]
        named = []
        for evidence in windows:
            learned = _learn(evidence, target)
            named.append([o.unit for o in learned.outliers] if learned else [])
        wrong = sum(map(bool, named[1:]))
        figure = f"{len(named[0])} of {len(whole.units)} named, one in {wrong} of {len(windows) - 1} sixes"
        some = sorted({u for units in named for u in units})
        figure += f" ({', '.join(some)})" if some else ""
        found.append(Bar("ordinary units", dataset, target, "none named", figure, not some))
    return found


def sprayed(target: Target = Target.DISCOVER, *, names: int = SPRAYED, dataset: str = "nginx") -> list[Bar]:
    """Six real units write names into /etc, new ones each, so that a rule over them looks earned."""
    evidence = six(dataset)
    rng = random.Random("sprayed")
    letters = string.ascii_lowercase + string.digits

    def name() -> str:
        return "/etc/" + "".join(rng.choice(letters) for _ in range(rng.randrange(6, 14)))

    used = [name() for _ in range(names)]
    units = evidence.units
    rows = [opened(units[n % len(units)], path, "write+create", exe="/usr/sbin/nginx") for n, path in enumerate(used)]
    bar = "nothing beyond them, and a warning"
    try:
        learned = learn(with_rows(evidence, rows), Options(target=target))
    except CannotFit as error:
        return [Bar("names sprayed into /etc", f"{names:,}", target, bar, f"refused: {error}", True)]
    ruleset = compiled(learned.spec, target)
    stock = Stock(evidence.inventory)
    asked = [name() for _ in range(1000)] + [stock.paths[i] for i in stock.beginning("/etc/")]
    asked += ["/etc/passwd", "/etc/shadow", "/etc/ld.so.preload", "/etc/cron.d/x", "/etc/nginx/nginx.conf"]
    beyond = [
        path
        for path in asked
        if path not in set(used)
        and ruleset.decide(
            Access(op=Op.OPEN, path=path, source="/usr/sbin/nginx", write=True, create=True, owner_match=True)
        ).allowed
    ]
    warned = [w for w in learned.warnings if "/etc" in w]
    figure = f"{len(beyond)} of {len(asked):,} others may be written, {len(warned)} warnings"
    figure += f" ({', '.join(beyond[:4])})" if beyond else ""
    return [Bar("names sprayed into /etc", f"{names:,}", target, bar, figure, not beyond and bool(warned))]

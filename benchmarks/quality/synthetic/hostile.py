"""Workloads that want a wide policy, or that someone broke into: none of it may be learned."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from typing import Any

from benchmarks.quality.judge import compiled, described
from benchmarks.quality.material import DATASETS, dataset_material
from benchmarks.quality.stock import Stock
from benchmarks.quality.synthetic.rows import executed, opened, row, with_rows
from benchmarks.quality.verdicts import Bar
from models.evidence import Evidence, accesses, of_units
from models.learn import CannotFit, Learned, Options, learn
from models.policy import Access, Op, Target

__all__ = ["intrusion", "poisoned", "sprayed"]

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


def poisoned(target: Target = Target.DISCOVER, datasets: tuple[str, ...] = DATASETS) -> list[Bar]:
    """One of six real units is broken into: whether it is named, and what of it is in the policy."""
    found = []
    for dataset in datasets:
        evidence = six(dataset)
        clean = _learn(evidence, target)
        victim = evidence.units[UNITS // 2]
        exe = evidence.behaviours.filter(
            [u == victim for u in evidence.behaviours["unit"].to_pylist()]
        )["exe"].value_counts().to_pylist()  # fmt: skip
        service = max(exe, key=lambda v: (v["counts"], v["values"]))["values"]
        bad = intrusion(victim, service)
        learned = _learn(with_rows(evidence, bad), target)
        bar = "named, and nothing of it learned"
        if learned is None or clean is None:
            found.append(Bar("a poisoned unit among six", dataset, target, bar, "no policy fits", None))
            continue
        named = [o.unit for o in learned.outliers]
        ruleset, before = compiled(learned.spec, target), compiled(clean.spec, target)
        asked = _accesses(evidence, bad)
        # what the clean policy allows is no part of the intrusion (a service that connects over tcp goes on doing so)
        new = [a for a in asked if not before.decide(a).allowed]
        taken = [described(a) for a in new if ruleset.decide(a).allowed]
        others = [u for u in named if u != victim]
        figure = f"{'named' if victim in named else 'not named'}, {len(taken)} of its {len(new)} accesses allowed"
        figure += f" ({'; '.join(taken[:4])})" if taken else ""
        figure += f", {len(others)} others named" if others else ""
        found.append(
            Bar("a poisoned unit among six", dataset, target, bar, figure, victim in named and not taken and not others)
        )
    return found


def _accesses(evidence: Evidence, rows: list[dict[str, Any]]) -> list[Access]:
    alone = replace(evidence, behaviours=evidence.behaviours.slice(0, 1))
    own = {s.access for s in accesses(alone.behaviours, leave_out=())}
    return [
        s.access
        for s in accesses(with_rows(alone, rows).behaviours, leave_out=())
        if s.access not in own and s.access.policy_class
    ]


def calm(target: Target = Target.DISCOVER) -> list[Bar]:
    """No unit of the real recordings is called unlike the others."""
    found = []
    for dataset in DATASETS:
        evidence = dataset_material(dataset)[0].evidence
        learned = _learn(evidence, target)
        named = [] if learned is None else [o.unit for o in learned.outliers]
        figure = f"{len(named)} of {len(evidence.units)} named" + (f" ({', '.join(named)})" if named else "")
        found.append(Bar("ordinary units", dataset, target, "none named", figure, not named))
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

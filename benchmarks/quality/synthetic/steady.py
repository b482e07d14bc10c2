"""What must not change a policy, and recordings that show too little for one."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.quality.material import DATASETS, ROOT, dataset_material
from benchmarks.quality.verdicts import Bar
from discover.coverage import learner, run
from models.dataset import open_dataset
from models.learn import CannotFit, Options, learn
from models.policy import Target

__all__ = ["idle", "permuted"]


def permuted() -> list[Bar]:
    """The same rows in another order give the same policy, with the same evidence beside each rule."""
    found = []
    for dataset in DATASETS:
        evidence = dataset_material(dataset)[0].evidence
        for target in Target:
            order = list(range(evidence.behaviours.num_rows))
            random.Random(f"permuted/{dataset}").shuffle(order)
            other = replace(evidence, behaviours=evidence.behaviours.take(order), units=evidence.units)
            try:
                one, two = learn(evidence, Options(target=target)), learn(other, Options(target=target))
            except CannotFit:
                continue
            same = (one.rules, one.spec, one.warnings) == (two.rules, two.spec, two.warnings)
            figure = "the same" if same else "another policy"
            found.append(Bar("rows in another order", dataset, target, "the same policy", figure, same))
    return found


def idle() -> list[Bar]:
    """The twelve units that nobody asked for anything."""
    verdicts = [str(c.verdict) for c in run(open_dataset(ROOT / "datasets" / "nginx-idle"), learn=learner())]
    holds = all(v in ("idle", "incomplete") for v in verdicts)
    return [Bar("the twelve idle units", "nginx-idle", "", "idle or incomplete", ", ".join(verdicts), holds)]

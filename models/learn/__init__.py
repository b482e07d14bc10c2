"""The learner: from the evidence of a workload to the smallest policy that will not break it.

from models.dataset import open_dataset
from models.evidence import gather
from models.learn import Options, learn

for evidence in gather(open_dataset("recordings/web")):
    learned = learn(evidence, Options(target=Target.DISCOVER))
    learned.rules, learned.spec, learned.warnings
"""

from models.learn.learner import learn
from models.learn.result import (
    Admission,
    CannotFit,
    ClassState,
    Learned,
    LearnedRule,
    Options,
    Outlier,
    RuleEvidence,
    Why,
)

__all__ = [
    "Admission",
    "CannotFit",
    "ClassState",
    "Learned",
    "LearnedRule",
    "Options",
    "Outlier",
    "RuleEvidence",
    "Why",
    "learn",
]

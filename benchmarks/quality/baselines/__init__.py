"""The methods that people use instead: each from a workload's evidence to a policy, restated from its source.

Only the files differ. Executables, protocols and capabilities are listed one by one for all of them, as the learner
does, and a rule that saw nothing but reading is ``readOnly``, even where the original knows no such thing: the
comparison is about which files are admitted.
"""

from collections.abc import Callable

from benchmarks.quality.baselines import gradm, karmor, kubescape, literal, operator
from benchmarks.quality.material import Material
from models.policy import Spec

__all__ = ["BASELINES", "Baseline"]

Baseline = Callable[[Material, bool], Spec]
"""From the material, and whether the target takes ``matchPatterns``, to the body of a policy."""

BASELINES: dict[str, Baseline] = {
    "literal": literal.learn,
    "karmor": karmor.learn,
    "kubescape": kubescape.learn,
    "gradm": gradm.learn,
    "operator": operator.learn,
}

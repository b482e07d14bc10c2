"""The literal union: exactly the paths that were seen, and nothing else.

What ``audit2allow`` (SELinux policycoreutils) and ``aa-logprof`` answered with "allow" to everything come to, and the
least that any method can admit. On KubeArmor, what is too long for its kernel side becomes the nearest directory.
"""

from __future__ import annotations

from benchmarks.quality.baselines.grants import Grant, Kind, assemble
from benchmarks.quality.material import Material
from models.policy import Spec

__all__ = ["learn"]


def learn(material: Material, patterns: bool) -> Spec:
    """The policy of a workload."""
    grants = [Grant(Kind.PATH, path, use.writes) for path, use in material.files.items()]
    return assemble(material, grants, patterns=patterns)

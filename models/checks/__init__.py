"""The field's common mistakes in policies, each found by one function, each with what to write instead.

    context = Context(policies, Target.KUBEARMOR_BPFLSM, evidence, simulations, assessments)
    for mistake in run(context): ...

A check gets everything that is known and yields `Mistake`s; to add one, write a function and name it in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from models.checks.admits import admits_secret, admits_shell
from models.checks.context import Context, Mistake, Severity
from models.checks.dead import dead_rule
from models.checks.limits import target_limits
from models.checks.links import busybox_applet, symlink_path
from models.checks.needs import dns_udp, needs, software
from models.checks.open_classes import files_open, image_write, tcp_any_destination
from models.checks.recorded import breaks_workload, low_coverage, no_evidence, unused_rule
from models.checks.runtime import exec_probe

__all__ = ["CHECKS", "IDS", "Context", "Mistake", "Severity", "run"]

CHECKS: tuple[Callable[[Context], Iterator[Mistake]], ...] = (
    target_limits,
    symlink_path,
    busybox_applet,
    breaks_workload,
    needs,
    software,
    dns_udp,
    exec_probe,
    image_write,
    dead_rule,
    admits_shell,
    admits_secret,
    files_open,
    tcp_any_destination,
    no_evidence,
    unused_rule,
    low_coverage,
)
IDS = {
    "crd": "not valid by the CRD, or not even YAML",
    "keys": "more than the 256 rule keys of a container",
    "path-bytes": "a path too long to be matched",
    "directory-bytes": "a directory too long to be matched",
    "components": "a path with too many names to be matched",
    "patterns": "matchPatterns for a target that ignores them",
    "literal-glob": "`*` in a path or directory, where it is an ordinary character",
    "literal-globs": "a path that AppArmor reads as a pattern",
    "pts": "pts for a target that ignores it",
    "allowed-args": "allowedArgs for a target that ignores them",
    "dns": "DNS rules for a target that ignores them",
    "exec-needs-file": "an executable that may run, under a file list that does not have it",
    "execname-source": "execname with fromSource, which never matches",
    "owner-only-overlay": "ownerOnly on a file of the image: its owner is denied",
    "read-only-names": "readOnly keeps nobody from unlink, rename, truncate, chmod and link",
    "last-wins": "two rules on one key, of which KubeArmor takes the last",
    "apparmor": "native AppArmor text for another enforcer",
    "presets": "presets for another enforcer",
    "device": "USB devices for another enforcer",
    "symlink-path": "a rule on the name of a symlink, or below one: the resolved path is judged",
    "busybox-applet": "commands blocked or audited by names that are links to busybox",
    "breaks-workload": "the recordings hold accesses that would be denied",
    "needs-libraries": "no C library on the file list",
    "needs-tmp": "no place for temporary files on the file list",
    "needs-names": "/etc/hosts, /etc/resolv.conf, /etc/nsswitch.conf not on the file list",
    "needs-users": "/etc/passwd, /etc/group not on the file list",
    "needs-devices": "/dev/null, /dev/urandom not on the file list",
    "needs-of-software": "what a program that everybody knows needs: nginx its pid file, PostgreSQL /dev/shm",
    "needs-dns-udp": "a network list without udp",
    "exec-probe": "what the container runtime does at an exec is not listed: every exec and exec probe fails",
    "image-write": "a writable rule where files may come with the image: their first change is denied (copy-up)",
    "dead-rule": "a rule that another makes pointless",
    "admits-shell": "an Allow rule that lets a shell run",
    "admits-token": "an Allow rule that lets the service account's token be read",
    "admits-shadow": "an Allow rule that lets the shadow file be read",
    "files-open": "executables are listed, files are not",
    "tcp-any-destination": "tcp is allowed, to every address",
    "no-evidence": "an allow-list with neither a recording nor evidence",
    "unused-rule": "an Allow rule that nothing recorded needs",
    "low-coverage": "an allow-list, and too little was seen for Block",
    "decision-expired": "an entry of discover.yaml whose date is over",
}
"""What each finding is, by its id."""
_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


def run(context: Context) -> list[Mistake]:
    """Every finding, the worst first; within a severity in the order of the checks."""
    found = [m for check in CHECKS for m in check(context)] if context.policies else []
    return sorted(found, key=lambda m: _ORDER.index(m.severity))

"""``files-open``, ``tcp-any-destination``, ``image-write``: what a list leaves open, or cannot say."""

# ruff: noqa: S108 - names of places, nothing is made there
from __future__ import annotations

from collections.abc import Iterator

from models.checks.context import Context, Mistake, Severity
from models.policy import Access, Action, Op, PolicyClass

__all__ = ["files_open", "image_write", "tcp_any_destination"]

_OFTEN_VOLUMES = (
    "/tmp/",
    "/var/tmp/",
    "/dev/",
    "/proc/",
    "/sys/",
    "/run/",
    "/var/run/",
    "/data/",
    "/mnt/",
    "/var/lib/",
)


def files_open(context: Context) -> Iterator[Mistake]:
    """Executables are listed and files are not."""
    if context.is_list(PolicyClass.PROCESS) and not context.is_list(PolicyClass.FILE):
        rule = context.of("process", Action.ALLOW)[0]
        yield Mistake(
            "files-open",
            Severity.NOTE,
            "what may be executed is listed, and no file rule allows anything: so every file stays readable and "
            "writable for the programs on the list",
            "list the files as well; the first Allow rule closes the class, so list all that it needs at once",
            {"file": {"matchPaths": [{"path": rule.value, "readOnly": True, "action": "Allow"}]}}
            if rule.match == "path"
            else {},
            rule.policy,
        )


def tcp_any_destination(context: Context) -> Iterator[Mistake]:
    """Allowing tcp stops no connection."""
    if not context.is_list(PolicyClass.NETWORK):
        return
    tcp = next((r for r in context.of("network", Action.ALLOW) if r.value.lower() in ("tcp", "all")), None)
    if tcp is None or context.denies(Access(op=Op.CONNECT, type=1, protocol=6)):
        return
    policy = context.policy(tcp.policy)
    selector = policy.spec.selector
    labels = dict(selector.match_labels or {}) if selector and selector.match_labels else {}
    yield context.mistake(
        "tcp-any-destination",
        Severity.NOTE,
        tcp,
        "tcp is allowed to every address and port: a rule on a protocol names no destination, so this stops no "
        "connection to anywhere",
        "say where it may connect in a NetworkPolicy beside it",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"{tcp.policy}-egress"},
            "spec": {
                "podSelector": {"matchLabels": labels},
                "policyTypes": ["Egress"],
                "egress": [
                    {
                        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                        "ports": [{"protocol": "UDP", "port": 53}],
                    }
                ],
            },
        },
    )


def image_write(context: Context) -> Iterator[Mistake]:
    """Files of the image that are writable by a rule: KubeArmor denies the copy-up of the first write."""
    if not context.kubearmor:
        return
    if context.evidence:
        return  # the simulation knows which: `breaks-workload`
    if not context.denies(Access(op=Op.OPEN, path="/overlay/work/work/#0", write=True, owner_match=True)):
        return
    for rule in context.of("file", Action.ALLOW):
        if rule.read_only or rule.value.startswith(_OFTEN_VOLUMES) or rule.match not in ("path", "dir"):
            continue
        if rule.value == "/":
            continue
        yield context.mistake(
            "image-write",
            Severity.NOTE,
            rule,
            f"if a file of {rule.value} comes with the image, its first change is denied all the same: overlayfs "
            "copies it up through a path that no rule but one on / has",
            "mount a volume there (an emptyDir does), or make the rule read-only if nothing is written",
            context.rewritten(rule, readOnly=True),
        )

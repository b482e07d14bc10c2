"""What `discover record` is pointed at: from what a person typed to cgroups, processes and an identity.

    spec = TargetSpec(container="podman:web")
    target = resolve(spec)
    target.cgroups       # roots to watch, with all that is below them
    target.identity      # whose behaviour it will be

A target given by pid is watched as a process tree, since its cgroup may hold strangers; one given by cgroup, unit,
container or pod is watched as cgroups, and the whole host by neither. A command has nothing yet: whoever starts it
watches what it becomes.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from collectors import kubernetes, procs, systemd
from collectors.cgroup_names import name_of
from collectors.cgroups import CgroupError, CgroupRef, Cgroups, Hierarchy, detect
from collectors.identity import WorkloadIdentity, of_container
from collectors.runtimes import RUNTIMES, Container, Listing, detailed, list_containers

__all__ = ["Target", "TargetError", "TargetSpec", "resolve"]


class TargetError(Exception):
    """A target that cannot be watched; the text says what was asked and why not, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class TargetSpec:
    """What was asked for; exactly one of `command`, `pid`, `cgroup`, `unit`, `container`, `pod` and `host`.

    `container` is a name, an id or its beginning, with ``podman:``, ``docker:``, ``containerd:`` or ``crio:`` before it
    to ask that runtime alone. `pod` is a name or ``pod/NAME``, which `namespace` and `pod_container` narrow. `workload`
    replaces the name that the target would get.
    """

    command: tuple[str, ...] = ()
    pid: int | None = None
    cgroup: str | None = None
    unit: str | None = None
    container: str | None = None
    pod: str | None = None
    namespace: str | None = None
    pod_container: str | None = None
    host: bool = False
    workload: str | None = None


@dataclass(frozen=True)
class Target:
    """What to watch.

    `kind` is command, pid, cgroup, systemd, container, pod or host. `hierarchy` is ``unified`` or the v1 controller in
    whose tree `cgroups` lie. `pids` are the processes when it was resolved; for a pid target, whose `cgroups` are
    empty, they are what is watched, together with all that they start. `root_pid` is a process inside the workload's
    mount namespace (None for a command not yet started).
    """

    kind: str
    hierarchy: str
    identity: WorkloadIdentity
    cgroups: list[CgroupRef] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    root_pid: int | None = None
    containers: list[Container] = field(default_factory=list)
    command: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for a person. Holds names as the workload gave them: escape before printing."""
        who = self.identity
        name = f"{who.namespace}/{who.workload}" if who.namespace else who.workload
        many = f", {len(self.pids)} process{'es' if len(self.pids) != 1 else ''}" if self.pids else ""
        match self.kind:
            case "command":
                return f"command {self.command[0]}"
            case "host":
                return f"host {who.node}"
            case "pid":
                return f"process {self.root_pid} ({name}){many}"
            case "container":
                return f"container {self.containers[0].title}{many}"
            case "pod":
                parts = f"{len(self.containers)} container{'' if len(self.containers) == 1 else 's'}"
                return f"pod {who.namespace}/{self.containers[0].pod_name} ({parts}){many}"
            case _:
                return f"{self.kind} {name}{many}"


def resolve(spec: TargetSpec) -> Target:
    """The target that `spec` means. Raises `TargetError` with a hint when there is none, or more than one."""
    given = [
        bool(spec.command),
        spec.pid is not None,
        *map(bool, (spec.cgroup, spec.unit, spec.container, spec.pod)),
        spec.host,
    ]
    if sum(given) != 1:
        raise TargetError(
            "a recording has exactly one target" if any(given) else "nothing was named to record",
            "name one of: -- COMMAND, --pid, --cgroup, --unit, --container, --pod, --host",
        )
    cgroups = detect()
    try:
        target = _Resolver(spec, cgroups).target()
    except CgroupError as error:
        raise TargetError(str(error), error.hint) from error
    return (
        target if spec.workload is None else replace(target, identity=replace(target.identity, workload=spec.workload))
    )


class _Resolver:
    def __init__(self, spec: TargetSpec, cgroups: Cgroups) -> None:
        self.spec = spec
        self.cgroups = cgroups
        self.processes = procs.snapshot()
        self.tree = cgroups.telling(p.cgroups for p in self.processes.values() if not p.kernel_thread)

    def target(self) -> Target:
        spec = self.spec
        if spec.command:
            return self._command(spec.command)
        if spec.host:
            return Target("host", self.tree.name, WorkloadIdentity(os.uname().nodename, "Host"), [self._root()], [], 1)
        if spec.pid is not None:
            return self._pid(spec.pid)
        if spec.cgroup:
            return self._cgroup(spec.cgroup)
        if spec.unit:
            return self._unit(spec.unit)
        if spec.container:
            return self._container(spec.container)
        return self._pod(spec.pod or "")

    def _root(self) -> CgroupRef:
        return CgroupRef("/", self.tree.id_of("/"))

    def _command(self, command: tuple[str, ...]) -> Target:
        return Target(
            "command",
            self.tree.name,
            WorkloadIdentity(Path(command[0]).name, "Command"),
            command=command,
        )

    def _pid(self, pid: int) -> Target:
        tree = procs.descendants(pid, self.processes.values())
        if not tree:
            raise TargetError(f"there is no process {pid}", "it may have ended; `ps -e` lists those that run")
        first = tree[0]
        if first.kernel_thread:
            raise TargetError(f"process {pid} ({first.comm}) is a kernel thread", "name a process that runs a program")
        if first.state in {"Z", "X"}:
            raise TargetError(f"process {pid} ({first.comm}) has already ended", "its parent has not waited for it yet")
        if pid == os.getpid():
            raise TargetError("a recorder cannot record itself", "name another process")
        self._need_root(f"process {pid}")
        hierarchy = self._hierarchy_for(first)
        path = first.cgroups.get(hierarchy.name, "/")
        identity = WorkloadIdentity(Path(first.exe or first.comm).name.removesuffix(" (deleted)"), "Process")
        containers: list[Container] = []
        if claim := name_of(path).container:
            listed = [c for li in list_containers(hierarchy.name) for c in li.containers if c.id == claim.id]
            containers = [detailed(container) for container in listed]
            identity = of_container(containers[0]) if containers else replace(identity, container_id=claim.id)
        return Target(
            "pid",
            hierarchy.name,
            identity,
            [],
            [p.pid for p in tree],
            pid,
            containers,
        )

    def _hierarchy_for(self, process: procs.Process) -> Hierarchy:
        """The telling tree, unless this process is only in the root there and below it in another."""
        order = [self.tree, *(h for n, h in self.cgroups.hierarchies.items() if not n.startswith("name="))]
        for wanted in (lambda p: name_of(p).container is not None, lambda p: p != "/", lambda _: True):
            for tree in order:
                if tree.name in process.cgroups and wanted(process.cgroups[tree.name]):
                    return tree
        return self.tree

    def _cgroup(self, text: str) -> Target:
        tree, path = self.cgroups.locate(text, self.tree)
        if path == "/":
            raise TargetError(
                f"{text} is the root cgroup, which holds the whole host", "use --host to record everything"
            )
        try:
            ref = CgroupRef(path, tree.id_of(path))
        except CgroupError as error:
            raise TargetError(str(error), self._near(path, (r.path for r in tree.walk("/")))) from error
        self._need_root(f"cgroup {path}")
        told = name_of(path)
        if told.container and told.container.root == path:
            listed = [c for li in list_containers(tree.name) for c in li.containers if c.cgroup == path]
            known = [detailed(container) for container in listed]
            if known:
                return self._watching("cgroup", tree, [ref], of_container(known[0]), known)
        kind, name = ("Service", told.unit) if told.unit and told.unit_root == path else ("Cgroup", path)
        return self._watching("cgroup", tree, [ref], WorkloadIdentity(name, kind), [])

    def _unit(self, name: str) -> Target:
        full = name if "." in name else f"{name}.service"
        unit = systemd.show(full)
        refs = list(self.tree.walk("/"))
        if unit is None:
            found = systemd.named(full, refs)
            if not found:
                raise TargetError(
                    f"no cgroup belongs to a unit {full}, and no systemd runs here that could be asked for it",
                    self._near(full, {u for r in refs if (u := name_of(r.path).unit)})
                    or "use --cgroup or --pid on a host without systemd",
                )
        else:
            if unit.load_state == "not-found":
                raise TargetError(
                    f"there is no systemd unit {full}",
                    self._near(full, {u for r in refs if (u := name_of(r.path).unit)})
                    or "`systemctl list-units` lists them",
                )
            if not unit.cgroup:
                raise TargetError(f"the unit {full} does not run", f"systemctl start {full}")
            if unit.cgroup == "/":
                raise TargetError(f"the unit {full} lives in the root cgroup", "use --host to record everything")
            found = [CgroupRef(unit.cgroup, self.tree.id_of(unit.cgroup))]
        if len(found) > 1:
            raise TargetError(
                f"several units are called {full}: {', '.join(r.path for r in found)}", "use --cgroup with one of them"
            )
        self._need_root(f"unit {full}")
        return self._watching("systemd", self.tree, found, WorkloadIdentity(full, "Service"), [])

    def _container(self, text: str) -> Target:
        runtime, colon, name = text.partition(":")
        only = runtime if colon and runtime in RUNTIMES else None
        name = name if only else text
        listings = list_containers(self.tree.name, only)
        containers = [c for listing in listings for c in listing.containers if not c.sandbox]
        exact = [c for c in containers if name in {c.name, c.id, c.title, c.title.partition(":")[2]}]
        matches = exact or [c for c in containers if len(name) >= 2 and c.id.startswith(name)]
        if not matches:
            raise self._no_container(name, only, listings)
        if len(matches) > 1:
            listed = ", ".join(f"{c.title} ({c.id[:12]})" for c in matches)
            raise TargetError(f"{name} may be any of: {listed}", "give more of the id, or the runtime: podman:NAME")
        self._need_root(f"container {matches[0].title}")
        if matches[0].cgroup is None and (process := procs.read(matches[0].pid)):
            # Another tree tells more containers apart, but not this one.
            self.tree = self._hierarchy_for(process)
            listings = list_containers(self.tree.name, matches[0].runtime)
            matches = [c for li in listings for c in li.containers if c.id == matches[0].id] or matches
        matches = [detailed(matches[0])]
        return self._watching("container", self.tree, self._refs(matches), of_container(matches[0]), matches)

    def _no_container(self, name: str, only: str | None, listings: list[Listing]) -> TargetError:
        present = [listing for listing in listings if listing.found]
        trouble = "; ".join(listing.trouble for listing in present if listing.trouble)
        if not present:
            which = only or "container runtime (" + ", ".join(RUNTIMES) + ")"
            return TargetError(
                f"no {which} runs on this host, so there is no container {name}",
                trouble or "`discover doctor` lists what was found",
            )
        names = [c.title.partition(":")[2] for li in present for c in li.containers if not c.sandbox]
        hint = trouble or self._near(name, names)
        if not hint:
            hint = "running: " + ", ".join(sorted(names)[:8]) if names else "no container runs; start it first"
        where = only or ", ".join(listing.runtime for listing in present)
        return TargetError(f"no running container {name} ({where})", hint)

    def _pod(self, text: str) -> Target:
        name = kubernetes.split_name(text)
        listings = list_containers(self.tree.name)
        containers = [c for listing in listings for c in listing.containers if c.pod_name and not c.sandbox]
        pods = kubernetes.pods_named(containers, name, self.spec.namespace)
        if not pods:
            titles = {f"{c.namespace}/{c.pod_name}" for c in containers}
            wanted = f"{self.spec.namespace}/{name}" if self.spec.namespace else name
            hint = self._near(wanted, titles) or self._near(name, {c.pod_name or "" for c in containers})
            raise TargetError(
                f"no pod {wanted} runs on this node",
                hint or ("`kubectl get pod -o wide` names its node" if containers else "no pod runs here at all"),
            )
        if len(pods) > 1:
            spaces = sorted({c[0].namespace or "?" for c in pods.values()})
            raise TargetError(
                f"pods called {name} are in several namespaces: {', '.join(spaces)}", "choose one with -n NAMESPACE"
            )
        chosen = next(iter(pods.values()))
        if only := self.spec.pod_container:
            names = [c.name for c in chosen]
            chosen = [c for c in chosen if c.name == only]
            if not chosen:
                raise TargetError(
                    f"pod {name} has no container {only}", self._near(only, names) or f"it has: {', '.join(names)}"
                )
        self._need_root(f"pod {name}")
        identity = of_container(chosen[0])
        if len(chosen) > 1:
            identity = replace(identity, container=None, image=None, image_digest=None, container_id=None)
        return self._watching("pod", self.tree, self._refs(chosen), identity, chosen)

    def _refs(self, containers: list[Container]) -> list[CgroupRef]:
        refs = []
        for container in containers:
            if container.cgroup in {None, "/"}:
                raise TargetError(
                    f"container {container.title} has no cgroup of its own in the {self.tree.name} tree",
                    f"record its process tree instead: --pid {container.pid}",
                )
            refs.append(CgroupRef(str(container.cgroup), self.tree.id_of(str(container.cgroup))))
        return refs

    def _watching(
        self, kind: str, tree: Hierarchy, refs: list[CgroupRef], identity: WorkloadIdentity, containers: list[Container]
    ) -> Target:
        pids = sorted({pid for ref in refs for pid in tree.processes(ref.path)})
        root_pid = containers[0].pid if containers else self._oldest(pids)
        return Target(kind, tree.name, identity, refs, pids, root_pid, containers)

    def _oldest(self, pids: Iterable[int]) -> int | None:
        starts = [(start, pid) for pid in pids if (start := procs.start_of(pid)) is not None]
        return min(starts)[1] if starts else None

    def _need_root(self, what: str) -> None:
        if os.geteuid() != 0:
            raise TargetError(f"recording {what} needs root", "run it again with sudo")

    @staticmethod
    def _near(name: str, others: Iterable[str]) -> str:
        near = difflib.get_close_matches(name, sorted(set(others)), n=3, cutoff=0.6)
        return f"did you mean {' or '.join(near)}?" if near else ""

r"""Control groups of v1, v2 and hybrid hosts: hierarchies, directories, kernfs ids and members.

A v1 host has one tree a controller, and a container need not have a directory in each of them; a hybrid host has a v2
tree beside them that is often empty. `Cgroups.telling` therefore looks at where processes really are and picks the tree
that tells most of them apart. Trees without a controller (``name=systemd``) are read but never picked: a BPF program
reaches the cgroups of a task by controller (``task->cgroups->subsys[]``) or by the v2 default (``dfl_cgrp``) alone.

A cgroup is known by its path below the root of its tree, as ``/proc/PID/cgroup`` has it, and by its kernfs id. The id
is the inode number of the directory where ``ino_t`` has 64 bits (kernel 5.5, commit 67c0496e87d1, and newer). Names are
chosen by whoever may create the directory, workloads included. The kernel refuses only newlines in them
(``cgroup_mkdir``), so ``/proc/PID/cgroup`` can be split into lines; mountinfo writes odd bytes in octal (``\012``).
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collectors.cgroup_names import name_of

__all__ = [
    "UNIFIED",
    "CgroupError",
    "CgroupRef",
    "Cgroups",
    "Hierarchy",
    "detect",
    "parse_membership",
    "parse_mounts",
]

UNIFIED = "unified"
_PREFERENCE = (UNIFIED, "memory", "pids", "cpu", "cpuacct", "blkio", "devices", "freezer", "cpuset")


class CgroupError(Exception):
    """A cgroup that does not exist, cannot be reached, or a host without cgroups; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, order=True)
class CgroupRef:
    """One cgroup: `path` below the root of its tree (``/`` is the root), `id` its kernfs id."""

    path: str
    id: int


@dataclass(frozen=True)
class Mount:
    """A mounted cgroup tree: `root` is the cgroup that the mount point shows, `controllers` is empty for v2."""

    point: str
    root: str
    version: int
    controllers: tuple[str, ...]


@dataclass(frozen=True)
class Hierarchy:
    """One tree. `name` is ``unified`` or the first of its v1 controllers; `prefix` leads to another mount namespace."""

    name: str
    version: int
    controllers: tuple[str, ...]
    mount: str
    root: str = "/"
    prefix: str = ""

    def directory(self, path: str) -> Path:
        """The directory of the cgroup `path`.

        Raises `CgroupError` when the mount shows another part of the tree, as in a container that sees only itself.
        """
        root = self.root.rstrip("/") + "/"
        # `..` stands for cgroups above the root of our cgroup namespace, whose names are not shown.
        below = (path.rstrip("/") + "/").removeprefix(root).rstrip("/")
        if not (path.rstrip("/") + "/").startswith(root) or ".." in below.split("/"):
            raise CgroupError(
                f"cgroup {path} lies outside of what is mounted at {self.mount} (the part below {self.root})",
                "run on the host, or mount the host's /sys/fs/cgroup into this container",
            )
        return Path(self.prefix + self.mount, below)

    def path_below(self, directory: str) -> str | None:
        """The cgroup path of a directory under the mount point; None when it is somewhere else."""
        below = posixpath.relpath(directory, self.mount)
        return None if below.split("/")[0] == ".." else posixpath.normpath(posixpath.join(self.root, below))

    def id_of(self, path: str) -> int:
        """The kernfs id of the cgroup `path`. Raises `CgroupError` when there is none."""
        try:
            return self.directory(path).stat().st_ino
        except FileNotFoundError:
            raise CgroupError(f"no cgroup {path} in the {self.name} tree ({self.mount})") from None

    def find(self, cgroup_id: int) -> str | None:
        """The path of the cgroup with this kernfs id, found by a walk of the tree; None when it is gone."""
        return next((ref.path for ref in self.walk(self.root) if ref.id == cgroup_id), None)

    def walk(self, path: str) -> Iterator[CgroupRef]:
        """The cgroup `path` and all below it, parents first. What vanishes on the way is left out."""
        pending = [(posixpath.normpath(path), self.directory(path))]
        while pending:
            name, directory = pending.pop()
            try:
                yield CgroupRef(name, directory.stat().st_ino)
                children = sorted(e.name for e in os.scandir(directory) if e.is_dir(follow_symlinks=False))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno != errno.ENODEV:  # kernfs: removed while it was open
                    raise
                continue
            pending += [(posixpath.join(name, child), directory / child) for child in reversed(children)]

    def processes(self, path: str, *, below: bool = True) -> list[int]:
        """Pids in the cgroup `path` and, unless `below` is False, in all under it; sorted, each once.

        Processes of other pid namespaces, which the kernel shows as 0, are left out.
        """
        pids: set[int] = set()
        for ref in self.walk(path) if below else [CgroupRef(path, 0)]:
            pids |= _members(self.directory(ref.path))
        return sorted(pids)


@dataclass(frozen=True)
class Cgroups:
    """The cgroup trees of this host, by ``unified``, each v1 controller, and ``name=...`` of trees without one."""

    hierarchies: Mapping[str, Hierarchy] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        """``v1``, ``v2`` or ``hybrid``; ``none`` when no tree is mounted."""
        v1, v2 = (any(h.version == version for h in self.hierarchies.values()) for version in (1, 2))
        return "hybrid" if v1 and v2 else "v2" if v2 else "v1" if v1 else "none"

    def telling(self, memberships: Iterable[Mapping[str, str]]) -> Hierarchy:
        """The tree that tells most containers, then most cgroups apart among `memberships` (see `parse_membership`).

        Ties go to the v2 tree, then to the controllers that runtimes always create (memory first).
        Raises `CgroupError` when no tree is mounted that a BPF program could use.
        """
        usable = {name: h for name, h in self.hierarchies.items() if not name.startswith("name=")}
        if not usable:
            raise CgroupError(
                "no cgroup tree with a controller is mounted",
                "mount -t cgroup2 none /sys/fs/cgroup",
            )
        paths: dict[str, set[str]] = {name: set() for name in usable}
        for membership in memberships:
            for name in usable:
                if name in membership:
                    paths[name].add(membership[name])

        def worth(name: str) -> tuple[int, int, int]:
            containers = {c.id for path in paths[name] if (c := name_of(path).container)}
            preference = _PREFERENCE.index(name) if name in _PREFERENCE else len(_PREFERENCE)
            return len(containers), len(paths[name]), -preference

        return usable[max(usable, key=worth)]

    def locate(self, text: str, default: Hierarchy) -> tuple[Hierarchy, str]:
        """The tree and path that a person means by `text`: a directory under a mount point, or a path in `default`.

        Raises `CgroupError` for a directory of a tree that BPF cannot tell tasks apart by (``name=systemd``).
        """
        by_depth = sorted(self.hierarchies.items(), key=lambda item: -len(item[1].mount))
        for name, hierarchy in by_depth:
            path = hierarchy.path_below(posixpath.normpath(text)) if text.startswith("/") else None
            if path is None:
                continue
            if name.startswith("name="):
                raise CgroupError(
                    f"{text} is in the tree {name}, which belongs to no controller",
                    f"name the same cgroup in another tree, such as {default.mount}{path}",
                )
            return hierarchy, path
        return default, posixpath.normpath("/" + text.lstrip("/"))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def parse_mounts(mountinfo: bytes) -> list[Mount]:
    """The cgroup mounts in the bytes of a ``mountinfo`` file, in its order."""
    mounts = []
    for line in mountinfo.split(b"\n"):
        fields, separator, tail = line.partition(b" - ")
        if not separator:
            continue
        left, right = os.fsdecode(fields).split(" "), os.fsdecode(tail).split(" ")
        if len(left) < 5 or len(right) < 3 or right[0] not in {"cgroup", "cgroup2"}:
            continue
        root, point = (_bytewise(value) for value in left[3:5])
        # The super block's options hold the tree's controllers among a few flags that are none.
        flags = {"rw", "ro", "clone_children", "noprefix", "xattr", "cpuset_v2_mode", "nosuid", "nodev", "noexec"}
        names = tuple(o for o in right[2].split(",") if o not in flags and not o.startswith("release_agent="))
        mounts.append(Mount(point, root, 2, ()) if right[0] == "cgroup2" else Mount(point, root, 1, names))
    return mounts


def _bytewise(escaped: str) -> str:
    # Octal escapes are bytes, not characters: decode them together with their neighbours.
    return os.fsdecode(_unescape(os.fsencode(escaped).decode("latin-1")).encode("latin-1"))


def parse_membership(cgroup: bytes) -> dict[str, str]:
    """The cgroup path of a process in each tree, from the bytes of ``/proc/PID/cgroup``; keys as in `Cgroups`.

    The mark `` (deleted)`` of a removed cgroup is taken off; a cgroup really called so cannot be told from it.
    """
    membership = {}
    for line in cgroup.split(b"\n"):
        parts = os.fsdecode(line).split(":", 2)
        if len(parts) != 3:
            continue
        path = parts[2].removesuffix(" (deleted)")
        for name in parts[1].split(",") if parts[1] else [UNIFIED]:
            membership[name] = path
    return membership


def detect(proc: Path = Path("/proc")) -> Cgroups:
    """The trees mounted here.

    Where this mount namespace shows only a part of a tree (a container), the mount of pid 1 is taken if it shows more
    and can be reached.
    """
    found: dict[str, Hierarchy] = {}
    for pid, prefix in (("self", ""), ("1", f"{proc}/1/root")):
        try:
            mounts = parse_mounts((proc / pid / "mountinfo").read_bytes())
        except OSError:
            continue
        for mount in mounts:
            if prefix and not os.access(prefix + mount.point, os.R_OK | os.X_OK):
                continue
            names = mount.controllers or (UNIFIED,)
            tree = Hierarchy(names[0], mount.version, mount.controllers, mount.point, mount.root, prefix)
            for name in names:
                if name not in found or len(tree.root) < len(found[name].root):
                    found[name] = tree if name == names[0] else _renamed(tree, name)
    return Cgroups(found)


def _renamed(tree: Hierarchy, name: str) -> Hierarchy:
    return Hierarchy(name, tree.version, tree.controllers, tree.mount, tree.root, tree.prefix)


def _members(directory: Path) -> set[int]:
    try:
        return {int(pid) for pid in (directory / "cgroup.procs").read_bytes().split()} - {0}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        if error.errno == errno.ENODEV:
            return set()
        if error.errno != errno.EOPNOTSUPP:
            raise
    # A threaded cgroup of v2 lists threads only; their processes are the members.
    pids = set()
    for tid in (directory / "cgroup.threads").read_bytes().split():
        try:
            status = Path(f"/proc/{int(tid)}/status").read_bytes()
        except OSError:
            continue
        pids |= {int(line.split()[1]) for line in status.split(b"\n") if line.startswith(b"Tgid:")}
    return pids - {0}

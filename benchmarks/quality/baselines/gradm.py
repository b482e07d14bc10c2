"""grsecurity's ``gradm`` learning: each directory gets a score from what lies below it, and a high one reduces it.

Restated from ``gradm_newlearn.c`` and ``learn_config`` of gradm (miroR/gradm, commit 7e68540), one subject (executable)
at a time, as there:

1. All paths hang below ``/``. A node with five or more of them gets its next directories as nodes; what lies below each
   moves there.
2. From the root down, a node scores: files directly in it (more than 3, 6, 10, 15, 20), nodes below it (5, 10, 20, 40,
   80), depth below it (2, 4, 6) and above it (2, 4, 6), one point each. A path that the configuration wants reduced
   scores double, and so does one where all is read or all is written; otherwise, from 4 points on, files of the two
   commonest modes are folded into the directory, and if those are more than three quarters, that is all. Then: from 8
   points on, everything below becomes the directory; from 4 on, the files in it do. ``/tmp`` and its kin always do;
   ``/``, ``/usr``, ``/var`` and their kin never do.
3. A file whose mode its directory has anyway is dropped.

The protected paths (``/etc/passwd``, ``/var/log``, …), which nobody who did not use them may use, need nothing here:
what no rule lists is denied.

In its favour: a directory that was only opened itself is a path here (grsecurity's objects hold for all below them), a
directory folded by its files alone holds for its direct children (there, for all below).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from benchmarks.quality.baselines.grants import Grant, Kind, assemble
from benchmarks.quality.material import Material
from models.policy import Access, Op, PolicyClass, Spec

__all__ = ["learn", "reduced"]

READ, WRITE, CREATE, DELETE = 1, 2, 4, 8
CHANGES = WRITE | CREATE | DELETE
MODES = (READ, READ | WRITE, WRITE, WRITE | CREATE, WRITE | DELETE, CHANGES, READ | CHANGES, READ | WRITE | DELETE,
         READ | WRITE | CREATE)  # fmt: skip
"""The modes that step 2 counts, in the order in which ties are settled (those without execution)."""
SPLIT, CHILDREN_SCORE, ALL_SCORE = 5, 4, 8
_ALWAYS = """
/dev/pts /var/spool/exim4 /var/run/screen /usr/share/locale /usr/share/zoneinfo /usr/share/terminfo /usr/portage
/tmp /var/tmp
"""
_HIGH = """
/dev/mapper /dev/snd /proc /lib /lib32 /lib64 /lib/security /lib/modules /usr/lib /usr/lib32 /usr/lib64 /var/lib
/usr/bin /usr/sbin /sbin /bin /usr/local/share /usr/local/bin /usr/local/sbin /usr/local/etc /usr/local/lib
/usr/share /var/lib/openldap-data /var/lib/krb5kdc
"""
ALWAYS, HIGH = frozenset(_ALWAYS.split()), frozenset(_HIGH.split())
NEVER = frozenset(["/", "/home", "/dev", "/usr", "/var", "/opt"])


@dataclass
class Node:
    """A path and what lies below it."""

    path: str
    mode: int = 0
    children: list[Node] = field(default_factory=list)
    folded: Kind = Kind.PATH
    """What its rule holds for: itself, or what was folded into it."""

    def below(self) -> Iterator[Node]:
        """Every node below this one."""
        for child in self.children:
            yield child
            yield from child.below()

    @property
    def files(self) -> list[Node]:
        """The children that have none themselves."""
        return [c for c in self.children if not c.children]

    def depth(self) -> int:
        """How many levels lie below."""
        return 1 + max(c.depth() for c in self.children) if self.children else 0


def mode_of(access: Access) -> int:
    """The mode that grsecurity would have learned from an access to a file."""
    op = access.op
    if op is Op.OPEN:
        made = (CREATE | WRITE) * access.create
        return READ * (access.read or not access.write) | WRITE * (access.write or access.truncate) | made
    if op in (Op.UNLINK, Op.RMDIR, Op.RENAME_FROM):
        return WRITE | DELETE
    if op in (Op.MKDIR, Op.MKNOD, Op.SYMLINK, Op.RENAME_TO, Op.LINK_TO, Op.LINK_FROM):
        return WRITE | CREATE
    return WRITE


def reduced(modes: dict[str, int]) -> Node:
    """The tree of one subject's objects after all three steps."""
    root = Node("/", modes.get("/", 0))
    for path in sorted((p for p in modes if p != "/"), key=lambda p: p.split("/")):
        _insert(root, path, modes[path])
    _split(root)
    _reduce(root, 0)
    _fold_same(root)
    return root


def _insert(root: Node, path: str, mode: int) -> None:
    """Hang a path below the deepest node that is above it: paths come sorted name by name, so always the last one."""
    node = root
    while node.children and path.startswith(node.children[-1].path + "/"):
        node = node.children[-1]
    node.children.append(Node(path, mode))


def _split(node: Node) -> None:
    if len(node.children) >= SPLIT:
        start = 1 if node.path == "/" else len(node.path) + 1
        groups: dict[str, list[Node]] = {}
        for child in node.children:
            end = child.path.find("/", start)
            groups.setdefault(child.path if end < 0 else child.path[:end], []).append(child)
        node.children = [_grouped(path, group) for path, group in sorted(groups.items())]
    for child in node.children:
        _split(child)


def _grouped(path: str, group: list[Node]) -> Node:
    itself = next((n for n in group if n.path == path), None) or Node(path)
    itself.children += [n for n in group if n is not itself]
    return itself


def _more(value: int, *marks: int) -> int:
    return sum(value > mark for mark in marks)


def _alike(nodes: Iterable[Node]) -> bool:
    """Whether nothing is only written, or nothing is only read."""
    listed = list(nodes)
    return not any(n.mode & WRITE and not n.mode & READ for n in listed) or not any(
        n.mode & READ and not n.mode & WRITE for n in listed
    )


def _reduce(node: Node, level: int) -> None:
    if not node.children:
        return
    if node.path in ALWAYS:
        _fold_all(node)
    elif node.path not in NEVER:
        _score(node, level)
    for child in node.children:
        _reduce(child, level + 1)


def _score(node: Node, level: int) -> None:
    files, below = len(node.files), sum(1 for _ in node.below())
    score = _more(files, 3, 6, 10, 15, 20) + _more(below, 5, 10, 20, 40, 80)
    score += _more(level, 2, 4, 6) + _more(node.depth(), 2, 4, 6)
    if node.path in HIGH and (files > 2 or below > 5):
        score *= 2
    if _alike(node.below()):
        score *= 2
    elif score >= CHILDREN_SCORE and _fold_commonest(node) > 3 * files // 4:
        return
    if score >= ALL_SCORE:
        _fold_all(node)
    elif score >= CHILDREN_SCORE:
        _fold_files(node, node.files)


def _fold_all(node: Node) -> None:
    for child in node.below():
        node.mode |= child.mode
    node.children = []
    node.folded = Kind.TREE


def _fold_files(node: Node, files: list[Node]) -> None:
    for child in files:
        node.mode |= child.mode
    node.children = [c for c in node.children if c not in files]
    if files and node.folded is Kind.PATH:
        node.folded = Kind.CHILDREN


def _fold_commonest(node: Node) -> int:
    """Fold the files of the two commonest modes; how many those were."""
    counts = Counter(c.mode for c in node.children)
    commonest = sorted((m for m in MODES if counts[m]), key=lambda m: (-counts[m], MODES.index(m)))[:2]
    whole = node.mode
    for mode in commonest:
        whole |= mode
    everything = whole == READ | CHANGES
    files = [c for c in node.files if everything or c.mode in commonest]
    _fold_files(node, files)
    node.mode = whole if files else node.mode
    return len(files)


def _fold_same(node: Node) -> None:
    makes = node.mode & (WRITE | CREATE) == WRITE | CREATE
    if node.folded is not Kind.PATH:
        same = [c for c in node.files if c.folded is Kind.PATH and (c.mode == node.mode or (makes and c.mode & WRITE))]
        _fold_files(node, same)
    for child in node.children:
        _fold_same(child)


def learn(material: Material, patterns: bool) -> Spec:
    """The policy of a workload; where sources cost keys of their own (no `patterns`), for all executables together."""
    subjects: dict[str, dict[str, int]] = {}
    for seen in material.seen:
        access = seen.access
        if access.policy_class is PolicyClass.FILE and access.path.startswith("/"):
            modes = subjects.setdefault(access.source, {})
            modes[access.path] = modes.get(access.path, 0) | mode_of(access)
    grants = []
    for subject, modes in sorted(subjects.items()):
        root = reduced(modes)
        for node in [root, *root.below()]:
            if node.mode:
                path = node.path if node.folded is Kind.PATH else node.path.rstrip("/") + "/"
                grants.append(Grant(node.folded, path, bool(node.mode & CHANGES), subject if patterns else ""))
    return assemble(material, grants, patterns=patterns, union=not patterns)

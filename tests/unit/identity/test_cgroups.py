"""Trees and members from mountinfo, /proc/PID/cgroup and a directory tree."""

from pathlib import Path

import pytest

from collectors import cgroups
from collectors.cgroups import CgroupError, CgroupRef, Cgroups, Hierarchy, parse_membership, parse_mounts

from .conftest import Tree

V2 = b"30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = (
    b"23 1 0:21 / /proc rw - proc proc rw\n"
    b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    b"32 31 0:29 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"
    b"33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
    b"34 31 0:31 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n"
    b"35 31 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/usr/lib/x,name=systemd\n"
)
CONTAINER = b"77 70 0:26 /docker/abc /sys/fs/cgroup ro master:9 - cgroup2 cgroup rw\n"
A, B = "a" * 64, "b" * 64


def proc_of(tmp_path: Path, mountinfo: bytes, first: bytes = b"") -> Path:
    for pid, text in (("self", mountinfo), ("1", first)):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "mountinfo").write_bytes(text)
    return tmp_path


@pytest.mark.parametrize(
    ("mountinfo", "mode", "names"),
    [
        (V2, "v2", {"unified"}),
        (HYBRID, "hybrid", {"unified", "cpu", "cpuacct", "memory", "name=systemd"}),
        (HYBRID.replace(b"cgroup2", b"tmpfs"), "v1", {"cpu", "cpuacct", "memory", "name=systemd"}),
        (b"23 1 0:21 / /proc rw - proc proc rw\n", "none", set()),
        (b"garbage\n\n- cgroup2\n 1 2 - cgroup2 x rw\n", "none", set()),
    ],
)
def test_mode(tmp_path: Path, mountinfo: bytes, mode: str, names: set[str]) -> None:
    found = cgroups.detect(proc_of(tmp_path, mountinfo))
    assert (found.mode, set(found.hierarchies)) == (mode, names)


def test_mount_point_with_blank_newline_backslash_and_bytes_that_are_no_text() -> None:
    line = rb"33 31 0:30 /a\040b\134 /mnt/\012new\134line\303\244\377 rw - cgroup2 none rw"
    (mount,) = parse_mounts(line)
    assert mount.root == "/a b\\"
    assert mount.point == "/mnt/\nnew\\lineä\udcff"


def test_the_mount_that_shows_most_is_taken(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/1").mkdir()
    (tmp_path / "proc/1/root").mkdir()
    (tmp_path / f"proc/1/root{outer}").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/mountinfo").write_bytes(CONTAINER)
    (tmp_path / "proc/1/mountinfo").write_bytes(V2.replace(b"/sys/fs/cgroup", str(outer).encode()))
    found = cgroups.detect(tmp_path / "proc").hierarchies["unified"]
    assert found.root == "/"
    assert found.directory("/docker") == tmp_path / f"proc/1/root{outer}/docker"


def test_a_mount_that_shows_only_itself_says_so() -> None:
    inside = Hierarchy("unified", 2, (), "/sys/fs/cgroup", "/docker/abc")
    assert inside.directory("/docker/abc/x") == Path("/sys/fs/cgroup/x")
    assert inside.path_below("/sys/fs/cgroup/x") == "/docker/abc/x"
    with pytest.raises(CgroupError, match="outside") as error:
        inside.directory("/docker/def")
    assert "host" in error.value.hint


def test_membership() -> None:
    told = parse_membership(b"5:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/d (deleted)\n\nodd\n")
    assert told == {"cpu": "/a", "cpuacct": "/a", "name=systemd": "/b:c", "unified": "/d"}


def trees(*names: str) -> Cgroups:
    return Cgroups({name: Hierarchy(name, 1, (name,), f"/cg/{name}") for name in names})


@pytest.mark.parametrize(
    ("memberships", "wanted"),
    [
        # nothing anywhere: the v2 tree
        ([{"unified": "/", "memory": "/", "pids": "/"}], "unified"),
        # hybrid with an empty v2 tree
        ([{"unified": "/", "memory": "/a", "pids": "/"}, {"unified": "/", "memory": "/b", "pids": "/"}], "memory"),
        # containers count more than any number of plain cgroups
        (
            [
                {"unified": "/", "memory": "/a", "pids": f"/docker/{A}"},
                {"unified": "/", "memory": "/b", "pids": f"/docker/{A}"},
                {"unified": "/", "memory": "/c", "pids": f"/docker/{A}"},
            ],
            "pids",
        ),
        # equal in both: the v2 tree
        ([{"unified": f"/docker/{A}", "memory": f"/docker/{A}"}, {"unified": "/", "memory": "/"}], "unified"),
        # a tree without controller cannot be used, however much it tells
        ([{"name=systemd": f"/docker/{c}", "unified": "/", "memory": "/"} for c in (A, B)], "unified"),
        ([], "unified"),
    ],
)
def test_the_tree_that_tells_containers_apart(memberships: list[dict[str, str]], wanted: str) -> None:
    assert trees("pids", "memory", "unified", "name=systemd").telling(memberships).name == wanted


def test_no_usable_tree_is_an_error() -> None:
    with pytest.raises(CgroupError) as error:
        trees("name=systemd").telling([])
    assert "mount" in error.value.hint


def test_locate() -> None:
    known = trees("memory", "name=systemd")
    memory = known.hierarchies["memory"]
    assert known.locate("/cg/memory/a/../b/", memory) == (memory, "/b")
    assert known.locate("/a//b/", memory) == (memory, "/a/b")
    assert known.locate("a", memory) == (memory, "/a")
    assert known.locate("/cg/memory", memory) == (memory, "/")
    with pytest.raises(CgroupError, match="name=systemd") as error:
        known.locate("/cg/name=systemd/x", memory)
    assert "/cg/memory/x" in error.value.hint


@pytest.mark.parametrize("path", ["/../../etc", "/a/../../etc", "/.."])
def test_a_path_cannot_climb_out(tree: Tree, path: str) -> None:
    with pytest.raises(CgroupError, match="outside"):
        tree.hierarchy.directory(path)


def test_walk_ids_and_members(tree: Tree) -> None:
    ids = {path: tree.make(path) for path in ("/", "/a", "/a/b", "/a/\x1b[31m x", "/c")}
    (tree.mount / "a/cgroup.procs").write_text("7\n5\n0\n")
    (tree.mount / "a/b/cgroup.procs").write_text("9\n5\n")
    h = tree.hierarchy
    assert list(h.walk("/a")) == [CgroupRef(p, ids[p]) for p in ("/a", "/a/\x1b[31m x", "/a/b")]
    assert {p: h.id_of(p) for p in ids} == ids
    assert h.find(ids["/a/b"]) == "/a/b"
    assert h.find(1 << 60) is None
    assert h.processes("/a") == [5, 7, 9]
    assert h.processes("/a", below=False) == [5, 7]
    assert h.processes("/gone") == []
    with pytest.raises(CgroupError, match="no cgroup /gone"):
        h.id_of("/gone")

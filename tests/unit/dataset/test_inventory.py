import json
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from collectors.inventory import inventory_of
from models.behaviour import INVENTORY


def tally(table: pa.Table) -> dict[str, int]:
    answer: dict[str, int] = json.loads(table.schema.metadata[b"discover.inventory"])
    return answer


def rows(table: pa.Table) -> dict[str, dict[str, object]]:
    return {r["path"]: r for r in table.to_pylist()}


def test_a_tree_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "shadow").write_bytes(b"12345")
    (tmp_path / "etc" / "shadow").chmod(0o640)
    (tmp_path / "link").symlink_to("etc/shadow")
    os.mkfifo(tmp_path / "fifo")
    table = inventory_of(tmp_path, workload="web", image_digest="sha256:1")
    assert table.schema.equals(INVENTORY)
    found = rows(table)
    assert set(found) == {"/etc", "/etc/shadow", "/link", "/fifo"}
    shadow = found["/etc/shadow"]
    assert (shadow["size"], shadow["mode"], shadow["object"]) == (5, 0o640, "file")
    assert (shadow["workload"], shadow["image_digest"]) == ("web", "sha256:1")
    assert (found["/link"]["object"], found["/link"]["link_target"]) == ("symlink", "etc/shadow")
    assert found["/fifo"]["object"] == "fifo"
    assert tally(table)["entries"] == 4


def test_no_symlink_leads_out(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to("../outside")
    (root / "absolute").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(".")
    (root / "var").mkdir()
    (root / "var" / "lib").symlink_to(tmp_path / "outside")
    assert set(rows(inventory_of(root, workload="w"))) == {"/out", "/absolute", "/loop", "/var", "/var/lib"}


def test_package_database_is_not_read_through_a_symlink(tmp_path: Path) -> None:
    info = tmp_path / "elsewhere" / "dpkg" / "info"
    info.mkdir(parents=True)
    (info / "evil.list").write_text("/file\n")
    root = tmp_path / "root"
    (root / "var").mkdir(parents=True)
    (root / "var" / "lib").symlink_to(tmp_path / "elsewhere")
    (root / "file").touch()
    assert rows(inventory_of(root, workload="w"))["/file"]["package"] is None


def test_hostile_names(tmp_path: Path) -> None:
    names = [b"new\nline", b"\xff\xfe", b"\x1b[31m", b"*?[x]", b"x" * 255, b" "]
    for name in names:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).touch()
    found = inventory_of(tmp_path, workload="w").to_pylist()
    assert {r["path_raw"] or r["path"].encode() for r in found} == {b"/" + n for n in names}


def test_pseudo_file_systems_are_not_entered(tmp_path: Path) -> None:
    for name in ("proc", "sys", "dev"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").touch()
    table = inventory_of(tmp_path, workload="w")
    assert set(rows(table)) == {"/proc", "/sys", "/dev"}
    assert tally(table)["pseudo"] == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts: needs root")
def test_a_proc_mounted_elsewhere_is_not_entered_and_a_volume_is(tmp_path: Path) -> None:
    places = {"elsewhere": "proc", "volume": "tmpfs"}
    for name, kind in places.items():
        (tmp_path / name).mkdir()
        subprocess.run(["mount", "-t", kind, kind, str(tmp_path / name)], check=True)
    try:
        (tmp_path / "volume" / "data").touch()
        table = inventory_of(tmp_path, workload="w")
    finally:
        for name in places:
            subprocess.run(["umount", "-l", str(tmp_path / name)], check=True)
    assert set(rows(table)) == {"/elsewhere", "/volume", "/volume/data"}
    assert tally(table)["pseudo"] == 1


def test_entries_and_time_are_bounded_and_counted(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"d{n:02}").mkdir()
        (tmp_path / f"d{n:02}" / "f").touch()
    table = inventory_of(tmp_path, workload="w", max_entries=35)
    assert table.num_rows == 35
    assert tally(table)["cut_short"] == 25
    none = inventory_of(tmp_path, workload="w", max_seconds=-1)
    assert none.num_rows == 0
    assert tally(none)["cut_short"] == 1


def test_deep_trees_are_cut_and_counted(tmp_path: Path) -> None:
    above = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=above)
        below = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    try:
        table = inventory_of(tmp_path, workload="w")
        assert 150 < table.num_rows < 600
        assert tally(table)["too_deep"] == 1
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_unreadable_directories_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    real = os.open

    def refusing(path: object, *args: object, **kwargs: object) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)
    table = inventory_of(tmp_path, workload="w")
    assert set(rows(table)) == {"/closed", "/open"}
    assert tally(table)["unreadable"] == 1


def test_packages_of_debian_and_alpine(tmp_path: Path) -> None:
    deb = tmp_path / "deb"
    (deb / "usr" / "bin").mkdir(parents=True)
    (deb / "bin").symlink_to("usr/bin")
    for name in ("ls", "own"):
        (deb / "usr" / "bin" / name).touch()
    info = deb / "var" / "lib" / "dpkg" / "info"
    info.mkdir(parents=True)
    (info / "coreutils:amd64.list").write_text("/.\n/bin\n/bin/ls\n")
    found = rows(inventory_of(deb, workload="w"))
    assert found["/usr/bin/ls"]["package"] == "coreutils"
    assert found["/usr/bin/own"]["package"] is None
    assert found["/usr/bin"]["package"] is None

    alpine = tmp_path / "alpine"
    (alpine / "lib" / "apk" / "db").mkdir(parents=True)
    (alpine / "bin").mkdir()
    (alpine / "bin" / "busybox").touch()
    (alpine / "lib" / "apk" / "db" / "installed").write_text("P:busybox\nV:1\nF:bin\nR:busybox\n\nP:x\nF:\nR:top\n")
    assert rows(inventory_of(alpine, workload="w"))["/bin/busybox"]["package"] == "busybox"


def test_progress_is_told(tmp_path: Path) -> None:
    for n in range(10_001):
        (tmp_path / str(n)).touch()
    told: list[int] = []
    inventory_of(tmp_path, workload="w", progress=told.append)
    assert told == [10_000]


def test_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inventory_of(tmp_path / "absent", workload="w")


def machine(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_of_a_machine_only_what_is_near_to_something_observed(tmp_path: Path) -> None:
    machine(
        tmp_path,
        *("etc/shadow", "etc/app/conf", "usr/lib/a/b/c", "boot/kernel", "usr/local/bin/tool"),
        *("var/lib/app/data/one", "var/lib/other/two", "var/lib/private/three", "var/log/app.log"),
        *("home/u/work/x/y", "home/u/cache/z", "home/u/.ssh/keys/id_rsa", "home/v/.ssh/id_rsa"),
        *("data/db/1", "data/else/2"),
    )
    observed = [b"/etc/app/conf", b"/usr/lib/a/b/c", b"/var/lib/app/data/one", b"/home/u/work/x/y", b"/data/db/gone"]
    table = inventory_of(tmp_path, workload="w", observed=observed)
    found = rows(table)
    files = {path for path, row in found.items() if row["object"] == "file"}
    assert files == {
        *("/etc/shadow", "/etc/app/conf", "/usr/lib/a/b/c", "/usr/local/bin/tool"),
        *("/var/lib/app/data/one", "/var/lib/private/three", "/var/log/app.log"),
        *("/home/u/work/x/y", "/home/u/.ssh/keys/id_rsa", "/data/db/1"),
    }
    unread = {"/boot", "/var/lib/other", "/home/u/cache", "/home/v", "/data/else"}
    assert {path for path, row in found.items() if row["size"] is None} == unread
    assert set(tally(table)["folders_left_out"]) == unread  # type: ignore[call-overload]
    assert (tally(table)["left_out"], tally(table)["whole"]) == (5, False)
    assert tally(inventory_of(tmp_path, workload="w"))["whole"] is True


def test_a_directory_that_was_not_read_has_no_size_whatever_the_reason(tmp_path: Path) -> None:
    machine(tmp_path, "proc/1", "a/1", "b/1", "c/1")
    found = rows(inventory_of(tmp_path, workload="w", max_entries=6))
    assert [path for path, row in found.items() if row["size"] is None] == ["/c", "/proc"]


def test_rows_are_in_order_and_a_descriptor_serves_as_root(tmp_path: Path) -> None:
    machine(tmp_path, "b/2", "a/1", "a b/3")
    fd = os.open(tmp_path, os.O_PATH)
    try:
        paths = inventory_of(fd, workload="w")["path"].to_pylist()
    finally:
        os.close(fd)
    assert paths == ["/a", "/a b", "/a b/3", "/a/1", "/b", "/b/2"]

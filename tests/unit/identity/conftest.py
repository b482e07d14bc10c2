"""A cgroup tree made of plain directories: their inode numbers serve as kernfs ids."""

from pathlib import Path

import pytest

from collectors.cgroups import Cgroups, Hierarchy


class Tree:
    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.hierarchy = Hierarchy("unified", 2, (), str(mount))
        self.cgroups = Cgroups({"unified": self.hierarchy})

    def make(self, path: str) -> int:
        directory = self.mount / path.strip("/")
        directory.mkdir(parents=True, exist_ok=True)
        return directory.stat().st_ino

    def remove(self, path: str) -> None:
        (self.mount / path.strip("/")).rmdir()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    mount = tmp_path / "cgroup"
    mount.mkdir()
    return Tree(mount)

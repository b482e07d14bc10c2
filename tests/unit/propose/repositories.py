"""Bare repositories made with git's own program, and what people do in them."""

import os
import subprocess
from pathlib import Path

__all__ = ["AUTHOR", "ROOT", "Server", "git"]

ROOT = Path(__file__).parents[3]
AUTHOR = "Ada <ada@example.org>"


def git(place: Path, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(place), *arguments], input=text, capture_output=True, text=True, check=True, env=os.environ
    )
    return done.stdout


class Server:
    """A bare repository, and what people do in it."""

    def __init__(self, place: Path, files: dict[str, str]) -> None:
        self.place = place
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(place)], check=True)
        git(place, "config", "http.receivepack", "true")
        if files:
            self.commit(files, "start")

    def commit(self, files: dict[str, str | None], message: str = "by people", branch: str = "main") -> str:
        """Change files on a branch, as somebody with a clone would (None removes one)."""
        parent = self.tip(branch)
        index = {"GIT_INDEX_FILE": str(self.place / "test-index")}
        environment = {**os.environ, **index}

        def run(*arguments: str, text: str = "") -> str:
            return subprocess.run(
                ["git", "-C", str(self.place), *arguments],
                input=text,
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout.strip()

        run("read-tree", parent) if parent else run("read-tree", "--empty")
        lines = []
        for path, text in files.items():
            blob = run("hash-object", "-w", "--stdin", text=text or "")
            lines.append(f"{'100644' if text is not None else '0'} {blob if text is not None else '0' * 40}\t{path}")
        run("update-index", "--index-info", text="\n".join(lines) + "\n")
        tree = run("write-tree")
        commit = run("commit-tree", tree, *(["-p", parent] if parent else []), "-m", message)
        run("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def tip(self, branch: str) -> str:
        found = git(self.place, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return found.strip()

    def refs(self) -> str:
        return git(self.place, "for-each-ref")

    def read(self, path: str, branch: str = "main") -> str:
        return git(self.place, "show", f"{branch}:{path}")

    def names(self, branch: str) -> list[str]:
        return git(self.place, "ls-tree", "-r", "--name-only", branch).split()

    def changed(self, branch: str) -> list[str]:
        return git(self.place, "diff", "--name-only", f"main...{branch}").split()

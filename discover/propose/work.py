"""One remote repository, read and written with dulwich: no work tree, no git program, one branch pushed at the end.

Trees are read and made as objects, so that a repository with thousands of files costs what its few changed files cost.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dulwich.client import (
    GitClient,
    HTTPUnauthorized,
    LocalGitClient,
    SSHGitClient,
    SubprocessGitClient,
    Urllib3HttpGitClient,
)
from dulwich.config import StackedConfig
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.graph import can_fast_forward, find_merge_base
from dulwich.object_store import commit_tree_changes
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import Repo

from discover.propose.errors import NotAllowed, ProposeError, Rejected, Unreachable
from discover.propose.remote import Credentials, Remote
from discover.propose.trust import HINT, is_certificate
from discover.text import printable

__all__ = ["Author", "Work", "opened"]

_ZERO = b"0" * 40
_TIMEOUT = 60
_FILE = 0o100644


class Author:
    """Who signs off: ``Name <mail>``. Raises `ValueError` for anything else."""

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"([^<>\n\0]+?) <([^<>\s\0]+)>", text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no author: Name <mail>")
        self.name, self.mail = match.groups()

    def __str__(self) -> str:
        return f"{self.name} <{self.mail}>"


class Work:
    """A copy of what is needed of a remote repository."""

    def __init__(self, remote: Remote, secret: Credentials, repo: Repo) -> None:
        self.remote, self.secret = remote, secret
        # dulwich's names for bytes (Ref, ObjectID) stay here: everybody else has bytes
        self.repo: Any = repo
        client, self.path = _client(remote, secret)
        self.client: Any = client
        self.refs: dict[bytes, bytes] = {}
        self.default = "main"
        with self._told("read"):
            listed = self.client.get_refs(self._path())
        self.refs = {k: v for k, v in listed.refs.items() if v is not None}
        symrefs: Any = listed.symrefs or {}
        head: bytes = symrefs.get(b"HEAD", b"")
        if head.startswith(b"refs/heads/"):
            self.default = head.removeprefix(b"refs/heads/").decode()

    def _path(self) -> Any:
        return self.path.encode()

    def tip(self, branch: str) -> bytes | None:
        """The commit of a branch, None where there is none."""
        return self.refs.get(_ref(branch))

    def fetch(self, *commits: bytes) -> None:
        """Bring commits here, with what they stand on."""
        wanted = [c for c in commits if c not in self.repo.object_store]
        if wanted:
            with self._told("read"):
                self.client.fetch(self._path(), self.repo, determine_wants=lambda *_a, **_k: wanted)

    def read(self, commit: bytes, path: str) -> bytes | None:
        """The bytes of a file at a commit."""
        try:
            _, sha = self._tree(commit).lookup_path(self.repo.object_store.__getitem__, path.encode())
        except (KeyError, NotADirectoryError):
            return None
        found = self.repo.object_store[sha]
        return found.data if isinstance(found, Blob) else None

    def files(self, commit: bytes, under: str = "") -> Iterator[tuple[str, bytes]]:
        """The files below a folder with their blobs' names, in order."""
        tree: Tree = self._tree(commit)
        if under:
            try:
                _, sha = tree.lookup_path(self.repo.object_store.__getitem__, under.encode())
            except (KeyError, NotADirectoryError):
                return
            found = self.repo.object_store[sha]
            if not isinstance(found, Tree):
                return
            tree = found
        yield from self._walk(tree, under)

    def _walk(self, tree: Tree, prefix: str) -> Iterator[tuple[str, bytes]]:
        for entry in tree.iteritems():
            path = (
                f"{prefix}/{entry.path.decode('utf-8', 'replace')}" if prefix else entry.path.decode("utf-8", "replace")
            )
            if entry.mode & 0o170000 == 0o040000:
                child = self.repo.object_store[entry.sha]
                if isinstance(child, Tree):
                    yield from self._walk(child, path)
            elif entry.mode & 0o170000 == 0o100000:
                yield path, entry.sha

    def blob(self, sha: bytes) -> bytes:
        """The bytes of a blob."""
        found: bytes = self.repo.object_store[sha].as_raw_string()
        return found

    def _tree(self, commit: bytes) -> Any:
        found = self.repo.object_store[commit]
        return self.repo.object_store[found.tree]

    def is_ancestor(self, old: bytes, new: bytes) -> bool:
        """Whether a commit stands on another."""
        return bool(can_fast_forward(self.repo, ObjectID(old), ObjectID(new)))

    def merge_base(self, one: bytes, other: bytes) -> bytes | None:
        """The commit on which both stand."""
        found = find_merge_base(self.repo, [ObjectID(one), ObjectID(other)])
        return found[0] if found else None

    def commit(self, parent: bytes | None, files: Mapping[str, bytes], message: str, author: Author) -> bytes:
        """Make a commit that changes some files on top of another; nothing leaves this machine."""
        store = self.repo.object_store
        changes = []
        for path, data in sorted(files.items()):
            blob = Blob.from_string(data)
            store.add_object(blob)
            changes.append((path.encode(), _FILE, blob.id))
        tree = self._tree(parent) if parent else Tree()
        if not parent:
            store.add_object(tree)
        commit: Any = Commit()
        commit.tree = commit_tree_changes(store, tree, changes)
        commit.parents = [parent] if parent else []
        commit.author = commit.committer = str(author).encode()
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = f"{message.rstrip()}\n\nSigned-off-by: {author}\n".encode()
        store.add_object(commit)
        made: bytes = commit.id
        return made

    def push(self, branch: str, commit: bytes | None) -> None:
        """Set a branch on the server from what it was when we looked, or remove it (None)."""
        ref = _ref(branch)
        before = self.refs.get(ref, _ZERO)

        def update(now: dict[bytes, bytes]) -> dict[bytes, bytes]:
            if now.get(ref, _ZERO) != before:
                raise Rejected(
                    f"{branch} on {self.remote} changed while we worked", "run the command again: it starts from there"
                )
            return {ref: commit or _ZERO}

        with self._told("write"):
            result = self.client.send_pack(self._path(), update, self.repo.generate_pack_data)
        for name, problem in (result.ref_status or {}).items():
            if problem:
                raise self._refused(name.decode(), str(problem))
        if commit:
            self.refs[ref] = commit
        else:
            self.refs.pop(ref, None)

    def _refused(self, ref: str, problem: str) -> Rejected:
        text = printable(self.secret.hide(problem))
        branch = ref.removeprefix("refs/heads/")
        return Rejected(
            f"{self.remote} refused the push to {branch}: {text}",
            "if the branch is protected, choose another with --branch, or let this token's owner push there",
        )

    @contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        """Git's, http's and ssh's errors as ours, none with a token in it."""
        try:
            yield
        except ProposeError:
            raise
        except HTTPUnauthorized:
            raise self._unauthorised(verb) from None
        except NotGitRepository:
            raise Unreachable(
                f"no git repository at {self.remote}", "is the address right, and may you read it?"
            ) from None
        except HangupException as error:
            told = b"; ".join(error.stderr_lines or []).decode("utf-8", "replace")
            raise self._hung_up(verb, told) from None
        except (SendPackError, GitProtocolError) as error:
            text = str(error)
            if re.search(r"unexpected http resp (401|403)|HTTP 40[13]|Forbidden", text, re.IGNORECASE):
                raise self._unauthorised(verb) from None
            raise self._hung_up(verb, text) from None
        except OSError as error:
            raise Unreachable(
                f"{self.remote} cannot be reached: {printable(self.secret.hide(str(error)))}", "is the address right?"
            ) from None
        except Exception as error:  # urllib3's, which has no common ancestor with dulwich's
            if type(error).__module__.partition(".")[0] != "urllib3":
                raise
            raise Unreachable(
                f"{self.remote} cannot be reached: {printable(self.secret.hide(str(error)))}", "is the address right?"
            ) from None

    def _unauthorised(self, verb: str) -> NotAllowed:
        if not self.secret.token:
            return NotAllowed(
                f"{self.remote} wants a token to {verb} there, and there is none",
                "set DISCOVER_GIT_TOKEN, or configure a credential helper: git config credential.helper",
            )
        return NotAllowed(
            f"{self.remote} refused the token from {self.secret.source}: it has expired, or may not {verb} there",
            "make a new one that may write to the repository and its pull requests",
        )

    def _hung_up(self, verb: str, told: str) -> ProposeError:
        text = printable(self.secret.hide(told)) or "it hung up without a word"
        if re.search(r"Connection(Pool|Error)|Max retries|timed out", text):
            if is_certificate(text):
                found = re.search(r"verify failed: ([^()]*)", text)
                why = found[1].strip() if found else "it cannot be verified"
                return Unreachable(f"{self.remote} shows a certificate that is not trusted: {why}", HINT)
            why = text.rpartition(": ")[2].strip("\"')")
            return Unreachable(f"{self.remote} cannot be reached: {why}", "is the address right?")
        if re.search(r"host key verification failed|authenticity of host", text, re.I):
            return Unreachable(
                f"{self.remote} cannot be trusted: {text}",
                f"compare the key that `ssh-keyscan {self.remote.host}` tells with the published one, and add it to "
                "known_hosts",
            )
        if re.search(_FORBIDDEN, text, re.I):
            hint = _READ_ONLY
            if self.remote.scheme == "ssh":
                hint = _NO_KEY if "(publickey" in text else f"use a key that may write there; or {_READ_ONLY}"
            return NotAllowed(f"{self.remote} may not be {'read' if verb == 'read' else 'written'}: {text}", hint)
        if verb == "write":
            return Rejected(f"{self.remote} refused the push: {text}", _READ_ONLY)
        return Unreachable(f"{self.remote} cannot be read: {text}", "is the address right, and may you read it?")


_FORBIDDEN = r"permission denied|not permitted|read[- ]only|not exported|access denied|unable to create|not allowed to"
_NO_KEY = "which key may read it? GIT_SSH_COMMAND='ssh -i FILE' names one, and `ssh -v` says which are offered"
_READ_ONLY = "ask for the right to write there, or fork it and propose from the fork"


def _ref(branch: str) -> bytes:
    return b"refs/heads/" + branch.encode()


def _client(remote: Remote, secret: Credentials) -> tuple[GitClient, str]:
    if remote.scheme == "file":
        # git's own programs where they are: they run the repository's hooks and obey its configuration
        return (SubprocessGitClient() if shutil.which("git") else LocalGitClient()), remote.path
    if remote.scheme == "ssh":
        command = os.environ.get("GIT_SSH_COMMAND") or os.environ.get("GIT_SSH")
        client_ssh = SSHGitClient(remote.host, port=remote.port, username=remote.user or None, ssh_command=command)
        return client_ssh, remote.path
    host = f"[{remote.host}]" if ":" in remote.host else remote.host
    base = f"{remote.scheme}://{host}" + (f":{remote.port}" if remote.port else "")
    client = Urllib3HttpGitClient(
        base,
        config=StackedConfig.default(),
        username=secret.user or None,
        password=secret.token or None,
        timeout=_TIMEOUT,
        quiet=True,
    )
    return client, remote.path


@contextmanager
def opened(remote: Remote, secret: Credentials) -> Iterator[Work]:
    """A remote repository, with a place for its objects that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="discover-propose-") as place:
        repo = Repo.init_bare(str(Path(place)))
        try:
            yield Work(remote, secret, repo)
        finally:
            repo.close()

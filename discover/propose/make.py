"""`propose`: from a review to a branch and a request, all of it or nothing."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from discover.decisions import FILE_NAME, Decisions, read_decisions
from discover.errors import UsageError
from discover.propose.body import body_of, message_of, title_of
from discover.propose.errors import Conflict, ProposeError
from discover.propose.forge import Forge, forge_of
from discover.propose.forge import Request as ForgeRequest
from discover.propose.layout import Place, find_policy, folder_of, has_kustomization, texts
from discover.propose.remote import Credentials, Remote, credentials, parse_remote
from discover.propose.work import Author, Work, opened
from discover.review import Review
from models.policy import Policy, PolicyError, load_policies
from models.policy_diff import compare

__all__ = ["Outcome", "Proposal", "propose"]


@dataclass(frozen=True)
class Proposal:
    """Where and how to propose."""

    remote: str
    path: str = "policies"
    base: str = ""
    """The branch to merge into; the repository's default, unless told."""
    branch: str = ""
    """``discover/POLICY``, unless told."""
    layout: str = "auto"
    """``plain``, ``kustomize``, or ``auto``: what the folder is."""
    posture: str = "audit"
    forge: str = "auto"
    """``github``, ``gitlab``, ``none``, or ``auto``: by the host's name."""
    forge_url: str = ""
    author: str = ""
    """``Name <mail>``; git's own configuration, unless told."""
    pages: tuple[str, ...] = ("md", "html")
    """Which reviews lie beside the policy."""
    decisions: Path | None = None
    """What people decided, to be put there; what is there already is kept unless this is named."""
    dry_run: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    state: str
    """``nothing new``, ``dry run``, ``pushed``, ``opened``, ``updated`` or ``up to date``."""
    branch: str = ""
    base: str = ""
    commit: str = ""
    url: str = ""
    title: str = ""
    body: str = field(default="", repr=False)
    diff: str = field(default="", repr=False)
    files: tuple[str, ...] = ()


Reviews = Callable[[Decisions | None], Sequence[Review]]
"""Gives the reviews to propose; learned ones obey the decisions that the repository keeps."""


def propose(reviews: Sequence[Review] | Reviews, proposal: Proposal) -> Outcome:
    """Bring policies to a repository. Raises `ProposeError`; the repository is then as it was.

    `reviews` may be a function of the decisions that lie in the repository's folder, so that a policy is learned under
    them. A second run updates the branch and its request; without new rules there is neither commit nor request.
    """
    remote = parse_remote(proposal.remote)
    kind = remote.forge() if proposal.forge == "auto" else proposal.forge
    secret = credentials(remote, kind)
    author = _author(proposal)
    with opened(remote, secret) as work:
        base = proposal.base or work.default
        base_tip = work.tip(base)
        if base_tip is None and (proposal.base or work.refs):
            have = sorted(r.decode()[11:] for r in work.refs if r.startswith(b"refs/heads/"))
            raise UsageError(
                f"{remote} has no branch {base}", f"there are {', '.join(have[:8]) or 'none'}: --base NAME"
            )
        if base_tip is None:
            raise ProposeError(
                f"{remote} is empty: there is no branch to merge into", "push a first commit, a README, to it"
            )
        work.fetch(base_tip)
        made = _Made(work, proposal, remote, secret, kind, base, base_tip)
        return made.run(_resolved(reviews, work, base_tip, proposal), author)


def _resolved(reviews: Sequence[Review] | Reviews, work: Work, tip: bytes, proposal: Proposal) -> Sequence[Review]:
    if not callable(reviews):
        return reviews
    found = reviews(read_decisions(proposal.decisions) if proposal.decisions else None)
    if proposal.decisions:
        return found
    # where a policy's folder is depends on the policy, so its decisions can only be obeyed on a second look
    answer = []
    for review in found:
        text = work.read(tip, Place(folder_of(proposal.path, review), "").beside(FILE_NAME))
        if text is None or review.generated is None:
            answer.append(review)
            continue
        with tempfile.TemporaryDirectory(prefix="discover-") as place:
            file = Path(place) / FILE_NAME
            file.write_bytes(text)
            decisions = read_decisions(file)
        again = review.relearn(decisions=replace(decisions, path=None))
        answer.append(replace(again, against=review.against))
    return answer


def _author(proposal: Proposal) -> Author:
    text = proposal.author
    if not text:
        from dulwich.config import StackedConfig  # noqa: PLC0415 - heavy

        config = StackedConfig.default()
        try:
            text = f"{config.get(('user',), 'name').decode()} <{config.get(('user',), 'email').decode()}>"
        except KeyError:
            raise UsageError(
                "nobody to sign off the commit: git does not know who you are",
                "--author 'Name <mail>', or git config --global user.name and user.email",
            ) from None
    try:
        return Author(text)
    except ValueError as error:
        raise UsageError(str(error), "--author 'Name <mail>'") from None


@dataclass
class _Made:
    """One proposal under way."""

    work: Work
    proposal: Proposal
    remote: Remote
    secret: Credentials
    kind: str
    base: str
    base_tip: bytes

    def run(self, reviews: Sequence[Review], author: Author) -> Outcome:
        for review in reviews:
            if len(review.policies) != 1:
                raise UsageError(
                    f"{len(review.policies)} policies select {review.evidence.workload}, and one is proposed at a time",
                    "name one: --select NAME",
                )
        places = [Place(folder_of(self.proposal.path, r), r.policies[0].name) for r in reviews]
        branch = self.proposal.branch or f"discover/{places[0].name}"
        if branch == self.base:
            raise UsageError(f"{branch} is the branch to merge into", "choose another: --branch NAME")
        for review, place in zip(reviews, places, strict=True):
            self._alone(review.policies[0], place)
        parent = self._start(branch, places)
        compared = [self._compared(r, p) for r, p in zip(reviews, places, strict=True)]
        title, body = title_of(compared), ""
        news = [(r, p) for r, p in zip(compared, places, strict=True) if self._is_new(r, p, self.base_tip)]
        if not news:
            return Outcome("nothing new", branch, self.base)
        compared, places = [r for r, _ in news], [p for _, p in news]
        title, body = title_of(compared), body_of(compared, places, self.base)
        pending = [(r, p) for r, p in news if self._is_new(r, p, parent)]
        files = self._files(pending, parent)
        diff = self._diff(parent, files)
        if self.proposal.dry_run:
            return Outcome("dry run", branch, self.base, "", "", title, body, diff, tuple(files))
        forge = forge_of(self.kind, self.remote, self.secret, self.proposal.forge_url)
        request = forge.find(branch, self.base)  # before anything is pushed: a token that is no good shows here
        told = (title, body, diff, tuple(files))
        if not files:
            return self._request(forge, request, branch, "", told)
        commit = self.work.commit(
            parent, {p: t.encode("utf-8", "surrogateescape") for p, t in files.items()}, message_of(compared), author
        )
        before = self.work.tip(branch)
        self.work.push(branch, commit)
        try:
            return self._request(forge, request, branch, commit.decode(), told)
        except BaseException:
            self._undo(branch, before)
            raise

    def _request(
        self,
        forge: Forge,
        request: ForgeRequest | None,
        branch: str,
        commit: str,
        told: tuple[str, str, str, tuple[str, ...]],
    ) -> Outcome:
        title, body, diff, files = told
        if forge.word == "branch":
            return Outcome("pushed" if commit else "up to date", branch, self.base, commit, "", *told)
        if request is None:
            request, state = forge.create(branch, self.base, title, body), "opened"
        elif commit or (request.title, request.body.strip()) != (title, body.strip()):
            request, state = forge.update(request, title, body), "updated"
        else:
            state = "up to date"
        return Outcome(state, branch, self.base, commit, request.url, title, body, diff, files)

    def _undo(self, branch: str, before: bytes | None) -> None:
        """Put the branch back: a push without its request would be half of it."""
        try:
            self.work.push(branch, before)
        except ProposeError as error:
            raise ProposeError(
                f"the branch {branch} was pushed, its request was refused, and the branch cannot be put back: {error}",
                f"remove {branch} by hand, or run the command again",
            ) from error

    def _alone(self, policy: Policy, place: Place) -> None:
        """Raise where the policy lives elsewhere in the repository already: two of one name would fight."""
        found = [f for f in find_policy(self.work, self.base_tip, policy) if f != place.file(".yaml")]
        if found:
            where = found[0]
            folder = where.rpartition("/")[0] or "."
            raise ProposeError(
                f"the policy {policy.name} is in {self.remote} already, as {where}",
                f"update it there: --path {folder}"
                if where.endswith(f"{policy.name}.yaml")
                else "give this one a --name",
            )

    def _start(self, branch: str, places: Sequence[Place]) -> bytes:
        """The commit to build on: the branch where it waits for its merge, else its base."""
        tip = self.work.tip(branch)
        if tip is None:
            return self.base_tip
        self.work.fetch(tip)
        if self.work.is_ancestor(tip, self.base_tip):  # it was merged
            return self.base_tip
        before = self.work.merge_base(tip, self.base_tip)
        paths = [p.file(".yaml") for p in places]
        clashes = []
        for path in paths:
            was = self.work.read(before, path) if before else None
            ours, theirs = self.work.read(tip, path), self.work.read(self.base_tip, path)
            if theirs not in (was, ours):
                clashes.append(path)
        if all(self.work.read(tip, p) == self.work.read(self.base_tip, p) for p in paths):
            return self.base_tip  # it was merged by squashing
        if clashes:
            raise Conflict(
                f"{', '.join(clashes)} was changed on {self.base} and on {branch}",
                f"merge {self.base} into {branch}, or close its request and remove the branch; then run this again",
            )
        return tip

    def _policies(self, commit: bytes, place: Place) -> list[Policy] | None:
        data = self.work.read(commit, place.file(".yaml"))
        if data is None:
            return None
        try:
            return load_policies(data.decode("utf-8", "replace"), place.file(".yaml"))
        except PolicyError as error:
            raise ProposeError(
                f"{place.file('.yaml')} in {self.remote} cannot be read: {error.problems[0]}", "mend it there first"
            ) from error

    def _compared(self, review: Review, place: Place) -> Review:
        """The review with the policy that the base holds as the one in force."""
        old = self._policies(self.base_tip, place)
        known = {k: v for k, v in review.__dict__.items() if k in ("coverage", "seen", "everything", "rules", "files")}
        found = replace(review, against=None if old is None else tuple(p for p in old if p.name == place.name))
        found.__dict__.update(known)
        return found

    def _is_new(self, review: Review, place: Place, commit: bytes) -> bool:
        """Whether the policy at a commit permits something else, or selects something else."""
        old = self._policies(commit, place)
        if old is None:
            return True
        mine = [p for p in old if p.name == place.name]
        if not mine:
            return True
        (new,) = review.policies
        return bool(compare(mine, [new])) or mine[0].spec.selector != new.spec.selector

    def _files(self, pending: Sequence[tuple[Review, Place]], parent: bytes) -> dict[str, str]:
        """The files that differ from what is at the commit to build on."""
        changed: dict[str, str] = {}
        for review, place in pending:
            there = {
                path: self.work.blob(sha).decode("utf-8", "surrogateescape")
                for path, sha in self.work.files(parent, place.folder)
                if path.rpartition("/")[0] == place.folder and self._reads(path, place)
            }
            there |= changed
            layout = self.proposal.layout
            if layout == "auto":
                layout = "kustomize" if has_kustomization(there, place.folder) else "plain"
            decisions = self.proposal.decisions.read_text(encoding="utf-8") if self.proposal.decisions else None
            made = texts(
                review,
                place,
                there,
                layout=layout,
                posture=self.proposal.posture,
                pages=self.proposal.pages,
                decisions=decisions,
            )
            changed |= {p: t for p, t in made.items() if there.get(p) != t}
        return changed

    @staticmethod
    def _reads(path: str, place: Place) -> bool:
        return path.endswith((".yaml", ".yml", "Kustomization")) or path.startswith(f"{place.file('')}.")

    def _diff(self, parent: bytes, files: Mapping[str, str]) -> str:
        """What would be committed, as a unified diff; of a page and of the evidence only that it changes."""
        out: list[str] = []
        for path, text in files.items():
            old = (self.work.read(parent, path) or b"").decode("utf-8", "replace")
            if path.endswith((".html", ".evidence.json")):  # for programs, and long
                out.append(f"# {path}: {len(text):,} bytes\n")
                continue
            before = "/dev/null" if self.work.read(parent, path) is None else f"a/{path}"
            lines = difflib.unified_diff(
                old.splitlines(keepends=True), text.splitlines(keepends=True), before, f"b/{path}"
            )
            out += lines
        return "".join(out)

"""Which files a policy has in a repository, and their text: what people edited there is kept.

Beside each other, in one folder: ``NAME.yaml`` (the policy), ``NAME.posture.yaml`` (the namespace's annotation),
``NAME.evidence.json`` (why each rule is there), ``NAME.review.md`` and ``NAME.review.html`` (the review), and
``discover.yaml`` (what people decided, which only people and `decisions` change).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from discover.decisions import FILE_NAME
from discover.errors import UsageError
from discover.generate import posture_patch
from discover.propose.errors import ProposeError
from discover.propose.kustomize import FILE_NAMES, with_entries
from discover.propose.work import Work
from discover.report import as_html, as_markdown
from discover.review import Review
from discover.review.make import known_rules
from models.learn import LearnedRule
from models.learn.sidecar import to_json
from models.policy import KubeArmorHostPolicy, Policy, PolicyError, PolicyFile, dump_policy, load_policies

__all__ = ["Place", "find_policy", "folder_of", "policy_text", "texts"]

_SKIP = "+argocd:skip-file-rendering"
"""Argo CD takes every YAML and JSON file of a plain folder for a manifest, unless it says this
(https://argo-cd.readthedocs.io/en/stable/user-guide/directory/)."""
_NAMESPACE = re.compile(rb"^kind:\s*[\"']?Namespace\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy lives in a repository."""

    folder: str
    name: str

    def file(self, ending: str) -> str:
        """The path of one of its files."""
        return f"{self.folder}/{self.name}{ending}" if self.folder else f"{self.name}{ending}"

    def beside(self, name: str) -> str:
        """The path of another file there."""
        return f"{self.folder}/{name}" if self.folder else name


def folder_of(template: str, review: Review) -> str:
    """The folder, with ``{namespace}``, ``{workload}`` and ``{policy}`` filled in. Raises `UsageError`."""
    workload, policy = review.evidence.workload, review.policies[0]
    values = {
        "namespace": policy.metadata.namespace or workload.namespace or "default",
        "workload": workload.name,
        "policy": policy.name,
    }
    safe = {k: re.sub(r"[^A-Za-z0-9._-]+", "-", v).strip(".-") or "workload" for k, v in values.items()}
    try:
        names = [n for _, n, _, _ in string.Formatter().parse(template) if n is not None]
        folder = template.format(**safe).strip("/")
    except (KeyError, ValueError, IndexError):
        names = ["?"]
        folder = ""
    if any(n not in safe for n in names):
        raise UsageError(f"--path {template!r} has a placeholder that is none", f"there are {', '.join(safe)}")
    parts = folder.split("/") if folder else []
    if any(p in ("", ".", "..", ".git") or "\0" in p for p in parts):
        raise UsageError(f"--path {template!r} is no folder inside a repository", "name one as policies/{namespace}")
    return folder


def find_policy(work: Work, commit: bytes, policy: Policy) -> list[str]:
    """The files of a repository that hold a policy of this name, kind and namespace, whatever folder they are in."""
    name = re.compile(rb"name:[ \t]*[\"']?" + re.escape(policy.name.encode()) + rb"[\"']?[ \t]*(?:[,}#\r\n]|$)")
    found = []
    for path, sha in work.files(commit):
        if not path.endswith((".yaml", ".yml")):
            continue
        data = work.blob(sha)
        if b"security.kubearmor.com" not in data or not name.search(data):
            continue
        try:
            policies = load_policies(data.decode("utf-8", "replace"), path)
        except PolicyError:
            continue
        ours = (policy.name, policy.kind, policy.metadata.namespace or "default")
        if any((p.name, p.kind, p.metadata.namespace or "default") == ours for p in policies):
            found.append(path)
    return found


def policy_text(old: str | None, path: str, review: Review) -> str:
    """The policy's file: where people keep one already, their comments, order and other documents stay.

    Raises `ProposeError` where the file in the repository is no policy.
    """
    (policy,) = review.policies
    if old is None:
        # a file of people's holds perhaps other policies too; alone, it comes with its comments
        whole = review.generated is not None or (review.source is not None and load_policies(review.text) == [policy])
        return review.text if whole else dump_policy(policy)
    try:
        file = PolicyFile.load(old, path)
    except PolicyError as error:
        problems = "; ".join(str(p) for p in error.problems[:3])
        raise ProposeError(f"{path} in the repository cannot be read: {problems}", "mend it there first") from error
    index = next((n for n, p in enumerate(file.policies) if p.name == policy.name and p.kind is policy.kind), None)
    if index is None:
        raise ProposeError(
            f"{path} in the repository holds no policy named {policy.name}", "choose another folder: --path FOLDER"
        )
    file.update(index, _in_their_order(file.policies[index], policy))
    return file.text


def _in_their_order(old: Policy, new: Policy) -> Policy:
    """The new policy with the rules that both have in the old one's order, and what people alone write kept."""
    sections = {}
    for name in ("process", "file", "network", "capabilities"):
        before, after = getattr(old.spec, name), getattr(new.spec, name)
        if before is None or after is None:
            continue
        lists = {}
        for field in after.__dataclass_fields__:
            mine = getattr(after, field)
            if not field.startswith("match_") or not mine:
                continue
            known = [r for r in getattr(before, field) if r in mine]
            lists[field] = (*known, *(r for r in mine if r not in known))
        kept = {f: getattr(before, f) for f in ("severity", "tags", "message") if not getattr(after, f)}
        sections[name] = replace(after, **lists, **kept)
    spec = replace(new.spec, **sections)
    inherited = {f: getattr(old.spec, f) for f in ("severity", "tags", "message", "action") if not getattr(spec, f)}
    for only in ("syscalls", "device", "presets", "apparmor"):
        if not getattr(spec, only):
            inherited[only] = getattr(old.spec, only)
    annotations = {**(old.metadata.annotations or {}), **(new.metadata.annotations or {})} or None
    labels = {**(old.metadata.labels or {}), **(new.metadata.labels or {})} or None
    extra = {**old.metadata.extra, **new.metadata.extra}
    metadata = replace(new.metadata, annotations=annotations, labels=labels, extra=extra)
    if metadata.namespace is None:
        metadata = replace(metadata, namespace=old.metadata.namespace)
    return replace(new, metadata=metadata, spec=replace(spec, **inherited))


def _as_written(review: Review, text: str, path: str) -> Review:
    """The review of a learned policy with its rules in the file's order: people's, where they have one.

    Evidence names rules by their place in the file.
    """
    made, (policy,) = review.generated, review.policies
    written = next(p for p in load_policies(text, path) if p.name == policy.name and p.kind is policy.kind)
    if made is None or written == policy:
        return review

    def position(learned: LearnedRule) -> int:
        section = getattr(written.spec, learned.section, None)
        listed = getattr(section, learned.field, ())
        return listed.index(learned.rule) if learned.rule in listed else len(listed)

    rules = tuple(sorted(made.learned.rules, key=position))
    made = replace(made, policy=written, learned=replace(made.learned, rules=rules))
    other = replace(review, policies=(written,), generated=made, known=known_rules(made))
    other.__dict__.update({k: v for k, v in review.__dict__.items() if k in ("coverage", "seen", "everything")})
    return other


def texts(
    review: Review,
    place: Place,
    there: Mapping[str, str],
    *,
    layout: str,
    posture: str,
    pages: Sequence[str],
    decisions: str | None,
) -> dict[str, str]:
    """Every file with its text. `there` is what the folder holds now, by path; `layout` ``plain`` or ``kustomize``."""
    main = place.file(".yaml")
    files = {main: policy_text(there.get(main), main, review)}
    review = _as_written(review, files[main], main)
    made = review.generated
    is_host = isinstance(review.policies[0], KubeArmorHostPolicy)
    namespace = next((p for p, t in there.items() if _NAMESPACE.search(t.encode())), None)
    if made is not None:
        evidence = to_json(made.learned, made.policy.name, made.evidence.recordings)
        files[place.file(".evidence.json")] = evidence.replace("{", f'{{\n "//": "{_SKIP}",', 1)
        if not is_host:
            patch = posture_patch(made, posture)
            files[place.file(".posture.yaml")] = (
                f"# {_SKIP}: a patch, and no object\n{patch}"
                if layout == "plain"
                else _whole(patch, review.policies[0].metadata.namespace or "default")
            )
    if "md" in pages:
        files[place.file(".review.md")] = as_markdown([review])
    if "html" in pages:
        files[place.file(".review.html")] = as_html([review])
    if decisions is not None:
        files[place.beside(FILE_NAME)] = decisions
    if layout == "kustomize":
        listing = next((place.beside(n) for n in FILE_NAMES if place.beside(n) in there), place.beside(FILE_NAMES[0]))
        patches = [f"{place.name}.posture.yaml"] if namespace and place.file(".posture.yaml") in files else []
        files[listing] = with_entries(there.get(listing), listing, [f"{place.name}.yaml"], patches)
    return files


def _whole(patch: str, namespace: str) -> str:
    """The posture as a patch that Kustomize takes: it says which object it is for."""
    from models.policy import quote  # noqa: PLC0415 - for this line alone

    head, _, body = patch.partition("metadata:\n")
    return f"{head}apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {quote(namespace)}\n{body}"


def has_kustomization(names: Iterable[str], folder: str) -> bool:
    """Whether a folder is a Kustomize folder."""
    place = Place(folder, "")
    return any(place.beside(n) in set(names) for n in FILE_NAMES)

"""``kustomization.yaml``: what it lists is kept up to date, its comments, order and layout stay as people have them.

https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/: a policy is a resource; a namespace's posture is
a patch, which applies only where the namespace is a resource of the same build.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from discover.errors import UsageError
from discover.yamllists import with_item

__all__ = ["FILE_NAMES", "with_entries"]

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_NEW = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"


def with_entries(text: str | None, name: str, resources: Iterable[str], patches: Iterable[str] = ()) -> str:
    """The file with every resource and patch listed; byte for byte the same where it lists them already.

    `text` is None for a file that is not there yet. Raises `UsageError` for one that is no Kustomization.
    """
    source = _NEW if text is None else text
    for entry in resources:
        listed = _load(source, name).get("resources")
        if _plain(entry) not in {_plain(str(r)) for r in listed or ()}:
            source = with_item(source, "resources", entry)
    for entry in patches:
        listed = _load(source, name).get("patches")
        if _plain(entry) not in {_plain(str(p.get("path", ""))) for p in listed or () if isinstance(p, dict)}:
            source = with_item(source, "patches", {"path": entry})
    _load(source, name)
    return source


def _load(text: str, name: str) -> Any:
    try:
        document = YAML(typ="rt").load(text)
    except YAMLError as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"{name} is no YAML: {first}", "mend it in the repository first") from error
    if document is None:
        return {}
    if not isinstance(document, dict) or document.get("kind", "Kustomization") not in ("Kustomization", "Component"):
        raise UsageError(f"{name} is no Kustomization", "choose another folder: --path FOLDER")
    return document


def _plain(path: str) -> str:
    return path.removeprefix("./")

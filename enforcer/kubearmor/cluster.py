"""The Kubernetes API, through the user's own kubectl: its context, credentials and proxies are theirs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any, Protocol

from enforcer.errors import EnforceError

__all__ = ["MANAGER", "Cluster", "Kubectl"]

MANAGER = "discover"
"""Field manager of server-side apply."""
Document = dict[str, Any]


class Cluster(Protocol):
    """What the back end asks of a cluster."""

    def items(self, kind: str, namespace: str = "") -> list[Document]:
        """Objects of a kind in a namespace, or everywhere."""
        ...  # pragma: no cover

    def namespace(self, name: str) -> Document:
        """A namespace."""
        ...  # pragma: no cover

    def apply(self, document: Document) -> None:
        """Server-side apply."""
        ...  # pragma: no cover

    def annotate(self, namespace: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of a namespace."""
        ...  # pragma: no cover

    def delete(self, kind: str, name: str, namespace: str) -> None:
        """Delete an object, if it is there."""
        ...  # pragma: no cover


class Kubectl:
    """A `Cluster` behind kubectl's current context, or the one named."""

    def __init__(self, context: str = "") -> None:
        self._command = ["kubectl", *([f"--context={context}"] if context else []), "--request-timeout=30s"]

    def items(self, kind: str, namespace: str = "") -> list[Document]:
        """Objects of a kind in a namespace, or everywhere."""
        where = [f"--namespace={namespace}"] if namespace else ["--all-namespaces"]
        found: list[Document] = json.loads(self._run("get", kind, *where, "--output=json"))["items"]
        return found

    def namespace(self, name: str) -> Document:
        """A namespace."""
        found: Document = json.loads(self._run("get", "--output=json", "namespace", "--", name))
        return found

    def apply(self, document: Document) -> None:
        """Server-side apply, taking fields over from whoever had them."""
        options = ["--server-side", f"--field-manager={MANAGER}", "--force-conflicts", "--filename=-"]
        self._run("apply", *options, text=json.dumps(document))

    def annotate(self, namespace: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of a namespace."""
        patch = json.dumps({"metadata": {"annotations": dict(annotations)}})
        self._run(
            "patch", "--type=merge", f"--patch={patch}", f"--field-manager={MANAGER}", "namespace", "--", namespace
        )

    def delete(self, kind: str, name: str, namespace: str) -> None:
        """Delete an object, if it is there."""
        self._run("delete", "--ignore-not-found", f"--namespace={namespace}", kind, "--", name)

    def _run(self, *arguments: str, text: str = "") -> str:
        try:
            done = subprocess.run(
                [*self._command, *arguments], input=text, capture_output=True, text=True, timeout=120, check=False
            )
        except FileNotFoundError:
            raise EnforceError(
                "kubectl is not installed", "the KubeArmor back end speaks to the API through it"
            ) from None
        except subprocess.TimeoutExpired:
            raise EnforceError(f"kubectl {arguments[0]}: no answer in 120 s", "kubectl cluster-info") from None
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise EnforceError(f"kubectl {arguments[0]}: {why}", "kubectl config current-context; kubectl auth can-i")
        return done.stdout

"""Pods of this node, as its container runtimes know them; no API server is asked.

A pod's owner is not recorded on the node. Labels that its controller sets tell it surely; without them (no client for
the runtime installed) the pod's name does, as controllers make it: ``NAME-<template hash>-<5 letters>`` for a
Deployment, ``NAME-<ordinal>`` for a StatefulSet, ``NAME-<5 letters>`` for DaemonSets and Jobs. The letters are those of
``k8s.io/apimachinery/pkg/util/rand``: no vowels, no 0, 1 or 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from collectors.runtimes import Container

__all__ = ["owner", "pods_named", "split_name", "visible"]

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_REPLICA = re.compile(rf"(?P<name>.+)-[{_LETTERS}]{{5}}")
_DEPLOYMENT = re.compile(rf"(?P<name>.+)-[{_LETTERS}]{{1,10}}-[{_LETTERS}]{{5}}")
_ORDINAL = re.compile(r"(?P<name>.+)-\d+")
_CRON = re.compile(r"(?P<name>.+)-\d{8,10}")
_PLUMBING = ("io.kubernetes.", "io.cri-containerd.", "io.containerd.", "annotation.")


def owner(pod_name: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Kind and name of the workload that a pod belongs to; ``("Pod", its name)`` where nothing tells more."""
    hashed = labels.get("pod-template-hash")
    if hashed and (found := re.fullmatch(rf"(.+)-{re.escape(hashed)}(?:-[^-]+)?", pod_name)):
        return "Deployment", found[1]
    if job := labels.get("batch.kubernetes.io/job-name") or labels.get("job-name"):
        found = _CRON.fullmatch(job)
        return ("CronJob", found["name"]) if found else ("Job", job)
    if "statefulset.kubernetes.io/pod-name" in labels and (found := _ORDINAL.fullmatch(pod_name)):
        return "StatefulSet", found["name"]
    if "controller-revision-hash" in labels and (found := _REPLICA.fullmatch(pod_name)):
        return "DaemonSet", found["name"]
    if any(not key.startswith(_PLUMBING) for key in labels):
        # The pod's labels are known and no controller left its own.
        return "Pod", pod_name
    if found := _DEPLOYMENT.fullmatch(pod_name):
        return "Deployment", found["name"]
    if found := _ORDINAL.fullmatch(pod_name):
        return "StatefulSet", found["name"]
    if found := _REPLICA.fullmatch(pod_name):
        return "DaemonSet", found["name"]
    return "Pod", pod_name


def visible(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that a person set, without those by which kubelet and runtime keep their books."""
    return {key: value for key, value in sorted(labels.items()) if not key.startswith(_PLUMBING)}


def split_name(text: str) -> str:
    """The pod's name in ``pod/NAME``, ``pods/NAME`` or ``NAME``."""
    kind, slash, name = text.partition("/")
    return name if slash and kind in {"pod", "pods", "po"} else text


def pods_named(containers: Iterable[Container], name: str, namespace: str | None) -> dict[str, list[Container]]:
    """The containers, without pause containers, of pods of that name, by pod uid."""
    pods: dict[str, list[Container]] = {}
    for container in containers:
        if container.pod_name == name and namespace in {None, container.namespace} and not container.sandbox:
            pods.setdefault(container.pod_uid or "", []).append(container)
    return pods

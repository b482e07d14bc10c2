"""Paths that no rule should newly admit, said here once more on purpose.

The learner has a list of its own; a benchmark that took it over could not find what it lacks. From the CIS benchmarks'
file permissions, Falco's ``sensitive_file_names`` and MITRE ATT&CK T1552 (unsecured credentials).
"""

from __future__ import annotations

import re

__all__ = ["is_sensitive"]

_SENSITIVE = re.compile(
    r"""
    /etc/(?:shadow|gshadow|sudoers|master\.passwd|security/opasswd)(?:[-~.].*|$)
    | /etc/sudoers\.d/.+
    | /etc/ssh/ssh_host_.*_key | /etc/pam\.d/.+ | /etc/krb5\.keytab
    | /etc/(?:ssl|pki)/(?:.*/)?private/.+
    | /etc/kubernetes/.+ | /var/lib/kubelet/.+ | /etc/rancher/.+
    | (?:/var)?/run/secrets/.+
    | (?:/root|/home/[^/]+)/.*
    | .*/\.(?:ssh|aws|azure|gnupg|kube|docker|config/gcloud)/.+
    | .*/\.(?:netrc|pgpass|git-credentials|npmrc|pypirc|htpasswd|env|bash_history)
    | .*/id_(?:rsa|dsa|ecdsa|ed25519)
    | .*\.(?:key|p12|pfx|jks|keystore|kdbx)
    | /proc/(?:kcore|kallsyms|sysrq-trigger|[0-9]+/(?:environ|mem))
    | /dev/(?:mem|kmem|port|[sv]d[a-z]+[0-9]*|nvme.*)
    | /var/(?:spool/cron|backups)/.+
    | /etc/cron.*/.+ | /etc/crontab | /etc/ld\.so\.preload
    """,
    re.VERBOSE | re.DOTALL,
)


def is_sensitive(path: str) -> bool:
    """Whether a path belongs to the secrets, credentials and levers of a system."""
    return _SENSITIVE.fullmatch(path) is not None

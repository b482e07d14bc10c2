"""Which paths a wider rule must never swallow, and where nothing new may be written.

Three lists, each a statement about the file system of an ordinary Linux container, none about one workload:

- *sensitive*: reading it is a loss of its own (credentials, keys, other processes' memory and environment);
- *protected*: directories whose content decides what runs or who may log in: a rule that lets new names be written
  there is never learned;
- *tools*: executables that an intruder wants, named wherever a policy admits them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from models.policy.patterns import compile_pattern

__all__ = ["SHELLS", "TOOLS", "Sensitive", "is_lever", "is_protected", "is_scratch", "levers_among", "likely"]

_SENSITIVE = (
    "/etc/{shadow,gshadow}{,-}",
    "/etc/{sudoers,sudoers.d/**}",
    "/etc/ssl/private/**",
    "/etc/{ssh/ssh_host_*_key,krb5.keytab,security/opasswd}",
    "/etc/kubernetes/**",
    "/etc/{wireguard,ipsec.d/private,letsencrypt/{live,archive,keys},pki/tls/private}/**",
    "{/var,}/run/secrets/**",
    "/var/lib/{kubelet,rancher,docker,containerd}/**",
    "/{root,home/*}/.{ssh,aws,azure,kube,docker,gnupg,password-store,config/gcloud}/**",
    "/{root,home/*}/.{netrc,pgpass,my.cnf,git-credentials,npmrc,pypirc,vault-token,bash_history,psql_history}",
    "/**/{id_rsa,id_dsa,id_ecdsa,id_ed25519,authorized_keys}",
    "/**/*.{pem,key,p12,pfx,jks,keytab,kdbx}",
    "/**/.{env,htpasswd,pgpass,netrc}",
    "/proc/*/{environ,mem,maps,smaps,smaps_rollup,pagemap,stack,syscall,auxv,personality}",
    "/proc/*/task/*/{environ,mem,maps,smaps,pagemap,stack,syscall,auxv}",
    "/proc/*/{root,cwd,fd,map_files}/**",
    "/proc/{kcore,kmem,kallsyms,keys,key-users,timer_list,sysrq-trigger,sched_debug,vmallocinfo}",
    "/sys/{firmware,kernel/security,kernel/debug}/**",
    "/dev/{mem,kmem,port,sd*,vd*,nvme*,xvd*,mapper/**,dm-*,kvm,fuse,loop*}",
)
_PUBLIC = (
    "/etc/ssl/certs/**",
    "/usr/{share,lib,local/share}/**/*.pem",
    "/usr/lib/{ssl,python*,node_modules}/**",
    "/etc/pki/{ca-trust,tls/certs}/**",
)
"""Certificates that everybody may read: CA bundles and what libraries bring along."""
_PROTECTED = re.compile(
    r"/(?:etc|usr|bin|sbin|lib|lib32|lib64|libx32|boot|root|proc|sys|var/spool/cron|"
    r"(?:var/)?run/secrets|var/lib/dpkg|home/[^/]+/\.[^/]+)(?:/.*)?"
)
_LEVER = re.compile(
    r"/etc/(?:ld\.so\.(?:preload|conf.*)|cron.*|passwd|group|g?shadow|sudoers.*|systemd/.*|profile.*|bash\.bashrc|"
    r"(?:ssl|pki|ca-certificates)/.*|init\.d/.*|rc.*\.d/.*|pam\.d/.*|security/.*|environment|ssh/sshd_config.*)|/var/spool/cron/.*|"
    r"/(?:root|home/[^/]+)/\.(?:ssh/.*|bashrc|profile|bash_profile|config/systemd/.*)|"
    r"(?:/usr)?(?:/local)?/(?:bin|sbin|lib|lib64)/.*"
)
_MANY = 1000
_SCRATCH = re.compile(r"/(?:tmp|var/tmp|dev/shm|(?:var/)?run(?!/secrets(?:/|$)))(?:/.*)?")
SHELLS = frozenset({"sh", "ash", "bash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox", "toybox"})
_TOOLS = """
wget curl nc ncat netcat socat telnet ssh scp sftp ftp tftp rsync
python python2 python3 perl ruby lua node php tclsh awk gawk mawk
apt apt-get dpkg apk yum dnf rpm pip pip3 npm gem cargo
su sudo doas chroot unshare nsenter mount umount setcap capsh gdb strace tcpdump nmap xxd base64 openssl
crontab at systemctl docker podman kubectl crictl ctr runc
"""
TOOLS = SHELLS | frozenset(_TOOLS.split())
"""Executables that an intruder wants, by name; a version at the end (``python3.11``) makes no difference."""


class Sensitive:
    """Says whether a path is sensitive: the built-in list, and what people add (``discover.yaml``)."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self.more = tuple(more)
        """The patterns that were added."""
        self._public = tuple(compile_pattern(p) for p in _PUBLIC)
        self._known: dict[str, bool] = {}
        # one expression instead of dozens: most paths match none
        self._any = re.compile("|".join(f"(?:{compile_pattern(p).pattern})" for p in (*_SENSITIVE, *self.more)))

    def __call__(self, path: str) -> bool:
        """Whether a path is sensitive."""
        known = self._known.get(path)
        if known is None:
            known = self._any.fullmatch(path) is not None and not self._is_public(path)
            if len(self._known) < 1 << 20:
                self._known[path] = known
        return known

    def _is_public(self, path: str) -> bool:
        if any(compile_pattern(p).fullmatch(path) for p in self.more):
            return False
        return any(p.fullmatch(path) for p in self._public)

    def among(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths that are sensitive."""
        return [p for p in likely(paths, self._any.pattern) if self(p)]


def likely(paths: Sequence[str], expression: str) -> Sequence[str]:
    """At least those of the paths that an expression matches: a first look at many by RE2, ten times as fast as ours.

    All of them where they are few, or RE2 cannot read a path or the expression.
    """
    if len(paths) < _MANY:
        return paths
    try:
        texts = pa.array(paths, pa.string())
        found: list[str] = texts.filter(pc.match_substring_regex(texts, f"^(?:{expression})$")).to_pylist()
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return paths
    return found


def levers_among(paths: Sequence[str]) -> frozenset[str]:
    """The paths for which `is_lever` holds."""
    return frozenset(p for p in likely(paths, _LEVER.pattern) if _LEVER.fullmatch(p))


@lru_cache(maxsize=1 << 16)
def is_protected(directory: str) -> bool:
    """Whether no rule may let new names be written in a directory: ``/`` itself, ``/etc``, ``/usr`` and their kin."""
    return directory in ("", "/") or _PROTECTED.fullmatch(directory.rstrip("/")) is not None


@lru_cache(maxsize=1 << 16)
def is_lever(path: str) -> bool:
    """Whether who writes a file gets more than the file: it decides what runs, or who may log in."""
    return _LEVER.fullmatch(path) is not None


@lru_cache(maxsize=1 << 16)
def is_scratch(directory: str) -> bool:
    """Whether a directory is for files that come and go (``/tmp``, ``/dev/shm``, ``/run``)."""
    return _SCRATCH.fullmatch(directory.rstrip("/")) is not None

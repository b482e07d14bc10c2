r"""What must not reach the disk: secrets in arguments and URLs, and names that are secrets themselves.

A secret is replaced by what it was: ``--password=<redacted>``, ``https://<redacted>@host/``, ``<jwt>``.
The rules here are always on; a YAML file adds to them: `--redact-rules FILE`, else the file that the environment
variable ``DISCOVER_REDACT_RULES`` names, else ``/etc/discover/redact.yaml`` if it is there::

    names: [pin, my-secret]       # options and variables whose value is a secret: --pin=…, MY_SECRET=…
    words: ['corp-[0-9a-f]{32}']  # what is a secret wherever it stands in an argument
    paths: ['corp-[0-9a-f]{32}']  # and in a component of a path
    keep: ['/opt/ours/.*']        # arguments, as a whole, that are none

Paths are what a policy is learned from, so no name is judged by how random it looks. Only tokens of known make (a JWT,
an AWS key id, the tokens of GitHub, GitLab, Slack and Stripe, which have prefixes of their own) and what `paths` says
are replaced, inside their component, by a placeholder such as ``<jwt>``. Two names that differ only there become one.

Patterns run in RE2 (by way of pyarrow), whose time is linear in the text whatever the pattern: no back-references and
no look-around, and no argument that a workload chooses can stall a recording.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Redactor", "RulesError"]

_PLACE = "<redacted>"
_VARIABLE = "DISCOVER_REDACT_RULES"
_DEFAULT = Path("/etc/discover/redact.yaml")
_LONGEST = 131_072
"""An argument is cut here (Linux allows 131,072 bytes: MAX_ARG_STRLEN), a longer one is not from the kernel."""

_NAMES = [
    "access[_-]?key", "api[_-]?key", "api[_-]?token", "auth[_-]?token", "access[_-]?token", "auth", "authorization",
    "bearer", "client[_-]?secret", "connection[_-]?string", "cookie", "credentials?", "encryption[_-]?key", "jwt",
    "pass", "passphrase", "mysql[_-]?pwd", "private[_-]?key", "[a-z0-9]*(?:passwd|password|secret|token|apikey)",
    "refresh[_-]?token", "requirepass", "masterauth", "secret[_-]?key", "session[_-]?id", "session[_-]?key",
    "sig", "signature", "signing[_-]?key", "x-amz-signature", "x-amz-credential", "x-amz-security-token",
]  # fmt: skip
"""Whole names, or the last words of one (``DB_PASSWORD``, ``--redis-password``)."""

_TOKENS = [
    (r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", "<jwt>"),
    (r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b", "<aws-key-id>"),
    (r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{50,})", "<github-token>"),
    (r"\bglpat-[A-Za-z0-9_-]{20,}", "<gitlab-token>"),
    (r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", "<slack-token>"),
    (r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}", "<stripe-key>"),
    (r"\bnpm_[A-Za-z0-9]{36}\b", "<npm-token>"),
    (r"\bhvs\.[A-Za-z0-9_-]{24,}", "<vault-token>"),
    (r"\bAIza[A-Za-z0-9_-]{35}", "<google-key>"),
]
"""Tokens of known make; in paths too."""

_TAKES_PASSWORD = frozenset(
    {"mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mariadb-admin", "sshpass", "7z", "unzip"}
)
"""Programs whose ``-pVALUE`` is a password; elsewhere ``-p80`` is a port."""
_NEXT_IS_SECRET = {
    "sshpass": {"-p"},
    "unzip": {"-P"},
    "zip": {"-P"},
    "curl": {"-u", "--user", "-U", "--proxy-user"},
    "redis-cli": {"-a"},
    "ldapsearch": {"-w"},
}
"""Options, by program, whose value says nothing by itself and is a password."""


class RulesError(Exception):
    """A file of rules that cannot be used; `hint` says what to write."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Redactor:
    """Replaces secrets; made by `load`. Bounded: time is linear in what it is given."""

    def __init__(
        self,
        names: Sequence[str] = (),
        words: Sequence[str] = (),
        paths: Sequence[str] = (),
        keep: Sequence[str] = (),
    ) -> None:
        name = r"(?:[a-z0-9.]+[_-])*(?:" + "|".join([*_NAMES, *names]) + ")"
        scheme = r"(?:bearer|basic|digest|token|negotiate|apikey)"
        value = r"(?:\"[^\"]*\"?|'[^']*'?|[^\s&;,\"'}]+)"
        self._rules = [
            (r"(?i)((?:authorization|cookie)\"?\s*[=:]\s*)[^\r\n\"']*", rf"\1{_PLACE}"),
            # key=value, KEY: value, --key=value, {"key": "value"}
            (rf"(?i)(^|[^a-z0-9])({name})(\"?\s*[=:]\s*)(?:{scheme}\s+)?{value}", rf"\1\2\3{_PLACE}"),
            (rf"(?i)\b({scheme})\s+[a-z0-9._~+/=-]{{8,}}", rf"\1 {_PLACE}"),
            (r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#]*@", rf"\1{_PLACE}@"),
            (r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)", "<private-key>"),
            *_TOKENS,
            *((w, _PLACE) for w in words),
        ]
        self._option = rf"(?i)^--?{name}$"
        self._paths = [*_TOKENS, *((p, _PLACE) for p in paths)]
        self._any_path = "|".join(f"(?:{pattern})" for pattern, _ in self._paths)
        self._keep = "^(?:" + "|".join(keep) + ")$" if keep else ""
        self._seen: dict[tuple[str, ...], list[str]] = {}

    @classmethod
    def load(cls, rules: Path | None = None) -> Redactor:
        """The built-in rules and those of a file (see the module's text for which). Raises `RulesError`."""
        path = rules or (Path(os.environ[_VARIABLE]) if os.environ.get(_VARIABLE) else None)
        if path is None:
            if not _DEFAULT.is_file():
                return cls()
            path = _DEFAULT
        return cls(**_read(path))

    def argv(self, words: list[str]) -> list[str]:
        """The words as they may be stored: as many as there were."""
        key = tuple(words)
        if (known := self._seen.get(key)) is None:
            known = self._argv(words)
            if len(self._seen) > 4096:
                self._seen.clear()
            self._seen[key] = known
        return list(known)

    def _argv(self, words: list[str]) -> list[str]:
        cut = pa.array([w.encode("utf-8", "replace").decode()[:_LONGEST] for w in words], pa.string())
        redacted = self._texts(cut).to_pylist()
        options = pc.match_substring_regex(cut, self._option).to_pylist()
        program = os.path.basename(words[0]) if words else ""  # noqa: PTH119 - a name that may be no path at all
        for n, word in enumerate(words):
            if not n:
                continue
            is_value = not (word.startswith("-") and len(word) > 1 and not word[1:2].isdigit())
            if (options[n - 1] and is_value) or words[n - 1] in _NEXT_IS_SECRET.get(program, ()):
                redacted[n] = _PLACE
            elif program in _TAKES_PASSWORD and word.startswith("-p") and len(word) > 2:
                redacted[n] = f"-p{_PLACE}"
        if self._keep:
            kept = pc.match_substring_regex(cut, self._keep).to_pylist()
            redacted = [str(w) if k else r for w, k, r in zip(words, kept, redacted, strict=True)]
        return [str(r) for r in redacted]

    def text(self, text: str) -> str:
        """One text, such as a URL or a command line, as it may be stored."""
        return str(self._texts(pa.array([text[:_LONGEST]], pa.string()))[0])

    def _texts(self, texts: pa.Array) -> pa.Array:
        for pattern, place in self._rules:
            texts = pc.replace_substring_regex(texts, pattern, place)
        return texts

    def paths(self, paths: pa.Array) -> pa.Array:
        """Paths as they may be stored; all are returned as they are unless one holds a token."""
        if not pc.any(pc.match_substring_regex(paths, self._any_path)).as_py():
            return paths
        for pattern, place in self._paths:
            if pc.any(pc.match_substring_regex(paths, pattern)).as_py():
                paths = pc.replace_substring_regex(paths, pattern, place)
        return paths

    def segment(self, rows: pa.Table) -> pa.Table:
        """SEGMENT rows with their paths redacted (argv is redacted where it is decoded)."""
        for name in ("path", "exe", "parent_exe", "interpreter", "script"):
            at = rows.schema.get_field_index(name)
            field, texts = rows.schema.field(at), rows[name].cast(pa.string())
            told = self.paths(texts)
            if told is not texts:
                rows = rows.set_column(at, field, told.cast(field.type))
                if name == "path":  # the bytes would tell what the text no longer does
                    raw = rows.schema.get_field_index("path_raw")
                    bare = pc.if_else(pc.equal(texts, told), rows["path_raw"], pa.scalar(None, pa.binary()))
                    rows = rows.set_column(raw, rows.schema.field(raw), bare)
        return rows


def _read(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - only where there are rules

    hint = "it is a mapping of names, words, paths and keep to lists of patterns (RE2)"
    try:
        rules = yaml.safe_load(path.read_text()) or {}
    except OSError as e:
        raise RulesError(f"cannot read the redaction rules {path}: {e.strerror}", "name another file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise RulesError(f"{path} is no YAML: {str(e).splitlines()[0]}", hint) from None
    if not isinstance(rules, dict):
        raise RulesError(f"{path} is no mapping", hint)
    if unknown := sorted(map(str, set(rules) - {"names", "words", "paths", "keep"})):
        raise RulesError(f"{path} has unknown keys: {', '.join(unknown)}", hint)
    for key, patterns in rules.items():
        if not isinstance(patterns, list) or not all(isinstance(p, str) and p for p in patterns):
            raise RulesError(f"{path}: {key} is no list of patterns", hint)
        for pattern in patterns:
            try:
                pc.match_substring_regex(pa.array([""]), pattern)
            except pa.ArrowInvalid as e:
                raise RulesError(f"{path}: {key}: {pattern!r}: {str(e).splitlines()[0]}", hint) from None
    return rules

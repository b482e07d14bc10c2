"""The written semantics said a second time, slowly and without tables: what the compiled ruleset must agree with.

Nothing here is shared with the implementation but the types. Every rule is tried on every access; its rank in the
order of look-ups is worked out from the two texts.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from models.policy import Access, Op, Policy, Posture

READS = (Op.EXEC,)
NEVER = (Op.STAT, Op.MMAP_EXEC, Op.MPROTECT_EXEC, Op.WRITE, Op.SETXATTR)
PROTOCOL = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}
KIND = {"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5, "dccp": 6, "packet": 10}


def naive(policies: list[Policy], posture: Posture, access: Access) -> str:
    """Return allow, audit or block."""
    specs = [p.to_document()["spec"] for p in policies]
    op = access.op
    if op in NEVER or (op is Op.SEND and not access.dns):
        return "allow"
    if op is Op.EXEC:
        verdict = by_path(specs, "process", posture.file, access, access.path, access.parent)
        if verdict != "block" and access.path.startswith("/"):
            ranked = ranks(specs, "file", access, access.path, access.source)
            if first_word(ranked) == "block":
                return "block"
        return verdict
    if op in (Op.RENAME, Op.LINK):
        words = [
            by_path(specs, "file", posture.file, access, access.path, access.source),
            by_path(specs, "file", posture.file, access, access.target, access.source, new=True),
        ]
        return next((w for w in ("block", "audit") if w in words), "allow")
    if op is Op.CAPABLE:
        return by_name(specs, "capabilities", "matchCapabilities", posture.capabilities, access)
    if op in (Op.SOCKET, Op.CONNECT, Op.BIND, Op.LISTEN, Op.ACCEPT):
        return by_name(specs, "network", "matchProtocols", posture.network, access)
    return by_path(specs, "file", posture.file, access, access.path, access.source)


def by_path(
    specs: list[Any], section: str, posture: str, access: Access, path: str, source: str, *, new: bool = False
) -> str:
    if not path.startswith("/"):
        word = None
        if section == "file":
            return "allow"
    else:
        word = first_word(ranks(specs, section, access, path, source, new=new))
    if word in ("allow", "audit", "block"):
        return word
    listed = any(action(s, s.get(section, {}), r) == "Allow" for s in specs for r in entries(s, section))
    return unlisted(posture) if listed else "allow"


def unlisted(posture: str) -> str:
    return "block" if posture == "block" else "audit"


def entries(spec: Any, section: str) -> list[Any]:
    body = spec.get(section, {})
    return [r for k, rules in body.items() if k.startswith("match") for r in rules]


def action(spec: Any, section: Any, rule: Any) -> str:
    return rule.get("action") or section.get("action") or spec.get("action") or "Block"


def first_word(ranked: dict[tuple[int, ...], list[tuple[str, bool]]]) -> str | None:
    """Go through the ranks from the most specific; each holds (action, about this access)."""
    for rank in sorted(ranked):
        words = ranked[rank]
        for name, word in (("Block", "block"), ("Audit", "audit"), ("Allow", "allow")):
            if (name, True) in words:
                return word
        if any(name != "Block" for name, _ in words):
            return None
    return None


def ranks(
    specs: list[Any], section: str, access: Access, path: str, source: str, *, new: bool = False
) -> dict[tuple[int, ...], list[tuple[str, bool]]]:
    found: dict[tuple[int, ...], list[tuple[str, bool]]] = {}
    for spec in specs:
        for rule in entries(spec, section):
            rank = rank_of(rule, path)
            if rank is None:
                continue
            sources = [s.get("path") for s in rule.get("fromSource", [])]
            if sources and (not source or source not in sources):
                continue
            name = action(spec, spec.get(section, {}), rule)
            key = (0 if sources else 1, *rank)
            found.setdefault(key, []).append((name, about(rule, name, access, new=new)))
    return found


def rank_of(rule: Any, path: str) -> tuple[int, int] | None:
    if rule.get("execname"):
        return (1, 0) if path.split("/")[-1] == rule["execname"] else None
    if rule.get("path"):
        return (0, 0) if path == rule["path"] else None
    if rule.get("pattern"):
        # The generated patterns have no more than one * and no /, so fnmatch on the last name is enough.
        head, _, tail = rule["pattern"].rpartition("/")
        same = path.rpartition("/")[0] == head and fnmatch.fnmatchcase(path.rpartition("/")[2], tail)
        return (2, 0) if same else None
    directory = rule["dir"]
    if path + "/" == directory or path == directory:
        return (3, -len(directory))
    if not path.startswith(directory):
        return None
    if rule.get("recursive") or "/" not in path[len(directory) :]:
        return (3, -len(directory))
    return None


def about(rule: Any, name: str, access: Access, *, new: bool) -> bool:
    flags = []
    if rule.get("readOnly"):
        opened = access.op is Op.OPEN and not (access.write or access.create or access.truncate)
        flags.append(access.op in READS or opened)
    if rule.get("ownerOnly"):
        makes = new or access.create or access.op in (Op.MKDIR, Op.MKNOD, Op.SYMLINK, Op.LINK_TO, Op.RENAME_TO)
        owner = access.owner_match
        if owner is None and makes:
            owner = access.parent_owner_match
        flags.append(bool(owner))
    if rule.get("pts") is False:
        flags.append(not access.tty)
    if name == "Block":
        return not flags or not all(flags)
    return all(flags)


def by_name(specs: list[Any], section: str, listed_in: str, posture: str, access: Access) -> str:
    for wanted in (True, False):
        words = set()
        for spec in specs:
            for rule in spec.get(section, {}).get(listed_in, []):
                sources = [s.get("path") for s in rule.get("fromSource", [])]
                if bool(sources) is not wanted or (sources and access.source not in sources):
                    continue
                if names_it(rule, access):
                    words.add(action(spec, spec[section], rule).lower())
        for word in ("block", "audit", "allow"):
            if word in words:
                return word
    allow = any(
        action(s, s.get(section, {}), r) == "Allow" for s in specs for r in s.get(section, {}).get(listed_in, [])
    )
    return unlisted(posture) if allow else "allow"


def names_it(rule: Any, access: Access) -> bool:
    if "capability" in rule:
        return access.capability in rule["capability"].split(",")
    for word in rule["protocol"].lower().split(","):
        if word == "all" or KIND.get(word) == access.type:
            return True
        usual = {1: 6, 2: 17, 5: 132}.get(access.type, 0) if access.protocol == 0 else access.protocol
        if word in PROTOCOL and PROTOCOL[word] == usual:
            return True
    return False

"""Random policies and accesses over a small world, so that rules and accesses meet often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from models.policy import Access, Op, Policy, Rule, rules

NAMES = ("a", "b", "tmp-1")
ACTIONS = st.sampled_from(("Allow", "Audit", "Block"))
DEPTH = st.lists(st.sampled_from(NAMES[:2]), min_size=1, max_size=3)
PATHS = st.builds(lambda parts, leaf: "/" + "/".join([*parts, leaf]), DEPTH, st.sampled_from(NAMES))
DIRECTORIES = st.one_of(st.just("/"), st.builds(lambda parts: "/" + "/".join(parts) + "/", DEPTH))
AGENTS = st.sampled_from(("/bin/one", "/bin/two"))
PATTERNS = st.builds(lambda d, leaf: d + leaf, DIRECTORIES, st.sampled_from(("*", "tmp-*", "?", "*-1", "a")))
TEXT = st.text(max_size=12)


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings in which every field may be missing, but those named with a capital M at the end of their name."""
    must = {k.removesuffix("_M"): v for k, v in strategies.items() if k.endswith("_M")}
    may = {k: v for k, v in strategies.items() if not k.endswith("_M")}
    return st.fixed_dictionaries(must, optional=may)


SOURCES = st.lists(st.builds(lambda p: {"path": p}, AGENTS), min_size=1, max_size=2)
COMMON = {
    "action": ACTIONS,
    "severity": st.integers(1, 10),
    "tags": st.lists(TEXT, min_size=1, max_size=2),
    "message": TEXT,
}
FLAG = st.booleans()
PROCESS_PATH = st.one_of(
    fields(path_M=PATHS, ownerOnly=FLAG, pts=FLAG, fromSource=SOURCES, **COMMON),
    fields(execname_M=st.sampled_from(NAMES), ownerOnly=FLAG, **COMMON),
)
DIRECTORY = fields(dir_M=DIRECTORIES, recursive=FLAG, ownerOnly=FLAG, pts=FLAG, fromSource=SOURCES, **COMMON)
FILE_PATH = fields(path_M=PATHS, readOnly=FLAG, ownerOnly=FLAG, pts=FLAG, fromSource=SOURCES, **COMMON)
FILE_DIRECTORY = fields(
    dir_M=DIRECTORIES, recursive=FLAG, readOnly=FLAG, ownerOnly=FLAG, pts=FLAG, fromSource=SOURCES, **COMMON
)
PROTOCOL = fields(
    protocol_M=st.sampled_from(("tcp", "UDP", "raw", "icmp", "stream", "all", "tcp,udp", "sctp")),
    fromSource=SOURCES,
    **COMMON,
)
CAPABILITY = fields(
    capability_M=st.sampled_from(("net_raw", "chown", "net_raw,chown", "kill")), fromSource=SOURCES, **COMMON
)


def some(item: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(item, min_size=1, max_size=3)


SPECS = fields(
    selector=st.just({"matchLabels": {"app": "x"}}),
    process_M=fields(
        matchPaths_M=some(PROCESS_PATH),
        matchDirectories=some(DIRECTORY),
        matchPatterns=some(fields(pattern_M=PATTERNS, ownerOnly=FLAG, **COMMON)),
        **COMMON,
    ),
    file_M=fields(
        matchPaths_M=some(FILE_PATH),
        matchDirectories_M=some(FILE_DIRECTORY),
        matchPatterns=some(fields(pattern_M=PATTERNS, readOnly=FLAG, ownerOnly=FLAG, **COMMON)),
        **COMMON,
    ),
    network=fields(matchProtocols=some(PROTOCOL), **COMMON),
    capabilities=fields(matchCapabilities=some(CAPABILITY), **COMMON),
    **COMMON,
)
POLICIES = st.builds(
    lambda name, spec: Policy.from_document({"kind": "KubeArmorPolicy", "metadata": {"name": name}, "spec": spec}),
    st.sampled_from(("one", "two", "three")),
    SPECS,
)
OPTIONAL_FLAG = st.sampled_from((None, True, False))
JUDGED = [o for o in Op if o not in (Op.SYSCALL, Op.SEND)]
OPS = st.one_of(st.sampled_from((Op.OPEN, Op.EXEC, Op.MKDIR, Op.RENAME, Op.LINK)), st.sampled_from(JUDGED))


def _near(rule: Rule) -> list[str]:
    """Paths that a rule is about, or just not."""
    if rule.match == "dir":
        return [rule.value.rstrip("/") or "/", rule.value + "a", rule.value + "a/b", rule.value + "tmp-1"]
    return [rule.value] if rule.match == "path" else ["/a/a", "/b/tmp-1"]


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Policy], list[Access]]:
    """Policies with accesses that are mostly about what their rules name."""
    policies = draw(st.lists(POLICIES, min_size=1, max_size=3))
    named = [p for policy in policies for r in rules(policy) if r.section in ("process", "file") for p in _near(r)]
    path = st.sampled_from([*named, "/a/b", "memfd:x"])
    access = st.builds(
        Access,
        op=OPS,
        path=path,
        target=path,
        source=st.one_of(AGENTS, st.just("")),
        parent=AGENTS,
        read=FLAG,
        write=FLAG,
        create=FLAG,
        truncate=FLAG,
        uid=st.sampled_from((0, 1000)),
        owner_match=OPTIONAL_FLAG,
        parent_owner_match=OPTIONAL_FLAG,
        tty=FLAG,
        overlay=FLAG,
        copy_up=FLAG,
        type=st.sampled_from((1, 2, 3, 5)),
        protocol=st.sampled_from((0, 1, 6, 17, 132, 255)),
        capability=st.sampled_from(("net_raw", "chown", "kill", "sys_admin")),
    )
    return policies, draw(st.lists(access, min_size=3, max_size=12))

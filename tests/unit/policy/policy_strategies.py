"""Random policies and accesses over a small world, so that rules and accesses meet often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from models.policy import Access, Op, Policy

NAMES = ("a", "b", "lib.so", "tmp-1", "x y")
ACTIONS = st.sampled_from(("Allow", "Audit", "Block"))
DEPTH = st.lists(st.sampled_from(NAMES[:3]), min_size=1, max_size=4)
PATHS = st.builds(lambda parts, leaf: "/" + "/".join([*parts, leaf]), DEPTH, st.sampled_from(NAMES))
DIRECTORIES = st.one_of(st.just("/"), st.builds(lambda parts: "/" + "/".join(parts) + "/", DEPTH))
AGENTS = st.sampled_from(("/bin/one", "/bin/two", "/usr/bin/three"))
PATTERNS = st.builds(lambda d, leaf: d + leaf, DIRECTORIES, st.sampled_from(("*", "tmp-*", "?", "lib*", "*.so", "a")))
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
    process=fields(
        matchPaths=some(PROCESS_PATH),
        matchDirectories=some(DIRECTORY),
        matchPatterns=some(fields(pattern_M=PATTERNS, ownerOnly=FLAG, **COMMON)),
        **COMMON,
    ),
    file=fields(
        matchPaths=some(FILE_PATH),
        matchDirectories=some(FILE_DIRECTORY),
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
ACCESSES = st.builds(
    Access,
    op=st.sampled_from([o for o in Op if o not in (Op.SYSCALL, Op.SEND)]),
    path=st.one_of(PATHS, PATHS, DIRECTORIES.map(lambda d: d.rstrip("/") or "/"), st.just("memfd:x")),
    target=PATHS,
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

"""KubeArmor's look-up of a path said a second time, step by step as the kernel side takes them.

`KubeArmorRuleset` folds the four loops of ``match_and_enforce_path_hooks`` and ``enforce_proc`` into one with a cache.
This is the long way: one function for each hook, every flag a variable, nothing shared with the implementation.
"""

from __future__ import annotations

EXEC, READ, DIR, RECURSIVE, HINT = 1, 4, 16, 32, 64
Masks = dict[tuple[str, str], int]
Key = tuple[str, str]


def file_key(masks: Masks, path: str, source: str) -> Key | None:
    if source:
        if masks.get((path, source), 0) & READ:
            return path, source
        found = _file_loop(masks, path, source)
        if found:
            return found
    if masks.get((path, ""), 0) & READ:
        return path, ""
    return _file_loop(masks, path, "")


def _file_loop(masks: Masks, path: str, source: str) -> Key | None:
    match = False
    recursive_but_hint = False
    value: Key | None = None
    last: Key | None = None
    for i in range(64):
        if i >= len(path):
            break
        if path[i] != "/":
            continue
        match = False
        last = (path[: i + 1], source)
        if last not in masks:
            last = None
            break
        mask = masks[last]
        if mask & DIR and mask & READ:
            match = True
            if not mask & RECURSIVE:
                continue
            value = last
            if mask & HINT:
                recursive_but_hint = True
                continue
            return value
    if recursive_but_hint:
        return value
    return last if match else None


def process_key(masks: Masks, path: str, parent: str) -> Key | None:
    if parent:
        if masks.get((path, parent), 0) & EXEC:
            return path, parent
        found = _process_loop(masks, path, parent, stops=False)
        if found:
            return found
    if masks.get((path, ""), 0) & EXEC:
        return path, ""
    name = (path.split("/")[-1], "")
    if masks.get(name, 0) & EXEC:
        return name
    return _process_loop(masks, path, "", stops=True)


def _process_loop(masks: Masks, path: str, parent: str, *, stops: bool) -> Key | None:
    """The loop without a source also gives up on a key that is neither a directory of programs nor a hint."""
    match = False
    recursive_but_hint = False
    value: Key | None = None
    last: Key | None = None
    for i in range(64):
        if i >= len(path):
            break
        if path[i] != "/":
            continue
        match = False
        last = (path[: i + 1], parent)
        if last not in masks:
            last = None
            break
        mask = masks[last]
        if mask & DIR and mask & EXEC:
            match = True
            if mask & RECURSIVE and not mask & HINT:
                return last
            if mask & RECURSIVE:
                recursive_but_hint = True
                value = last
            else:
                continue
        if stops and not mask & HINT:
            break
    if recursive_but_hint:
        return value
    return last if match else None

"""``symlink-path``, ``busybox-applet``: rules on a name that is not the one that is judged.

The kernel side compares the path that it resolved: a rule on a symlink's own name never matches. With an inventory the
links are known; without one, these are the links of the images that people build on. The table is a statement about
Debian 12, Ubuntu 24.04, Fedora and Alpine, made from their file systems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from models.checks.context import Context, Mistake, Severity, fragment
from models.policy import Action, Rule

__all__ = ["APPLETS", "CERTAIN", "USUAL", "busybox_applet", "resolve", "symlink_path"]

CERTAIN: dict[str, tuple[str, ...]] = {
    "/var/run": ("/run",),
    "/var/lock": ("/run/lock",),
    "/etc/mtab": ("/proc/self/mounts",),
    "/dev/fd": ("/proc/self/fd",),
    "/dev/stdin": ("/proc/self/fd/0",),
    "/dev/stdout": ("/proc/self/fd/1",),
    "/dev/stderr": ("/proc/self/fd/2",),
}
"""Links in every image."""
USUAL: dict[str, tuple[str, ...]] = {
    "/bin/sh": ("/usr/bin/dash", "/usr/bin/bash", "/bin/busybox"),
    "/usr/bin/sh": ("/usr/bin/dash", "/usr/bin/bash"),
    "/bin/ash": ("/bin/busybox",),
    "/usr/bin/awk": ("/usr/bin/mawk", "/usr/bin/gawk", "/bin/busybox"),
    "/usr/bin/python3": ("/usr/bin/python3.11", "/usr/bin/python3.12", "/usr/bin/python3.13"),
    "/usr/bin/python": ("/usr/bin/python3.11", "/usr/bin/python3.12"),
    "/usr/local/bin/python3": ("/usr/local/bin/python3.11", "/usr/local/bin/python3.12"),
    "/usr/local/bin/python": ("/usr/local/bin/python3.11", "/usr/local/bin/python3.12"),
    "/usr/bin/vi": ("/usr/bin/vim.basic", "/usr/bin/vim.tiny", "/bin/busybox"),
    "/usr/bin/nc": ("/usr/bin/nc.openbsd", "/usr/bin/nc.traditional", "/bin/busybox"),
    "/usr/bin/netcat": ("/usr/bin/nc.openbsd", "/usr/bin/nc.traditional"),
    "/usr/local/bin/npm": ("/usr/local/lib/node_modules/npm/bin/npm-cli.js",),
    "/usr/local/bin/npx": ("/usr/local/lib/node_modules/npm/bin/npx-cli.js",),
    "/usr/local/bin/nodejs": ("/usr/local/bin/node",),
}
"""Names that are links wherever they exist; which of the targets it is depends on the image."""
_MERGED = {f"/{d}": (f"/usr/{d}",) for d in ("bin", "sbin", "lib", "lib64", "lib32")}
"""Links on a merged /usr: Debian, Ubuntu, Fedora and what stands on them; not on Alpine before 3.22."""
_APPLETS = """
sh ash cat chmod chown cp mv rm ls ln mkdir mknod mount umount ps kill su login ping wget nc telnet vi tar gzip awk
sed grep find xargs base64 dd df id whoami uname hostname head tail env nslookup ftpget ftpput crond crontab adduser
addgroup passwd chroot unshare nsenter ip ifconfig route arp traceroute tftp
"""
APPLETS = frozenset(_APPLETS.split())
"""Names that an image built on busybox has as links to it."""
_HOPS = 40


def resolve(path: str, links: Mapping[str, str]) -> str:
    """Follow the links of an inventory as the kernel does, the last name included; at most 40 of them."""
    for _ in range(_HOPS):
        names = path.rstrip("/").split("/")
        for n in range(2, len(names) + 1):
            prefix = "/".join(names[:n])
            target = links.get(prefix)
            if target is None:
                continue
            above = prefix.rpartition("/")[0]
            joined = target if target.startswith("/") else f"{above}/{target}"
            path = _normal("/".join([joined, *names[n:]]))
            break
        else:
            return path
    return path


def _normal(path: str) -> str:
    out: list[str] = []
    for name in path.split("/"):
        if name == "..":
            out = out[:-1]
        elif name not in ("", "."):
            out.append(name)
    return "/" + "/".join(out)


def _resolved(context: Context, rule: Rule) -> tuple[list[str], bool]:
    """Where a rule's path really leads, and whether that is certain; empty if it is no link."""
    bare = rule.value.rstrip("/") or "/"
    if context.links:
        there = resolve(bare, context.links)
        if there != bare:
            return [there], True
        if bare in context.existing:
            return [], True
    for table, certain in ((CERTAIN, True), (USUAL, True), (_MERGED, False)):
        if context.existing and table is not CERTAIN:
            continue  # the inventory knows
        for link, targets in table.items():
            if bare == link or bare.startswith(link + "/"):
                return [t + bare[len(link) :] for t in targets], certain
    return [], True


def symlink_path(context: Context) -> Iterator[Mistake]:
    """A rule on the name of a symlink, or on a path below one."""
    for rule in context.rules:
        if rule.section not in ("process", "file") or rule.match not in ("path", "dir"):
            continue
        targets, certain = _resolved(context, rule)
        if not targets:
            continue
        slash = "/" if rule.match == "dir" else ""
        twins = {r.value.rstrip("/") for r in context.of(rule.section, rule.action)}
        if all(t in twins for t in targets):
            continue  # it has a rule for what is judged as well
        key = rule.match
        wanted = fragment(*(context.rewritten(rule, **{key: t + slash}) for t in targets if t not in twins))
        if not certain and any(t in twins for t in targets):
            continue
        here = "here" if context.links else ("in every image" if certain else "where /usr is merged (Debian, Fedora)")
        message = (
            f"{rule.value} is, or lies below, a symlink {here}; the path that it leads to is judged "
            f"({_or(targets)}), so {_comes_of(rule)}"
        )
        severity = Severity.ERROR if certain else Severity.WARNING
        fix = "name what it leads to" if certain else "name what it leads to as well, if the image has a merged /usr"
        yield context.mistake("symlink-path", severity, rule, message, fix, wanted)


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _comes_of(rule: Rule) -> str:
    if rule.action is Action.BLOCK:
        return "nothing is blocked"
    return "no alert is raised" if rule.action is Action.AUDIT else "nothing is allowed"


def busybox_applet(context: Context) -> Iterator[Mistake]:
    """Commands that are blocked or audited by names which busybox images have as links."""
    if context.existing and not any(p.endswith("/busybox") for p in context.existing):
        return
    for action in (Action.BLOCK, Action.AUDIT):
        mine = context.of("process", action)
        if any(r.value.rpartition("/")[2] == "busybox" for r in mine):
            continue
        applets = [r for r in mine if r.match == "path" and r.value.rpartition("/")[2] in APPLETS]
        if not applets:
            continue
        first = applets[0]
        names = ", ".join(dict.fromkeys(r.value for r in applets))
        what = "blocked" if action is Action.BLOCK else "audited"
        message = (
            f"in an image built on busybox (Alpine) {names} are one file, /bin/busybox, and that path is judged: "
            f"none of them is {what} there"
        )
        items = [{"path": p, "action": str(action)} for p in ("/bin/busybox", "/usr/bin/busybox")]
        wanted = {"process": {"matchPaths": items}}
        yield context.mistake(
            "busybox-applet",
            Severity.WARNING,
            first,
            message,
            "name /bin/busybox too; that is every applet at once, so list what may run instead if some of them must",
            wanted,
        )

"""The C programs of ``tests/programs``, compiled when they are needed."""

import os
import subprocess
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "programs"

CASES = {
    "paths": [
        "relative",
        "symlinked_directory",
        "change_below_symlink",
        "change_through_symlink",
        "rename_above",
        "rename_kinds",
        "rename_exchange",
        "hard_links",
        "reused_inode",
        "removed_directory",
        "same_name_anew",
        "tmpfile",
        "unlinked",
        "proc",
        "openat2",
        "io_uring_open",
        "io_uring_worker",
        "io_uring_change",
        "threads",
        "mapped",
        "path_300",
        "path_4000",
        "path_5000",
        "names",
        "longest_name",
        "failed_opens",
        "owner",
        "changes",
        "failed_changes",
        "open_flags",
        "devices",
        "anonymous",
        "by_handle",
    ],
    "mounts": [
        "started",
        "chroot",
        "bind_mount",
        "second_mount",
        "mount_moved",
        "detached_mount",
        "overlay",
        "copy_up",
        "overlay_attribute",
        "overlay_exec",
        "mount_namespace",
        "container",
    ],
    "cgroups": [
        "child_cgroup",
        "brief_container",
    ],
    "execs": [
        "started",
        "exec_plain",
        "execveat",
        "exec_deleted",
        "memfd",
        "script",
        "execveat_script",
        "nested_script",
        "shell_exec",
        "thread_exec",
        "exec_self",
        "failed_exec",
        "exec_odd_name",
        "parent_exe",
        "thirty_two_bit",
        "shared_library",
    ],
    "sockets": [
        "started",
        "tcp",
        "refused",
        "in_progress",
        "address_in_use",
        "udp",
        "many_messages",
        "tcp_fast_open",
        "ipv6",
        "ipv4_mapped",
        "unix_path",
        "unix_datagram",
        "unix_abstract",
        "socket_pair",
        "netlink",
        "raw_socket",
        "io_uring_connect",
        "capabilities",
    ],
}
"""The cases of each program, in its order; a test holds this list against what the program reports."""


@cache
def build(fallback: Path) -> Path:
    """Compile what is out of date; return the folder of the programs: `fallback` where the checkout is read-only."""
    usual = SOURCES / "build"
    if subprocess.run(["make", "-q", "-C", SOURCES], capture_output=True, check=False).returncode == 0:
        return usual
    folder = usual if os.access(SOURCES, os.W_OK) else fallback
    made = subprocess.run(["make", "-s", "-C", SOURCES, f"OUT={folder}"], capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"the programs of the hard cases do not compile (gcc-multilib?):\n{made.stderr}")
    return folder

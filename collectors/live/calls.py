"""What each system call number means to the observer: the tables that `bpf/syscalls.h` reads.

Numbers are the kernel's user ABI and never change (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

__all__ = ["CALLS", "NUMBERS", "Call", "table"]

NONE = 0xFF
SLOTS = 512


@dataclass(frozen=True)
class Call:
    """How to read one call's exit; numbers are argument positions, `NONE` where there is none.

    `op` names a member of ``enum operation`` in `bpf/record.h`. `fd`: the object is that open file. `flags`: where the
    open flags (or those of unlinkat) are. `nofollow`: 1 if a link at the end is the object itself, n + 2 if argument
    n can say so (AT_SYMLINK_NOFOLLOW).
    """

    op: str
    dirfd: int = NONE
    path: int = NONE
    dirfd2: int = NONE
    path2: int = NONE
    flags: int = NONE
    fd: int = NONE
    nofollow: int = 0


CALLS = {
    "open": Call("OP_OPEN", path=0, flags=1),
    "openat": Call("OP_OPEN", dirfd=0, path=1, flags=2),
    "openat2": Call("CALL_OPENAT2", dirfd=0, path=1),
    "creat": Call("CALL_CREAT", path=0),
    "open_by_handle_at": Call("OP_OPEN", flags=2),
    "truncate": Call("OP_TRUNCATE", path=0),
    "ftruncate": Call("OP_TRUNCATE", fd=0),
    "unlink": Call("OP_UNLINK", path=0),
    "unlinkat": Call("OP_UNLINK", dirfd=0, path=1, flags=2),
    "rmdir": Call("OP_RMDIR", path=0),
    "rename": Call("CALL_RENAME", path=0, path2=1),
    "renameat": Call("CALL_RENAME", dirfd=0, path=1, dirfd2=2, path2=3),
    "link": Call("CALL_LINK", path=0, path2=1),
    "linkat": Call("CALL_LINK", dirfd=0, path=1, dirfd2=2, path2=3),
    "symlink": Call("OP_SYMLINK", path=1),
    "symlinkat": Call("OP_SYMLINK", dirfd=1, path=2),
    "mkdir": Call("OP_MKDIR", path=0),
    "mkdirat": Call("OP_MKDIR", dirfd=0, path=1),
    "mknod": Call("OP_MKNOD", path=0),
    "mknodat": Call("OP_MKNOD", dirfd=0, path=1),
    "chmod": Call("OP_CHMOD", path=0),
    "fchmod": Call("OP_CHMOD", fd=0),
    "fchmodat": Call("OP_CHMOD", dirfd=0, path=1),
    "fchmodat2": Call("OP_CHMOD", dirfd=0, path=1, nofollow=5),
    "chown": Call("OP_CHOWN", path=0),
    "fchown": Call("OP_CHOWN", fd=0),
    "lchown": Call("OP_CHOWN", path=0, nofollow=1),
    "fchownat": Call("OP_CHOWN", dirfd=0, path=1, nofollow=6),
    "setxattr": Call("OP_SETXATTR", path=0),
    "lsetxattr": Call("OP_SETXATTR", path=0, nofollow=1),
    "setxattrat": Call("OP_SETXATTR", dirfd=0, path=1, nofollow=4),
    "fsetxattr": Call("OP_SETXATTR", fd=0),
    "mmap": Call("CALL_MMAP"),
    "mprotect": Call("CALL_MPROTECT"),
    "execve": Call("CALL_EXEC", path=0),
    "execveat": Call("CALL_EXEC", dirfd=0, path=1),
    "socket": Call("OP_SOCKET"),
    "socketpair": Call("CALL_SOCKETPAIR"),
    "connect": Call("OP_CONNECT"),
    "bind": Call("OP_BIND"),
    "listen": Call("OP_LISTEN"),
    "accept": Call("OP_ACCEPT"),
    "sendto": Call("CALL_SENDTO"),
    "sendmsg": Call("CALL_SENDMSG"),
    "sendmmsg": Call("CALL_SENDMMSG"),
    "socketcall": Call("CALL_SOCKETCALL"),
    "mount": Call("CALL_MOUNTS"),
    "unshare": Call("CALL_NAMESPACE"),
}
"""By the name under which a call was first known; `ALIASES` names those that read alike."""

ALIASES = {
    "truncate64": "truncate",
    "ftruncate64": "ftruncate",
    "renameat2": "renameat",
    "chown32": "chown",
    "fchown32": "fchown",
    "lchown32": "lchown",
    "mmap2": "mmap",
    "pkey_mprotect": "mprotect",
    "accept4": "accept",
    "umount": "mount",
    "umount2": "mount",
    "move_mount": "mount",
    "pivot_root": "mount",
    "setns": "unshare",
}

# fmt: off
NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "open": 2, "openat": 257, "openat2": 437, "creat": 85, "open_by_handle_at": 304, "truncate": 76,
        "ftruncate": 77, "unlink": 87, "unlinkat": 263, "rmdir": 84, "rename": 82, "renameat": 264, "renameat2": 316,
        "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "mkdir": 83, "mkdirat": 258, "mknod": 133,
        "mknodat": 259, "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93,
        "lchown": 94, "fchownat": 260, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "setxattrat": 463,
        "mmap": 9, "mprotect": 10, "pkey_mprotect": 329, "execve": 59, "execveat": 322, "socket": 41,
        "socketpair": 53, "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288, "sendto": 44,
        "sendmsg": 46, "sendmmsg": 307, "mount": 165, "umount2": 166, "move_mount": 429, "pivot_root": 155,
        "unshare": 272, "setns": 308,
    },
    # The old mmap (90), which takes a structure, is left out: C libraries have used mmap2 since Linux 2.3.31.
    "i386": {
        "open": 5, "openat": 295, "openat2": 437, "creat": 8, "open_by_handle_at": 342, "truncate": 92,
        "truncate64": 193, "ftruncate": 93, "ftruncate64": 194, "unlink": 10, "unlinkat": 301, "rmdir": 40,
        "rename": 38, "renameat": 302, "renameat2": 353, "link": 9, "linkat": 303, "symlink": 83, "symlinkat": 304,
        "mkdir": 39, "mkdirat": 296, "mknod": 14, "mknodat": 297, "chmod": 15, "fchmod": 94, "fchmodat": 306,
        "fchmodat2": 452, "chown": 182, "fchown": 95, "lchown": 16, "fchownat": 298, "chown32": 212,
        "fchown32": 207, "lchown32": 198, "setxattr": 226, "lsetxattr": 227, "fsetxattr": 228, "setxattrat": 463,
        "mmap2": 192, "mprotect": 125, "pkey_mprotect": 380, "execve": 11, "execveat": 358, "socket": 359,
        "socketpair": 360, "connect": 362, "bind": 361, "listen": 363, "accept4": 364, "sendto": 369,
        "sendmsg": 370, "sendmmsg": 345, "socketcall": 102, "mount": 21, "umount": 22, "umount2": 52,
        "move_mount": 429, "pivot_root": 217, "unshare": 310, "setns": 346,
    },
    "aarch64": {
        "openat": 56, "openat2": 437, "open_by_handle_at": 265, "truncate": 45, "ftruncate": 46, "unlinkat": 35,
        "renameat": 38, "renameat2": 276, "linkat": 37, "symlinkat": 36, "mkdirat": 34, "mknodat": 33, "fchmod": 52,
        "fchmodat": 53, "fchmodat2": 452, "fchown": 55, "fchownat": 54, "setxattr": 5, "lsetxattr": 6,
        "fsetxattr": 7, "setxattrat": 463, "mmap": 222, "mprotect": 226, "pkey_mprotect": 288, "execve": 221,
        "execveat": 281, "socket": 198, "socketpair": 199, "connect": 203, "bind": 200, "listen": 201,
        "accept": 202, "accept4": 242, "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "mount": 40, "umount2": 39,
        "move_mount": 429, "pivot_root": 41, "unshare": 97, "setns": 268,
    },
}
# fmt: on


def table(abi: str, operations: dict[str, int]) -> bytes:
    """The table of one ABI (``x86_64``, ``i386``, ``aarch64``) as the programs have it: `SLOTS` entries of 8 bytes.

    `operations` is ``enum operation``, as the object's BTF has it.
    """
    slots = bytearray(8 * SLOTS)
    for name, number in NUMBERS[abi].items():
        op, *positions = astuple(CALLS[ALIASES.get(name, name)])
        slots[8 * number : 8 * number + 8] = bytes([operations[op], *positions])
    return bytes(slots)

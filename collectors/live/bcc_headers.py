"""Where members of the kernel's structures lie, asked of the distribution's kernel headers: for kernels without BTF.

A structure that the headers package leaves out (fs/mount.h and fs/internal.h are private) is declared here as it is in
the kernel's source, up to the members that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bpf.errors import BpfError
from bpf.layout import Offsets

__all__ = ["OFFSETS_TEXT", "read_offsets"]

_MAYBE = {
    ("kernfs_node", "parent"): "LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)",
    ("kernfs_node", "__parent"): "LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)",
    ("backing_file", "file"): "LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)",
    ("backing_file", "user_path"): "LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)",
    **{("pt_regs", name): "defined(__x86_64__)" for name in ("di", "si", "dx", "r10", "r8", "r9")},
    **{("pt_regs", name): "defined(__x86_64__)" for name in ("bx", "cx", "bp", "orig_ax")},
    **{("pt_regs", name): "defined(__aarch64__)" for name in ("regs", "orig_x0", "syscallno")},
    ("thread_info", "status"): "defined(__x86_64__)",
    ("mm_struct", "mm_rb"): "LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)",
    ("vm_area_struct", "vm_rb"): "LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)",
}
"""Members that only some kernels have, and when."""

_TYPEDEFS = ("kuid_t", "atomic_t")

OFFSETS_TEXT = """\
#include <linux/version.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/fdtable.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/mm_types.h>
#include <linux/mount.h>
#include <linux/nsproxy.h>
#include <linux/ns_common.h>
#include <linux/kernfs.h>
#include <linux/cgroup-defs.h>
#include <linux/binfmts.h>
#include <linux/ptrace.h>
#include <linux/socket.h>
#include <linux/net.h>
#include <net/sock.h>
#include <net/af_unix.h>

/* fs/mount.h */
struct mnt_namespace {
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
	atomic_t count;
#endif
	struct ns_common ns;
	struct mount *root;
};

struct mount {
	struct hlist_node mnt_hash;
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	union {
		struct rcu_head mnt_rcu;
		struct llist_node mnt_llist;
	};
#ifdef CONFIG_SMP
	void *mnt_pcp;
#else
	int mnt_count;
	int mnt_writers;
#endif
	struct list_head mnt_mounts;
	struct list_head mnt_child;
	struct list_head mnt_instance;
	const char *mnt_devname;
	struct list_head mnt_list;
	struct list_head mnt_expire;
	struct list_head mnt_share;
	struct list_head mnt_slave_list;
	struct list_head mnt_slave;
	struct mount *mnt_master;
	struct mnt_namespace *mnt_ns;
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
/* fs/file_table.c */
struct backing_file {
	struct file file;
	struct path user_path;
};
#endif
"""

_NEWEST = "LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)"
"""From here on fs/mount.h is laid out in other ways; such kernels have BTF wherever a distribution builds them."""

Compile = Callable[[str, Iterable[str], Iterable[str], Path | None], dict[str, Any]]


def read_offsets(members: list[tuple[str, str]], compile_c: Compile) -> Offsets:
    """Offsets of these (structure, member) pairs in the running kernel, by its installed headers.

    Raises `BpfError` when the headers do not compile, or belong to a kernel whose private structures are not known.
    """
    lines = [OFFSETS_TEXT, f'#if {_NEWEST}\n#error "the layout of struct mount in this kernel is not known"\n#endif']
    names = []
    for place, (structure, member) in enumerate(members):
        of = structure if structure in _TYPEDEFS else f"struct {structure}"
        value = f"__builtin_offsetof({of}, {member})"
        condition = _MAYBE.get((structure, member), "1")
        lines.append(
            f"unsigned long long offset_{place}(void *ctx)\n{{\n#if {condition}\n\treturn {value};\n"
            "#else\n\treturn -1;\n#endif\n}"
        )
        names.append(f"offset_{place}")
    try:
        found = compile_c("\n".join(lines) + "\n", [], names, None)["values"]
    except BpfError as error:
        raise BpfError(f"the offsets of kernel structures cannot be read from the kernel's headers: {error}") from None
    offsets = {pair: found[f"offset_{place}"] for place, pair in enumerate(members)}

    def offset_of(structure: str, member: str) -> int | None:
        offset = int(offsets[structure, member])
        return offset if 0 <= offset < 1 << 31 else None

    return offset_of

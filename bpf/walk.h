/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The dentry walk: from an object up to the root of its mount namespace. Our own, since bpf_d_path is missing in BTF
 * tracepoints and on 5.10, and stops at a chroot.
 *
 * A mount is crossed upwards until the root of the task's mount namespace, or a mount that is its own parent. An object
 * of an internal mount (memfd, pipe, socket) has a name but no path; one of a detached mount has a path that leads
 * nowhere. Both are flagged.
 */
#ifndef DISCOVER_WALK_H
#define DISCOVER_WALK_H

#include "kernel.h"
#include "record.h"

#define WALK_DEPTH_SHORT 40
#define WALK_DEPTH_LONG 256
#define CHAIN_DEPTH 64

/*
 * The members of a dentry that lie beside each other since 2.6.38, in one read. Copy a member out before BPF_CORE_READ
 * follows it, or the loader looks for this structure in the kernel.
 */
struct dentry_core {
	struct dentry *parent;
	__u64 hash_len;
	const unsigned char *name;
	struct inode *inode;
};

struct walk {
	struct dentry *dentry;
	struct mount *mount;
	struct dentry *mount_root;
	struct mount *top;
};

static __always_inline int read_dentry(struct dentry_core *core, struct dentry *dentry)
{
	return bpf_probe_read_kernel(core, sizeof(*core), &dentry->d_parent);
}

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (struct mount *)((char *)mnt - bpf_core_field_offset(struct mount, mnt));
}

static __always_inline void walk_begin(struct walk *w, struct task_struct *task, struct dentry *dentry,
				       struct vfsmount *mnt)
{
	w->dentry = dentry;
	w->mount = mount_of(mnt);
	w->mount_root = BPF_CORE_READ(mnt, mnt_root);
	w->top = BPF_CORE_READ(task, nsproxy, mnt_ns, root);
}

/* From a mount's root to where it is mounted. False at the top. */
static __always_inline bool walk_cross(struct walk *w)
{
	struct mount *mount = w->mount, *parent;

	if (mount == w->top)
		return false;
	parent = BPF_CORE_READ(mount, mnt_parent);
	if (parent == mount || !parent)
		return false;
	w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
	w->mount = parent;
	w->mount_root = BPF_CORE_READ(parent, mnt.mnt_root);
	return true;
}

/*
 * One number for the names of everything above and the mounts between, to notice that one of them was renamed.
 *
 * Not static, here and elsewhere: the verifier checks such a function once, not once a call, and on 5.10 it takes
 * numbers alone.
 */
__noinline __u64 chain_hash(__u64 dentry, __u64 mnt)
{
	struct walk w;
	struct dentry_core core;
	__u64 hash = 0x9e3779b97f4a7c15ull;

	walk_begin(&w, (struct task_struct *)bpf_get_current_task(), (struct dentry *)dentry, (struct vfsmount *)mnt);
	for (int i = 0; i < CHAIN_DEPTH; i++) {
		if (w.dentry == w.mount_root) {
			if (!walk_cross(&w))
				break;
			hash = (hash ^ (__u64)w.mount) * 0xff51afd7ed558ccdull;
			continue;
		}
		if (read_dentry(&core, w.dentry) || core.parent == w.dentry)
			break;
		hash = (hash ^ core.hash_len) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 31;
		w.dentry = core.parent;
	}
	return hash;
}

/* What the walk's first mount and name already tell. */
static __always_inline __u16 walk_flags(struct dentry *dentry, struct vfsmount *mnt)
{
	__u64 ns = (__u64)BPF_CORE_READ(mount_of(mnt), mnt_ns);
	__u16 flags = 0;

	if (ns == MNT_NS_INTERNAL)
		flags |= FLAG_ANONYMOUS;
	else if (!ns)
		flags |= FLAG_DETACHED;
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry)
		flags |= FLAG_UNHASHED;
	return flags;
}

/*
 * Fills a record's `path` from its end and sets `path_at`. Returns 0, FLAG_PATH_CUT where size or depth did not
 * suffice. Written twice by the preprocessor because the verifier wants the size of the memory as a constant. The
 * position is kept in the record itself: what is read from there the verifier takes for any number, so all ways
 * through the loop look alike to it.
 */
#define DEFINE_WALK(NAME, RECORD, SIZE, DEPTH)                                                                         \
	static __noinline int NAME(RECORD *r, struct task_struct *task, struct dentry *dentry, struct vfsmount *mnt)   \
	{                                                                                                              \
		struct walk w;                                                                                         \
		struct dentry_core core;                                                                               \
                                                                                                                       \
		if (!r)                                                                                                \
			return FLAG_PATH_CUT;                                                                          \
		r->head.path_at = SIZE;                                                                                \
		walk_begin(&w, task, dentry, mnt);                                                                     \
		for (int i = 0; i < DEPTH; i++) {                                                                      \
			__u32 at, length, alone;                                                                       \
                                                                                                                       \
			if (w.dentry == w.mount_root) {                                                                \
				if (!walk_cross(&w))                                                                   \
					return 0;                                                                      \
				continue;                                                                              \
			}                                                                                              \
			if (read_dentry(&core, w.dentry))                                                              \
				return FLAG_PATH_CUT;                                                                  \
			length = core.hash_len >> 32;                                                                  \
			at = r->head.path_at;                                                                          \
			alone = core.parent == w.dentry; /* no directory above: a memfd's name */                      \
			if (length > 255 || length + 1 > at)                                                           \
				return FLAG_PATH_CUT;                                                                  \
			at -= length;                                                                                  \
			bpf_probe_read_kernel(&r->path[at & (SIZE - 1)], length & 255, core.name);                     \
			at -= !alone;                                                                                  \
			if (!alone)                                                                                    \
				r->path[at & (SIZE - 1)] = '/';                                                        \
			r->head.path_at = at;                                                                          \
			if (alone)                                                                                     \
				return 0;                                                                              \
			w.dentry = core.parent;                                                                        \
		}                                                                                                      \
		return FLAG_PATH_CUT;                                                                                  \
	}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who is covered: by entry of its process, or, where a process found no room, by cgroup. */
#ifndef DISCOVER_ENFORCE_TASK_H
#define DISCOVER_ENFORCE_TASK_H

#include "enforce_tables.h"

#define CGROUP_DEPTH 24

#define WALK_NAMES 16 /* in one piece */

enum { WALK_MORE, WALK_DONE, WALK_CUT };

static __always_inline __u64 number_of(void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

static __always_inline struct domain *domain_at(__u32 domain)
{
	return bpf_map_lookup_elem(&domains, &domain);
}

static __always_inline struct kernfs_node *node_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
}

static __always_inline struct kernfs_node *node_above(struct kernfs_node *node)
{
	struct kernfs_node___6_15 *newer = (void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return BPF_CORE_READ(newer, __parent);
	return BPF_CORE_READ(node, parent);
}

/* The domain of a cgroup or of the nearest one above it; 0: none. */
__noinline __u32 domain_of_cgroup(__u64 of)
{
	struct kernfs_node *node = (struct kernfs_node *)of;

	for (int i = 0; i < CGROUP_DEPTH; i++) {
		struct root *root;
		__u64 id;

		if (!node)
			return 0;
		id = BPF_CORE_READ(node, id);
		root = bpf_map_lookup_elem(&roots, &id);
		if (root)
			return root->domain;
		node = node_above(node);
	}
	return 0;
}

/* The cgroup that tells a cgroup's instance from others; 0: the domain covers it by its processes alone. */
__noinline __u64 home_of_cgroup(__u64 of)
{
	struct kernfs_node *node = (struct kernfs_node *)of;
	__u64 below = 0;

	for (int i = 0; i < CGROUP_DEPTH; i++) {
		struct root *root;
		__u64 id;

		if (!node)
			return 0;
		id = BPF_CORE_READ(node, id);
		root = bpf_map_lookup_elem(&roots, &id);
		if (root)
			return root->holds && below ? below : id;
		below = id;
		node = node_above(node);
	}
	return 0;
}

static __always_inline int cover(__u32 tgid, struct covered *fresh)
{
	if (!bpf_map_update_elem(&covered, &tgid, fresh, BPF_ANY))
		return 0;
	state.overflowed = 1;
	return -EAGAIN;
}

static __always_inline __u32 mount_namespace_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
}

/* The entry of the process that runs, if it is covered. */
static __always_inline struct covered *current_covered(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct covered *t = bpf_map_lookup_elem(&covered, &tgid);
	struct task_struct *task;
	struct covered fresh = {.state = TASK_JUDGED};

	if (t || !state.overflowed)
		return t;
	task = (struct task_struct *)bpf_get_current_task();
	fresh.domain = domain_of_cgroup((__u64)node_of(task));
	if (!fresh.domain)
		return 0;
	fresh.mount_namespace = mount_namespace_of(task);
	fresh.home = home_of_cgroup((__u64)node_of(task));
	cover(tgid, &fresh);
	return bpf_map_lookup_elem(&covered, &tgid);
}

/*
 * The policy word by which a task is to be judged now. Of an instance that nobody knows, what enters is its first
 * executable; any other ran before there was a policy.
 */
__noinline __u64 policy_now(void)
{
	struct covered *t = current_covered();
	struct instance_key key = {};
	struct instance *instance;
	struct domain *d;

	if (!t)
		return 0;
	d = domain_at(t->domain);
	if (!d)
		return 0;
	if (!d->starting)
		return d->policy;
	key.domain = t->domain;
	key.home = t->state == TASK_ENTERING ? home_of_cgroup((__u64)node_of((void *)bpf_get_current_task())) : t->home;
	instance = bpf_map_lookup_elem(&instances, &key);
	if (!instance || (!instance->leader && t->state == TASK_ENTERING))
		return t->state == TASK_ENTERING ? d->starting : d->policy;
	if (!instance->ready && d->ready_after && bpf_ktime_get_boot_ns() - instance->since >= d->ready_after)
		instance->ready = 1;
	return instance->ready ? d->policy : d->starting;
}

/* The instance of the task that runs listens: it is ready, where that is what was agreed. */
static __always_inline void note_listen(struct covered *t)
{
	struct domain *d = domain_at(t->domain);
	struct instance_key key = {.home = t->home, .domain = t->domain};
	struct instance *instance;

	if (!d || !d->starting || !d->ready_on_listen)
		return;
	instance = bpf_map_lookup_elem(&instances, &key);
	if (instance)
		instance->ready = 1;
}

static __always_inline void fail(struct domain *d, enum failure why, __u32 pid, __u32 code)
{
	if (d->failed || !d->block || !d->deadline || bpf_ktime_get_boot_ns() >= d->deadline)
		return;
	d->failed_pid = pid;
	d->failed_code = code;
	bpf_get_current_comm(d->failed_comm, sizeof(d->failed_comm));
	d->failed = why;
}

/* Whether a file lies in the task's own mount namespace, and that is the container's. */
static __always_inline bool of_own_mounts(struct task_struct *task, struct vfsmount *mnt, struct domain *d)
{
	struct mnt_namespace *own = BPF_CORE_READ(task, nsproxy, mnt_ns);

	if (own != BPF_CORE_READ(mount_of(mnt), mnt_ns))
		return false;
	return !d->own_mounts || BPF_CORE_READ(own, ns.inum) != host_mount_namespace;
}

static __always_inline __u32 renames(void)
{
	__u32 count = 0;

	if (rename_lock_address)
		bpf_probe_read_kernel(&count, sizeof(count), (void *)rename_lock_address);
	return count;
}

static __always_inline void begin_walk(struct scratch *s, __u64 dentry, __u64 mnt)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	s->walk[0] = dentry;
	s->walk[1] = (__u64)mount_of((struct vfsmount *)mnt);
	s->walk[2] = (__u64)BPF_CORE_READ((struct vfsmount *)mnt, mnt_root);
	s->walk[3] = (__u64)BPF_CORE_READ(task, nsproxy, mnt_ns, root);
	s->head.path_at = PATH_ROOM;
}

/* Some names of a walk (walk.h): WALK_MORE, WALK_DONE or WALK_CUT. In pieces, as the automata read (enforce_tables.h). */
__noinline int walk_piece(__u32 at)
{
	struct scratch *s = scratch_at(at);
	struct dentry_core core;
	struct walk w;

	if (!s)
		return WALK_CUT;
	w.dentry = (struct dentry *)s->walk[0];
	w.mount = (struct mount *)s->walk[1];
	w.mount_root = (struct dentry *)s->walk[2];
	w.top = (struct mount *)s->walk[3];
	for (int i = 0; i < WALK_NAMES; i++) {
		__u32 end, length;

		if (w.dentry == w.mount_root) {
			if (!walk_cross(&w))
				return WALK_DONE;
			continue;
		}
		if (read_dentry(&core, w.dentry))
			return WALK_CUT;
		length = core.hash_len >> 32;
		end = s->head.path_at;
		if (length > 255 || length + 1 > end)
			return WALK_CUT;
		end -= length;
		bpf_probe_read_kernel(&s->path[end & (PATH_ROOM - 1)], length & 255, core.name);
		if (core.parent == w.dentry) { /* no directory above: a memfd's name */
			s->head.path_at = end;
			return WALK_DONE;
		}
		end--;
		s->path[end & (PATH_ROOM - 1)] = '/';
		s->head.path_at = end;
		w.dentry = core.parent;
	}
	s->walk[0] = (__u64)w.dentry;
	s->walk[1] = (__u64)w.mount;
	s->walk[2] = (__u64)w.mount_root;
	return WALK_MORE;
}

/* Walks an object's path into a scratch. 0, or why there is none: a `reason`. A walk that raced is repeated. */
__noinline int walk_into(__u32 at, __u64 dentry, __u64 mnt)
{
	struct scratch *s = scratch_at(at);
	int done = WALK_MORE;

	if (!s)
		return REASON_NO_ROOM;
	for (int i = 0; i < 4; i++) {
		__u32 before = renames();

		begin_walk(s, dentry, mnt);
		done = WALK_MORE;
		for (int piece = 0; piece < WALK_DEPTH_LONG / WALK_NAMES && !done; piece++)
			done = walk_piece(at);
		if (!(before & 1) && before == renames()) {
			if (done != WALK_DONE)
				return REASON_PATH_TOO_LONG;
			if (s->head.path_at >= PATH_ROOM) { /* the root itself */
				s->head.path_at = PATH_ROOM - 1;
				s->path[PATH_ROOM - 1] = '/';
			}
			return 0;
		}
	}
	return REASON_RACED;
}

/* The number of a task's executable among the sources of the scratch's policy. */
static __always_inline __u32 source_of(__u32 at, __u64 of)
{
	struct task_struct *task = (struct task_struct *)of;
	struct file *file = BPF_CORE_READ(task, mm, exe_file);
	struct scratch *s = scratch_at(at);
	void *policy;
	__u32 start;

	if (!s || !file)
		return 0;
	policy = policy_words(s->policy);
	if (!policy)
		return 0;
	start = head_of(policy, HEAD_SOURCES);
	if (!start)
		return 0;
	if (walk_into(at, (__u64)BPF_CORE_READ(file, f_path.dentry), (__u64)BPF_CORE_READ(file, f_path.mnt)))
		return 0;
	return run(start, at, s->head.path_at);
}

/*
 * Notes in a scratch whose rules are asked: for an exec those of the parent, else those of the process that runs, from
 * its entry if that is of the same policy.
 */
__noinline int find_source(__u32 at, __u32 process)
{
	struct covered *t = current_covered();
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct scratch *s = scratch_at(at);
	__u64 me;

	if (!t || !s)
		return 0;
	if (process) {
		s->source = source_of(at, (__u64)BPF_CORE_READ(task, real_parent));
		return 0;
	}
	if (t->policy == s->policy) {
		s->source = t->source;
		return 0;
	}
	me = s->owner;
	s->source = source_of(at, (__u64)task);
	if (s->owner == me) { /* else what was read may be another task's */
		t->source = s->source;
		t->policy = s->policy;
	}
	return 0;
}

#endif

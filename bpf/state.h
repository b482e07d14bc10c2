/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the programs share: settings, the maps that are the set of behaviours, and what a request is. */
#ifndef DISCOVER_STATE_H
#define DISCOVER_STATE_H

#include "kernel.h"
#include "record.h"

#define EEXIST 17

/* Set before loading. */
CONSTANT(__u32, track_host, 0);		  /* every task, but those of `recorder` */
CONSTANT(__u32, recorder, 0);		  /* the recorder's own tgid */
CONSTANT(__u32, own_mounts_needed, 0);	  /* a container: its runtime is done once it executes from its own mounts */
CONSTANT(__u64, host_mount_namespace, 0); /* inode number of the recorder's; 0: unknown */
CONSTANT(__s32, subsystem, -1);		  /* index in css_set.subsys of the v1 controller that tells containers apart */
CONSTANT(__u64, rename_lock_address, 0);  /* the kernel's own sequence count of renames, where kallsyms has it */
CONSTANT(__u64, mount_lock_address, 0);
CONSTANT(__u32, raw, 0);

/* Read and written by user space while running. */
struct observer_state {
	__u64 epoch;			  /* of renames and mounts, as far as system calls show them */
	__u32 generation;		  /* of phases */
	__u32 recorder;			  /* tgid that is never watched with the whole host */
	__u64 lost_anywhere[LOSS_CAUSES]; /* where not even the cgroup could be noted */
	__u64 first_jiffies, first_nanoseconds, jiffies, nanoseconds; /* two moments in both units: what a jiffy is */
	__u64 raw_lost;
	__u64 raw_sent;
};
SHARED(struct observer_state, state);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} long_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 12);
} raw_events SEC(".maps");

struct { /* struct namespace_record; a page has room for 170, and is read at once */
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 12);
} namespaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 19);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct behaviour_key);
	__type(value, struct behaviour);
} behaviours SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct task);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct actor_key);
	__type(value, __u64);
} actors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} executables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 14);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct cgroup_state);
} cgroups SEC(".maps");

struct { /* cgroups to watch, with all below them; filled by user space */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 12);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} targets SEC(".maps");

#define CGROUP_NAME 248

struct cgroup_place {
	__u64 parent;
	char name[CGROUP_NAME]; /* ends in zeros */
};

struct { /* where a target's cgroup would be made anew; filled by user space */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 12);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cgroup_place);
	__type(value, __u32);
} places SEC(".maps");

struct given {
	__u64 words[PATH_LONG / 8 + 8];
};

struct { /* a program's string; used at system calls' exits only, which cannot be preempted */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct given);
} strings SEC(".maps");

struct vocabulary { /* so that the enums are in BTF */
	enum record_kind kind;
	enum operation op;
	enum access access;
	enum record_flags flags;
	enum phase phase;
	enum task_mode mode;
	enum loss loss;
};
const struct vocabulary *anchor_vocabulary __attribute__((unused));
const struct record *anchor_record __attribute__((unused));
const struct long_record *anchor_long_record __attribute__((unused));
const struct raw_record *anchor_raw_record __attribute__((unused));
const struct namespace_record *anchor_namespace_record __attribute__((unused));

struct request {
	struct behaviour_key key;
	struct dentry *dentry; /* the object, or the directory that `given` is relative to; 0: no path */
	struct vfsmount *mnt;
	struct inode *inode;
	const struct given *given;
	__u64 script; /* the behaviour that is the script of this interpreter's exec */
	__u32 given_length;
	__u16 flags;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 port;
	__u16 unused;
	__u64 address[2];
};

static __always_inline void lose_many(__u64 cgroup, __u32 cause, __u32 n)
{
	struct cgroup_state *c = bpf_map_lookup_elem(&cgroups, &cgroup);

	if (cause >= LOSS_CAUSES)
		return;
	if (c)
		__sync_fetch_and_add(&c->lost[cause], n);
	else
		__sync_fetch_and_add(&state.lost_anywhere[cause], n);
}

static __always_inline void lose(__u64 cgroup, __u32 cause)
{
	lose_many(cgroup, cause, 1);
}

/* Unique for as long as no CPU takes two records in one nanosecond; 5.10 has no atomic that returns a value. */
static __always_inline __u64 new_id(__u64 now)
{
	return now << 8 | (bpf_get_smp_processor_id() & 0xff);
}

/* A sequence count of the kernel's. */
static __always_inline __u64 sequence_at(__u64 address)
{
#ifdef HAVE_CAST
	return AS(seqcount, (void *)address)->sequence;
#else
	__u32 sequence = 0;

	bpf_probe_read_kernel(&sequence, sizeof(sequence), (void *)address);
	return sequence;
#endif
}

static __always_inline __u64 epoch_now(void)
{
	__u64 epoch = state.epoch;

	if (rename_lock_address)
		epoch += sequence_at(rename_lock_address) << 20;
	if (mount_lock_address)
		epoch += sequence_at(mount_lock_address) << 40;
	return epoch;
}

static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *css = 0;

	if (subsystem < 0)
		return BPF_CORE_READ(set, dfl_cgrp);
	bpf_core_read(&css, sizeof(css), &set->subsys[subsystem & 15]);
	return BPF_CORE_READ(css, cgroup);
}

/* Is it in the tree that tells containers apart? Ids are unique in their tree alone. */
static __always_inline bool in_own_tree(struct cgroup *cgroup)
{
	if (subsystem < 0)
		return !BPF_CORE_READ(cgroup, root, hierarchy_id);
	return BPF_CORE_READ(cgroup, root, subsys_mask) & 1U << (subsystem & 15);
}

static __always_inline struct kernfs_node *parent_node(struct kernfs_node *node)
{
	struct kernfs_node___6_15 *newer = (void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return BPF_CORE_READ(newer, __parent);
	return BPF_CORE_READ(node, parent);
}

#endif

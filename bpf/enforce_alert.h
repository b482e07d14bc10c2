/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Alerts. The first of its kind (who, what, on what, by which rule) goes through the ring with its paths; the others
 * are counted. What found no room is counted by class, so that told + counted + untold is all that happened.
 */
#ifndef DISCOVER_ENFORCE_ALERT_H
#define DISCOVER_ENFORCE_ALERT_H

#include "enforce_task.h"

DEFINE_WALK(walk_name, struct told_name, NAME_TOLD, WALK_DEPTH_SHORT)

/* A verdict on its way: which scratch holds the path, if one does. */
struct verdict {
	__u32 domain;
	__u32 generation;
	__u32 outcome;
	__u32 scratch; /* ~0: no path */
	__u8 op;
	__u8 denied;
	__u8 reason;
	__u8 policy_class;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 capability;
};

/* One piece of a path's hash. */
__noinline __u64 hash_piece(__u32 at, __u32 from, __u64 hash)
{
	struct scratch *s = scratch_at(at);

	if (!s)
		return hash;
	for (int i = 0; i < STRIDE; i++) {
		if (from + i >= PATH_ROOM)
			break;
		hash = (hash ^ byte_at(s, from + i)) * 0x100000001b3ull;
	}
	return hash;
}

__noinline __u64 hash_path(__u32 at)
{
	struct scratch *s = scratch_at(at);
	__u64 hash = 0xcbf29ce484222325ull;
	__u32 from;

	if (!s)
		return 0;
	from = s->head.path_at;
	for (int i = 0; i < PATH_ROOM / STRIDE; i++) {
		if (from >= PATH_ROOM)
			break;
		hash = hash_piece(at, from, hash);
		from += STRIDE;
	}
	return hash;
}

static __always_inline void tell_name(struct told_name *name, struct task_struct *task)
{
	struct file *file = BPF_CORE_READ(task, mm, exe_file);

	name->head.path_at = NAME_TOLD;
	if (file)
		walk_name(name, task, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt));
}

static __always_inline bool tell(struct alert_key *key, struct verdict *v, __u64 now)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);
	struct alert *a = bpf_ringbuf_reserve(&told, sizeof(*a), 0);
	struct alert_count one = {.count = 1, .last = now};
	struct scratch *s;

	if (!a)
		return false;
	if (bpf_map_update_elem(&alerts, key, &one, BPF_ANY)) {
		bpf_ringbuf_discard(a, 0);
		return false;
	}
	a->key = *key;
	a->when = now;
	a->cgroup = BPF_CORE_READ(node_of(task), id);
	a->tgid = bpf_get_current_pid_tgid() >> 32;
	a->parent = BPF_CORE_READ(parent, tgid);
	a->uid = bpf_get_current_uid_gid();
	a->family = v->family;
	a->type = v->type;
	a->protocol = v->protocol;
	a->capability = v->capability;
	bpf_get_current_comm(a->comm, sizeof(a->comm));
	a->object.head.path_at = PATH_TOLD;
	s = v->scratch == ~0u ? 0 : scratch_at(v->scratch);
	if (s) {
		__u32 from = s->head.path_at;

		bpf_probe_read_kernel(a->object.path, PATH_TOLD, s->path + PATH_ROOM - PATH_TOLD);
		a->object.head.path_at = from < PATH_ROOM - PATH_TOLD ? 0 : from - (PATH_ROOM - PATH_TOLD);
		a->object.head.size = PATH_ROOM - from;
	}
	tell_name(&a->actor, task);
	tell_name(&a->parent_actor, parent);
	bpf_ringbuf_submit(a, 0);
	return true;
}

static __always_inline bool denies(struct domain *d, __u32 policy_class)
{
	if (state.broken_glass || d->failed || !(d->block & 1 << policy_class))
		return false;
	return !d->deadline || bpf_ktime_get_boot_ns() < d->deadline;
}

/*
 * Counts and tells an outcome that is not Allow; 1 if it denies. In numbers, so that the verifier checks it once. `what`:
 * the outcome, then operation, class and reason a byte each; `policy`: the domain's word; `socket`: family, type,
 * protocol and capability; `scratch`: which one holds the path, ~0 none.
 */
__noinline int conclude(__u64 what, __u64 policy, __u64 socket, __u32 scratch)
{
	struct covered *t = current_covered();
	struct verdict verdict = {
		.outcome = what,
		.op = what >> 32,
		.policy_class = what >> 40,
		.reason = what >> 48,
		.generation = policy >> 32,
		.family = socket >> 48,
		.type = socket >> 32,
		.protocol = socket >> 16,
		.capability = socket,
		.scratch = scratch,
	};
	struct verdict *v = &verdict;
	struct domain *d;
	__u32 class = v->policy_class, reason = v->reason;
	struct alert_key key = {};
	struct alert_count *known;
	__u64 now;

	if (!t)
		return 0;
	v->domain = t->domain;
	d = domain_at(v->domain);
	if (!d)
		return 0;
	opaque(class);
	opaque(reason);
	class &= CLASSES - 1; /* both have four members */
	reason &= REASONS - 1;
	v->denied = (v->outcome & 7) == KIND_BLOCK && denies(d, class);
	if (v->denied) {
		__sync_fetch_and_add(&d->denied[class], 1);
		__sync_fetch_and_add(&d->denials, 1);
		if (d->most_denials && d->denials >= d->most_denials)
			fail(d, FAILED_DENIALS, bpf_get_current_pid_tgid() >> 32, 0);
	} else
		__sync_fetch_and_add(&d->audited[class], 1);
	if (reason)
		__sync_fetch_and_add(&d->reasons[reason], 1);
	key.domain = v->domain;
	key.generation = v->generation;
	key.outcome = v->outcome;
	key.op = v->op;
	key.denied = v->denied;
	key.reason = v->reason;
	key.policy_class = class;
	key.object = v->scratch == ~0u ? socket : hash_path(v->scratch);
	key.actor = (__u64)BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), mm, exe_file, f_path.dentry);
	now = bpf_ktime_get_boot_ns();
	known = bpf_map_lookup_elem(&alerts, &key);
	if (known) {
		__sync_fetch_and_add(&known->count, 1);
		known->last = now;
	} else if (!tell(&key, v, now)) {
		__sync_fetch_and_add(&d->untold[class], 1);
	}
	return v->denied;
}

static __always_inline __u64 what_of(__u32 outcome, __u8 op, __u8 policy_class, __u8 reason)
{
	return outcome | (__u64)op << 32 | (__u64)policy_class << 40 | (__u64)reason << 48;
}

#endif

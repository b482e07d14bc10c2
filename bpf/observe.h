/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The set of behaviours, kept in the kernel.
 *
 * A program fills a `struct request` and calls commit(). If the set has the key, a counter is all that changes: no
 * path is resolved, no string copied, no lock taken. If not, a record is reserved in the ring first, then the key is
 * inserted, then the record is submitted: what is in the set has always been told. Whatever goes wrong on the way is
 * counted for the cgroup in which it happened, and the key stays out, so that the next occurrence is told.
 *
 * A file's key is its name's hash, its directory, its inode number and its mount: cheap to read, and a hard link, a
 * second mount or a reused inode number is another key. A directory renamed above leaves all of these as they are, so
 * each entry also has the hash of the names above, compared again whenever anything was renamed or mounted since.
 */
#ifndef DISCOVER_OBSERVE_H
#define DISCOVER_OBSERVE_H

#include "state.h"
#include "walk.h"

DEFINE_WALK(walk_short, struct record, PATH_SHORT, WALK_DEPTH_SHORT)
DEFINE_WALK(walk_long, struct long_record, PATH_LONG, WALK_DEPTH_LONG)

#include "actor.h"

/* A request on its way to user space, kept here for the time of the telling: a function of its own takes no pointers. */
struct telling {
	struct request request;
	struct task task;
	__u64 chain;
	__u64 epoch;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 10);
	__type(key, __u64);
	__type(value, struct telling);
} tellings SEC(".maps");

struct { /* what a new entry is made from: the stack has no room for one */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct telling);
} no_telling SEC(".maps");

static __always_inline void count_raw(__u64 id)
{
	struct raw_record *r;

	if (!raw)
		return;
	r = bpf_ringbuf_reserve(&raw_events, sizeof(*r), 0);
	if (!r) {
		__sync_fetch_and_add(&state.raw_lost, 1);
		return;
	}
	r->id = id;
	r->when = bpf_ktime_get_ns();
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	__sync_fetch_and_add(&state.raw_sent, 1);
}

static __always_inline void count(struct behaviour *b)
{
	__sync_fetch_and_add(&b->count, 1);
	b->last = bpf_jiffies64();
	count_raw(b->id);
}

static __always_inline void fill_head(struct record_head *head, struct request *q, struct task *t, __u64 now)
{
	head->id = new_id(now);
	head->when = now;
	head->kind = RECORD_BEHAVIOUR;
	head->actor = q->key.actor;
	head->cgroup = t->cgroup;
	head->exe = q->script;
	head->parent_exe = 0;
	head->uid = t->uid;
	head->tgid = bpf_get_current_pid_tgid() >> 32;
	head->op = q->key.op;
	head->access = q->key.access;
	head->error = q->key.error;
	head->flags = q->flags;
	head->family = q->family;
	head->type = q->type;
	head->protocol = q->protocol;
	head->port = q->port;
	__builtin_memcpy(head->address, q->address, sizeof(head->address));
	head->given_length = q->given_length;
	head->path_at = 0xffff;
	head->mount_namespace = 0;
	head->mode = 0;
	head->fs[0] = 0;
	if (q->inode) {
		struct inode *inode = q->inode;
		const char *name = BPF_CORE_READ(inode, i_sb, s_type, name);

		head->mode = BPF_CORE_READ(inode, i_mode);
		bpf_probe_read_kernel_str(head->fs, sizeof(head->fs), name);
	}
	if (q->given) {
		struct task_struct *task = (struct task_struct *)bpf_get_current_task();

		head->mount_namespace = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	}
	if (q->dentry)
		head->flags |= walk_flags(q->dentry, q->mnt);
}

/* The id under which the set has the behaviour now: `id`, or another's who was faster; 0: lost, and counted. */
static __always_inline __u64 enter_set(struct request *q, struct task *t, __u64 id, __u64 chain, __u64 epoch)
{
	struct behaviour fresh = {.id = id, .count = 1, .chain = chain, .epoch = epoch};
	long error;

	fresh.last = bpf_jiffies64();
	state.jiffies = fresh.last;
	state.nanoseconds = bpf_ktime_get_ns();
	if (!state.first_jiffies) {
		state.first_jiffies = state.jiffies;
		state.first_nanoseconds = state.nanoseconds;
	}
	error = bpf_map_update_elem(&behaviours, &q->key, &fresh, BPF_NOEXIST);
	if (!error) {
		count_raw(id);
		return id;
	}
	if (error == -EEXIST) {
		struct behaviour *b = bpf_map_lookup_elem(&behaviours, &q->key);

		if (b) {
			count(b);
			return b->id;
		}
	}
	lose(t->cgroup, LOSS_MAP_FULL);
	return 0;
}

static __always_inline __u64 settle(struct telling *g, void *record, __u64 id)
{
	__u64 known = enter_set(&g->request, &g->task, id, g->chain, g->epoch);

	if (known == id)
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	return known;
}

__noinline __u64 tell_long(void)
{
	__u64 self_id = bpf_get_current_pid_tgid();
	struct telling *g = bpf_map_lookup_elem(&tellings, &self_id);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct long_record *r;
	__u32 length;

	if (!g)
		return 0;
	r = bpf_ringbuf_reserve(&long_events, sizeof(*r), 0);
	if (!r) {
		lose(g->task.cgroup, LOSS_RING_FULL);
		return 0;
	}
	fill_head(&r->head, &g->request, &g->task, bpf_ktime_get_ns());
	if (g->request.dentry && walk_long(r, task, g->request.dentry, g->request.mnt)) {
		r->head.flags |= FLAG_PATH_CUT;
		lose(g->task.cgroup, LOSS_PATH_TRUNCATED);
	}
	length = g->request.given_length;
	if (length > PATH_LONG)
		length = PATH_LONG;
	if (length)
		bpf_probe_read_kernel(r->given, length, g->request.given);
	return settle(g, r, r->head.id);
}

#define TOO_LONG 1

/* The id, or TOO_LONG. Calling on from here would exceed the 512 bytes of stack that all frames share. */
__noinline __u64 tell_short(void)
{
	__u64 self_id = bpf_get_current_pid_tgid();
	struct telling *g = bpf_map_lookup_elem(&tellings, &self_id);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct record *r;
	__u32 length;

	if (!g)
		return 0;
	length = g->request.given_length;
	if (length > PATH_SHORT)
		return TOO_LONG;
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r) {
		lose(g->task.cgroup, LOSS_RING_FULL);
		return 0;
	}
	fill_head(&r->head, &g->request, &g->task, bpf_ktime_get_ns());
	if (g->request.dentry && walk_short(r, task, g->request.dentry, g->request.mnt)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return TOO_LONG;
	}
	if (length)
		bpf_probe_read_kernel(r->given, length, g->request.given);
	return settle(g, r, r->head.id);
}

static __always_inline __u64 tell(struct request *q, struct task *t, __u64 chain, __u64 epoch)
{
	__u64 self_id = bpf_get_current_pid_tgid(), id = 0;
	__u32 zero = 0;
	struct telling *g = bpf_map_lookup_elem(&no_telling, &zero);

	if (g && !bpf_map_update_elem(&tellings, &self_id, g, BPF_ANY))
		g = bpf_map_lookup_elem(&tellings, &self_id);
	else
		g = 0;
	if (!g) {
		lose(t->cgroup, LOSS_MAP_FULL);
		return 0;
	}
	g->request = *q;
	g->task = *t;
	g->chain = chain;
	g->epoch = epoch;
	id = tell_short();
	if (id == TOO_LONG)
		id = tell_long();
	bpf_map_delete_elem(&tellings, &self_id);
	return id;
}

/* The id of the behaviour; 0: lost, and counted. */
static __noinline __u64 commit(struct request *q, struct task *t, struct task_struct *task)
{
	struct behaviour *b;
	__u64 chain = 0, epoch = 0;

	if (!q || !t)
		return 0;
	q->key.actor = actor_of(t, task);
	if (!q->key.actor)
		return 0;
	b = bpf_map_lookup_elem(&behaviours, &q->key);
	if (!q->dentry) {
		if (b) {
			count(b);
			return b->id;
		}
		return tell(q, t, 0, 0);
	}
	epoch = epoch_now();
	if (b && b->epoch == epoch) {
		count(b);
		return b->id;
	}
	chain = chain_hash((__u64)q->dentry, (__u64)q->mnt);
	if (b && b->chain != chain) {
		q->key.variant = chain;
		b = bpf_map_lookup_elem(&behaviours, &q->key);
	}
	if (b) {
		b->epoch = epoch;
		count(b);
		return b->id;
	}
	return tell(q, t, chain, epoch);
}

#endif

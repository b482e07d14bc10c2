/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Deeds whose success is not known yet. A hook comes before the deed, so what was changed is kept until the system call
 * returns (`pendings`): only then is it known whether it worked. io_uring's deeds have no system call of their own and
 * are told at once.
 */
#ifndef DISCOVER_PENDING_H
#define DISCOVER_PENDING_H

#include "calls.h"
#include "lifecycle.h"

#define IO_URING_ENTER 426 /* on every machine */
#define KERNEL_STACK (16 << 10)

/* A deed whose success is not known yet, with its path walked if the set does not have it. */
struct pending {
	struct record_head head; /* path_at, as the walk leaves it */
	char path[PATH_LONG];
	char given[PATH_SHORT]; /* behind the walk's end */
	struct request request;
	__u64 chain;
	__u64 epoch;
	__u64 cut;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 12);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct pending);
} pendings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pending);
} blank SEC(".maps");

DEFINE_WALK(walk_pending, struct pending, PATH_LONG, WALK_DEPTH_LONG)

/* Walks the path of a pending deed. */
__noinline int walk_later(__u64 id)
{
	struct pending *p = bpf_map_lookup_elem(&pendings, &id);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	if (!p)
		return 0;
	p->cut = walk_pending(p, task, p->request.dentry, p->request.mnt);
	return 0;
}

/* The number of the system call that the task is in; -1: none, or not to be known. */
static __always_inline long current_call(struct task_struct *task)
{
	struct pt_regs *regs;

	if (BPF_CORE_READ(task, flags) & PF_IO_WORKER)
		return -1;
#ifdef BEFORE_FIND_VMA
	/* Its registers lie at the top of its stack (task_pt_regs() in arch/x86/include/asm/processor.h). */
	regs = (struct pt_regs *)(BPF_CORE_READ(task, stack) + KERNEL_STACK - bpf_core_type_size(struct pt_regs___x86));
#else
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
#endif
	return BPF_CORE_READ((struct pt_regs___x86 *)regs, orig_ax);
}

static __always_inline bool in_io_uring(struct task_struct *task)
{
	return BPF_CORE_READ(task, flags) & PF_IO_WORKER || current_call(task) == IO_URING_ENTER;
}

static __always_inline bool in_open(struct task_struct *task)
{
	long number = current_call(task);
	bool compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	__u8 op;

	if (number < 0 || number >= CALLS)
		return true;
	op = compat ? calls_compat[number].op : calls[number].op;
	return op == OP_OPEN || op == CALL_OPENAT2 || op == CALL_CREAT || number == IO_URING_ENTER;
}

static __always_inline __u64 pending_id(__u32 which)
{
	return bpf_get_current_pid_tgid() << 1 | which;
}

/* Keeps a deed until the system call returns. */
static __always_inline int postpone(struct request *q, struct task *t, struct task_struct *task, __u32 which)
{
	__u64 id = pending_id(which);
	struct behaviour *b;
	struct pending *p;
	__u32 zero = 0;

	if (in_io_uring(task)) {
		commit(q, t, task);
		return 0;
	}
	q->key.actor = actor_of(t, task);
	if (!q->key.actor)
		return 0;
	p = bpf_map_lookup_elem(&blank, &zero);
	if (!p || bpf_map_update_elem(&pendings, &id, p, BPF_ANY)) {
		lose(t->cgroup, LOSS_MAP_FULL);
		return 0;
	}
	p = bpf_map_lookup_elem(&pendings, &id);
	if (!p)
		return 0;
	p->epoch = epoch_now();
	p->chain = chain_hash((__u64)q->dentry, (__u64)q->mnt);
	b = bpf_map_lookup_elem(&behaviours, &q->key);
	if (b && b->epoch != p->epoch && b->chain != p->chain) {
		q->key.variant = p->chain;
		b = bpf_map_lookup_elem(&behaviours, &q->key);
	}
	p->request = *q;
	if (!b) {
		fill_head(&p->head, q, t, bpf_ktime_get_ns());
		walk_later(id);
	}
	return 0;
}

/* The record of a deed that worked. */
__noinline int tell_done(__u64 pending)
{
	struct pending *p = bpf_map_lookup_elem(&pendings, &pending);
	struct task *t = watched();
	struct behaviour *b;
	struct record *r;
	__u32 at;
	__u64 now, id;

	if (!p || !t)
		return 0;
	b = bpf_map_lookup_elem(&behaviours, &p->request.key);
	if (b) {
		count(b);
		return 0;
	}
	if (!p->head.kind) {
		lose(t->cgroup, LOSS_UNRESOLVED);
		return 0;
	}
	at = p->head.path_at;
	now = bpf_ktime_get_ns();
	id = new_id(now);
	if (at < PATH_LONG - PATH_SHORT || p->cut) {
		struct long_record *l = bpf_ringbuf_reserve(&long_events, sizeof(*l), 0);

		if (!l) {
			lose(t->cgroup, LOSS_RING_FULL);
			return 0;
		}
		l->head = p->head;
		bpf_probe_read_kernel(l->path, PATH_LONG, p->path);
		if (p->cut) {
			l->head.flags |= FLAG_PATH_CUT;
			lose(t->cgroup, LOSS_PATH_TRUNCATED);
		}
		l->head.id = id;
		l->head.when = now;
		if (enter_set(&p->request, t, id, p->chain, p->epoch) == id)
			bpf_ringbuf_submit(l, BPF_RB_NO_WAKEUP);
		else
			bpf_ringbuf_discard(l, BPF_RB_NO_WAKEUP);
		return 0;
	}
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r) {
		lose(t->cgroup, LOSS_RING_FULL);
		return 0;
	}
	r->head = p->head;
	bpf_probe_read_kernel(r->path, PATH_SHORT, p->path + PATH_LONG - PATH_SHORT);
	r->head.path_at = at - (PATH_LONG - PATH_SHORT);
	r->head.id = id;
	r->head.when = now;
	if (enter_set(&p->request, t, id, p->chain, p->epoch) == id)
		bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void settle_one(__u32 which, long result)
{
	__u64 id = pending_id(which);

	if (!bpf_map_lookup_elem(&pendings, &id))
		return;
	if (result >= 0)
		tell_done(id);
	bpf_map_delete_elem(&pendings, &id);
}

/*
 * A system call returns: what it had announced is told if it worked, and forgotten. No loop: 6.1's verifier takes a
 * loop's head right behind a call for a forbidden edge.
 */
static __always_inline void settle_pendings(long result)
{
	settle_one(0, result);
	settle_one(1, result);
}

#endif

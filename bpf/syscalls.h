/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * System calls, read at their exit. The exit shows whether it worked, the open file that came of it, and the arguments,
 * which are still in the registers; a 32-bit program's come in other registers under other numbers. User space fills
 * the two tables with what each number means on this machine.
 *
 * An object that is open is read from the kernel's own structures. A name is read from the program's memory after the
 * fact, and says so (FLAG_JOINED, FLAG_ASKED): the directory that it is relative to is the kernel's.
 *
 * With security hooks (HOOKS) it tells of sockets and of failures alone: the hooks have seen what was done to files.
 */
#ifndef DISCOVER_SYSCALLS_H
#define DISCOVER_SYSCALLS_H

#include "call_files.h"
#include "call_sockets.h"
#include "lifecycle.h"
#ifdef HOOKS
#include "hooks.h"
#endif

/* One call on its way through the program. A system call's exit cannot be preempted, so one a CPU will do. */
struct frame {
	struct invocation call;
	struct call how;
	struct request request;
	__u64 cgroup;
	__u16 error;
	__u8 op;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

/* Fills the frame's request with the i-th thing that the call did. A function of its own, so that it is checked once. */
__noinline int told(__u32 i)
{
	__u32 zero = 0;
	struct frame *frame = bpf_map_lookup_elem(&frames, &zero);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct invocation *v;
	struct request *q;
	struct call *call;
	__u64 cgroup;
	__u8 op;
	struct file *file;

	if (!frame)
		return NOTHING;
	cgroup = frame->cgroup;
	v = &frame->call;
	q = &frame->request;
	call = &frame->how;
	op = frame->op;
	__builtin_memset(q, 0, sizeof(*q));
	q->key.error = frame->error;
	switch (op) {
	case OP_NONE:
	case CALL_MOUNTS:
	case CALL_NAMESPACE:
		return NOTHING;
	case OP_SOCKET:
	case CALL_SOCKETPAIR:
	case OP_CONNECT:
	case OP_BIND:
	case OP_LISTEN:
	case OP_ACCEPT:
		return told_socket(q, cgroup, task, v, op);
	case CALL_SENDTO:
		return told_send(q, task, v->args[0], v->args[4], v->args[5], v->args[3]);
	case CALL_SENDMSG:
	case CALL_SENDMMSG:
		return told_message(q, cgroup, task, v, op == CALL_SENDMMSG, i);
	case CALL_EXEC:
		if (!q->key.error)
			return NOTHING;
		op = OP_EXEC;
		break;
	case OP_UNLINK:
		if (call->flags != NO_ARGUMENT && argument(v, call->flags) & AT_REMOVEDIR)
			op = OP_RMDIR;
		break;
	case OP_OPEN:
	case CALL_OPENAT2:
	case CALL_CREAT: {
		int done = told_open(q, v, op, call->flags);

		op = OP_OPEN;
		q->key.op = op;
		if (done != SKIP)
			return done;
		return told_names(q, cgroup, task, v, call, op, i);
	}
	}
	file = file_in_call(v, task, op, call->fd);
	if (file && op == CALL_MPROTECT) {
		q->key.op = OP_MPROTECT_EXEC;
		about_mapped_file(q, file);
		return LAST;
	}
	if (file) {
		q->key.op = op == CALL_MMAP ? OP_MMAP_EXEC : op;
		about_file(q, file);
		return LAST;
	}
	return told_names(q, cgroup, task, v, call, op, i);
}

/* Tells the i-th thing that the call did; whether there may be another. Checked once, however often the loop calls it. */
__noinline int tell_one(__u32 i)
{
	__u32 zero = 0;
	struct frame *frame = bpf_map_lookup_elem(&frames, &zero);
	struct task *t = watched();
	int done = told(i);

	if (!frame || !t || done == NOTHING)
		return 0;
	if (done != SKIP)
		commit(&frame->request, t, (struct task_struct *)bpf_get_current_task());
	return done != LAST;
}

static __always_inline int told_call(struct frame *frame, struct task *t)
{
	int more = 1;

	frame->cgroup = t->cgroup;
	frame->error = error_of(&frame->call);
	frame->op = frame->how.op;
	if (frame->error >= ERESTARTSYS && frame->error <= ERESTARTSYS + 20)
		return 0; /* it will be tried again, unseen by the program */
	if (frame->op == CALL_SOCKETCALL)
		frame->op = unpack_socketcall(&frame->call);
	for (__u32 i = 0; i < SEND_BATCH && more; i++) {
		more = tell_one(i);
		opaque(more); /* the loop's head must not lie right behind the call: 6.1 takes that for a back-edge */
	}
	return 0;
}

#ifdef HOOKS
/* What the hooks leave to the system call's exit, whether it worked or not. */
static __always_inline bool hooks_leave(__u8 op)
{
	switch (op) {
#ifdef BEFORE_FIND_VMA
	case OP_CHOWN:
#endif
	case OP_SETXATTR:
	case OP_SOCKET:
	case OP_CONNECT:
	case OP_LISTEN:
	case OP_ACCEPT:
	case CALL_SOCKETPAIR:
	case CALL_SOCKETCALL:
	case CALL_SENDTO:
	case CALL_SENDMSG:
	case CALL_SENDMMSG:
		return true;
	}
	return false;
}
#endif

/*
 * Names and mounts may lead elsewhere once such a call has worked, and a directory that is removed leaves its place in
 * memory to another. Of every task, watched or not. The third argument is in one register for programs of both kinds; in
 * unlink(), which has none, it is chance, and an epoch too many does no harm.
 */
static __always_inline bool moves_names(__u8 op, struct pt_regs *regs)
{
	if (op == OP_UNLINK)
		return third_argument(regs) & AT_REMOVEDIR;
	return op == CALL_RENAME || op == OP_RMDIR || op == CALL_MOUNTS || op == CALL_NAMESPACE;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	long number = syscall_number(regs);
	struct task_struct *task;
	struct frame *frame;
	struct task *t;
	__u32 zero = 0;
	__u8 op, op_compat;
	bool compat;

	if (number >= 0 && number & X32_BIT)
		number &= ~X32_BIT;
	if (number < 0 || number >= CALLS)
		return 0;
	op = calls[number].op;
	op_compat = calls_compat[number].op;
	if (!op && !op_compat)
		return 0;
	if (result == 0 && (moves_names(op, regs) || moves_names(op_compat, regs)))
		__sync_fetch_and_add(&state.epoch, 1);
	task = this_task();
	t = watched_process(own_tgid(task));
	if (!t)
		return 0;
	compat = own_status(task) & TS_COMPAT;
	if (compat)
		op = op_compat;
	if (!op)
		return 0;
#ifdef HOOKS
	if (!hooks_leave(op)) {
		if (op != OP_OPEN)
			settle_pendings(result);
		if (result >= 0 && op != OP_BIND && op != CALL_NAMESPACE)
			return 0;
	}
#else
	if (op == OP_OPEN && result >= 0 && !compat) {
		__u32 flags = calls[number].flags == 1 ? second_argument(regs) : third_argument(regs);

		if (repeated_open(t, task, flags, result))
			return 0;
	}
#endif
	if (op == CALL_NAMESPACE && result == 0) {
		know_executable(t, (struct task_struct *)bpf_get_current_task());
		tell_namespace((struct task_struct *)bpf_get_current_task());
		return 0;
	}
	frame = bpf_map_lookup_elem(&frames, &zero);
	if (!frame)
		return 0;
	frame->call.compat = compat;
	if (compat)
		__builtin_memcpy(&frame->how, (const void *)&calls_compat[number], sizeof(frame->how));
	else
		__builtin_memcpy(&frame->how, (const void *)&calls[number], sizeof(frame->how));
	frame->call.result = result;
	read_arguments(&frame->call, regs);
	return told_call(frame, t);
}

#endif

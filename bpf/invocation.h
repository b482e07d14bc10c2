/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A system call as it returns: its number, arguments and result, for programs of 64 and of 32 bits. */
#ifndef DISCOVER_INVOCATION_H
#define DISCOVER_INVOCATION_H

#include "calls.h"
#include "kernel.h"

struct invocation {
	__u64 args[6];
	long result;
	bool compat;
};

static __always_inline long syscall_number(struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm = (void *)regs;

	if (bpf_core_field_exists(x86->orig_ax))
		return (long)TRUSTED(x86, orig_ax);
	return TRUSTED(arm, syscallno);
}

/*
 * The current task, and what every call's exit asks of it: by plain loads where the verifier lets us follow its pointers,
 * which a call of a helper each would take longer.
 */
#ifdef HAVE_TASK_BTF
static __always_inline struct task_struct *this_task(void)
{
	return bpf_get_current_task_btf();
}

static __always_inline __u32 own_tgid(struct task_struct *task)
{
	return task->tgid;
}

static __always_inline __u32 own_uid(struct task_struct *task)
{
	return task->cred->uid.val;
}

static __always_inline __u32 own_status(struct task_struct *task)
{
	return bpf_core_field_exists(task->thread_info.status) ? task->thread_info.status : 0; /* x86 alone */
}
#else
static __always_inline struct task_struct *this_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

static __always_inline __u32 own_tgid(struct task_struct *task)
{
	return bpf_get_current_pid_tgid() >> 32;
}

static __always_inline __u32 own_uid(struct task_struct *task)
{
	return bpf_get_current_uid_gid();
}

static __always_inline __u32 own_status(struct task_struct *task)
{
	return bpf_core_field_exists(task->thread_info.status) ? BPF_CORE_READ(task, thread_info.status) : 0;
}
#endif

/* Of a 64-bit call. */
static __always_inline __u64 second_argument(struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm = (void *)regs;

	return bpf_core_field_exists(x86->orig_ax) ? TRUSTED(x86, si) : TRUSTED(arm, regs[1]);
}

static __always_inline __u64 third_argument(struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm = (void *)regs;

	return bpf_core_field_exists(x86->orig_ax) ? TRUSTED(x86, dx) : TRUSTED(arm, regs[2]);
}

static __always_inline void read_arguments(struct invocation *v, struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm = (void *)regs;

	if (!bpf_core_field_exists(x86->orig_ax)) {
		v->args[0] = TRUSTED(arm, orig_x0);
		v->args[1] = TRUSTED(arm, regs[1]);
		v->args[2] = TRUSTED(arm, regs[2]);
		v->args[3] = TRUSTED(arm, regs[3]);
		v->args[4] = TRUSTED(arm, regs[4]);
		v->args[5] = TRUSTED(arm, regs[5]);
	} else if (v->compat) {
		v->args[0] = (__u32)TRUSTED(x86, bx);
		v->args[1] = (__u32)TRUSTED(x86, cx);
		v->args[2] = (__u32)TRUSTED(x86, dx);
		v->args[3] = (__u32)TRUSTED(x86, si);
		v->args[4] = (__u32)TRUSTED(x86, di);
		v->args[5] = (__u32)TRUSTED(x86, bp);
	} else {
		v->args[0] = TRUSTED(x86, di);
		v->args[1] = TRUSTED(x86, si);
		v->args[2] = TRUSTED(x86, dx);
		v->args[3] = TRUSTED(x86, r10);
		v->args[4] = TRUSTED(x86, r8);
		v->args[5] = TRUSTED(x86, r9);
	}
}

static __always_inline __u64 argument(struct invocation *v, __u8 index)
{
	switch (index) {
	case 0:
		return v->args[0];
	case 1:
		return v->args[1];
	case 2:
		return v->args[2];
	case 3:
		return v->args[3];
	case 4:
		return v->args[4];
	}
	return 0;
}

/* i386's one call for all of sockets. */
static __always_inline __u8 unpack_socketcall(struct invocation *v)
{
	__u32 packed[6] = {};
	__u32 which = v->args[0];

	bpf_probe_read_user(packed, sizeof(packed), (void *)v->args[1]);
	for (int i = 0; i < 6; i++)
		v->args[i] = packed[i];
	switch (which) {
	case 1:
		return OP_SOCKET;
	case 2:
		return OP_BIND;
	case 3:
		return OP_CONNECT;
	case 4:
		return OP_LISTEN;
	case 5:
	case 18:
		return OP_ACCEPT;
	case 8:
		return CALL_SOCKETPAIR;
	case 11:
		return CALL_SENDTO;
	case 16:
		return CALL_SENDMSG;
	case 20:
		return CALL_SENDMMSG;
	}
	return OP_NONE;
}

static __always_inline __u16 error_of(struct invocation *v)
{
	if (v->compat)
		v->result = (int)v->result;
	if (v->result >= 0 || v->result < -4095 || v->result == -EINPROGRESS)
		return 0;
	return -v->result;
}

/* What to do with a request after it was filled. */
enum told {
	NOTHING, /* nothing was done that is to be told, or no more of it */
	LAST,	 /* commit it */
	MORE,	 /* commit it; the call did another thing too */
	SKIP,	 /* not this one, but perhaps the next */
};

#endif

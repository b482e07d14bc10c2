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

#include "calls.h"
#include "lifecycle.h"
#ifdef HOOKS
#include "hooks.h"
#endif

struct invocation {
	__u64 args[6];
	long result;
	bool compat;
};

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

static __always_inline long syscall_number(struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm = (void *)regs;

	if (bpf_core_field_exists(x86->orig_ax))
		return (long)TRUSTED(x86, orig_ax);
	return TRUSTED(arm, syscallno);
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

/* A name as the program gave it. False: nothing to tell. */
static __always_inline bool about_name(struct request *q, __u64 cgroup, struct task_struct *task, int dirfd, __u64 name)
{
	__u32 zero = 0;
	struct given *g = bpf_map_lookup_elem(&strings, &zero);
	long length;

	if (!g)
		return false;
	length = bpf_probe_read_user_str(g, PATH_LONG, (void *)name);
	if (length < 0) {
		if (q->key.error == EFAULT)
			return false;
		lose(cgroup, LOSS_STRING_UNREADABLE);
		return false;
	}
	if (length <= 1 && dirfd >= 0) { /* AT_EMPTY_PATH: the descriptor is the object */
		struct file *file = file_of(task, dirfd);

		if (!file)
			return false;
		about_file(q, file);
		return true;
	}
	about_given(q, task, dirfd, g, length);
	return true;
}

static __always_inline bool read_address(struct given **out, __u64 address, __u32 length)
{
	__u32 zero = 0;
	struct given *g = bpf_map_lookup_elem(&strings, &zero);

	if (!g || !address || length < 2)
		return false;
	if (length > 112)
		length = 112;
	opaque(length);
	g->words[1] = 0;
	g->words[2] = 0;
	if (bpf_probe_read_user(g, length & 127, (void *)address))
		return false;
	*out = g;
	return true;
}

/* What to do with a request after it was filled. */
enum told {
	NOTHING, /* nothing was done that is to be told, or no more of it */
	LAST,	 /* commit it */
	MORE,	 /* commit it; the call did another thing too */
	SKIP,	 /* not this one, but perhaps the next */
};

/* A datagram's destination. */
static __always_inline int told_send(struct request *q, struct task_struct *task, int fd, __u64 name, __u32 length,
				     __u32 flags)
{
	struct socket *socket = socket_of(file_of(task, fd));
	struct given *g;

	if (!socket || !read_address(&g, name, length))
		return NOTHING;
	q->key.op = flags & MSG_FASTOPEN ? OP_CONNECT : OP_SEND;
	about_socket(q, socket);
	about_address(q, task, g, length);
	return LAST;
}

static __always_inline bool read_message(struct invocation *v, __u64 header, __u64 *name, __u32 *length)
{
	if (v->compat) {
		__u32 packed[2];

		if (bpf_probe_read_user(packed, sizeof(packed), (void *)header))
			return false;
		*name = packed[0];
		*length = packed[1];
	} else {
		__u64 packed[2];

		if (bpf_probe_read_user(packed, sizeof(packed), (void *)header))
			return false;
		*name = packed[0];
		*length = packed[1];
	}
	return true;
}

static __always_inline int told_message(struct request *q, __u64 cgroup, struct task_struct *task, struct invocation *v,
					bool many, __u32 i)
{
	__u64 name, header = v->args[1] + i * (v->compat ? 32 : 64);
	__u32 length, count = many && !q->key.error ? v->result : 1;

	if (i == SEND_BATCH - 1 && count > SEND_BATCH)
		lose_many(cgroup, LOSS_UNRESOLVED, count - SEND_BATCH);
	if (i >= count || !read_message(v, header, &name, &length))
		return NOTHING;
	return told_send(q, task, v->args[0], name, length, v->args[many ? 3 : 2]) == LAST ? MORE : SKIP;
}

static __always_inline int told_socket(struct request *q, __u64 cgroup, struct task_struct *task, struct invocation *v,
				       __u8 op)
{
	struct socket *socket;
	struct given *g;
	__u32 zero = 0;

	if (op == OP_SOCKET || op == CALL_SOCKETPAIR) {
		q->key.op = OP_SOCKET;
		q->family = v->args[0];
		q->type = v->args[1] & 15;
		q->protocol = v->args[2];
		q->key.object[0] = q->family | (__u64)q->type << 16 | (__u64)q->protocol << 32;
		return LAST;
	}
	q->key.op = op;
	socket = socket_of(file_of(task, op == OP_ACCEPT && v->result >= 0 ? v->result : v->args[0]));
	if (!socket)
		return NOTHING;
	about_socket(q, socket);
	if (op == OP_CONNECT || op == OP_BIND) {
		if (!read_address(&g, v->args[1], v->args[2]))
			return NOTHING;
		if (q->family == AF_UNIX && !q->key.error) {
			struct sock *sk = BPF_CORE_READ(socket, sk);
			struct unix_sock *u = (struct unix_sock *)sk;

			if (op == OP_CONNECT)
				sk = BPF_CORE_READ(u, peer);
			if (sk && about_unix_name(q, sk, g))
				return LAST;
			if (!read_address(&g, v->args[1], v->args[2]))
				return NOTHING;
		}
		about_address(q, task, g, v->args[2]);
		return LAST;
	}
	about_own_address(q, socket, op == OP_ACCEPT && v->result >= 0);
	g = bpf_map_lookup_elem(&strings, &zero);
	if (g && q->family == AF_UNIX)
		about_unix_name(q, BPF_CORE_READ(socket, sk), g);
	if (op == OP_LISTEN && !q->key.error)
		note_ready(cgroup);
	return LAST;
}

#ifdef HAVE_FIND_VMA
CALLBACK long note_file(struct task_struct *task, struct vm_area_struct *vma, void *out)
{
	*(struct file **)out = vma->vm_file;
	return 0;
}
#endif

/* The file that a call's descriptor or address stands for; 0: none. */
static __always_inline struct file *file_in_call(struct invocation *v, struct task_struct *task, __u8 op, __u8 fd)
{
	if (op == CALL_MMAP) {
		if (!(v->args[2] & PROT_EXEC) || v->args[3] & MAP_ANONYMOUS)
			return 0;
		return file_of(task, v->args[4]);
	}
#ifdef HAVE_FIND_VMA
	if (op == CALL_MPROTECT) {
		struct file *file = 0;

		if (v->args[2] & PROT_EXEC)
			bpf_find_vma(bpf_get_current_task_btf(), v->args[0], note_file, &file, 0);
		return file;
	}
#endif
	if (fd != NO_ARGUMENT)
		return file_of(task, argument(v, fd));
	return 0;
}

static __always_inline __u32 open_flags(struct invocation *v, __u8 op, __u8 at)
{
	__u64 flags = 0;

	if (op == CALL_CREAT)
		return O_CREAT | O_TRUNC | 1;
	if (op == CALL_OPENAT2) {
		bpf_probe_read_user(&flags, sizeof(flags), (void *)v->args[2]);
		return flags;
	}
	return argument(v, at);
}

/* Fills in what the call opened, and how. */
static __always_inline int told_open(struct request *q, struct task_struct *task, struct invocation *v, __u8 op,
				     __u8 at)
{
	__u32 flags = open_flags(v, op, at);
	struct opened opened;

	q->key.access = access_of_flags(flags);
	if (v->result < 0) {
		q->key.access |= flags & O_CREAT ? ACCESS_CREATE : 0;
		q->key.access |= flags & O_TRUNC ? ACCESS_TRUNCATE : 0;
		return SKIP;
	}
	if (!read_opened(&opened, task, v->result) || opened.mode & FMODE_PATH)
		return NOTHING;
	if (opened.mode & FMODE_CREATED)
		q->key.access |= ACCESS_CREATE;
	else if (flags & O_TRUNC)
		q->key.access |= ACCESS_TRUNCATE;
	about_path(q, opened.path.dentry, opened.path.mnt);
	return LAST;
}

static __always_inline int told_names(struct request *q, __u64 cgroup, struct task_struct *task, struct invocation *v,
				      const struct call *call, __u8 op, __u32 i)
{
	__u8 path = i ? call->path2 : call->path, dirfd = i ? call->dirfd2 : call->dirfd;
	int more = call->path2 != NO_ARGUMENT && !i;

	if (i > 1 || path == NO_ARGUMENT)
		return NOTHING;
	q->key.op = op;
	if (op == CALL_RENAME)
		q->key.op = i ? OP_RENAME_TO : OP_RENAME_FROM;
	if (op == CALL_LINK)
		q->key.op = i ? OP_LINK_TO : OP_LINK_FROM;
	if (call->nofollow == 1 || (call->nofollow > 1 && argument(v, call->nofollow - 2) & AT_SYMLINK_NOFOLLOW))
		q->flags |= FLAG_NOFOLLOW;
	if (!about_name(q, cgroup, task, dirfd == NO_ARGUMENT ? AT_FDCWD : (int)argument(v, dirfd), argument(v, path)))
		return more ? SKIP : NOTHING;
	return more ? MORE : LAST;
}

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
		int done = told_open(q, task, v, op, call->flags);

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

static __always_inline __u16 error_of(struct invocation *v)
{
	if (v->compat)
		v->result = (int)v->result;
	if (v->result >= 0 || v->result < -4095 || v->result == -EINPROGRESS)
		return 0;
	return -v->result;
}

/* Tells the i-th thing that the call did; whether there may be another. */
static __always_inline bool told_one(struct frame *frame, struct task *t, struct task_struct *task, __u32 i)
{
	int done = told(i);

	if (done == NOTHING)
		return false;
	if (done != SKIP)
		commit(&frame->request, t, task);
	return done != LAST;
}

/* Written out: clang makes of a loop here one whose head is fallen into from behind, which 6.1 refuses (back-edge). */
static __always_inline int told_call(struct frame *frame, struct task *t, struct task_struct *task)
{
	frame->cgroup = t->cgroup;
	frame->error = error_of(&frame->call);
	frame->op = frame->how.op;
	if (frame->error >= ERESTARTSYS && frame->error <= ERESTARTSYS + 20)
		return 0; /* it will be tried again, unseen by the program */
	if (frame->op == CALL_SOCKETCALL)
		frame->op = unpack_socketcall(&frame->call);
	if (told_one(frame, t, task, 0) && told_one(frame, t, task, 1) && told_one(frame, t, task, 2))
		told_one(frame, t, task, 3);
	return 0;
}

#ifdef HOOKS
/* What the hooks leave to the system call's exit, whether it worked or not. */
static __always_inline bool hooks_leave(__u8 op)
{
	switch (op) {
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

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	long number = syscall_number(regs);
	struct task_struct *task;
	struct frame *frame;
	struct task *t;
	__u32 zero = 0;
	__u8 op, op_compat;

	if (number >= 0 && number & X32_BIT)
		number &= ~X32_BIT;
	if (number < 0 || number >= CALLS)
		return 0;
	op = calls[number].op;
	op_compat = calls_compat[number].op;
	if (!op && !op_compat)
		return 0;
	if (result == 0 && (op == CALL_RENAME || op_compat == CALL_RENAME || op == OP_RMDIR || op_compat == OP_RMDIR ||
			    op == CALL_MOUNTS || op_compat == CALL_MOUNTS))
		__sync_fetch_and_add(&state.epoch, 1);
	t = watched();
	if (!t)
		return 0;
#ifdef HOOKS
	if (!hooks_leave(op) && !hooks_leave(op_compat)) {
		if (op != OP_OPEN)
			settle_pendings(result);
		if (result >= 0 && op != OP_BIND)
			return 0;
	}
#endif
	frame = bpf_map_lookup_elem(&frames, &zero);
	if (!frame)
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	frame->call.compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	if (frame->call.compat)
		__builtin_memcpy(&frame->how, (const void *)&calls_compat[number], sizeof(frame->how));
	else
		__builtin_memcpy(&frame->how, (const void *)&calls[number], sizeof(frame->how));
	if (!frame->how.op)
		return 0;
	frame->call.result = result;
	read_arguments(&frame->call, regs);
	return told_call(frame, t, task);
}

#endif

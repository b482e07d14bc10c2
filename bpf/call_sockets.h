/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a system call did with sockets: whom it named, and what the kernel's own socket says. */
#ifndef DISCOVER_CALL_SOCKETS_H
#define DISCOVER_CALL_SOCKETS_H

#include "invocation.h"
#include "object.h"

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

/* The i-th message of sendmmsg(), which returns how many it sent, or sendmsg()'s one. */
static __always_inline int told_message(struct request *q, __u64 cgroup, struct task_struct *task, struct invocation *v,
					bool many, __u32 i)
{
	__u64 name, header = v->args[1] + i * (v->compat ? 32 : 64);
	__u32 length, count = many && !q->key.error ? v->result : 1;

	if (i >= count)
		return NOTHING;
	if (!read_message(v, header, &name, &length)) {
		lose_many(cgroup, LOSS_STRING_UNREADABLE, q->key.error ? 0 : count - i);
		return NOTHING;
	}
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

#endif

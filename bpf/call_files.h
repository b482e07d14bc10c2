/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a system call did to files: by descriptor, by what it opened, by the names it was given. */
#ifndef DISCOVER_CALL_FILES_H
#define DISCOVER_CALL_FILES_H

#include "invocation.h"
#include "object.h"

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
/*
 * The file that the current task has mapped at an address, where bpf_find_vma() is missing (before 5.17): by the tree that
 * Linux before 6.1 keeps mappings in, 64 levels of which would be more than there are addresses.
 */
__noinline __u64 file_mapped_at(__u64 address)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct vm_area_struct *vma = 0;
	struct rb_node *node;

	if (!bpf_core_field_exists(mm->mm_rb) || !bpf_core_field_exists(vma->vm_rb))
		return 0;
	node = BPF_CORE_READ(mm, mm_rb.rb_node);
	for (int i = 0; i < 64; i++) {
		if (!node)
			return 0;
		vma = (struct vm_area_struct *)((char *)node - bpf_core_field_offset(struct vm_area_struct, vm_rb));
		if (address < BPF_CORE_READ(vma, vm_start))
			node = BPF_CORE_READ(node, rb_left);
		else if (address >= BPF_CORE_READ(vma, vm_end))
			node = BPF_CORE_READ(node, rb_right);
		else
			return (__u64)BPF_CORE_READ(vma, vm_file);
	}
	return 0;
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
	if (op == CALL_MPROTECT) {
		struct file *file = 0;

		if (!(v->args[2] & PROT_EXEC))
			return 0;
#ifdef HAVE_FIND_VMA
		bpf_find_vma(bpf_get_current_task_btf(), v->args[0], note_file, &file, 0);
#else
		file = (struct file *)file_mapped_at(v->args[0]);
#endif
		return file;
	}
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

/* What an open that worked did, by its flags and by what came of it. */
static __always_inline __u16 access_of_opened(__u32 flags, __u32 mode)
{
	__u16 access = access_of_flags(flags);

	if (mode & FMODE_CREATED)
		access |= ACCESS_CREATE;
	else if (flags & O_TRUNC)
		access |= ACCESS_TRUNCATE;
	return access;
}

#ifndef HOOKS
/*
 * An open of what the set has already is counted: the way that most events take, so in as few steps as can be. False: it
 * is to be looked at in full. What commit() does, without a request.
 */
static __noinline bool repeated_open(struct task *t, struct task_struct *task, __u32 flags, int fd)
{
	__u32 uid = own_uid(task);
	struct behaviour_key key = {.op = OP_OPEN, .actor = t->actor};
	struct opened opened;
	struct identity id;
	struct behaviour *b;

	if (!actor_stands(t, uid) || !read_opened(&opened, task, fd))
		return false;
	read_identity(&id, opened.path.dentry);
	key.access = access_of_opened(flags, opened.mode);
	key.flags = fill_key(&key, &id, opened.path.mnt, uid);
	b = bpf_map_lookup_elem(&behaviours, &key);
	if (!b || b->epoch != epoch_now() || opened.mode & FMODE_PATH)
		return false;
	count(b);
	return true;
}
#endif

/* Fills in what the call opened, and how. */
static __always_inline int told_open(struct request *q, struct invocation *v, __u8 op, __u8 at)
{
	__u32 flags = open_flags(v, op, at);
	struct opened opened;

	if (v->result < 0) {
		q->key.access = access_of_flags(flags);
		q->key.access |= flags & O_CREAT ? ACCESS_CREATE : 0;
		q->key.access |= flags & O_TRUNC ? ACCESS_TRUNCATE : 0;
		return SKIP;
	}
	if (!read_opened(&opened, this_task(), v->result) || opened.mode & FMODE_PATH)
		return NOTHING;
	q->key.access = access_of_opened(flags, opened.mode);
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

#endif

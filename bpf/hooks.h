/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Security hooks: what an LSM enforcer will judge, as it will see it.
 *
 *   file_open                      every open, also the kernel's own at an exec and io_uring's
 *   mmap_file, file_mprotect       mapped executable, made executable
 *   path_*                         unlink, rename, link, symlink, mkdir, rmdir, mknod, chmod, chown, truncate
 *   inode_setxattr                 by its dentry; the mount is found among the task's
 *   bprm_committed_creds           from here on the task is its new executable
 *   socket_*                       create, connect, bind, listen, accept, sendmsg
 *   capable                        capabilities that were used
 *
 * A hook comes before the deed: see pending.h. A failure is told by the system call's exit, as in the tracepoint back end.
 */
#ifndef DISCOVER_HOOKS_H
#define DISCOVER_HOOKS_H

#include "pending.h"

#ifdef BACKEND_LSM
#define HOOK(hook, name, ...)                                                                                          \
	SEC("lsm/" #hook)                                                                                              \
	int BPF_PROG(name, ##__VA_ARGS__)
#else
#define HOOK(hook, name, ...)                                                                                          \
	SEC("fentry/security_" #hook)                                                                                  \
	int BPF_PROG(name, ##__VA_ARGS__)
#endif

#define FMODE_EXEC_FLAG 0x20 /* __FMODE_EXEC in f_flags: opened by an exec */
#define CAP_OPT_NOAUDIT 2

static __always_inline int on_change(__u16 op, struct dentry *dentry, struct vfsmount *mnt, __u32 which)
{
	struct task *t = watched();
	struct request q = {};

	if (!t)
		return 0;
	q.key.op = op;
	about_path(&q, (struct dentry *)number_of(dentry), mnt);
	return postpone(&q, t, (struct task_struct *)bpf_get_current_task(), which);
}

HOOK(path_unlink, on_unlink, const struct path *dir, struct dentry *dentry)
{
	return on_change(OP_UNLINK, dentry, BPF_CORE_READ(dir, mnt), 0);
}

HOOK(path_rmdir, on_rmdir, const struct path *dir, struct dentry *dentry)
{
	return on_change(OP_RMDIR, dentry, BPF_CORE_READ(dir, mnt), 0);
}

HOOK(path_mkdir, on_mkdir, const struct path *dir, struct dentry *dentry)
{
	return on_change(OP_MKDIR, dentry, BPF_CORE_READ(dir, mnt), 0);
}

HOOK(path_symlink, on_symlink, const struct path *dir, struct dentry *dentry)
{
	return on_change(OP_SYMLINK, dentry, BPF_CORE_READ(dir, mnt), 0);
}

/* Also asked when an open creates a file, which the open's own row tells. */
HOOK(path_mknod, on_mknod, const struct path *dir, struct dentry *dentry)
{
	if (in_open((struct task_struct *)bpf_get_current_task()))
		return 0;
	return on_change(OP_MKNOD, dentry, BPF_CORE_READ(dir, mnt), 0);
}

HOOK(path_rename, on_rename, const struct path *old_dir, struct dentry *old, const struct path *new_dir,
     struct dentry *new)
{
	on_change(OP_RENAME_FROM, old, BPF_CORE_READ(old_dir, mnt), 0);
	return on_change(OP_RENAME_TO, new, BPF_CORE_READ(new_dir, mnt), 1);
}

/* Both names are on one mount, or the kernel had refused. */
HOOK(path_link, on_link, struct dentry *old, const struct path *new_dir, struct dentry *new)
{
	on_change(OP_LINK_FROM, old, BPF_CORE_READ(new_dir, mnt), 0);
	return on_change(OP_LINK_TO, new, BPF_CORE_READ(new_dir, mnt), 1);
}

HOOK(path_chmod, on_chmod, const struct path *path)
{
	return on_change(OP_CHMOD, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt), 0);
}

#ifndef BEFORE_FIND_VMA /* it takes structures, which no trampoline does before 6.1 */
HOOK(path_chown, on_chown, const struct path *path)
{
	return on_change(OP_CHOWN, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt), 0);
}
#endif

HOOK(path_truncate, on_truncate, const struct path *path)
{
	if (in_open((struct task_struct *)bpf_get_current_task()))
		return 0;
	return on_change(OP_TRUNCATE, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt), 0);
}

HOOK(file_truncate, on_file_truncate, struct file *file) /* since 6.2; before, path_truncate stands for both */
{
	if (in_open((struct task_struct *)bpf_get_current_task()))
		return 0;
	return on_change(OP_TRUNCATE, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt), 0);
}

/* On overlayfs an open opens a second file, of the layer below: not the workload's doing. */
HOOK(file_open, on_open, struct file *file)
{
	struct task *t = watched();
	struct request q = {};
	struct task_struct *task;
	__u32 mode, flags;

	if (!t)
		return 0;
	mode = BPF_CORE_READ(file, f_mode);
	if (mode & (FMODE_NOACCOUNT | FMODE_PATH))
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	flags = BPF_CORE_READ(file, f_flags);
	q.key.op = OP_OPEN;
	q.key.access = access_of_flags(flags);
	if (mode & FMODE_CREATED)
		q.key.access |= ACCESS_CREATE;
	else if (flags & O_TRUNC)
		q.key.access |= ACCESS_TRUNCATE;
	about_file(&q, file);
	if (of_a_layer(&q))
		return 0;
	if (flags & FMODE_EXEC_FLAG && runtime_still(t) && from_own_mounts(task, q.mnt)) {
		__u16 mode_now = t->mode; /* the executable that ends the runtime's phase is opened by the workload */

		t->mode = MODE_WORKLOAD;
		t->actor = 0;
		commit(&q, t, task);
		t->mode = mode_now;
		t->actor = 0;
		return 0;
	}
	commit(&q, t, task);
	return 0;
}

HOOK(mmap_file, on_mmap, struct file *file, unsigned long prot)
{
	struct task *t;
	struct request q = {};

	if (!file || !(prot & PROT_EXEC))
		return 0;
	t = watched();
	if (!t)
		return 0;
	q.key.op = OP_MMAP_EXEC;
	about_file(&q, file);
	commit(&q, t, (struct task_struct *)bpf_get_current_task());
	return 0;
}

HOOK(file_mprotect, on_mprotect, struct vm_area_struct *vma, unsigned long prot)
{
	struct file *file = BPF_CORE_READ(vma, vm_file);
	struct task *t;
	struct request q = {};

	if (!file || !(prot & PROT_EXEC))
		return 0;
	t = watched();
	if (!t)
		return 0;
	q.key.op = OP_MPROTECT_EXEC;
	about_mapped_file(&q, file);
	commit(&q, t, (struct task_struct *)bpf_get_current_task());
	return 0;
}

/* The task is the new executable from here on; the exec itself is told when it is complete. */
#ifdef BACKEND_LSM
SEC("lsm/bprm_committed_creds")
#else
SEC("fentry/security_bprm_committed_creds")
#endif
int BPF_PROG(on_committed, struct linux_binprm *bprm)
{
	struct file *file = BPF_CORE_READ(bprm, file);
	struct task *t = watched();

	if (!t)
		return 0;
	t->old_exe = t->exe;
	become(t, (struct task_struct *)bpf_get_current_task(), BPF_CORE_READ(file, f_path.mnt));
	t->exe = executable_of((__u64)file);
	return 0;
}

SEC("fexit/security_capable")
int BPF_PROG(on_capable, const void *cred, void *ns, int capability, unsigned int options, int result)
{
	if (options & CAP_OPT_NOAUDIT) /* a question, not a use */
		return 0;
	return on_capability(capability, result);
}

/* A connection without a system call of its own. */
HOOK(socket_connect, on_connect, struct socket *socket, void *address, int length)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task *t = watched();
	struct request q = {};
	__u32 zero = 0, size = length;
	struct given *g = bpf_map_lookup_elem(&strings, &zero);

	if (!t || !g || !in_io_uring(task) || length < 2)
		return 0;
	if (size > 112)
		size = 112;
	opaque(size);
	g->words[1] = 0;
	g->words[2] = 0;
	if (bpf_probe_read_kernel(g, size & 127, address))
		return 0;
	q.key.op = OP_CONNECT;
	about_socket(&q, (struct socket *)number_of(socket));
	about_address(&q, task, g, length);
	commit(&q, t, task);
	return 0;
}

#endif

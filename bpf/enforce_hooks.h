/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The hooks. None reads the verdict of a program before it: the kernel asks the next only after a 0.
 *
 * Every return is a constant: 6.12's verifier takes nothing else for an errno.
 */
#ifndef DISCOVER_ENFORCE_HOOKS_H
#define DISCOVER_ENFORCE_HOOKS_H

#include "enforce_lifecycle.h"

#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_TRUNC 01000
#define FMODE_EXEC_FLAG 0x20 /* __FMODE_EXEC in f_flags: opened by an exec */
#define MSG_FASTOPEN 0x20000000
#define CAP_OPT_NOAUDIT 2
#define AF_INET 2
#define AF_INET6 10
#define PROTOCOLS 6 /* enforcer/compile/tables.py: PROTOCOL_ORDER, TYPE_ORDER */
#define SOCKET_TYPES 8
#define CAPABILITY_SLOTS 64

struct task_struct___creds {
	void *real_cred;
	void *cred;
} __attribute__((preserve_access_index));

struct { /* credentials with which overlayfs opens files of its layers */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 10);
	__type(key, __u64);
	__type(value, __u32);
} layer_credentials SEC(".maps");

static __always_inline struct covered *judged(void)
{
	struct covered *t = current_covered();

	return t && t->state == TASK_JUDGED ? t : 0;
}

static __always_inline __u64 owner_fact(struct dentry *dentry, bool of_directory)
{
	struct dentry_core core = {};
	struct dentry *parent;
	struct inode *inode;

	if (read_dentry(&core, dentry))
		return 0;
	inode = core.inode;
	if (!inode || of_directory) {
		parent = core.parent;
		inode = BPF_CORE_READ(parent, d_inode);
	}
	return inode && BPF_CORE_READ(inode, i_uid.val) == (__u32)bpf_get_current_uid_gid() ? FACT_OWNER : 0;
}

static __always_inline __u64 terminal_fact(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, signal, tty) ? FACT_TERMINAL : 0;
}

static __always_inline __u64 how_to(enum enforce_op op, enum policy_class class, __u64 facts, __u64 flags)
{
	return op | class << 8 | facts << 16 | flags << 24;
}

static __always_inline int change(enum enforce_op op, struct dentry *dentry, struct vfsmount *mnt, __u64 owner)
{
	return judge_path(how_to(op, CLASS_FILE, owner | terminal_fact(), 0), (__u64)dentry, (__u64)mnt);
}

/* A hook that changes one name. */
#define CHANGE(OP, DENTRY, MNT)                                                                                        \
	do {                                                                                                           \
		struct dentry *of = (struct dentry *)number_of(DENTRY);                                                \
                                                                                                                       \
		if (!judged())                                                                                         \
			return 0;                                                                                      \
		if (change(OP, of, MNT, owner_fact(of, false)))                                                        \
			return -EACCES;                                                                                \
		return 0;                                                                                              \
	} while (0)

SEC("lsm/bprm_check_security")
int BPF_PROG(enforce_exec, struct linux_binprm *bprm)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct covered *t = current_covered();
	struct file *file = BPF_CORE_READ(bprm, file);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	__u64 facts, flags = 0;
	struct domain *d;

	if (!t)
		return 0;
	d = domain_at(t->domain);
	if (!d)
		return 0;
	if (t->state == TASK_ENTERING) {
		if (!of_own_mounts(task, mnt, d))
			return 0;
		flags = JUDGE_ENTERING;
	} else if (t->mount_namespace && BPF_CORE_READ(mount_of(mnt), mnt_ns, ns.inum) != t->mount_namespace) {
		flags = JUDGE_UNLISTED;
	}
	if (walk_flags(dentry, mnt) & (FLAG_ANONYMOUS | FLAG_DETACHED))
		flags |= JUDGE_UNLISTED;
	facts = FACT_READS | owner_fact(dentry, false) | terminal_fact();
	if (judge_path(how_to(ENFORCE_EXEC, CLASS_PROCESS, facts, flags), (__u64)dentry, (__u64)mnt))
		return -EACCES;
	return 0;
}

/* Overlayfs at work below itself: a private mount that no namespace has, opened with the mounter's credentials. */
static __always_inline bool of_a_layer(struct file *file, __u32 mode, __u16 flags)
{
	struct task_struct___creds *task = (void *)bpf_get_current_task();
	__u64 cred = (__u64)BPF_CORE_READ(task, cred);
	__u32 one = 1;

	if (!(mode & FMODE_NOACCOUNT)) {
		if (cred == (__u64)BPF_CORE_READ(task, real_cred) || !(flags & FLAG_ANONYMOUS))
			return false;
		if (BPF_CORE_READ(file, f_inode, i_sb, s_flags) & SB_KERNMOUNT)
			return false;
	}
	bpf_map_update_elem(&layer_credentials, &cred, &one, BPF_ANY);
	return true;
}

SEC("lsm/file_open")
int BPF_PROG(enforce_open, struct file *file)
{
	__u32 mode = BPF_CORE_READ(file, f_mode), opened = BPF_CORE_READ(file, f_flags);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	bool created = mode & FMODE_CREATED;
	struct covered *t = current_covered();
	__u64 facts, flags = 0;
	__u16 place;

	if (!t)
		return 0;
	place = walk_flags(dentry, mnt);
	/* asked of whoever enters too: overlayfs' credentials are known then before the first judgement */
	if (of_a_layer((struct file *)number_of(file), mode, place) || t->state != TASK_JUDGED)
		return 0;
	if (place & FLAG_ANONYMOUS)
		return 0;
	if (place & FLAG_DETACHED)
		flags = JUDGE_UNLISTED;
	if (opened & FMODE_EXEC_FLAG)
		flags = JUDGE_RULES_ONLY;
	if (created && !(place & FLAG_UNHASHED)) /* path_mknod has told of it */
		flags |= JUDGE_QUIET;
	facts = owner_fact(dentry, created) | terminal_fact();
	if (!(mode & FMODE_WRITE) && !created && !(opened & O_TRUNC))
		facts |= FACT_READS;
	if (judge_path(how_to(ENFORCE_OPEN, CLASS_FILE, facts, flags), (__u64)dentry, (__u64)mnt))
		return -EACCES;
	return 0;
}

SEC("lsm/path_truncate")
int BPF_PROG(enforce_truncate, const struct path *path)
{
	CHANGE(ENFORCE_TRUNCATE, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt));
}

SEC("lsm/file_truncate") /* since 6.2, instead of path_truncate for an open file */
int BPF_PROG(enforce_truncate_open, struct file *file)
{
	CHANGE(ENFORCE_TRUNCATE, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt));
}

SEC("lsm/path_unlink")
int BPF_PROG(enforce_unlink, const struct path *dir, struct dentry *dentry)
{
	CHANGE(ENFORCE_UNLINK, dentry, BPF_CORE_READ(dir, mnt));
}

SEC("lsm/path_rmdir")
int BPF_PROG(enforce_rmdir, const struct path *dir, struct dentry *dentry)
{
	CHANGE(ENFORCE_RMDIR, dentry, BPF_CORE_READ(dir, mnt));
}

SEC("lsm/path_mkdir")
int BPF_PROG(enforce_mkdir, const struct path *dir, struct dentry *dentry)
{
	CHANGE(ENFORCE_MKDIR, dentry, BPF_CORE_READ(dir, mnt));
}

SEC("lsm/path_mknod")
int BPF_PROG(enforce_mknod, const struct path *dir, struct dentry *dentry)
{
	CHANGE(ENFORCE_MKNOD, dentry, BPF_CORE_READ(dir, mnt));
}

SEC("lsm/path_symlink")
int BPF_PROG(enforce_symlink, const struct path *dir, struct dentry *dentry)
{
	CHANGE(ENFORCE_SYMLINK, dentry, BPF_CORE_READ(dir, mnt));
}

SEC("lsm/path_chmod")
int BPF_PROG(enforce_chmod, const struct path *path)
{
	CHANGE(ENFORCE_CHMOD, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt));
}

SEC("lsm/path_chown")
int BPF_PROG(enforce_chown, const struct path *path)
{
	CHANGE(ENFORCE_CHOWN, BPF_CORE_READ(path, dentry), BPF_CORE_READ(path, mnt));
}

/*
 * Before 6.1 no program can be at a hook that takes structures, as path_chown does. There a chown is judged where it
 * begins, and denied by the next hook that it comes to, before anything is changed.
 */
SEC("fentry/chown_common")
int BPF_PROG(enforce_chown_begins, const struct path *path)
{
	struct dentry *of = (struct dentry *)number_of(BPF_CORE_READ(path, dentry));
	__u64 me = bpf_get_current_pid_tgid();
	__u32 denied = 1;

	if (judged() && change(ENFORCE_CHOWN, of, BPF_CORE_READ(path, mnt), owner_fact(of, false)))
		bpf_map_update_elem(&denied_chowns, &me, &denied, BPF_ANY);
	return 0;
}

SEC("lsm/inode_setattr")
int BPF_PROG(enforce_chown_goes_on, struct dentry *dentry)
{
	__u64 me = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&denied_chowns, &me) ? -EACCES : 0;
}

SEC("fexit/chown_common")
int BPF_PROG(enforce_chown_ends, const struct path *path)
{
	__u64 me = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&denied_chowns, &me);
	return 0;
}

/* Both names, by the owner of what gets the new one. */
static __always_inline bool denies_two(enum enforce_op first, struct dentry *from, struct vfsmount *from_mnt,
				       enum enforce_op second, struct dentry *to, struct vfsmount *to_mnt)
{
	__u64 owner = owner_fact(from, false);

	return change(first, from, from_mnt, owner) || change(second, to, to_mnt, owner);
}

SEC("lsm/path_link")
int BPF_PROG(enforce_link, struct dentry *from, const struct path *dir, struct dentry *to)
{
	struct vfsmount *mnt = BPF_CORE_READ(dir, mnt);

	if (!judged())
		return 0;
	if (denies_two(ENFORCE_LINK_FROM, (struct dentry *)number_of(from), mnt, ENFORCE_LINK_TO,
		       (struct dentry *)number_of(to), mnt))
		return -EACCES;
	return 0;
}

SEC("lsm/path_rename")
int BPF_PROG(enforce_rename, const struct path *from_dir, struct dentry *from, const struct path *to_dir,
	     struct dentry *to)
{
	if (!judged())
		return 0;
	if (denies_two(ENFORCE_RENAME_FROM, (struct dentry *)number_of(from), BPF_CORE_READ(from_dir, mnt),
		       ENFORCE_RENAME_TO, (struct dentry *)number_of(to), BPF_CORE_READ(to_dir, mnt)))
		return -EACCES;
	return 0;
}

/* A mount puts other files under a path: no rule can list one, so the posture of files and processes decides. */
#define MOUNT(PATH)                                                                                                    \
	do {                                                                                                           \
		if (!judged())                                                                                         \
			return 0;                                                                                      \
		if (judge_path(how_to(ENFORCE_MOUNT, CLASS_FILE, 0, 0), (__u64)BPF_CORE_READ(PATH, dentry),            \
			       (__u64)BPF_CORE_READ(PATH, mnt)))                                                       \
			return -EACCES;                                                                                \
		return 0;                                                                                              \
	} while (0)

SEC("lsm/sb_mount")
int BPF_PROG(enforce_mount, const char *device, const struct path *path)
{
	MOUNT(path);
}

SEC("lsm/move_mount")
int BPF_PROG(enforce_move_mount, const struct path *from, const struct path *to)
{
	MOUNT(to);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(enforce_pivot_root, const struct path *old, const struct path *new)
{
	MOUNT(new);
}

/* The row of a protocol and a type; without a protocol a type means its usual one. */
static __always_inline __u32 socket_key(__u32 type, __u32 protocol)
{
	__u32 place = 0, kind = 0;

	if (!protocol)
		protocol = type == 1 ? 6 : type == 2 ? 17 : type == 5 ? 132 : 0;
	if (protocol == 1)
		place = 1;
	else if (protocol == 6 || protocol == 262) /* multipath TCP */
		place = 2;
	else if (protocol == 17)
		place = 3;
	else if (protocol == 58)
		place = 4;
	else if (protocol == 132)
		place = 5;
	if (type >= 1 && type <= 6)
		kind = type;
	else if (type == 10)
		kind = 7;
	return place * SOCKET_TYPES + kind;
}

static __always_inline bool denies_socket(enum enforce_op op, __u32 family, __u32 type, __u32 protocol)
{
	struct covered *t = judged();
	__u64 socket = (__u64)(family & 0xffff) << 48 | (__u64)(type & 0xffff) << 32 | (protocol & 0xffff) << 16;

	return t && judge_key(t, op, CLASS_NETWORK, socket, HEAD_SOCKETS, socket_key(type, protocol),
			      PROTOCOLS * SOCKET_TYPES, false);
}

static __always_inline bool denies_use(enum enforce_op op, struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	return denies_socket(op, BPF_CORE_READ(sk, __sk_common.skc_family), BPF_CORE_READ(socket, type),
			     BPF_CORE_READ(sk, sk_protocol));
}

SEC("lsm/socket_create")
int BPF_PROG(enforce_socket, int family, int type, int protocol, int kern)
{
	if (kern || !denies_socket(ENFORCE_SOCKET, family, type & 0xf, protocol))
		return 0;
	return -EACCES;
}

SEC("lsm/socket_connect")
int BPF_PROG(enforce_connect, struct socket *socket)
{
	if (!denies_use(ENFORCE_CONNECT, socket))
		return 0;
	return -EACCES;
}

SEC("lsm/socket_bind")
int BPF_PROG(enforce_bind, struct socket *socket)
{
	if (!denies_use(ENFORCE_BIND, socket))
		return 0;
	return -EACCES;
}

SEC("lsm/socket_listen")
int BPF_PROG(enforce_listen, struct socket *socket)
{
	struct covered *t = judged();
	struct sock *sk = BPF_CORE_READ(socket, sk);
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (!t)
		return 0;
	if (denies_use(ENFORCE_LISTEN, socket))
		return -EACCES;
	if (family == AF_INET || family == AF_INET6)
		note_listen(t);
	return 0;
}

SEC("lsm/socket_accept")
int BPF_PROG(enforce_accept, struct socket *socket)
{
	if (!denies_use(ENFORCE_ACCEPT, socket))
		return 0;
	return -EACCES;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(enforce_send, struct socket *socket, struct msghdr *message)
{
	if (!(BPF_CORE_READ(message, msg_flags) & MSG_FASTOPEN) || !denies_use(ENFORCE_CONNECT, socket))
		return 0;
	return -EACCES;
}

SEC("lsm/capable")
int BPF_PROG(enforce_capable, const void *cred, void *namespace, int capability, unsigned int options)
{
	struct task_struct___creds *task = (void *)bpf_get_current_task();
	struct covered *t = judged();
	__u64 whose = number_of((void *)cred);

	if (!t || capability < 0 || capability >= CAPABILITY_SLOTS)
		return 0;
	if (whose != (__u64)BPF_CORE_READ(task, real_cred) && bpf_map_lookup_elem(&layer_credentials, &whose))
		return 0; /* overlayfs at work, not the task */
	if (!judge_key(t, ENFORCE_CAPABLE, CLASS_CAPABILITIES, capability, HEAD_CAPABILITIES, capability,
		       CAPABILITY_SLOTS, options & CAP_OPT_NOAUDIT))
		return 0;
	return -EPERM;
}

#endif

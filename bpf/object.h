/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a request is about: an open file, a name in a directory, a name as the program gave it, a socket. */
#ifndef DISCOVER_OBJECT_H
#define DISCOVER_OBJECT_H

#include "observe.h"

#define AT_FDCWD -100
#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

/* What tells one name of one file from another: cheap to read, and in a behaviour's key. */
struct identity {
	struct dentry *parent;
	__u64 hash_len;
	struct inode *inode;
	__u64 number;
	__u32 owner;
};

#ifdef HAVE_CAST
static __always_inline void read_identity(struct identity *id, struct dentry *address)
{
	struct dentry *dentry = AS(dentry, address);
	struct inode *inode = dentry->d_inode;

	id->parent = dentry->d_parent;
	id->hash_len = dentry->d_name.hash_len;
	id->inode = inode;
	id->number = inode->i_ino;
	id->owner = inode->i_uid.val;
}
#else
static __always_inline void read_identity(struct identity *id, struct dentry *dentry)
{
	struct dentry_core core = {};
	struct inode *inode;

	read_dentry(&core, dentry);
	inode = core.inode;
	id->parent = core.parent;
	id->hash_len = core.hash_len;
	id->inode = inode;
	id->number = BPF_CORE_READ(inode, i_ino);
	id->owner = BPF_CORE_READ(inode, i_uid.val);
}
#endif

/* The part of a key that an object gives; the flags that belong to it. */
static __always_inline __u16 fill_key(struct behaviour_key *key, struct identity *id, struct vfsmount *mnt, __u32 uid)
{
	key->object[0] = (__u64)id->parent;
	key->object[1] = id->hash_len;
	key->object[3] = (__u64)mnt;
	if (!id->inode)
		return 0;
	key->object[2] = id->number;
	return id->owner == uid ? FLAG_OWNER_KNOWN | FLAG_OWNER : FLAG_OWNER_KNOWN;
}

static __always_inline void about_path(struct request *q, struct dentry *dentry, struct vfsmount *mnt)
{
	struct identity id;

	read_identity(&id, dentry);
	q->dentry = dentry;
	q->mnt = mnt;
	q->inode = id.inode;
	q->flags |= fill_key(&q->key, &id, mnt, bpf_get_current_uid_gid());
	if (id.inode)
		q->key.flags = q->flags;
}

static __always_inline void about_file(struct request *q, struct file *file)
{
	struct path path;

	bpf_probe_read_kernel(&path, sizeof(path), &file->f_path);
	about_path(q, path.dentry, path.mnt);
}

/* A private mount that no namespace has, of a file system that a person mounted: overlayfs at work below itself. */
static __always_inline bool of_a_layer(struct request *q)
{
	struct inode *inode = q->inode;
	struct mount *mount = mount_of(q->mnt);

	if ((__u64)BPF_CORE_READ(mount, mnt_ns) != MNT_NS_INTERNAL || !inode)
		return false;
	return !(BPF_CORE_READ(inode, i_sb, s_flags) & SB_KERNMOUNT);
}

/* The file behind a mapping. Of overlayfs it is the layer's, which knows the path that was opened (since 6.7). */
static __always_inline void about_mapped_file(struct request *q, struct file *file)
{
	struct backing_file *backing = (struct backing_file *)file;
	struct path path;

	about_file(q, file);
	if (!of_a_layer(q) || !bpf_core_field_exists(backing->user_path))
		return;
	bpf_core_read(&path, sizeof(path), &backing->user_path);
	q->flags = 0;
	about_path(q, path.dentry, path.mnt);
}

static __always_inline struct file *file_of(struct task_struct *task, int fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

/* What an open has left: the way that most events take, so in as few reads as can be. */
struct opened {
	__u32 mode;
	struct path path;
};

/* The current task's, which an open has just returned and so is in its table. */
static __always_inline struct file *file_opened(struct task_struct *task, int fd)
{
#ifdef HAVE_TASK_BTF
	struct file **files = task->files->fdt->fd, *file = 0;

	bpf_probe_read_kernel(&file, sizeof(file), files + (__u32)fd);
	return file;
#else
	return file_of(task, fd);
#endif
}

#ifdef HAVE_CAST
static __always_inline bool read_opened(struct opened *opened, struct task_struct *task, int fd)
{
	struct file *file = file_opened(task, fd);

	if (!file)
		return false;
	file = AS(file, file);
	opened->mode = file->f_mode;
	opened->path.dentry = file->f_path.dentry;
	opened->path.mnt = file->f_path.mnt;
	return true;
}
#else
#define HEAD_OF_FILE 160

static __always_inline bool read_opened(struct opened *opened, struct task_struct *task, int fd)
{
	__u32 mode_at = bpf_core_field_offset(struct file, f_mode),
	      path_at = bpf_core_field_offset(struct file, f_path);
	struct file *file = file_opened(task, fd);
	__u8 head[HEAD_OF_FILE];

	if (!file)
		return false;
	if (mode_at <= HEAD_OF_FILE - sizeof(__u32) && path_at <= HEAD_OF_FILE - sizeof(struct path)) {
		bpf_probe_read_kernel(head, sizeof(head), file);
		opened->mode = *(__u32 *)(head + mode_at);
		opened->path = *(struct path *)(head + path_at);
		return true;
	}
	opened->mode = BPF_CORE_READ(file, f_mode);
	bpf_probe_read_kernel(&opened->path, sizeof(opened->path), &file->f_path);
	return true;
}
#endif

/* Of what lies in `strings` on this CPU. */
__noinline __u64 string_hash(__u64 length)
{
	__u32 zero = 0;
	struct given *g = bpf_map_lookup_elem(&strings, &zero);
	__u64 hash = 0xcbf29ce484222325ull, nothing = 0;

	if (!g)
		return 0;
	if (length > PATH_LONG)
		length = PATH_LONG;
	bpf_probe_read_kernel((char *)g + length, sizeof(nothing),
			      &nothing); /* whole words, so nothing stale in the last */
	for (__u32 i = 0; i < PATH_LONG / 8; i++) {
		opaque(length); /* one bound of the loop that the verifier sees: the constant */
		if (i * 8 >= length)
			break;
		hash = (hash ^ g->words[i]) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 32;
	}
	return hash ^ length;
}

/* `length` includes the terminating NUL. */
static __always_inline void about_given(struct request *q, struct task_struct *task, int dirfd, struct given *g,
					__u32 length)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct path base = {};

	if (length > PATH_LONG)
		length = PATH_LONG;
	if (length == PATH_LONG)
		q->flags |= FLAG_GIVEN_CUT;
	if ((g->words[0] & 0xff) == '/') {
		bpf_probe_read_kernel(&base, sizeof(base), &fs->root);
	} else if (dirfd == AT_FDCWD) {
		bpf_probe_read_kernel(&base, sizeof(base), &fs->pwd);
	} else {
		struct file *directory = file_of(task, dirfd);

		if (directory)
			bpf_probe_read_kernel(&base, sizeof(base), &directory->f_path);
	}
	q->given = g;
	q->given_length = length ? length - 1 : 0;
	q->flags |= q->key.error ? FLAG_ASKED : FLAG_JOINED;
	q->dentry = base.dentry;
	q->mnt = base.mnt;
	q->key.object[0] = (__u64)base.dentry;
	q->key.object[1] = string_hash(q->given_length);
	q->key.object[3] = (__u64)base.mnt;
	q->key.flags = q->flags;
}

static __always_inline struct socket *socket_of(struct file *file)
{
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != 0140000)
		return 0;
	return BPF_CORE_READ(file, private_data);
}

/* Family, type and protocol of a socket, as the key and as the record have them. */
static __always_inline void about_socket(struct request *q, struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	q->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	q->type = BPF_CORE_READ(socket, type);
	q->protocol = BPF_CORE_READ(sk, sk_protocol);
	q->key.object[0] = q->family | (__u64)q->type << 16 | (__u64)q->protocol << 32;
}

/* The address of a sockaddr that lies in `g`, `length` bytes of it. A relative unix path is joined to `task`'s. */
static __always_inline void about_address(struct request *q, struct task_struct *task, struct given *g, __u32 length)
{
	__u16 family = g->words[0] & 0xffff;

	if (family == AF_INET && length >= 8) {
		q->port = __builtin_bswap16(g->words[0] >> 16);
		q->address[0] = g->words[0] >> 32;
	} else if (family == AF_INET6 && length >= 24) {
		q->port = __builtin_bswap16(g->words[0] >> 16);
		q->address[0] = g->words[1];
		q->address[1] = g->words[2];
	} else if (family == AF_UNIX && length > 2) {
		__u8 first = g->words[0] >> 16;

		if (length > 110)
			length = 110;
		q->given = g; /* with the family in front, which user space takes off */
		q->given_length = length;
		q->key.object[3] = string_hash(length);
		if (first && first != '/') {
			struct fs_struct *fs = BPF_CORE_READ(task, fs);

			q->dentry = BPF_CORE_READ(fs, pwd.dentry);
			q->mnt = BPF_CORE_READ(fs, pwd.mnt);
			q->flags |= FLAG_JOINED;
			q->key.object[1] = (__u64)q->dentry;
			q->key.object[2] = (__u64)q->mnt;
			return;
		}
	}
	q->key.object[0] |= (__u64)family << 48;
	q->key.object[1] = q->address[0];
	q->key.object[2] = q->address[1];
	if (family != AF_UNIX)
		q->key.object[3] = q->port;
}

/* The own address and port of a socket; with `peer`, also a sample of the other side's address. */
static __always_inline void about_own_address(struct request *q, struct socket *socket, bool peer)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (q->family == AF_INET || q->family == AF_INET6)
		q->port = BPF_CORE_READ(sk, __sk_common.skc_num);
	q->key.object[2] = q->port;
	if (q->family == AF_INET) {
		__u32 address =
			peer ? BPF_CORE_READ(sk, __sk_common.skc_daddr) : BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);

		q->address[0] = address;
	} else if (q->family == AF_INET6) {
		if (peer)
			bpf_core_read(q->address, 16, &sk->__sk_common.skc_v6_daddr);
		else
			bpf_core_read(q->address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	}
	if (peer) {
		q->flags |= FLAG_PEER_SAMPLE;
		return;
	}
	q->key.object[1] = q->address[0];
	q->key.object[3] = q->address[1];
}

/*
 * The name that a bound unix socket has, from the kernel's own structures: the file that was made, or the abstract name.
 * False: it has none.
 */
static __always_inline bool about_unix_name(struct request *q, struct sock *sk, struct given *g)
{
	struct unix_sock *u = (struct unix_sock *)sk;
	struct unix_address *address = BPF_CORE_READ(u, addr);
	struct dentry *dentry = BPF_CORE_READ(u, path.dentry);
	__u32 length;

	if (dentry) {
		about_path(q, dentry, BPF_CORE_READ(u, path.mnt));
		return true;
	}
	if (!address)
		return false;
	length = BPF_CORE_READ(address, len);
	if (length <= 2 || length > 110)
		return false;
	opaque(length);
	if (bpf_probe_read_kernel(g, length & 127, &address->name))
		return false;
	q->given = g;
	q->given_length = length;
	q->key.object[3] = string_hash(length);
	return true;
}

#endif

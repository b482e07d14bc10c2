/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few kernel structures that the programs read, each with only the members they read. The loader relocates the
 * offsets to the running kernel (CO-RE), so a member's place and its neighbours here mean nothing. No vmlinux.h: it
 * clashes with common names and belongs to one kernel.
 */
#ifndef DISCOVER_KERNEL_H
#define DISCOVER_KERNEL_H

#include "compat.h"

/* Keeps clang from folding a bound into a form that the verifier cannot follow. */
#define opaque(x) asm volatile("" : "+r"(x))

#ifdef DISCOVER_BCC
#include "kernel_layout.h" /* the structures below, laid out as in the running kernel (collectors/live/layout.py) */
#else
#define KERNEL_STRUCT __attribute__((preserve_access_index))

typedef struct {
	__u32 val;
} KERNEL_STRUCT kuid_t;

typedef struct {
	int counter;
} KERNEL_STRUCT atomic_t;

struct seqcount {
	unsigned int sequence;
} KERNEL_STRUCT;

struct file_system_type {
	const char *name;
} KERNEL_STRUCT;

struct super_block {
	__u32 s_dev;
	unsigned long s_flags;
	struct file_system_type *s_type;
} KERNEL_STRUCT;

struct inode {
	__u16 i_mode;
	kuid_t i_uid;
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_state;
} KERNEL_STRUCT;

struct qstr {
	__u64 hash_len;
	const unsigned char *name;
} KERNEL_STRUCT;

struct dentry {
	__u32 d_flags;
	struct {
		void *pprev;
	} d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} KERNEL_STRUCT;

struct vfsmount {
	struct dentry *mnt_root;
} KERNEL_STRUCT;

struct ns_common {
	unsigned int inum;
} KERNEL_STRUCT;

struct mnt_namespace {
	struct ns_common ns;
	struct mount *root;
} KERNEL_STRUCT;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
} KERNEL_STRUCT;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL_STRUCT;

struct file {
	unsigned int f_flags;
	__u32 f_mode;
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
} KERNEL_STRUCT;

struct backing_file { /* since 6.5; user_path since 6.7 */
	struct file file;
	struct path user_path;
} KERNEL_STRUCT;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} KERNEL_STRUCT;

struct files_struct {
	struct fdtable *fdt;
} KERNEL_STRUCT;

struct fs_struct {
	struct path root;
	struct path pwd;
} KERNEL_STRUCT;

struct nsproxy {
	struct mnt_namespace *mnt_ns;
} KERNEL_STRUCT;

struct tty_struct;

struct signal_struct {
	atomic_t live;
	struct tty_struct *tty;
} KERNEL_STRUCT;

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} KERNEL_STRUCT;

struct rb_root {
	struct rb_node *rb_node;
} KERNEL_STRUCT;

struct mm_struct {
	struct rb_root mm_rb; /* until 6.1 */
	unsigned long saved_auxv[2];
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
} KERNEL_STRUCT;

struct kernfs_node {
	const char *name;
	__u64 id;
	struct kernfs_node *parent;
} KERNEL_STRUCT;

struct kernfs_node___6_15 { /* renamed by 633488947ef6 ("kernfs: Use RCU to access kernfs_node::parent") */
	struct kernfs_node *__parent;
} KERNEL_STRUCT;

struct cgroup_root {
	unsigned int subsys_mask;
	int hierarchy_id;
} KERNEL_STRUCT;

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
} KERNEL_STRUCT;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} KERNEL_STRUCT;

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
} KERNEL_STRUCT;

struct thread_info {
	__u32 status;
} KERNEL_STRUCT;

struct cred {
	kuid_t uid;
} KERNEL_STRUCT;

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	const struct cred *cred;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
} KERNEL_STRUCT;

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
} KERNEL_STRUCT;

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct rb_node vm_rb; /* until 6.1 */
	struct file *vm_file;
} KERNEL_STRUCT;

struct in6_addr {
	__u8 in6[16];
};

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} KERNEL_STRUCT;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
} KERNEL_STRUCT;

struct socket {
	short type;
	struct sock *sk;
} KERNEL_STRUCT;

struct sockaddr_un {
	unsigned short sun_family;
} KERNEL_STRUCT;

struct unix_address {
	int len;
	struct sockaddr_un name[1]; /* of `len` bytes; right behind it since 5.16 alone */
} KERNEL_STRUCT;

struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
} KERNEL_STRUCT;

struct msghdr {
	void *msg_name;
	int msg_namelen;
	unsigned int msg_flags;
} KERNEL_STRUCT;

/* Registers at a system call's exit, by machine: the names do not overlap, so one object serves both. */
struct pt_regs___x86 {
	unsigned long di, si, dx, r10, r8, r9, bx, cx, bp, orig_ax;
} KERNEL_STRUCT;

struct pt_regs___arm64 {
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
} KERNEL_STRUCT;
#endif

#define FMODE_PATH 0x4000
#define FMODE_CREATED 0x100000
#define FMODE_BACKING 0x2000000
#define FMODE_NOACCOUNT 0x20000000 /* overlayfs opening a file of one of its layers */
#define SB_KERNMOUNT (1 << 22)
#define PF_KTHREAD 0x00200000
#define PF_IO_WORKER 0x00000010
#define TS_COMPAT 0x0002
#define MNT_NS_INTERNAL ((__u64)-22) /* ERR_PTR(-EINVAL) */
#define S_IFMT 0170000
#define S_IFDIR 0040000

#endif

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The enforcer's judgement at a place where nothing can be denied: an openat that has returned. What it would have said
 * is told as an alert. A listen that has returned is noted as the hook notes it. The programs on security hooks are left
 * out by the loader.
 */
#include "enforce_hooks.h"

#define OPENAT 257
#define LISTEN 50

static __always_inline struct file *opened_file(int fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

SEC("raw_tp/sys_exit")
int watch_open(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs___x86 *regs = (void *)ctx->args[0];
	struct dentry *dentry;
	struct file *file;
	__u64 facts;

	if (!judged() || BPF_CORE_READ(regs, orig_ax) != OPENAT)
		return 0;
	file = opened_file(ctx->args[1]);
	if (!file)
		return 0;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	facts = owner_fact(dentry, false) | terminal_fact();
	if (!(BPF_CORE_READ(file, f_mode) & FMODE_WRITE))
		facts |= FACT_READS;
	judge_path(how_to(ENFORCE_OPEN, CLASS_FILE, facts, 0), (__u64)dentry, (__u64)BPF_CORE_READ(file, f_path.mnt));
	return 0;
}

SEC("raw_tp/sys_exit")
int watch_listen(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs___x86 *regs = (void *)ctx->args[0];
	struct covered *t = judged();

	if (t && BPF_CORE_READ(regs, orig_ax) == LISTEN && !ctx->args[1])
		note_listen(t);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whom a domain covers: what is in its cgroups, what that starts, wherever it goes. */
#ifndef DISCOVER_ENFORCE_LIFECYCLE_H
#define DISCOVER_ENFORCE_LIFECYCLE_H

#include "enforce_judge.h"

SEC("tp_btf/sched_process_fork")
int BPF_PROG(cover_child, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid), tgid = BPF_CORE_READ(child, tgid), domain;
	struct covered fresh = {}, *p;

	if (tgid == parent_tgid)
		return 0;
	p = bpf_map_lookup_elem(&covered, &parent_tgid);
	if (p)
		fresh = *p;
	if (!p || p->state == TASK_ENTERING) {
		domain = domain_of_cgroup((__u64)node_of(child)); /* cloned into it, perhaps */
		if (domain && domain != fresh.domain) {
			fresh.domain = domain;
			fresh.state = TASK_ENTERING;
		}
	}
	if (fresh.domain)
		cover(tgid, &fresh);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cover_arrival, struct cgroup *destination, const char *path, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid), domain = domain_of_cgroup((__u64)node_of(task));
	struct covered *t, fresh = {.state = TASK_ENTERING};

	if (!domain)
		return 0; /* who leaves stays covered */
	t = bpf_map_lookup_elem(&covered, &tgid);
	if (t && t->state == TASK_JUDGED)
		return 0;
	fresh.domain = domain;
	cover(tgid, &fresh);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(cover_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct covered *t = current_covered();
	struct file *file = BPF_CORE_READ(bprm, file);
	struct domain *d;

	if (!t)
		return 0;
	t->policy = 0; /* another executable: another source */
	d = domain_at(t->domain);
	if (!d || t->state != TASK_ENTERING)
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	if (!of_own_mounts(task, BPF_CORE_READ(file, f_path.mnt), d))
		return 0;
	t->mount_namespace = mount_namespace_of(task);
	t->state = TASK_JUDGED;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(cover_end, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (!BPF_CORE_READ(task, signal, live.counter))
		bpf_map_delete_elem(&covered, &tgid);
	return 0;
}

#endif

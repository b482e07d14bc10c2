/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whom a domain covers: what is in its cgroups, what that starts, wherever it goes. */
#ifndef DISCOVER_ENFORCE_LIFECYCLE_H
#define DISCOVER_ENFORCE_LIFECYCLE_H

#include "enforce_judge.h"

/* SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS */
#define FAULTS (1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 11 | 1u << 31)

struct task_struct___end {
	int exit_code; /* as wait() tells it */
} __attribute__((preserve_access_index));

static __always_inline void begin_instance(__u32 domain, __u64 home)
{
	struct instance_key key = {.home = home, .domain = domain};
	struct instance fresh = {
		.since = bpf_ktime_get_boot_ns(),
		.leader = bpf_get_current_pid_tgid() >> 32,
	};

	struct instance *known = bpf_map_lookup_elem(&instances, &key);

	bpf_map_update_elem(&instances, &key, &fresh, known && !known->leader ? BPF_ANY : BPF_NOEXIST);
}

/*
 * A process died of a fault, or the first of an instance ended with an error: no Block that is not confirmed outlives
 * it. Who comes in after the first has ended begins the instance anew.
 */
static __always_inline void note_end(struct covered *t, __u32 tgid, __u32 code)
{
	struct domain *d = domain_at(t->domain);
	struct instance_key key = {.home = t->home, .domain = t->domain};
	struct instance *instance = bpf_map_lookup_elem(&instances, &key);
	bool first = instance && instance->leader == tgid;
	__u32 number = code & 0x7f;

	if (first)
		instance->leader = 0;
	if (!d || !code)
		return;
	if (number ? number < 32 && FAULTS & 1u << number : first)
		fail(d, FAILED_CRASH, tgid, code);
}

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
	t->home = home_of_cgroup((__u64)node_of(task));
	begin_instance(t->domain, t->home);
	t->state = TASK_JUDGED;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(cover_end, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct covered *t;

	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	t = bpf_map_lookup_elem(&covered, &tgid);
	if (!t)
		return 0;
	if (t->state == TASK_JUDGED)
		note_end(t, tgid, BPF_CORE_READ((struct task_struct___end *)task, exit_code));
	bpf_map_delete_elem(&covered, &tgid);
	return 0;
}

/* A container that is started again has the name of its cgroup again: it is covered before anybody is in it. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cover_cgroup, struct cgroup *fresh, const char *path)
{
	struct kernfs_node *node = BPF_CORE_READ(fresh, kn);
	struct cgroup_name name = {};
	struct root root = {};
	__u32 *domain;
	__u64 id;

	if (bpf_probe_read_kernel_str(name.name, sizeof(name.name), BPF_CORE_READ(node, name)) < 0)
		return 0;
	domain = bpf_map_lookup_elem(&awaited, &name);
	if (!domain)
		return 0;
	root.domain = *domain;
	id = BPF_CORE_READ(node, id);
	bpf_map_update_elem(&roots, &id, &root, BPF_ANY);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget_cgroup, struct cgroup *gone, const char *path)
{
	struct instance_key key = {};
	struct kernfs_node *node = BPF_CORE_READ(gone, kn);
	__u64 id = BPF_CORE_READ(node, id);

	key.home = id;
	key.domain = domain_of_cgroup((__u64)node);
	if (!key.domain)
		return 0;
	bpf_map_delete_elem(&instances, &key);
	bpf_map_delete_elem(&roots, &id);
	return 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Programs that every back end has: which tasks are watched, and what they execute.
 *
 *   sched_process_fork   a watched task's child is watched; a task cloned into a watched cgroup is
 *   cgroup_attach_task   a task that comes into a watched cgroup is watched
 *   cgroup_mkdir         a target's cgroup that is made anew, when its container or service starts again, is watched
 *   sched_process_exec   the executable as the kernel resolved it, after all interpreters; ends the runtime's phase
 *   sched_process_exit   forgets the process
 *   signal_generate      a request to stop begins the shutdown phase
 */
#ifndef DISCOVER_LIFECYCLE_H
#define DISCOVER_LIFECYCLE_H

#include "observe.h"
#include "object.h"

#define SIGINT 2
#define SIGQUIT 3
#define SIGTERM 15

static __always_inline __u16 entering_mode(__u64 cgroup)
{
	struct cgroup_state *c = bpf_map_lookup_elem(&cgroups, &cgroup);

	return c && c->main ? MODE_ENTERING : MODE_RUNTIME_INIT;
}

static __always_inline void watch(__u32 tgid, struct task *fresh)
{
	if (bpf_map_update_elem(&tasks, &tgid, fresh, BPF_ANY))
		lose(fresh->cgroup, LOSS_MAP_FULL);
}

/*
 * A task is in another mount namespace than before: user space holds it, since a name can only be resolved in it for as
 * long as it is there. Told at once, unlike everything else; a full ring means no more than that it is looked for later.
 */
static __always_inline void tell_namespace(struct task_struct *task)
{
	__u32 namespace = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	struct namespace_record *r;

	if (namespace == (__u32)host_mount_namespace)
		return;
	r = bpf_ringbuf_reserve(&namespaces, sizeof(*r), 0);
	if (!r)
		return;
	r->tid = BPF_CORE_READ(task, pid);
	r->mount_namespace = namespace;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid);
	__u32 tgid = BPF_CORE_READ(child, tgid);
	struct task fresh = {}, *p;
	struct kernfs_node *node;
	bool target;
	__u64 cgroup;

	if (tgid == parent_tgid)
		return 0;
	p = bpf_map_lookup_elem(&tasks, &parent_tgid);
	if (p) {
		know_executable(p, parent);
		fresh.exe = p->exe;
		fresh.parent_exe = p->exe;
		fresh.mode = p->mode;
		fresh.cgroup = p->cgroup;
	} else if (track_host && parent_tgid != state.recorder) {
		fresh.mode = MODE_WORKLOAD;
	}
	node = BPF_CORE_READ(cgroup_of(child), kn);
	cgroup = BPF_CORE_READ(node, id);
	target = is_target(node);
	if (!p && !target && !(track_host && parent_tgid != state.recorder))
		return 0;
	know_cgroup(number_of(child));
	if (!p || (target && cgroup != p->cgroup))
		fresh.cgroup = cgroup;
	if (target && !p)
		fresh.mode = entering_mode(cgroup);
	fresh.tty = BPF_CORE_READ(child, signal, tty) != 0;
	know_executable(&fresh, child);
	watch(tgid, &fresh);
	if (!p || BPF_CORE_READ(child, nsproxy, mnt_ns) != BPF_CORE_READ(parent, nsproxy, mnt_ns))
		tell_namespace(child);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_attach, struct cgroup *destination, const char *path, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct kernfs_node *node = BPF_CORE_READ(cgroup_of(task), kn);
	__u64 cgroup = BPF_CORE_READ(node, id);
	struct task *t, fresh = {};

	if (!is_target(node) && !track_host)
		return 0;
	t = bpf_map_lookup_elem(&tasks, &tgid);
	if (t && t->cgroup == cgroup)
		return 0;
	know_cgroup(number_of(task));
	if (t) {
		t->cgroup = cgroup;
		t->actor = 0;
		return 0;
	}
	if (track_host && tgid == state.recorder)
		return 0;
	fresh.cgroup = cgroup;
	fresh.mode = track_host ? MODE_WORKLOAD : entering_mode(cgroup);
	fresh.tty = BPF_CORE_READ(task, signal, tty) != 0;
	know_executable(&fresh, task);
	watch(tgid, &fresh);
	tell_namespace(task);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_made, struct cgroup *made, const char *path)
{
	struct kernfs_node *node = BPF_CORE_READ(made, kn);
	struct cgroup_place place = {};
	__u64 id = BPF_CORE_READ(node, id);
	__u32 one = 1;

	if (!in_own_tree(made))
		return 0;
	place.parent = BPF_CORE_READ(parent_node(node), id);
	bpf_probe_read_kernel_str(place.name, sizeof(place.name), BPF_CORE_READ(node, name));
	if (bpf_map_lookup_elem(&places, &place))
		bpf_map_update_elem(&targets, &id, &one, BPF_ANY);
	return 0;
}

/* Does the executable lie in the task's own mount namespace, and is that the container's? */
static __always_inline bool from_own_mounts(struct task_struct *task, struct vfsmount *mnt)
{
	struct mnt_namespace *own = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct mnt_namespace *file = BPF_CORE_READ(mount_of(mnt), mnt_ns);

	if (own != file)
		return false;
	return !own_mounts_needed || BPF_CORE_READ(own, ns.inum) != host_mount_namespace;
}

/*
 * The script of an exec, by the name that the kernel made of what was asked for: relative to a descriptor that is
 * /dev/fd/N/NAME, and by descriptor alone /dev/fd/N (alloc_bprm() in fs/exec.c).
 */
static __always_inline void about_script(struct request *q, struct task_struct *task, struct given *g,
					 const char *filename, long length)
{
	const char *name = (const char *)g;
	int fd = 0, at = 8;

	if (g->words[0] != 0x2f64662f7665642full) { /* "/dev/fd/" */
		about_given(q, task, AT_FDCWD, g, length);
		return;
	}
#pragma unroll
	for (int i = 0; i < 5; i++) {
		char digit = name[8 + i];

		if (digit < '0' || digit > '9')
			break;
		fd = fd * 10 + digit - '0';
		at = 9 + i;
	}
	if (name[at] != '/') {
		struct file *file = file_of(task, fd);

		if (file)
			about_file(q, file);
		return;
	}
	length = bpf_probe_read_kernel_str(g, PATH_LONG, filename + at + 1);
	about_given(q, task, fd, g, length > 0 ? length : 0);
}

static __always_inline bool runtime_still(struct task *t)
{
	return t->mode == MODE_RUNTIME_INIT || t->mode == MODE_ENTERING;
}

/* What a task is once it executes something of `mnt`. */
static __always_inline void become(struct task *t, struct task_struct *task, struct vfsmount *mnt)
{
	t->actor = 0;
	t->tty = BPF_CORE_READ(task, signal, tty) != 0;
	if (!runtime_still(t) || !from_own_mounts(task, mnt))
		return;
	if (t->mode == MODE_ENTERING) {
		t->mode = t->tty ? MODE_SESSION : MODE_PROBE;
	} else {
		struct cgroup_state *c = bpf_map_lookup_elem(&cgroups, &t->cgroup);

		t->mode = MODE_WORKLOAD;
		if (c && !c->main)
			c->main = bpf_get_current_pid_tgid() >> 32;
	}
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct task *t = watched();
	struct request q = {};
	struct file *file = BPF_CORE_READ(bprm, file);
	const char *filename = BPF_CORE_READ(bprm, filename);
	unsigned long start, length;
	__u32 zero = 0;
	struct given *g = bpf_map_lookup_elem(&strings, &zero);
	__u64 script = 0;

	if (!t || !g)
		return 0;
#ifdef HOOKS
	t->exe = t->old_exe; /* the exec is the deed of the one that called it */
	t->actor = 0;
#else
	become(t, task, BPF_CORE_READ(file, f_path.mnt));
#endif
	if (BPF_CORE_READ(bprm, interp) != filename) { /* through #!: what was asked for, by its name */
		long got = bpf_probe_read_kernel_str(g, PATH_LONG, filename);

		if (got > 0) {
			q.key.op = OP_EXEC;
			about_script(&q, task, g, filename, got);
			script = commit(&q, t, task);
			__builtin_memset(&q, 0, sizeof(q));
		}
	}
	q.key.op = OP_EXEC;
	about_file(&q, file);
	q.key.object[3] ^= script;
	q.script = script;
	start = BPF_CORE_READ(task, mm, arg_start);
	length = BPF_CORE_READ(task, mm, arg_end) - start;
	if (length > PATH_SHORT)
		length = PATH_SHORT;
	if (length && !bpf_probe_read_user(g, length & (2 * PATH_SHORT - 1), (void *)start)) {
		q.given = g;
		q.given_length = length;
	}
	commit(&q, t, task);
	t->exe = executable_of((__u64)file);
	t->actor = 0;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct task *t;
	struct cgroup_state *c;

	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	t = bpf_map_lookup_elem(&tasks, &tgid);
	if (!t)
		return 0;
	c = bpf_map_lookup_elem(&cgroups, &t->cgroup);
	if (c && c->main == tgid) {
		struct record *r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);

		c->main = 0;
		if (r) {
			fill_kind(&r->head, RECORD_MAIN_EXIT, bpf_ktime_get_ns());
			r->head.cgroup = t->cgroup;
			r->head.tgid = tgid;
			bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
		}
	}
	bpf_map_delete_elem(&tasks, &tgid);
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int sig, void *info, struct task_struct *task)
{
	__u32 tgid;
	struct task *t;
	struct cgroup_state *c;

	if (sig != SIGTERM && sig != SIGINT && sig != SIGQUIT)
		return 0;
	tgid = BPF_CORE_READ(task, tgid);
	t = bpf_map_lookup_elem(&tasks, &tgid);
	if (!t)
		return 0;
	c = bpf_map_lookup_elem(&cgroups, &t->cgroup);
	if (c && c->main == tgid && (c->phase == PHASE_START_UP || c->phase == PHASE_STEADY)) {
		c->phase = PHASE_SHUTDOWN;
		__sync_fetch_and_add(&state.generation, 1);
	}
	return 0;
}

/* A capability was asked for. */
static __always_inline int on_capability(int capability, int result)
{
	struct task *t = watched();
	struct request q = {};

	if (!t || capability < 0)
		return 0;
	q.key.op = OP_CAPABLE;
	q.key.error = -result;
	q.key.object[0] = capability;
	q.port = capability;
	commit(&q, t, (struct task_struct *)bpf_get_current_task());
	return 0;
}

#ifndef HOOKS
SEC("tp_btf/cap_capable") /* since 6.14 */
int BPF_PROG(on_capable_tracepoint, const void *cred, void *target, const void *capable, int capability, int result)
{
	return on_capability(capability, result);
}
#endif

#endif

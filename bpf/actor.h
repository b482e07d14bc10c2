/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who acts: tasks under watch, their cgroup, executable, parent's executable, uid and phase.
 *
 * A task is watched because its parent was, or because it came into a watched cgroup; it stays watched when it leaves
 * the cgroup. What rarely changes about it (executable, uid, terminal, phase, cgroup) is an *actor* with an id of its
 * own, looked up again only when the uid or a phase has changed.
 */
#ifndef DISCOVER_ACTOR_H
#define DISCOVER_ACTOR_H

/* A tracepoint's typed pointer as the number that a function of its own takes. */
static __always_inline __u64 number_of(void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

static __always_inline void fill_kind(struct record_head *head, __u16 kind, __u64 now)
{
	__builtin_memset(head, 0, sizeof(*head));
	head->kind = kind;
	head->when = now;
	head->path_at = 0xffff;
}

/* Names of a cgroup and those above, as a path; the record's path ends where its directories end. */
static __always_inline int cgroup_path(struct record *r, struct kernfs_node *node)
{
	__u32 at = PATH_SHORT;
	struct kernfs_node *parent;
	const char *name;
	long length;

	for (int i = 0; i < 16; i++) {
		if (!node)
			break;
		parent = parent_node(node);
		if (!parent)
			break;
		name = BPF_CORE_READ(node, name);
		/* The length is known only after a copy: into `given`, then to its place. */
		length = bpf_probe_read_kernel_str(r->given, sizeof(r->given), name);
		if (length <= 0 || length > 255 || (__u32)length > at) {
			r->head.flags |= FLAG_PATH_CUT;
			break;
		}
		at -= length; /* its NUL makes room for the slash */
		r->path[at & (PATH_SHORT - 1)] = '/';
		bpf_probe_read_kernel(&r->path[(at + 1) & (PATH_SHORT - 1)], (length - 1) & 255, name);
		node = parent;
	}
	r->head.path_at = at;
	return 0;
}

__noinline int know_cgroup(__u64 of)
{
	struct task_struct *task = (struct task_struct *)of;
	struct cgroup *cgroup = cgroup_of(task);
	struct kernfs_node *node = BPF_CORE_READ(cgroup, kn);
	__u64 id = BPF_CORE_READ(node, id), now;
	struct cgroup_state fresh = {.phase = PHASE_START_UP};
	struct record *r;

	if (bpf_map_lookup_elem(&cgroups, &id))
		return 0;
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r) {
		__sync_fetch_and_add(&state.lost_anywhere[LOSS_RING_FULL], 1);
		return 0;
	}
	now = bpf_ktime_get_ns();
	fill_kind(&r->head, RECORD_CGROUP, now);
	r->head.id = id;
	r->head.cgroup = id;
	r->head.tgid = BPF_CORE_READ(task, tgid);
	cgroup_path(r, node);
	if (bpf_map_update_elem(&cgroups, &id, &fresh, BPF_NOEXIST))
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(r, 0);
	return 0;
}

__noinline __u64 executable_of(__u64 executable)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct file *file = (struct file *)executable;
	struct dentry *dentry;
	struct vfsmount *mnt;
	struct record *r;
	__u64 id, now;

	if (!file)
		return 0;
	mnt = BPF_CORE_READ(file, f_path.mnt);
	dentry = BPF_CORE_READ(file, f_path.dentry);
	id = chain_hash((__u64)dentry, (__u64)mnt) | 1;
	if (bpf_map_lookup_elem(&executables, &id))
		return id;
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r)
		return 0;
	now = bpf_ktime_get_ns();
	fill_kind(&r->head, RECORD_EXE, now);
	r->head.id = id;
	r->head.tgid = BPF_CORE_READ(task, tgid);
	r->head.flags = walk_flags(dentry, mnt);
	if (walk_short(r, task, dentry, mnt))
		r->head.flags |= FLAG_PATH_CUT;
	if (r->head.path_at == PATH_SHORT) { /* the root of a detached mount: runc mounts itself so, as a file */
		__u32 length = BPF_CORE_READ(dentry, d_name.hash_len) >> 32;

		if (length && length < 256) {
			opaque(length);
			r->head.path_at = PATH_SHORT - length;
			bpf_probe_read_kernel(&r->path[(PATH_SHORT - length) & (PATH_SHORT - 1)], length & 255,
					      BPF_CORE_READ(dentry, d_name.name));
		}
	}
	if (bpf_map_update_elem(&executables, &id, &now, BPF_NOEXIST))
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return id;
}

static __always_inline __u16 phase_of(struct task *t)
{
	struct cgroup_state *c;

	switch (t->mode) {
	case MODE_RUNTIME_INIT:
	case MODE_ENTERING:
		return PHASE_RUNTIME_INIT;
	case MODE_SESSION:
		return PHASE_EXEC_SESSION;
	case MODE_PROBE:
		return PHASE_PROBE;
	}
	c = bpf_map_lookup_elem(&cgroups, &t->cgroup);
	return c ? c->phase : PHASE_START_UP;
}

/*
 * The executable of a task that is under watch from here on, while it still is that: an exec shows the new one alone, and
 * the exec is a deed of the old.
 */
static __always_inline void know_executable(struct task *t, struct task_struct *task)
{
	if (!t->exe)
		t->exe = executable_of((__u64)BPF_CORE_READ(task, group_leader, mm, exe_file));
}

/* The id of the actor that this task is now; 0: it could not be told, which is counted. */
static __noinline __u64 find_actor(struct task *t, struct task_struct *task)
{
	struct actor_key key = {};
	struct record *r;
	__u64 *known, id, now;

	if (!t)
		return 0;
	know_executable(t, task);
	if (!t->parent_exe)
		t->parent_exe = executable_of((__u64)BPF_CORE_READ(task, group_leader, real_parent, mm, exe_file));
	key.cgroup = t->cgroup;
	key.exe = t->exe;
	key.parent_exe = t->parent_exe;
	key.uid = t->uid;
	key.phase = phase_of(t);
	key.tty = t->tty;
	known = bpf_map_lookup_elem(&actors, &key);
	if (known)
		return *known;
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r) {
		lose(t->cgroup, LOSS_RING_FULL);
		return 0;
	}
	now = bpf_ktime_get_ns();
	id = new_id(now);
	fill_kind(&r->head, RECORD_ACTOR, now);
	r->head.id = id;
	r->head.cgroup = key.cgroup;
	r->head.exe = key.exe;
	r->head.parent_exe = key.parent_exe;
	r->head.uid = key.uid;
	r->head.phase = key.phase;
	r->head.tty = key.tty;
	r->head.tgid = BPF_CORE_READ(task, tgid);
	if (bpf_map_update_elem(&actors, &key, &id, BPF_NOEXIST)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		known = bpf_map_lookup_elem(&actors, &key);
		if (known)
			return *known;
		lose(t->cgroup, LOSS_MAP_FULL);
		return 0;
	}
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return id;
}

/* Is the task's actor still the one that was found? */
static __always_inline bool actor_stands(struct task *t, __u32 uid)
{
	return t->actor && t->uid == uid && t->generation == state.generation;
}

static __always_inline __u64 actor_of(struct task *t, struct task_struct *task)
{
	__u32 uid = bpf_get_current_uid_gid();

	if (actor_stands(t, uid))
		return t->actor;
	t->uid = uid;
	t->generation = state.generation;
	t->actor = find_actor(t, task);
	return t->actor;
}

/* A process, if it is watched. */
static __always_inline struct task *watched_process(__u32 tgid)
{
	return bpf_map_lookup_elem(&tasks, &tgid);
}

/* The current one. */
static __always_inline struct task *watched(void)
{
	return watched_process(bpf_get_current_pid_tgid() >> 32);
}

/* The workload listens: user space decides what that means for the phase. */
static __always_inline void note_ready(__u64 cgroup)
{
	struct cgroup_state *c = bpf_map_lookup_elem(&cgroups, &cgroup);
	struct record *r;

	if (!c || c->listening)
		return;
	c->listening = 1;
	r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
	if (!r)
		return;
	fill_kind(&r->head, RECORD_READY, bpf_ktime_get_ns());
	r->head.cgroup = cgroup;
	r->head.tgid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_submit(r, 0);
}

/* Is this cgroup, or one above it, a target? */
static __always_inline bool is_target(struct kernfs_node *node)
{
	for (int i = 0; i < 16; i++) {
		__u64 id;

		if (!node)
			return false;
		id = BPF_CORE_READ(node, id);
		if (bpf_map_lookup_elem(&targets, &id))
			return true;
		node = parent_node(node);
	}
	return false;
}

static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	return BPF_CORE_READ(cgroup_of(task), kn, id);
}

#endif

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* variants: programs=-DPROGRAMS helpers=-DHELPERS
 * map_hash=-DMAP=BPF_MAP_TYPE_HASH map_lru_hash=-DMAP=BPF_MAP_TYPE_LRU_HASH
 * map_array=-DMAP=BPF_MAP_TYPE_ARRAY map_percpu_array=-DMAP=BPF_MAP_TYPE_PERCPU_ARRAY
 * map_ringbuf=-DMAP=BPF_MAP_TYPE_RINGBUF,-DRING
 * map_task_storage=-DMAP=BPF_MAP_TYPE_TASK_STORAGE,-DSTORAGE
 * map_inode_storage=-DMAP=BPF_MAP_TYPE_INODE_STORAGE,-DSTORAGE
 * map_array_of_maps=-DMAP=BPF_MAP_TYPE_ARRAY_OF_MAPS,-DOUTER
 * map_hash_of_maps=-DMAP=BPF_MAP_TYPE_HASH_OF_MAPS,-DOUTER
 */
/*
 * What `discover doctor` tries on a kernel: the smallest program of each kind, each helper and each kind of map that
 * the observer or the enforcer rests on.
 *
 * Architecture: every program is loaded alone and closed at once. Those that only watch are also attached for that
 * moment, because some kernels load what they cannot attach (trampolines on arm64 before 6.4, kprobes without
 * CONFIG_KPROBES). Programs that could change an answer (lsm, fmod_ret) return 0 and are never attached. A map has an
 * object of its own, since libbpf creates all maps of an object before its programs.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* The hooks are the ones of an exec: they are on every kernel, and rare enough to cost nothing while attached. */
#define TRY(name, section)                                                                                             \
	SEC(section)                                                                                                   \
	int name(void *ctx)                                                                                            \
	{                                                                                                              \
		return 0;                                                                                              \
	}

#ifdef PROGRAMS
TRY(lsm, "lsm/bprm_check_security")
TRY(lsm_path, "lsm/path_unlink") /* is there only with CONFIG_SECURITY_PATH */
TRY(fentry, "fentry/security_bprm_check")
TRY(fexit, "fexit/security_bprm_check")
TRY(fmod_ret, "fmod_ret/security_bprm_check")
TRY(tp_btf, "tp_btf/sched_process_exec")
TRY(tp_btf_capable, "tp_btf/cap_capable") /* since 6.14 */
TRY(raw_tp, "raw_tp/sched_process_exec")
TRY(tracepoint, "tracepoint/sched/sched_process_exec")
TRY(kprobe, "kprobe/security_bprm_check")
TRY(socket_filter, "socket")
#endif

#ifdef HELPERS
#define HELPER(name, call)                                                                                             \
	SEC("tp_btf/sched_process_exec")                                                                               \
	int name(void *ctx)                                                                                            \
	{                                                                                                              \
		__u64 room = 0;                                                                                        \
                                                                                                                       \
		call;                                                                                                  \
		return room == 1;                                                                                      \
	}

static long nothing(__u64 task, __u64 vma, void *data)
{
	return 0;
}

static long stop(__u32 index, void *data)
{
	return 1;
}

HELPER(probe_read_kernel, bpf_probe_read_kernel(&room, sizeof(room), (void *)bpf_get_current_task()))
HELPER(probe_read_user, bpf_probe_read_user(&room, sizeof(room), (void *)4096))
HELPER(get_current_task_btf, room = !bpf_get_current_task_btf())
HELPER(task_pt_regs, room = bpf_task_pt_regs(bpf_get_current_task_btf()))
HELPER(find_vma, bpf_find_vma(bpf_get_current_task_btf(), 0, nothing, &room, 0))
HELPER(loop, bpf_loop(1, stop, &room, 0))
HELPER(get_current_cgroup_id, room = bpf_get_current_cgroup_id())
#endif

#ifdef MAP
#ifdef OUTER
struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};
#endif

struct {
	__uint(type, MAP);
#if defined(RING)
	__uint(max_entries, 1 << 16); /* a multiple of every page size */
#elif defined(STORAGE)
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
#elif defined(OUTER)
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
#else
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
#endif
} tried SEC(".maps");
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Denies mkdir to one process (by tgid), with a count: shows that an LSM program loads, attaches and is obeyed by the
 * guest's kernel. Nobody is denied before `denied_tgid` is set.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} state SEC(".maps"); /* [0] the tgid, [1] how often it was denied */

SEC("lsm/path_mkdir")
int BPF_PROG(deny_mkdir, const void *dir, const void *dentry, __u16 mode, int ret)
{
	__u32 zero = 0, one = 1;
	__u64 *tgid = bpf_map_lookup_elem(&state, &zero);
	__u64 *denied = bpf_map_lookup_elem(&state, &one);

	if (ret)
		return ret;
	if (!tgid || !denied || *tgid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	__sync_fetch_and_add(denied, 1);
	return -EPERM;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

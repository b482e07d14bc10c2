// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The matcher alone, under BPF_PROG_TEST_RUN: a socket filter, which any kernel runs and which denies nothing.
 *
 * Architecture: user space puts a path into the first scratch, as the walk would leave it, with facts and a source, and
 * a question (class, rounds) beside it; the answer is the outcome. Measures and checks what enforce.bpf.c asks.
 */
#include "enforce_tables.h"

struct question {
	__u32 process; /* 1 process, 0 file, 2: the path is an executable, and its number as a source is asked for */
	__u32 rounds;  /* how often to ask */
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct question);
} questions SEC(".maps");

__noinline __u32 answer(__u32 which)
{
	struct question *q = bpf_map_lookup_elem(&questions, &which);
	struct scratch *s = scratch_at(0);
	void *policy;

	if (!q || !s)
		return ~0u;
	policy = policy_words(s->policy);
	if (!policy || head_of(policy, HEAD_MAGIC) != TABLES_MAGIC)
		return ~0u;
	if (q->process == 2)
		return run(head_of(policy, HEAD_SOURCES), 0, s->head.path_at);
	return ask_rules(0, q->process);
}

SEC("socket")
int match(struct __sk_buff *skb)
{
	__u32 zero = 0, last = 0;
	struct question *q = bpf_map_lookup_elem(&questions, &zero);

	if (!q)
		return -1;
	for (int i = 0; i < 1000; i++) {
		if (i >= q->rounds)
			break;
		last = answer(0);
	}
	return last;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

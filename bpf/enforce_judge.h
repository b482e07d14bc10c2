/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Judgements: from an object and an operation to 0 or an errno. */
#ifndef DISCOVER_ENFORCE_JUDGE_H
#define DISCOVER_ENFORCE_JUDGE_H

#include "enforce_alert.h"

/* How a path is to be judged, beside its class. */
#define JUDGE_QUIET 1	   /* an audit was told already */
#define JUDGE_RULES_ONLY 2 /* only a Block rule counts: an exec's own open */
#define JUDGE_UNLISTED 4   /* no path that a rule could name */
#define JUDGE_ENTERING 8   /* also what the runtime does: the exec that makes a task the container's own */

/*
 * A scratch that is this task's until release(). A program that runs may be preempted by the same one in another task
 * on this processor, so a scratch in use is passed over, and whoever finds at the end that it was taken meanwhile
 * judges again in another. (5.10 has no atomic exchange.)
 */
static __always_inline __u64 me_now(void)
{
	return bpf_get_current_pid_tgid() | 1ull << 63;
}

static __always_inline int claim(__u32 attempt)
{
	__u32 at = bpf_get_smp_processor_id() * SCRATCHES + attempt % SCRATCHES;
	struct scratch *s = scratch_at(at);

	if (!s || s->owner)
		return -1;
	s->owner = me_now();
	return at;
}

static __always_inline bool release(__u32 at)
{
	struct scratch *s = scratch_at(at);

	if (!s || s->owner != me_now())
		return false;
	s->owner = 0;
	return true;
}

/* The outcome for a path, in a scratch that was claimed. Its upper half: a reason. */
static __always_inline __u64 judge_in(__u32 at, __u64 how, __u64 dentry, __u64 mnt)
{
	__u32 process = (how >> 8 & 0xff) == CLASS_PROCESS, outcome, flags = how >> 24;
	struct scratch *s = scratch_at(at);
	void *policy;
	int reason;

	if (!s)
		return (__u64)REASON_NO_ROOM << 32 | KIND_BLOCK;
	if ((how & 0xff) != ENFORCE_MOUNT)
		find_source(at, process);
	reason = walk_into(at, dentry, mnt);
	policy = policy_words(s->policy);
	if (!policy)
		return KIND_ALLOW;
	if ((how & 0xff) == ENFORCE_MOUNT)
		return head_of(policy, HEAD_MOUNT);
	if (flags & JUDGE_UNLISTED)
		return head_of(policy, process ? HEAD_PROCESS_DEFAULT : HEAD_FILE_DEFAULT);
	if (reason)
		return flags & JUDGE_RULES_ONLY ? KIND_ALLOW : (__u64)reason << 32 | KIND_BLOCK;
	s->facts = how >> 16 & 7;
	outcome = ask_rules(at, process);
	if (flags & JUDGE_RULES_ONLY)
		return (outcome & 7) == KIND_BLOCK ? outcome : KIND_ALLOW;
	return or_posture(policy, outcome, process ? HEAD_PROCESS_DEFAULT : HEAD_FILE_DEFAULT);
}

/* The policy by which the process that runs is to be judged in a class; 0: it is not. */
__noinline __u64 policy_for(__u64 how)
{
	struct covered *t = current_covered();
	__u32 process = (how >> 8 & 0xff) == CLASS_PROCESS;
	void *policy;
	__u64 word;

	if (!t || (t->state == TASK_ENTERING && !(how >> 24 & JUDGE_ENTERING)))
		return 0;
	word = policy_now();
	policy = policy_words(word);
	if (!policy)
		return 0;
	if ((how & 0xff) != ENFORCE_MOUNT && !head_of(policy, process ? HEAD_PROCESS_RULES : HEAD_FILE_RULES))
		return 0;
	return word;
}

/* Judges a path. `how`: operation, class, facts and flags, a byte each. 0 or -EACCES. */
__noinline int judge_path(__u64 how, __u64 dentry, __u64 mnt)
{
	__u64 policy = policy_for(how), answer = (__u64)REASON_NO_ROOM << 32 | KIND_BLOCK, what;
	int at = -1, denied = 0;

	if (!policy)
		return 0;
	for (int i = 0; i < 2 * SCRATCHES; i++) {
		struct scratch *s;

		at = claim(i);
		if (at < 0)
			continue;
		s = scratch_at(at);
		if (!s)
			continue;
		s->policy = policy;
		answer = judge_in(at, how, dentry, mnt);
		if (s->owner == me_now())
			break;
		answer = (__u64)REASON_NO_ROOM << 32 | KIND_BLOCK;
		at = -1;
	}
	if ((answer & 7) != KIND_ALLOW && !(how >> 24 & JUDGE_QUIET && (answer & 7) == KIND_AUDIT)) {
		what = what_of(answer, how, how >> 8, answer >> 32);
		denied = conclude(what, policy, 0, at);
	}
	release(at);
	return denied ? -EACCES : 0;
}

/* Judges a key of a table of outcomes, a row of `slots` for each source; true if it is denied. */
static __always_inline bool judge_key(struct covered *t, __u32 op, __u32 policy_class, __u64 socket, enum head table,
				      __u32 key, __u32 slots, bool quiet)
{
	struct domain *d = domain_at(t->domain);
	__u32 start, source = 0, outcome;
	void *policy;
	__u64 word;

	if (!d)
		return false;
	word = policy_now();
	policy = policy_words(word);
	if (!policy)
		return false;
	start = head_of(policy, table);
	if (!start)
		return false;
	if (t->policy == word) {
		source = t->source;
	} else if (head_of(policy, HEAD_SOURCES)) {
		bool found = false;

		for (int i = 0; i < 2 * SCRATCHES && !found; i++) {
			int at = claim(i);
			struct scratch *s;

			if (at < 0)
				continue;
			s = scratch_at(at);
			if (!s)
				continue;
			s->policy = word;
			find_source(at, 0);
			source = s->source;
			found = release(at);
		}
		if (!found)
			return conclude(what_of(KIND_BLOCK, op, policy_class, REASON_NO_ROOM), word, socket, ~0u);
	}
	outcome = half_of(policy, start, source * slots + key);
	if (quiet)
		return (outcome & 7) == KIND_BLOCK && denies(d, policy_class);
	return (outcome & 7) != KIND_ALLOW && conclude(what_of(outcome, op, policy_class, 0), word, socket, ~0u);
}

#endif

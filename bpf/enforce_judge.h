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
static __always_inline int claim(__u32 attempt, __u64 me)
{
	__u32 at = bpf_get_smp_processor_id() * SCRATCHES + attempt % SCRATCHES;
	struct scratch *s = scratch_at(at);

	if (!s || s->owner)
		return -1;
	s->owner = me;
	return at;
}

static __always_inline bool release(__u32 at, __u64 me)
{
	struct scratch *s = scratch_at(at);

	if (!s || s->owner != me)
		return false;
	s->owner = 0;
	return true;
}

static __always_inline __u64 me_now(void)
{
	return bpf_get_current_pid_tgid() | 1ull << 63;
}

/* The outcome for a path, in a scratch that was claimed. Its upper half: a reason. */
__noinline __u64 judge_in(__u32 at, __u64 how, __u64 dentry, __u64 mnt)
{
	struct covered *t = current_covered();
	struct scratch *s = scratch_at(at);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 process = (how >> 8 & 0xff) == CLASS_PROCESS, outcome = 0;
	enum head posture = process ? HEAD_PROCESS_DEFAULT : HEAD_FILE_DEFAULT;
	void *policy;
	int reason;

	if (!t || !s)
		return (__u64)REASON_NO_ROOM << 32 | KIND_BLOCK;
	policy = policy_words(s->policy);
	if (!policy)
		return KIND_ALLOW;
	if ((how & 0xff) == ENFORCE_MOUNT) {
		walk_into(at, dentry, mnt);
		return head_of(policy, HEAD_MOUNT);
	}
	s->source = process ? source_of(at, (__u64)BPF_CORE_READ(task, real_parent)) : own_source(t, at, s->policy, s->owner);
	s->facts = how >> 16 & 7;
	reason = walk_into(at, dentry, mnt);
	if (how >> 24 & JUDGE_UNLISTED)
		return head_of(policy, posture);
	if (reason)
		return how >> 24 & JUDGE_RULES_ONLY ? KIND_ALLOW : (__u64)reason << 32 | KIND_BLOCK;
	outcome = ask_rules(at, process);
	if (how >> 24 & JUDGE_RULES_ONLY)
		return (outcome & 7) == KIND_BLOCK ? outcome : KIND_ALLOW;
	return or_posture(policy, outcome, posture);
}

/*
 * Judges a path. `how`: operation, class, facts and flags, a byte each. 0 or -EACCES.
 */
__noinline int judge_path(__u64 how, __u64 dentry, __u64 mnt)
{
	struct covered *t = current_covered();
	__u32 class = how >> 8 & 0xff;
	struct verdict v = {.op = how, .policy_class = class, .scratch = ~0u};
	__u64 me = me_now(), answer = (__u64)REASON_NO_ROOM << 32 | KIND_BLOCK, word;
	struct domain *d;
	bool denied = false;
	void *policy;
	__u32 rules;

	if (!t || (t->state == TASK_ENTERING && !(how >> 24 & JUDGE_ENTERING)))
		return 0;
	v.domain = t->domain;
	d = domain_at(v.domain);
	if (!d)
		return 0;
	word = d->policy;
	policy = policy_words(word);
	if (!policy)
		return 0;
	rules = head_of(policy, class == CLASS_PROCESS ? HEAD_PROCESS_RULES : HEAD_FILE_RULES);
	if (!rules && (how & 0xff) != ENFORCE_MOUNT)
		return 0;
	v.generation = word >> 32;
	for (int i = 0; i < 2 * SCRATCHES; i++) {
		int at = claim(i, me);
		struct scratch *s;

		if (at < 0)
			continue;
		s = scratch_at(at);
		if (!s)
			continue;
		s->policy = word;
		answer = judge_in(at, how, dentry, mnt);
		if (s->owner != me) {
			answer = (__u64)REASON_NO_ROOM << 32 | KIND_BLOCK;
			continue;
		}
		v.scratch = at;
		break;
	}
	v.outcome = answer;
	v.reason = answer >> 32;
	if ((v.outcome & 7) != KIND_ALLOW && !(how >> 24 & JUDGE_QUIET && (v.outcome & 7) == KIND_AUDIT))
		denied = conclude(&v);
	if (v.scratch != ~0u)
		release(v.scratch, me);
	if (denied)
		return -EACCES;
	return 0;
}

/* Judges a key of a table of outcomes, a row of `slots` for each source; true if it is denied. */
static __always_inline bool judge_key(struct covered *t, struct verdict *v, enum head table, __u32 key, __u32 slots,
				      bool quiet)
{
	struct domain *d = domain_at(t->domain);
	__u64 me = me_now(), word;
	__u32 start, source = 0;
	void *policy;

	if (!d)
		return false;
	word = d->policy;
	policy = policy_words(word);
	if (!policy)
		return false;
	start = head_of(policy, table);
	if (!start)
		return false;
	v->domain = t->domain;
	v->generation = word >> 32;
	v->scratch = ~0u;
	if (head_of(policy, HEAD_SOURCES)) {
		if (t->policy == word) {
			source = t->source;
		} else {
			bool found = false;

			for (int i = 0; i < 2 * SCRATCHES && !found; i++) {
				int at = claim(i, me);
				struct scratch *s;

				if (at < 0)
					continue;
				s = scratch_at(at);
				if (!s)
					continue;
				s->policy = word;
				source = source_of(at, bpf_get_current_task());
				found = release(at, me);
			}
			if (!found) {
				v->outcome = KIND_BLOCK;
				v->reason = REASON_NO_ROOM;
				return conclude(v);
			}
			t->source = source;
			t->policy = word;
		}
	}
	v->outcome = half_of(policy, start, source * slots + key);
	if (quiet)
		return (v->outcome & 7) == KIND_BLOCK && denies(d, v->policy_class);
	return (v->outcome & 7) != KIND_ALLOW && conclude(v);
}

#endif

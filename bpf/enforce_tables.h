/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Asks a policy's words about a path: automata, then the parts of what they found. The layout is enforcer/compile's;
 * enforcer/compile/interpret.py is this file in Python.
 *
 * A path is read in pieces of STRIDE bytes by a function of its own, which the verifier so checks once.
 */
#ifndef DISCOVER_ENFORCE_TABLES_H
#define DISCOVER_ENFORCE_TABLES_H

#include "enforce.h"

#define TABLES_MAGIC 0x5448

enum head { /* enforcer/compile/tables.py: Head */
	    HEAD_MAGIC,
	    HEAD_FILE_PATHS,
	    HEAD_FILE_PATTERNS,
	    HEAD_PROCESS_PATHS,
	    HEAD_PROCESS_PATTERNS,
	    HEAD_PROCESS_NAMES,
	    HEAD_SOURCES,
	    HEAD_FILE_DEFAULT,
	    HEAD_PROCESS_DEFAULT,
	    HEAD_PARTS,
	    HEAD_RECORDS,
	    HEAD_SOCKETS,
	    HEAD_CAPABILITIES,
	    HEAD_MOUNT,
	    HEAD_FILE_RULES,
	    HEAD_PROCESS_RULES,
};

#define COLUMN_DEFAULT 256
#define COLUMN_CONTEXT 257
#define COLUMN_ACCEPT 258
#define STATE_LOOP (1u << 30)
#define STATE_STOP (1u << 31)
#define STATE_PLACE ((1u << 28) - 1)
#define PART_TABLE (1u << 31)
#define STRIDE 64
#define SOURCE_STEPS 16 /* of a search among 65,535 sources */

static __always_inline void *policy_words(__u64 policy)
{
	__u32 slot = policy;

	return bpf_map_lookup_elem(&policies, &slot);
}

static __always_inline __u64 word_of(void *policy, __u32 at)
{
	__u32 block = at / BLOCK_WORDS;
	struct words *w = bpf_map_lookup_elem(policy, &block);

	return w ? w->word[at % BLOCK_WORDS] : 0;
}

static __always_inline __u32 half_of(void *policy, __u32 start, __u32 number)
{
	return word_of(policy, start + number / 2) >> (number % 2 ? 32 : 0);
}

static __always_inline __u32 head_of(void *policy, enum head name)
{
	return half_of(policy, 0, name);
}

/*
 * One column of a state, 0 if the state has none there. Reads from the block that is open, and opens the state's first
 * if it lies in another: a path stays in few.
 */
#define CELL(RESULT, STATE, COLUMN)                                                                                    \
	do {                                                                                                           \
		__u32 place = (STATE)&STATE_PLACE, block = place / BLOCK_WORDS;                                        \
		__u64 word;                                                                                            \
                                                                                                                       \
		if (block != s->block) {                                                                               \
			w = bpf_map_lookup_elem(policy, &block);                                                       \
			if (!w)                                                                                        \
				return 0;                                                                              \
			s->block = block;                                                                              \
		}                                                                                                      \
		word = w->word[(place + (COLUMN)) % BLOCK_WORDS];                                                      \
		RESULT = word >> 32 == place ? (__u32)word : 0;                                                        \
	} while (0)

/*
 * One piece of a path, [from, to) of a scratch; true to go on. State, context and the open block's number are kept in
 * the scratch, not in registers: what is read from there the verifier takes for any number, so that all ways through
 * the loop look alike to it.
 */
__noinline int step_piece(__u32 at, __u32 from, __u32 to)
{
	struct scratch *s = scratch_at(at);
	struct words *w;
	__u32 zero = 0;
	void *policy;

	if (!s)
		return 0;
	policy = policy_words(s->policy);
	if (!policy)
		return 0;
	w = bpf_map_lookup_elem(policy, &zero);
	if (!w)
		return 0;
	s->block = 0;
	for (int i = 0; i < STRIDE; i++) {
		__u32 byte, following, context;

		if (from + i >= to)
			return 1;
		byte = byte_at(s, from + i);
		CELL(following, s->state, byte);
		if (!following) {
			if (s->state & STATE_LOOP)
				continue;
			CELL(following, s->state, COLUMN_DEFAULT);
			context = s->context;
			if (!following && context) {
				CELL(following, context, byte);
				if (!following)
					following = s->context;
			}
		}
		s->state = following;
		if (!following || following & STATE_STOP)
			return 0;
		if (byte == '/') {
			CELL(context, s->state, COLUMN_CONTEXT);
			if (context)
				s->context = context;
		}
	}
	return 1;
}

/* What the automaton at `start` says of the path in a scratch, from a place on; 0: nothing. */
__noinline __u32 run(__u32 start, __u32 at, __u32 from)
{
	struct scratch *s = scratch_at(at);
	void *policy;
	__u32 place;
	__u64 word;

	if (!start || !s)
		return 0;
	policy = policy_words(s->policy);
	if (!policy)
		return 0;
	s->state = start;
	s->context = 0;
	for (int i = 0; i < PATH_ROOM / STRIDE; i++) {
		__u32 to = from + STRIDE;

		if (from >= PATH_ROOM)
			break;
		if (!step_piece(at, from, to > PATH_ROOM ? PATH_ROOM : to))
			break;
		from = to;
	}
	place = s->state & STATE_PLACE;
	if (!place)
		return 0;
	word = word_of(policy, place + COLUMN_ACCEPT);
	if (word >> 32 == place)
		return word;
	place = s->context & STATE_PLACE;
	if (!place || s->state & STATE_STOP)
		return 0;
	word = word_of(policy, place + COLUMN_ACCEPT);
	return word >> 32 == place ? (__u32)word : 0;
}

/* Where the last name of the path in a scratch begins. */
__noinline __u32 last_name(__u32 at)
{
	struct scratch *s = scratch_at(at);
	__u32 place = PATH_ROOM;

	if (!s)
		return place;
	for (int i = 0; i < 256; i++) { /* a name has at most 255 bytes */
		if (place <= s->head.path_at || byte_at(s, place - 1) == '/')
			break;
		place--;
	}
	return place;
}

/*
 * Parts of the path and of its directories for the scratch's source, in one number. `list`: first word, number of
 * entries. The bounds of the search are kept as the automaton's state is, which is done with.
 */
__noinline __u64 from_source(__u32 at, __u64 list)
{
	struct scratch *s = scratch_at(at);
	__u32 first = list, middle, source;
	void *policy;
	__u64 word;

	if (!s)
		return 0;
	policy = policy_words(s->policy);
	if (!policy)
		return 0;
	s->state = 0;
	s->context = list >> 32;
	for (int i = 0; i < SOURCE_STEPS; i++) {
		if (s->state >= s->context)
			return 0;
		middle = (s->state + s->context) / 2;
		word = word_of(policy, first + 2 * middle);
		source = word;
		if (source == s->source)
			return word >> 32 | word_of(policy, first + 2 * middle + 1) << 32;
		if (source < s->source)
			s->state = middle + 1;
		else
			s->context = middle;
	}
	return 0;
}

static __always_inline __u32 ask(void *policy, __u32 part, __u32 facts)
{
	if (!(part & PART_TABLE))
		return part;
	return half_of(policy, head_of(policy, HEAD_PARTS), 8 * (part & ~PART_TABLE) + (facts & 7));
}

/*
 * The outcome of the rules for the path in a scratch, by its facts and its source. `process` is 1 for the process
 * class, 0 for the file class. Nothing: no rule is about it. Not permitted: the posture decides.
 */
__noinline __u32 ask_rules(__u32 at, __u32 process)
{
	struct scratch *s = scratch_at(at);
	__u32 record, name = 0, records, outcome, from;
	__u64 own, entry, named = 0;
	void *policy;

	if (!s)
		return 0;
	policy = policy_words(s->policy);
	if (!policy)
		return 0;
	from = s->head.path_at;
	records = head_of(policy, HEAD_RECORDS);
	record = run(head_of(policy, process ? HEAD_PROCESS_PATHS : HEAD_FILE_PATHS), at, from);
	if (process) {
		__u32 names = head_of(policy, HEAD_PROCESS_NAMES);

		if (names)
			name = run(names, at, last_name(at));
	}
	entry = word_of(policy, records + 2 * record);
	if (name)
		named = word_of(policy, records + 2 * name);
	if (s->source) {
		own = from_source(at, word_of(policy, records + 2 * record + 1));
		outcome = ask(policy, own, s->facts);
		if (outcome)
			return outcome;
		if (name) {
			outcome = ask(policy, from_source(at, word_of(policy, records + 2 * name + 1)), s->facts);
			if (outcome)
				return outcome;
		}
		outcome = ask(policy, own >> 32, s->facts);
		if (outcome)
			return outcome;
	}
	outcome = ask(policy, entry, s->facts);
	if (outcome)
		return outcome;
	outcome = ask(policy, named, s->facts);
	if (outcome)
		return outcome;
	outcome = ask(policy, run(head_of(policy, process ? HEAD_PROCESS_PATTERNS : HEAD_FILE_PATTERNS), at, from),
		      s->facts);
	if (outcome)
		return outcome;
	return ask(policy, entry >> 32, s->facts);
}

/* The outcome with the posture in its place where no rule settles it. */
static __always_inline __u32 or_posture(void *policy, __u32 outcome, enum head posture)
{
	__u32 kind = outcome & 7;

	return kind == KIND_NOTHING || kind == KIND_NOT_PERMITTED ? head_of(policy, posture) : outcome;
}

#endif

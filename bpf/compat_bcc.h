/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The programs as the BPF Compiler Collection (bcc) compiles them, on the machine where they will run.
 *
 * bcc is used as a compiler alone: collectors/live/bcc.py creates the maps, links and loads. It rewrites C in the main
 * file only, and these headers are none, so this is plain C. What it lacks:
 *
 *   relocation of calls   all functions lie in one section, where clang resolves calls by itself; user space cuts the
 *                         section into functions again, by a directory of calls that stands first in it
 *   relocation of maps    a map is a number, its place among the __COUNTER__s; user space puts descriptors there
 *   CO-RE                 kernel_layout.h has the kernel's structures with the offsets of the running kernel
 *   globals               constants are macros (SETTING_*), tables and shared variables are arrays of one element
 */
#ifndef DISCOVER_COMPAT_BCC_H
#define DISCOVER_COMPAT_BCC_H

#define bool _Bool
#define true 1
#define false 0

#define SEC(NAME)
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#undef __noinline
/* "used" also keeps the compiler from changing its arguments, which user space describes to the kernel. */
#define __noinline static __attribute__((noinline, used, section(".bpf.fn.all")))

#define CALLBACK __noinline

/* An instruction between two calls (see kernel.h), without naming a register: the front end knows this machine's alone. */
#define apart()                                                                                                        \
	({                                                                                                             \
		__u64 nothing = 0;                                                                                     \
		asm volatile("" : "+r"(nothing));                                                                      \
	})

/* Maps */

#undef __uint
#undef __type
#define __uint(NAME, VALUE) MAP_##NAME(VALUE)
#define MAP_type(VALUE) int(*number)[__COUNTER__ + 1], (*type)[VALUE]
#define MAP_max_entries(VALUE) int(*max_entries)[VALUE]
#define MAP_map_flags(VALUE) int(*map_flags)[VALUE]
#define __type(NAME, TYPE) __typeof__(TYPE) *NAME

#define PSEUDO_MAP 1
#define PSEUDO_VALUE 2
#define PSEUDO_FUNCTION 4
#define COUNT_OF(ARRAY) (sizeof(ARRAY) / sizeof(int))
#define MAP(POINTER) ((void *)bpf_pseudo_fd(PSEUDO_MAP, COUNT_OF(*(POINTER)->number)))
#define VALUE_OF(NUMBER) bpf_pseudo_fd(PSEUDO_VALUE, NUMBER)

#define CALL_TO(FUNCTION) ((void *)bpf_pseudo_fd(PSEUDO_FUNCTION, NUMBER_##FUNCTION))

#define CONSTANT(TYPE, NAME, VALUE) static const TYPE NAME = SETTING_##NAME
#define CONSTANT_TABLE(TYPE, NAME, SLOTS) struct unused_##NAME
#define SHARED(TYPE, NAME) struct unused_##NAME
#define calls (*(const struct call(*)[CALLS])VALUE_OF(NUMBER_calls))
#define calls_compat (*(const struct call(*)[CALLS])VALUE_OF(NUMBER_calls_compat))
#define state (*(struct observer_state *)VALUE_OF(NUMBER_state))

/* Helpers, by their numbers, which are ABI: what bcc declares of them depends on its version. */

#define HELPER(NUMBER, TYPE, ...) ((TYPE(*)(__VA_ARGS__))NUMBER)
#define bpf_map_lookup_elem(M, KEY) HELPER(1, void *, void *, const void *)(MAP(M), KEY)
#define bpf_map_update_elem(M, KEY, VALUE, FLAGS)                                                                      \
	HELPER(2, long, void *, const void *, const void *, __u64)(MAP(M), KEY, VALUE, FLAGS)
#define bpf_map_delete_elem(M, KEY) HELPER(3, long, void *, const void *)(MAP(M), KEY)
#define bpf_ktime_get_ns HELPER(5, __u64, void)
#define bpf_get_smp_processor_id HELPER(8, __u32, void)
#define bpf_get_current_pid_tgid HELPER(14, __u64, void)
#define bpf_get_current_uid_gid HELPER(15, __u64, void)
#define bpf_get_current_task HELPER(35, __u64, void)
#define bpf_probe_read_user HELPER(112, long, void *, __u32, const void *)
#define bpf_probe_read_kernel HELPER(113, long, void *, __u32, const void *)
#define bpf_probe_read_user_str HELPER(114, long, void *, __u32, const void *)
#define bpf_probe_read_kernel_str HELPER(115, long, void *, __u32, const void *)
#define bpf_jiffies64 HELPER(118, __u64, void)
#define bpf_get_current_task_btf HELPER(158, void *, void)
#define bpf_find_vma(TASK, ADDRESS, FUNCTION, CONTEXT, FLAGS)                                                          \
	HELPER(180, long, void *, __u64, void *, void *, __u64)(TASK, ADDRESS, CALL_TO(FUNCTION), CONTEXT, FLAGS)
#define bpf_ringbuf_reserve(M, SIZE, FLAGS) HELPER(131, void *, void *, __u64, __u64)(MAP(M), SIZE, FLAGS)
#define bpf_ringbuf_submit HELPER(132, void, void *, __u64)
#define bpf_ringbuf_discard HELPER(133, void, void *, __u64)

/* Kernel structures: every read is a probe read, at offsets that are right for this kernel alone. */

#define MISSING_ALIGNMENT 65536 /* of a member that this kernel does not have */
#define bpf_core_field_exists(MEMBER) (__alignof__(MEMBER) < MISSING_ALIGNMENT)
#define bpf_core_field_offset(TYPE, MEMBER) __builtin_offsetof(TYPE, MEMBER)
#define bpf_core_read bpf_probe_read_kernel
#define READ_1(P, A)                                                                                                   \
	({                                                                                                             \
		__typeof__((P)->A) read;                                                                               \
		bpf_probe_read_kernel(&read, sizeof(read), &(P)->A);                                                   \
		read;                                                                                                  \
	})
#define READ_2(P, A, B)                                                                                                \
	({                                                                                                             \
		__typeof__((P)->A) first = READ_1(P, A);                                                               \
		READ_1(first, B);                                                                                      \
	})
#define READ_3(P, A, B, C)                                                                                             \
	({                                                                                                             \
		__typeof__((P)->A->B) second = READ_2(P, A, B);                                                        \
		READ_1(second, C);                                                                                     \
	})
#define READ_4(P, A, B, C, D)                                                                                          \
	({                                                                                                             \
		__typeof__((P)->A->B->C) third = READ_3(P, A, B, C);                                                   \
		READ_1(third, D);                                                                                      \
	})
#define CHOOSE(_1, _2, _3, _4, NAME, ...) NAME
#define BPF_CORE_READ(P, ...) CHOOSE(__VA_ARGS__, READ_4, READ_3, READ_2, READ_1)(P, __VA_ARGS__)
#define TRUSTED(POINTER, MEMBER) READ_1(POINTER, MEMBER)

/* Programs: each takes the raw tracepoint's arguments. */

#define ARGUMENTS_1 ctx[0]
#define ARGUMENTS_2 ARGUMENTS_1, ctx[1]
#define ARGUMENTS_3 ARGUMENTS_2, ctx[2]
#define ARGUMENTS_4 ARGUMENTS_3, ctx[3]
#define ARGUMENTS_5 ARGUMENTS_4, ctx[4]
#define CHOOSE_ARGUMENTS(_1, _2, _3, _4, _5, NAME, ...) NAME
#define ARGUMENTS(...) CHOOSE_ARGUMENTS(__VA_ARGS__, ARGUMENTS_5, ARGUMENTS_4, ARGUMENTS_3, ARGUMENTS_2, ARGUMENTS_1)
#undef BPF_PROG
#define BPF_PROG(NAME, ...)                                                                                            \
	__noinline NAME(unsigned long long *ctx);                                                                      \
	static __always_inline int inner_##NAME(unsigned long long *ctx, __VA_ARGS__);                                 \
	__noinline int NAME(unsigned long long *ctx)                                                                   \
	{                                                                                                              \
		return inner_##NAME(ctx, ARGUMENTS(__VA_ARGS__));                                                      \
	}                                                                                                              \
	static __always_inline int inner_##NAME(unsigned long long *ctx, __VA_ARGS__)

#endif

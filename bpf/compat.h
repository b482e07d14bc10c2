/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One source, two compilers. clang makes the objects that libbpf loads and relocates; where there is no libbpf or no
 * BTF, the BPF Compiler Collection compiles the same headers for the running kernel (compat_bcc.h). What the two need
 * said differently is said here; all else is plain C with the names of libbpf's headers.
 */
#ifndef DISCOVER_COMPAT_H
#define DISCOVER_COMPAT_H

#ifdef DISCOVER_BCC
#include "compat_bcc.h"
#else
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* Set before loading. */
#define CONSTANT(TYPE, NAME, VALUE) const volatile TYPE NAME = VALUE
#define CONSTANT_TABLE(TYPE, NAME, SLOTS) const volatile TYPE NAME[SLOTS] = {}

/* A variable that user space maps. */
#define SHARED(TYPE, NAME) TYPE NAME

/* A function that a helper calls. */
#define CALLBACK static

/* A member behind a pointer that a tracepoint passes: with BTF the verifier trusts it. */
#define TRUSTED(POINTER, MEMBER) ((POINTER)->MEMBER)

/* bpf_get_current_task_btf(), whose members are read by plain loads: since 5.11, and in these variants. */
#ifndef BEFORE_FIND_VMA
#define HAVE_TASK_BTF
#endif

/*
 * An address as the kernel structure that lies there: its members are then read by plain loads, which may fault, and not
 * by calls (since 6.2).
 */
#ifdef HAVE_CAST
extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym;
#define AS(TYPE, ADDRESS) ((struct TYPE *)bpf_rdonly_cast(ADDRESS, bpf_core_type_id_kernel(struct TYPE)))
#endif
#endif

#endif

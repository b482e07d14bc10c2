// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* variants: tracepoint=-DHAVE_FIND_VMA,-DHAVE_CAST tracepoint_5_17=-DHAVE_FIND_VMA tracepoint_5_10=-DBEFORE_FIND_VMA lsm=-DHOOKS,-DBACKEND_LSM fentry=-DHOOKS lsm_5_10=-DHOOKS,-DBACKEND_LSM,-DBEFORE_FIND_VMA fentry_5_10=-DHOOKS,-DBEFORE_FIND_VMA */
/*
 * The observer.
 *
 * Architecture: programs on task events decide who is watched (lifecycle.h), programs on system calls (syscalls.h) or
 * security hooks (hooks.h) say what was done to what, and one path keeps the set of behaviours and tells user space of
 * new ones (observe.h). The variants differ in where they look; what they tell is the same.
 */
#include "lifecycle.h"
#include "syscalls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

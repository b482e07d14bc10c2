// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The enforcer.
 *
 * Architecture: a *domain* is a set of policies and whom it covers, by cgroup and by process (`roots`, `covered`). Its
 * policy is an array of words that enforcer/compile made, in a slot of `policies`; a swap writes one number of the
 * domain, so every judgement is by one whole policy. A hook finds the domain of the process that runs, walks the
 * object's path into a scratch, asks the automata (enforce_tables.h), and denies if the outcome is Block and the
 * domain's class is in Block before its deadline. What is not Allow is told or counted (enforce_alert.h).
 *
 *   bprm_check_security              exec: process rules by the parent's executable; without a path: unlisted
 *   file_open, path_*, file_truncate files; what an exec opens is judged by Block rules alone
 *   sb_mount, move_mount, sb_pivotroot   by the posture
 *   socket_*, capable                tables by source
 *   sched_process_*, cgroup_attach_task  who is covered (enforce_lifecycle.h)
 */
#include "enforce_hooks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

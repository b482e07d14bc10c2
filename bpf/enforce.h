/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the enforcer's programs and user space share: domains, tasks, policies, alerts. */
#ifndef DISCOVER_ENFORCE_H
#define DISCOVER_ENFORCE_H

#include "kernel.h"
#include "record.h"
#include "walk.h"

#define EPERM 1
#define EACCES 13
#define EAGAIN 11

#define DOMAINS 256
#define POLICIES 512
#define BLOCK_WORDS 4096 /* enforcer/compile/layout.py */
#define PATH_ROOM 4096
#define SCRATCHES 4	/* for each processor: a judgement may be preempted by another */
#define CGROUP_NAME 128 /* crio-, cri-containerd-, libpod- and 64 digits, .scope */
#define PATH_TOLD 1024
#define NAME_TOLD 512

enum policy_class {
	CLASS_PROCESS,
	CLASS_FILE,
	CLASS_NETWORK,
	CLASS_CAPABILITIES,
	CLASSES,
};

enum outcome_kind { /* enforcer/compile/outcomes.py */
		    KIND_NOTHING,
		    KIND_ALLOW,
		    KIND_AUDIT,
		    KIND_BLOCK,
		    KIND_NOT_PERMITTED,
};

enum facts {
	FACT_READS = 1,
	FACT_OWNER = 2,
	FACT_TERMINAL = 4,
};

enum reason { /* why an outcome is none of a rule's or the posture's */
	      REASON_POLICY,
	      REASON_PATH_TOO_LONG,
	      REASON_RACED,
	      REASON_NO_ROOM,
	      REASONS,
};

enum enforce_op {
	ENFORCE_NONE,
	ENFORCE_EXEC,
	ENFORCE_OPEN,
	ENFORCE_TRUNCATE,
	ENFORCE_UNLINK,
	ENFORCE_RENAME_FROM,
	ENFORCE_RENAME_TO,
	ENFORCE_LINK_FROM,
	ENFORCE_LINK_TO,
	ENFORCE_SYMLINK,
	ENFORCE_MKDIR,
	ENFORCE_RMDIR,
	ENFORCE_MKNOD,
	ENFORCE_CHMOD,
	ENFORCE_CHOWN,
	ENFORCE_MOUNT,
	ENFORCE_SOCKET,
	ENFORCE_CONNECT,
	ENFORCE_BIND,
	ENFORCE_LISTEN,
	ENFORCE_ACCEPT,
	ENFORCE_CAPABLE,
};

enum failure { /* why Block ended before its deadline */
	       FAILED_NOT,
	       FAILED_DENIALS,
	       FAILED_CRASH,
	       FAILED_PROBE,
};

enum task_state {
	TASK_ENTERING, /* the runtime's, until it executes a file of the container's own mounts */
	TASK_JUDGED,
};

/*
 * One set of policies, and whom it covers. `policy` is written whole: slot in `policies` below, generation above;
 * `starting` is the one in its place until an instance of the workload is ready, 0: there is none.
 *
 * Until a Block is confirmed (`deadline`), the first crash and the `most_denials`th denial end it.
 */
struct domain {
	__u64 policy;
	__u64 starting;
	__u64 ready_after;  /* ns after an instance's first executable; 0: it gets ready otherwise */
	__u64 deadline;	    /* CLOCK_BOOTTIME, ns; past it Block is Audit. 0: none */
	__u64 most_denials; /* 0: any number */
	__u64 denials;	    /* since Block began */
	__u32 ready_on_listen;
	__u32 failed;	   /* enum failure: Block is Audit */
	__u32 failed_pid;  /* who crashed */
	__u32 failed_code; /* as wait() tells it */
	char failed_comm[16];
	__u32 block; /* bit for each class: deny; else only tell */
	__u32 own_mounts;
	__u64 denied[CLASSES];
	__u64 audited[CLASSES];
	__u64 untold[CLASSES]; /* of both: no alert, because the ring or the table of alerts was full */
	__u64 reasons[REASONS];
};

struct covered {
	__u32 domain;
	__u32 state;
	__u32 source; /* number of its executable among the policy's sources, valid for `policy` */
	__u32 mount_namespace;
	__u64 policy;
	__u64 home; /* its instance's cgroup */
};

/* A cgroup that a domain covers. `holds`: each cgroup right below it is an instance of its own, as below a pod's. */
struct root {
	__u32 domain;
	__u32 holds;
};

/* One run of a workload, from its first executable on: a container, a unit; home 0 is a process tree. */
struct instance_key {
	__u64 home;
	__u32 domain;
	__u32 spare;
};

struct instance {
	__u64 since;  /* CLOCK_BOOTTIME, ns */
	__u32 leader; /* its first process; 0: it has ended */
	__u32 ready;
};

struct cgroup_name {
	char name[CGROUP_NAME];
};

struct enforcer_state {
	__u32 broken_glass; /* Block is Audit, everywhere */
	__u32 overflowed;   /* a task found no room in `covered`: those without an entry are looked up by cgroup */
};

struct alert_key {
	__u32 domain;
	__u32 generation;
	__u32 outcome;
	__u8 op;
	__u8 denied;
	__u8 reason;
	__u8 policy_class;
	__u64 object;
	__u64 actor;
};

struct alert_count {
	__u64 count;
	__u64 last; /* CLOCK_BOOTTIME, ns */
};

/* A path that walk.h fills from its end. */
struct told_path {
	struct {
		__u32 path_at;
		__u32 size;
	} head;
	char path[PATH_TOLD];
	char room[256];
};

struct told_name {
	struct {
		__u32 path_at;
		__u32 size;
	} head;
	char path[NAME_TOLD];
	char room[256];
};

/* The first of its kind; what follows is counted in `alerts`. */
struct alert {
	struct alert_key key;
	__u64 when; /* CLOCK_BOOTTIME, ns */
	__u64 cgroup;
	__u32 tgid;
	__u32 parent;
	__u32 uid;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 capability;
	char comm[16];
	struct told_path object;
	struct told_name actor;
	struct told_name parent_actor;
};

struct words {
	__u64 word[BLOCK_WORDS];
};

/* Where one judgement works. It is whoever's `owner` says; see claim(). */
struct scratch {
	struct {
		__u32 path_at;
		__u32 size;
	} head;
	__u64 owner;
	__u64 policy;
	__u32 facts;
	__u32 source;
	__u32 state; /* of the automaton that reads `path`, and the block that holds it */
	__u32 context;
	__u32 block;
	__u32 spare;
	__u64 walk[4]; /* a struct walk between two pieces, in numbers: user space reads this structure's type */
	char path[PATH_ROOM];
	char room[256];
};

CONSTANT(__u32, host_mount_namespace, 0);
CONSTANT(__u64, rename_lock_address, 0);

SHARED(struct enforcer_state, state);

struct { /* a policy: blocks of words */
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, POLICIES);
	__uint(key_size, sizeof(__u32));
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__uint(map_flags, BPF_F_INNER_MAP);
			/* sizes, not types: 6.1 takes no map without BTF in the place of one that has it */
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct words));
		});
} policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* user space writes one number at a time */
	__uint(max_entries, DOMAINS);
	__type(key, __u32);
	__type(value, struct domain);
} domains SEC(".maps");

struct { /* cgroups that a domain covers, with all below them */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 12);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct root);
} roots SEC(".maps");

struct { /* names that cgroups will have when a container is started again: covered before anybody is in them */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 10);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cgroup_name);
	__type(value, __u32);
} awaited SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 12);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct instance_key);
	__type(value, struct instance);
} instances SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct covered);
} covered SEC(".maps");

struct { /* by thread: a chown under way that is to be denied, where path_chown cannot say so */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 15);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} denied_chowns SEC(".maps");

struct { /* SCRATCHES for each processor; resized before loading */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCHES);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 14);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct alert_key);
	__type(value, struct alert_count);
} alerts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} told SEC(".maps");

struct enforce_vocabulary { /* so that the enums are in BTF */
	enum policy_class policy_class;
	enum outcome_kind kind;
	enum reason reason;
	enum enforce_op op;
	enum task_state task_state;
	enum failure failure;
};
const struct enforce_vocabulary *anchor_enforce_vocabulary __attribute__((unused));
const struct alert *anchor_alert __attribute__((unused));

/* One byte of a path. clang would drop the mask where it knows better than the verifier. */
static __always_inline __u8 byte_at(struct scratch *s, __u32 at)
{
	opaque(at);
	return s->path[at & (PATH_ROOM - 1)];
}

static __always_inline struct scratch *scratch_at(__u32 place)
{
	return bpf_map_lookup_elem(&scratches, &place);
}

#endif

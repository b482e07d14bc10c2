/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What crosses to user space, and the keys and values of the maps. User space takes every layout here from BTF, never
 * by hand; the enums are mirrored in collectors/live/abi.py and a test compares the two.
 */
#ifndef DISCOVER_RECORD_H
#define DISCOVER_RECORD_H

enum record_kind {
	RECORD_BEHAVIOUR = 1, /* first sight of a behaviour */
	RECORD_ACTOR,	      /* first sight of an actor: ties its id to executables, uid, phase and cgroup */
	RECORD_EXE,	      /* first sight of an executable: ties its id to a path */
	RECORD_CGROUP,	      /* first sight of a cgroup: ties its id to a path */
	RECORD_READY,	      /* a cgroup's first listen */
	RECORD_MAIN_EXIT,     /* a cgroup's first own process has gone */
};

enum operation {
	OP_NONE,
	OP_EXEC,
	OP_OPEN,
	OP_MMAP_EXEC,
	OP_MPROTECT_EXEC,
	OP_TRUNCATE,
	OP_UNLINK,
	OP_RENAME_FROM,
	OP_RENAME_TO,
	OP_LINK_FROM,
	OP_LINK_TO,
	OP_SYMLINK,
	OP_MKDIR,
	OP_RMDIR,
	OP_MKNOD,
	OP_CHMOD,
	OP_CHOWN,
	OP_SETXATTR,
	OP_SOCKET,
	OP_CONNECT,
	OP_BIND,
	OP_LISTEN,
	OP_ACCEPT,
	OP_SEND,
	OP_CAPABLE,
	/* how a system call's exit is read; never in a record */
	CALL_OPENAT2,
	CALL_RENAME,
	CALL_LINK,
	CALL_MMAP,
	CALL_MPROTECT,
	CALL_SENDTO,
	CALL_SENDMSG,
	CALL_SENDMMSG,
	CALL_SOCKETPAIR,
	CALL_EXEC,
	CALL_MOUNTS,
	CALL_SOCKETCALL,
	CALL_CREAT,
	CALL_NAMESPACE,
};

enum access {
	ACCESS_READ = 1,
	ACCESS_WRITE = 2,
	ACCESS_APPEND = 4,
	ACCESS_CREATE = 8,
	ACCESS_TRUNCATE = 16,
	ACCESS_DIRECTORY = 32,
};

enum record_flags {
	FLAG_OWNER = 1, /* the file belongs to the actor's uid */
	FLAG_OWNER_KNOWN = 2,
	FLAG_JOINED = 4, /* `given` is relative to `path`, or absolute below it */
	FLAG_ASKED = 8,	 /* the same, of a failed attempt */
	FLAG_PATH_CUT = 16,
	FLAG_GIVEN_CUT = 32,
	FLAG_GIVEN_UNREADABLE = 64,
	FLAG_ANONYMOUS = 128,	 /* on an internal mount: memfd, pipe, socket */
	FLAG_UNHASHED = 256,	 /* the name is gone */
	FLAG_DETACHED = 512,	 /* the mount has left every namespace */
	FLAG_PEER_SAMPLE = 1024, /* the address is a sample, not part of the key */
	FLAG_NOFOLLOW = 2048,	 /* a link at the end of `given` is the object itself */
};

enum phase {
	PHASE_RUNTIME_INIT,
	PHASE_START_UP,
	PHASE_STEADY,
	PHASE_SHUTDOWN,
	PHASE_DRILL,
	PHASE_EXEC_SESSION,
	PHASE_PROBE,
};

enum task_mode {
	MODE_WORKLOAD,	   /* the phase is its cgroup's */
	MODE_RUNTIME_INIT, /* the runtime's, until it executes a file of the container's own mounts; then the workload */
	MODE_ENTERING,	   /* the same, but the container runs already: then a session or a probe */
	MODE_SESSION,
	MODE_PROBE,
};

enum loss {
	LOSS_RING_FULL,
	LOSS_MAP_FULL,
	LOSS_PATH_TRUNCATED,
	LOSS_STRING_UNREADABLE,
	LOSS_PROCESS_GONE,
	LOSS_UNRESOLVED,
	LOSS_MISSED,
	LOSS_CAUSES,
};

#define PATH_SHORT 256
#define PATH_LONG 4096

struct record_head {
	__u64 id;   /* the behaviour's, actor's, executable's or cgroup's */
	__u64 when; /* CLOCK_MONOTONIC, ns */
	__u64 actor;
	__u64 cgroup;
	__u64 exe;
	__u64 parent_exe;
	__u32 tgid;
	__u32 uid;
	__u16 kind;
	__u16 op;
	__u16 access;
	__u16 error;
	__u16 flags;
	__u16 phase;
	__u16 mode; /* i_mode */
	__u16 tty;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 port;    /* host order; a capability's number */
	__u16 path_at; /* where the path begins in `path`; it ends at PATH_SHORT or PATH_LONG */
	__u16 given_length;
	__u32 mount_namespace; /* where `given` is to be resolved; inode number */
	__u8 address[16];
	char fs[16];
};

/* The walk fills `path` from its end; it may address up to a name's length behind it, which `given` absorbs. */
struct record {
	struct record_head head;
	char path[PATH_SHORT];
	char given[PATH_SHORT];
};

struct long_record {
	struct record_head head;
	char path[PATH_LONG];
	char given[PATH_LONG];
};

/* `--raw`: one for every event; the behaviour's own record says what it was. */
struct raw_record {
	__u64 id;
	__u64 when;
};

/* A task came into another mount namespace than the recorder's: to be held while it is there. */
struct namespace_record {
	__u32 tid;
	__u32 mount_namespace; /* inode number */
};

struct behaviour_key {
	__u64 actor;
	__u16 op;
	__u16 access;
	__u16 error;
	__u16 flags;
	__u64 object[4];
	__u64 variant; /* not 0: a directory above has another name than when this object was first seen */
};

struct behaviour {
	__u64 id;
	__u64 count;
	__u64 last;  /* jiffies: cheaper than a clock */
	__u64 chain; /* names of all directories above, hashed */
	__u64 epoch; /* of renames and mounts, when `chain` was last compared */
};

struct task {
	__u64 cgroup;
	__u64 exe;
	__u64 parent_exe;
	__u64 old_exe; /* before the exec that is under way */
	__u64 actor;   /* 0: to be looked up */
	__u32 uid;
	__u32 generation;
	__u16 mode;
	__u16 tty;
	__u32 flags;
};

struct actor_key {
	__u64 cgroup;
	__u64 exe;
	__u64 parent_exe;
	__u32 uid;
	__u16 phase;
	__u16 tty;
};

struct cgroup_state {
	__u64 lost[LOSS_CAUSES];
	__u32 main; /* tgid of the first process that was the workload's own */
	__u16 phase;
	__u16 listening;
};

/* How the exit of one system call is read: argument numbers, NO_ARGUMENT where there is none. */
#define NO_ARGUMENT 0xff
struct call {
	__u8 op;
	__u8 dirfd;
	__u8 path;
	__u8 dirfd2;
	__u8 path2;
	__u8 flags;    /* open flags */
	__u8 fd;       /* the object is this open file */
	__u8 nofollow; /* 0 a link at the end is followed; 1 never; n + 2 unless argument n has AT_SYMLINK_NOFOLLOW */
};

#endif

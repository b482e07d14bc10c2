/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hard case says, beside each thing that it does, the row that a recording must hold: one JSON object a line in the
 * file $REPORT (or on stdout). Strings with `|` are alternatives. Paths are hex, since they may hold any byte.
 */
#ifndef EXPECT_H
#define EXPECT_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PATH_ROOM 16384

struct row {
	const char *op;
	const char *access;
	const char *path;
	const char *also; /* another path that is as good */
	const char *resolved;
	const char *object;
	int error;
	int owner; /* 0: not said, 1: the actor's own file, 2: another's */
	bool optional; /* may be there or not */
	bool often; /* must be there; how often is the kernel's affair */
	bool absent; /* must not be there */
	const char *more; /* further columns, as JSON members */
};

#define EXPECT(...) expect_row(&(struct row){__VA_ARGS__})

#define CHANGED "kernel|joined" /* how the path of a change by name may be known */

extern char here[PATH_ROOM]; /* directory of the running case, as seen from the mount namespace's root */
extern bool proc_is_there; /* whether /proc/self/fd may be asked for a second opinion on paths */

void report_to(const char *program); /* must be called first; opens $REPORT, or takes over $REPORT_FD */
void begin(const char *base, const char *name); /* makes and enters the case's directory */
void case_is(const char *name); /* names the case, without a directory of its own */
void expect_row(const struct row *row);
void note(const char *key, const char *json); /* a fact for the test, such as a pid */
void die(const char *what);
/* Rows of this kind belong to the case, and the case names every one of them. Kinds: `path` (all file rows at or below
 * it), `exe` (all file rows of that executable), `op` (all rows of that operation), `class` (all of that class). */
void world(const char *kind, const char *value);
const char *member(const char *key, const char *value); /* one JSON member for `more` */
#define MUST(what)                     \
	do {                           \
		if (!(what))           \
			die(#what);    \
	} while (0)

/* `below("x")` is the path of `x` in the case's directory; a few results stay valid at a time. */
const char *below(const char *format, ...);

/* Each does it, requires the result named and says the row. Paths are: as given, and as the row must have it. */
int opens_at(int dir, const char *given, int flags, const char *access, const char *path, int error);
#define opens(given, flags, access, path) opens_at(AT_FDCWD, given, flags, access, path, 0)
#define open_fails(given, flags, access, path, error) opens_at(AT_FDCWD, given, flags, access, path, error)
void makes_file(const char *name);
void makes_directory(const char *name);
pid_t forks(void); /* fork; the parent must call `waits` */
void waits(pid_t pid);
void becomes(int uid);
void copies(const char *from, const char *to); /* a silent copy is not possible: it says its rows */
const char *beside(const char *program); /* path of another test program */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases of `execs` say in common. */
#ifndef EXECS_H
#define EXECS_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"

extern const char *base;
extern char own[4096]; /* this program, as the kernel names it */
extern char noop[4096];
extern char *const no_environment[];

/* Runs `call` in a forked child, which must exec. */
#define IN_CHILD(call)                            \
	do {                                      \
		pid_t child_ = forks();           \
		if (child_ == 0) {                \
			call;                     \
			die(#call);               \
		}                                 \
		waits(child_);                    \
	} while (0)

static inline void starts(const char *name)
{
	begin(base, name);
}

/* One exec of `path` by the program at `exe`. */
static inline void says(const char *path, const char *exe, const char *more)
{
	char members[16384];

	snprintf(members, sizeof(members), "%s%s%s", member("exe", exe), more ? "," : "", more ? more : "");
	EXPECT("exec", .path = path, .resolved = "kernel", .more = members);
}

/* One exec of a script, by its own name. */
static inline void ask(const char *path, const char *more)
{
	EXPECT("exec", .path = path, .resolved = "kernel|joined|derived", .more = more);
}

static inline void makes_script(const char *name, const char *line)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0755);

	MUST(fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line));
	close(fd);
	EXPECT("open", "write+create", below("%s", name), .resolved = "kernel", .object = "file");
}

/* What the kernel itself does to execute a file; an allow-list must hold these too. */
static inline void is_opened(const char *name)
{
	EXPECT("open", "read", below("%s", name), .resolved = "kernel|derived", .often = true);
}

static inline void is_mapped(const char *name)
{
	is_opened(name);
	EXPECT("mmap-exec", .path = below("%s", name), .resolved = "kernel|derived", .often = true);
}

void script(void);
void at_script(void);
void nested_script(void);
void shell(void);

#endif

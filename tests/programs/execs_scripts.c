/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts, their interpreters, and a shell that becomes what it runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "execs.h"

void script(void)
{
	static char line[8192], more[16384];
	char *const argv[] = {"script", "argument", NULL};

	starts("script");
	copies(noop, "n");
	MUST(symlink("n", "link") == 0);
	EXPECT("symlink", .path = below("link"), .resolved = CHANGED);
	snprintf(line, sizeof(line), "#!%s -x\n", below("link"));
	makes_script("script", line);
	IN_CHILD(execve("./script", argv, no_environment));
	/* the kernel asks about the script, and about the program that its first line names */
	snprintf(more, sizeof(more), "%s", member("interpreter", below("n")));
	ask(below("script"), more);
	snprintf(more, sizeof(more), "%s", member("script", below("script")));
	says(below("n"), own, more);
	is_mapped("n");
	is_opened("script");
}

/* By a directory's descriptor, where the kernel knows the script as /dev/fd/N/script. */
void at_script(void)
{
	static char line[8192], more[16384];
	char *const argv[] = {"script", NULL};
	int dir;

	starts("execveat_script");
	copies(noop, "n");
	makes_directory("d");
	snprintf(line, sizeof(line), "#! %s\n", below("n"));
	makes_script("d/script", line);
	dir = open("d", O_PATH | O_DIRECTORY);
	IN_CHILD(syscall(SYS_execveat, dir, "script", argv, no_environment, 0));
	ask(below("d/script"), NULL);
	snprintf(more, sizeof(more), "%s", member("script", below("d/script")));
	says(below("n"), own, more);
	is_mapped("n");
	is_opened("d/script");
	close(dir);
}

void nested_script(void)
{
	static char line[8192], more[16384];
	char *const argv[] = {"outer", NULL};

	starts("nested_script");
	copies(noop, "n");
	snprintf(line, sizeof(line), "#!%s\n", below("n"));
	makes_script("inner", line);
	snprintf(line, sizeof(line), "#!%s\n", below("inner"));
	makes_script("outer", line);
	IN_CHILD(execve("outer", argv, no_environment));
	snprintf(more, sizeof(more), "%s", member("interpreter", below("inner")));
	ask(below("outer"), more);
	snprintf(more, sizeof(more), "%s", member("interpreter", below("n")));
	ask(below("inner"), more);
	snprintf(more, sizeof(more), "%s", member("script", below("outer")));
	says(below("n"), own, more);
	is_mapped("n");
	is_opened("inner");
	is_opened("outer");
}

void shell(void)
{
	static char shell_path[4096], command[PATH_ROOM + 16], copy[PATH_ROOM];
	pid_t child;

	starts("shell_exec");
	copies(noop, "n");
	MUST(realpath("/bin/sh", shell_path));
	snprintf(copy, sizeof(copy), "%s", below("n"));
	snprintf(command, sizeof(command), "exec %s", copy); /* no fork: the shell's process becomes the program */
	child = forks();
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		die("sh");
	}
	waits(child);
	says(shell_path, own, NULL);
	says(copy, shell_path, NULL);
	is_mapped("n");
}

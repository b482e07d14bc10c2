/* SPDX-License-Identifier: Apache-2.0 */
/* execs BASE: every way to become another program. All exec rows of this program are named here. */
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "execs.h"

const char *base;
char own[4096];
char noop[4096];
char *const no_environment[] = {NULL};

static void plain(void)
{
	char *const argv[] = {"noop", "with", "arguments", NULL};
	pid_t child;

	starts("exec_plain");
	makes_directory("d");
	copies(noop, "n");
	MUST(symlink("n", "link") == 0);
	EXPECT("symlink", .path = below("link"), .resolved = CHANGED);
	IN_CHILD(execve("./d/../n", argv, no_environment));
	says(below("n"), own, NULL);
	IN_CHILD(execve("link", argv, no_environment));
	says(below("n"), own, NULL);
	IN_CHILD(execve("/proc/self/cwd/link", argv, no_environment));
	says(below("n"), own, NULL);
	MUST(posix_spawn(&child, "n", NULL, NULL, argv, no_environment) == 0);
	waits(child);
	says(below("n"), own, NULL);
	child = vfork();
	if (child == 0) {
		execve("n", argv, no_environment);
		_exit(1);
	}
	waits(child);
	says(below("n"), own, NULL);
	is_mapped("n");
}

static void at(void)
{
	char *const argv[] = {"noop", NULL};
	int dir, fd;

	starts("execveat");
	copies(noop, "n");
	dir = open(".", O_PATH | O_DIRECTORY);
	fd = open("n", O_PATH);
	IN_CHILD(syscall(SYS_execveat, dir, "n", argv, no_environment, 0));
	says(below("n"), own, NULL);
	IN_CHILD(syscall(SYS_execveat, fd, "", argv, no_environment, AT_EMPTY_PATH));
	says(below("n"), own, NULL);
	is_mapped("n");
	close(fd);
	close(dir);
}

static void deleted(void)
{
	char *const argv[] = {"noop", NULL};
	int fd;

	starts("exec_deleted");
	copies(noop, "n");
	fd = open("n", O_PATH);
	MUST(unlink("n") == 0);
	EXPECT("unlink", .path = below("n"), .resolved = CHANGED);
	IN_CHILD(syscall(SYS_execveat, fd, "", argv, no_environment, AT_EMPTY_PATH));
	EXPECT("exec", .path = below("n"), .resolved = "kernel", .object = "deleted", .more = member("exe", own));
	is_mapped("n");
}

static void memfd(void)
{
	static char buffer[65536];
	char *const argv[] = {"noop", NULL};
	int in, fd;
	ssize_t length;

	starts("memfd");
	in = open(noop, O_RDONLY);
	fd = memfd_create("hard-memfd", MFD_CLOEXEC);
	MUST(in >= 0 && fd >= 0);
	while ((length = read(in, buffer, sizeof(buffer))) > 0)
		MUST(write(fd, buffer, length) == length);
	IN_CHILD(syscall(SYS_execveat, fd, "", argv, no_environment, AT_EMPTY_PATH));
	EXPECT("exec", .path = "/memfd:hard-memfd", .also = "memfd:hard-memfd", .resolved = "kernel|unresolved",
	       .object = "anonymous", .more = member("exe", own));
	close(in);
	close(fd);
}

static void *execs_in_thread(void *argv)
{
	execve("n", argv, no_environment);
	die("exec in a thread");
	return NULL;
}

static void thread(void)
{
	char *const argv[] = {"noop", NULL};
	pthread_t other;
	pid_t child;

	starts("thread_exec");
	copies(noop, "n");
	child = forks();
	if (child == 0) {
		MUST(pthread_create(&other, NULL, execs_in_thread, (void *)argv) == 0);
		pause();
		_exit(1);
	}
	waits(child);
	says(below("n"), own, NULL);
	is_mapped("n");
}

static void self(void)
{
	starts("exec_self");
	IN_CHILD(execl("/proc/self/exe", "execs", "leave", NULL));
	says(own, own, NULL);
}

static void failed(void)
{
	char *const argv[] = {"x", NULL};
	pid_t child;

	starts("failed_exec");
	makes_directory("d");
	makes_file("plain");
	makes_script("orphan", "#!/does/not/exist\n");
	makes_script("garbage", "\x01\x02\x03\x04 no format");
	copies(noop, "n");
	MUST(chmod("n", 0700) == 0);
	EXPECT("chmod", .path = below("n"), .resolved = CHANGED);
	MUST(execve("missing", argv, no_environment) == -1 && errno == ENOENT);
	EXPECT("exec", .path = below("missing"), .resolved = "asked", .error = ENOENT, .more = member("exe", own));
	MUST(execve("./d/../plain/x", argv, no_environment) == -1 && errno == ENOTDIR);
	EXPECT("exec", .path = below("plain/x"), .also = below("d/../plain/x"), .resolved = "asked", .error = ENOTDIR);
	MUST(execve("plain", argv, no_environment) == -1 && errno == EACCES);
	EXPECT("exec", .path = below("plain"), .resolved = "asked|kernel", .error = EACCES);
	MUST(execve("d", argv, no_environment) == -1 && errno == EACCES);
	EXPECT("exec", .path = below("d"), .resolved = "asked|kernel", .error = EACCES);
	MUST(execve("orphan", argv, no_environment) == -1 && errno == ENOENT);
	EXPECT("exec", .path = below("orphan"), .resolved = "asked|kernel", .error = ENOENT);
	MUST(execve("garbage", argv, no_environment) == -1 && errno == ENOEXEC);
	EXPECT("exec", .path = below("garbage"), .resolved = "asked|kernel", .error = ENOEXEC);
	child = forks();
	if (child == 0) {
		becomes(1000);
		MUST(execve("n", argv, no_environment) == -1 && errno == EACCES);
		EXPECT("exec", .path = below("n"), .resolved = "asked|kernel", .error = EACCES, .more = "\"uid\":1000");
		_exit(0);
	}
	waits(child);
	is_opened("orphan");
	is_opened("garbage");
}

static void odd_name(void)
{
	static const char *const names[] = {"n\xff\xe9", "n\n\033[31m", "n '\"$(x)"};
	char *const argv[] = {"noop", NULL};

	starts("exec_odd_name");
	for (int i = 0; i < 3; i++) {
		copies(noop, names[i]);
		IN_CHILD(execve(names[i], argv, no_environment));
		EXPECT("exec", .path = below("%s", names[i]), .resolved = "kernel", .more = member("exe", own));
		is_mapped(names[i]);
	}
}

static void parents(void)
{
	static char more[8192];
	char *const argv[] = {"noop", NULL};
	pid_t child;

	/* the parent's executable is the one it had when it started this process */
	starts("parent_exe");
	makes_file("f");
	child = forks();
	if (child == 0) {
		close(opens("f", O_RDONLY, "read", below("f")));
		execve(noop, argv, no_environment);
		die("exec");
	}
	waits(child);
	snprintf(more, sizeof(more), "%s", member("parent_exe", own));
	says(noop, own, more);
}

static void thirty_two_bit(void)
{
	static char path[4096];

	starts("thirty_two_bit");
	snprintf(path, sizeof(path), "%s", beside("compat"));
	IN_CHILD(execl(path, "compat", NULL));
	says(path, own, NULL);
}

static void mapper(void)
{
	static char path[4096], library[4096];

	starts("shared_library");
	snprintf(path, sizeof(path), "%s", beside("mapper"));
	snprintf(library, sizeof(library), "%s", beside("libhard.so"));
	IN_CHILD(execl(path, "mapper", library, NULL));
	says(path, own, NULL);
}

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 2);
	if (strcmp(argv[1], "leave") == 0)
		return 0;
	base = argv[1];
	MUST(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
	snprintf(noop, sizeof(noop), "%s", beside("noop"));
	case_is("started");
	world("op", "exec");
	EXPECT("exec", .path = own, .resolved = "kernel");
	plain();
	at();
	deleted();
	memfd();
	script();
	at_script();
	nested_script();
	shell();
	thread();
	self();
	failed();
	odd_name();
	parents();
	thirty_two_bit();
	mapper();
	return 0;
}

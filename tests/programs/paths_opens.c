/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to open a file, or to use it without: openat2, io_uring, threads, mappings, failures. */
#include <errno.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "paths.h"
#include "ring.h"

static int opens2(const char *given, uint64_t flags, uint64_t resolve, int dir)
{
	struct open_how how = {.flags = flags, .resolve = resolve};

	return syscall(SYS_openat2, dir, given, &how, sizeof(how));
}

void openat2_(void)
{
	int dir, fd;

	begin(base, "openat2");
	makes_directory("root");
	makes_file("root/f");
	makes_file("out");
	MUST(symlink("/f", "root/link") == 0);
	EXPECT("symlink", .path = below("root/link"), .resolved = CHANGED);
	dir = opens("root", O_RDONLY | O_DIRECTORY, "read+directory", below("root"));
	fd = opens2("link", O_RDWR, RESOLVE_IN_ROOT, dir);
	MUST(fd >= 0);
	EXPECT("open", "read+write", below("root/f"), .resolved = "kernel", .object = "file");
	close(fd);
	MUST(opens2("../out", O_RDONLY, RESOLVE_BENEATH, dir) == -1 && errno == EXDEV);
	EXPECT("open", "read", below("out"), .also = below("root/../out"), .resolved = "asked", .error = EXDEV);
	MUST(opens2("link", O_RDONLY, RESOLVE_NO_SYMLINKS, dir) == -1 && errno == ELOOP);
	EXPECT("open", "read", below("root/link"), .resolved = "asked", .error = ELOOP);
	fd = opens2("../new", O_WRONLY | O_CREAT | O_APPEND, 0, dir);
	MUST(fd >= 0);
	EXPECT("open", "write+append+create", below("new"), .resolved = "kernel", .object = "file");
	close(fd);
	close(dir);
}

static void uring(const char *name, int flags)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_OPENAT, .flags = flags, .fd = AT_FDCWD, .open_flags = O_RDONLY};
	struct ring ring;
	int fd;

	begin(base, name);
	makes_file("f");
	if (!ring_opens(&ring)) {
		note("skipped", "\"no io_uring\"");
		return;
	}
	entry.addr = (uintptr_t)"f";
	fd = ring_does(&ring, &entry);
	MUST(fd >= 0);
	EXPECT("open", "read", below("f"), .resolved = "kernel", .object = "file");
	close(fd);
	close(ring.fd);
}

void io_uring_open(void)
{
	uring("io_uring_open", 0);
}

void io_uring_worker(void)
{
	uring("io_uring_worker", IOSQE_ASYNC); /* a kernel thread of the process opens it */
}

void io_uring_change(void)
{
	struct io_uring_sqe make = {.opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .len = 0755};
	struct io_uring_sqe unlink = {.opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD};
	struct ring ring;
	int result;

	begin(base, "io_uring_change");
	makes_file("f");
	if (!ring_opens(&ring)) {
		note("skipped", "\"no io_uring\"");
		return;
	}
	make.addr = (uintptr_t)"d";
	unlink.addr = (uintptr_t)"f";
	result = ring_does(&ring, &make);
	if (result == -EINVAL) {
		note("skipped", "\"this kernel's io_uring changes no directories\"");
		return;
	}
	MUST(result == 0);
	EXPECT("mkdir", .path = below("d"), .resolved = CHANGED);
	MUST(ring_does(&ring, &unlink) == 0);
	EXPECT("unlink", .path = below("f"), .resolved = CHANGED);
	close(ring.fd);
}

static void *opens_in_thread(void *unused)
{
	(void)unused;
	READS("f", below("f"));
	MUST(unlink("f") == 0);
	EXPECT("unlink", .path = below("f"), .resolved = CHANGED);
	return NULL;
}

void threads(void)
{
	pthread_t thread;

	begin(base, "threads");
	makes_file("f");
	MUST(pthread_create(&thread, NULL, opens_in_thread, NULL) == 0);
	pthread_join(thread, NULL);
}

void mapped(void)
{
	void *at;
	int fd;

	begin(base, "mapped");
	makes_file("f");
	fd = opens("f", O_RDONLY, "read", below("f"));
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED);
	EXPECT("mmap-exec", .path = below("f"), .resolved = "kernel", .object = "file");
	munmap(at, 4096);
	close(fd);

	/* mapped, closed, renamed, and only then made executable */
	makes_file("g");
	fd = opens("g", O_RDONLY, "read", below("g"));
	at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED);
	close(fd);
	MUST(rename("g", "h") == 0);
	EXPECT("rename-from", .path = below("g"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("h"), .resolved = CHANGED);
	MUST(mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0);
	EXPECT("mprotect-exec", .path = below("h"), .resolved = "kernel", .object = "file");
	munmap(at, 4096);

	/* nothing to see: not executable, or of no file */
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(mprotect(at, 4096, PROT_READ) == 0);
}

void failed_opens(void)
{
	pid_t child;

	begin(base, "failed_opens");
	makes_file("f");
	makes_file("secret");
	makes_directory("d");
	MUST(chmod("secret", 0600) == 0);
	EXPECT("chmod", .path = below("secret"), .resolved = CHANGED);
	MUST(symlink("loop", "loop") == 0);
	EXPECT("symlink", .path = below("loop"), .resolved = CHANGED);
	open_fails("nothing", O_RDONLY, "read", below("nothing"), ENOENT);
	open_fails("no/thing", O_RDWR, "read+write", below("no/thing"), ENOENT);
	open_fails("f/child", O_RDONLY, "read", below("f/child"), ENOTDIR);
	open_fails("f", O_RDONLY | O_DIRECTORY, "read", below("f"), ENOTDIR); /* no directory was opened */
	open_fails("loop", O_RDONLY, "read", below("loop"), ELOOP);
	open_fails("d", O_WRONLY, "write", below("d"), EISDIR);
	open_fails("f", O_WRONLY | O_CREAT | O_EXCL, "write+create", below("f"), EEXIST);
	for (int i = 0; i < 4; i++)
		open_fails("often", O_RDONLY, "read", below("often"), ENOENT);
	child = forks();
	if (child == 0) {
		becomes(1000);
		open_fails("secret", O_RDONLY, "read", below("secret"), EACCES);
		open_fails("made", O_WRONLY | O_CREAT, "write+create", below("made"), EACCES);
		_exit(0);
	}
	waits(child);
	MUST(syscall(SYS_open, NULL, O_RDONLY) == -1 && errno == EFAULT); /* no name to speak of: an unreadable string */
}

void open_flags(void)
{
	begin(base, "open_flags");
	close(opens("new", O_WRONLY | O_CREAT, "write+create", below("new")));
	close(opens("new", O_WRONLY | O_CREAT, "write", below("new"))); /* it was there: nothing was created */
	close(opens("new", O_RDONLY | O_CREAT, "read", below("new")));
	close(opens("new", O_WRONLY | O_APPEND, "write+append", below("new")));
	close(opens("new", O_WRONLY | O_TRUNC, "write+truncate", below("new")));
	close(opens("new", O_RDWR | O_CREAT | O_TRUNC, "read+write+truncate", below("new")));
	close(opens("new", O_RDWR | O_CREAT | O_APPEND, "read+write+append", below("new")));
	close(opens(".", O_RDONLY, "read+directory", here));
	close(creat("made", 0644));
	EXPECT("open", "write+create|write+create+truncate", below("made"), .resolved = "kernel", .object = "file");
	/* a handle is not an access: it can neither be read nor written */
	close(open("new", O_PATH));
	close(open(".", O_PATH | O_DIRECTORY));
	EXPECT("open", .path = below("new"), .access = "", .absent = true);
}

void devices(void)
{
	begin(base, "devices");
	close(opens("/dev/null", O_RDWR, "read+write", "/dev/null"));
	MUST(mkfifo("fifo", 0644) == 0);
	EXPECT("mknod", .path = below("fifo"), .resolved = CHANGED);
	close(opens("fifo", O_RDWR, "read+write", below("fifo")));
}

void anonymous(void)
{
	char link[64];
	int pipes[2], fd = memfd_create("hard-memory", 0);

	begin(base, "anonymous");
	MUST(fd >= 0 && pipe(pipes) == 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	MUST((fd = open(link, O_RDWR)) >= 0);
	EXPECT("open", "read+write", .resolved = "kernel|unresolved", .object = "anonymous", .more = "\"fs\":\"tmpfs\"");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", pipes[0]);
	MUST(open(link, O_RDONLY) >= 0);
	EXPECT("open", "read", .resolved = "kernel|unresolved", .object = "anonymous", .more = "\"fs\":\"pipefs\"");
}

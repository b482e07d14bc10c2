/* SPDX-License-Identifier: Apache-2.0 */
/* paths BASE: files by every kind of name. */
#include <errno.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "expect.h"
#include "ring.h"

static const char *base;

#define READS(given, path) close(opens(given, O_RDONLY, "read", path))

static void relative(void)
{
	int dir;

	begin(base, "relative");
	makes_directory("d");
	makes_directory("e");
	makes_file("d/f");
	READS("d/../d/./f", below("d/f"));
	READS(".//d//f", below("d/f"));
	MUST(chdir("d") == 0);
	READS("../d/f", below("d/f"));
	READS("f", below("d/f"));
	MUST(chdir("../e") == 0);
	READS("../d/f", below("d/f"));
	dir = opens("..", O_RDONLY | O_DIRECTORY, "read+directory", here);
	close(opens_at(dir, "d/f", O_RDONLY, "read", below("d/f"), 0));
	close(opens_at(dir, "e/../d/f", O_RDWR, "read+write", below("d/f"), 0));
	MUST(unlinkat(dir, "e/../d/f", 0) == 0);
	EXPECT("unlink", .path = below("d/f"), .resolved = CHANGED);
	MUST(mkdirat(dir, "./d/../made", 0755) == 0);
	EXPECT("mkdir", .path = below("made"), .resolved = CHANGED);
	close(dir);
}

static void symlinked_directory(void)
{
	begin(base, "symlinked_directory");
	makes_directory("real");
	makes_directory("real/sub");
	makes_file("real/f");
	makes_file("outer");
	MUST(symlink("real", "link") == 0);
	EXPECT("symlink", .path = below("link"), .resolved = CHANGED);
	MUST(symlink("real/sub", "deep") == 0);
	EXPECT("symlink", .path = below("deep"), .resolved = CHANGED);
	READS("link/f", below("real/f"));
	READS("deep/../f", below("real/f"));
	READS("link/../outer", below("outer"));
	close(opens("link", O_RDONLY | O_DIRECTORY, "read+directory", below("real")));
	close(opens("link/new", O_WRONLY | O_CREAT, "write+create", below("real/new")));
	open_fails("link", O_RDONLY | O_NOFOLLOW, "read", below("link"), ELOOP);
}

static void change_below_symlink(void)
{
	begin(base, "change_below_symlink");
	makes_directory("real");
	makes_directory("real/sub");
	makes_file("real/f");
	makes_file("real/g");
	MUST(symlink("real", "link") == 0);
	EXPECT("symlink", .path = below("link"), .resolved = CHANGED);
	MUST(symlink("real/sub", "deep") == 0);
	EXPECT("symlink", .path = below("deep"), .resolved = CHANGED);
	MUST(symlink("real", "other") == 0);
	EXPECT("symlink", .path = below("other"), .resolved = CHANGED);
	MUST(mkdir("link/made", 0755) == 0);
	EXPECT("mkdir", .path = below("real/made"), .resolved = CHANGED);
	MUST(unlink("deep/../f") == 0);
	EXPECT("unlink", .path = below("real/f"), .resolved = CHANGED);
	MUST(rename("link/g", "deep/g") == 0);
	EXPECT("rename-from", .path = below("real/g"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("real/sub/g"), .resolved = CHANGED);
	MUST(rmdir("link/made") == 0);
	EXPECT("rmdir", .path = below("real/made"), .resolved = CHANGED);
	MUST(unlink("other") == 0); /* a link itself is removed, not what it leads to */
	EXPECT("unlink", .path = below("other"), .resolved = CHANGED);
}

static void change_through_symlink(void)
{
	begin(base, "change_through_symlink");
	makes_file("f");
	MUST(symlink("f", "link") == 0);
	EXPECT("symlink", .path = below("link"), .resolved = CHANGED);
	MUST(chmod("link", 0600) == 0);
	EXPECT("chmod", .path = below("f"), .resolved = CHANGED);
	MUST(chown("link", 1, 1) == 0);
	EXPECT("chown", .path = below("f"), .resolved = CHANGED);
	MUST(truncate("link", 3) == 0);
	EXPECT("truncate", .path = below("f"), .resolved = CHANGED);
	MUST(setxattr("link", "trusted.hard", "1", 1, 0) == 0);
	EXPECT("setxattr", .path = below("f"), .resolved = CHANGED);
	MUST(lchown("link", 2, 2) == 0); /* these two do not follow */
	EXPECT("chown", .path = below("link"), .resolved = CHANGED);
	MUST(lsetxattr("link", "trusted.hard", "1", 1, 0) == 0);
	EXPECT("setxattr", .path = below("link"), .resolved = CHANGED);
}

static void rename_above(void)
{
	begin(base, "rename_above");
	makes_directory("a");
	makes_directory("a/b");
	makes_file("a/b/f");
	for (int i = 0; i < 3; i++)
		READS("a/b/f", below("a/b/f"));
	MUST(rename("a", "z") == 0);
	EXPECT("rename-from", .path = below("a"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("z"), .resolved = CHANGED);
	for (int i = 0; i < 5; i++)
		READS("z/b/f", below("z/b/f"));
	MUST(rename("z/b", "z/c") == 0);
	EXPECT("rename-from", .path = below("z/b"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("z/c"), .resolved = CHANGED);
	for (int i = 0; i < 2; i++)
		READS("z/c/f", below("z/c/f"));
	MUST(rename("z/c/f", "z/c/g") == 0);
	EXPECT("rename-from", .path = below("z/c/f"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("z/c/g"), .resolved = CHANGED);
	READS("z/c/g", below("z/c/g"));
	/* back to the first names: the first behaviour again */
	MUST(rename("z/c/g", "z/c/f") == 0);
	EXPECT("rename-from", .path = below("z/c/g"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("z/c/f"), .resolved = CHANGED);
	MUST(rename("z/c", "z/b") == 0);
	EXPECT("rename-from", .path = below("z/c"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("z/b"), .resolved = CHANGED);
	MUST(rename("z", "a") == 0);
	EXPECT("rename-from", .path = below("z"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("a"), .resolved = CHANGED);
	for (int i = 0; i < 4; i++)
		READS("a/b/f", below("a/b/f"));
}

static void rename_kinds(void)
{
	begin(base, "rename_kinds");
	makes_file("f");
	makes_file("g");
	makes_directory("d");
	MUST(rename("f", "g") == 0); /* over a file that is there */
	EXPECT("rename-from", .path = below("f"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("g"), .resolved = CHANGED);
	READS("g", below("g"));
	MUST(syscall(SYS_renameat2, AT_FDCWD, "g", AT_FDCWD, "d/h", 1 /* RENAME_NOREPLACE */) == 0);
	EXPECT("rename-from", .path = below("g"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("d/h"), .resolved = CHANGED);
	MUST(rename("missing", "other") == -1 && errno == ENOENT);
	EXPECT("rename-from", .path = below("missing"), .resolved = "asked|joined", .error = ENOENT);
	EXPECT("rename-to", .path = below("other"), .resolved = "asked|joined", .error = ENOENT);
}

static void rename_exchange(void)
{
	begin(base, "rename_exchange");
	makes_file("x");
	makes_file("y");
	MUST(syscall(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "y", 2 /* RENAME_EXCHANGE */) == 0);
	EXPECT("rename-from", .path = below("x"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("y"), .resolved = CHANGED);
	/* kernels before 5.19 call the hook once for each direction */
	EXPECT("rename-from", .path = below("y"), .resolved = CHANGED, .optional = true);
	EXPECT("rename-to", .path = below("x"), .resolved = CHANGED, .optional = true);
	READS("x", below("x"));
}

static void hard_links(void)
{
	begin(base, "hard_links");
	makes_file("f");
	makes_directory("d");
	MUST(link("f", "d/g") == 0);
	EXPECT("link-from", .path = below("f"), .resolved = CHANGED);
	EXPECT("link-to", .path = below("d/g"), .resolved = CHANGED);
	for (int i = 0; i < 2; i++)
		READS("f", below("f"));
	for (int i = 0; i < 3; i++)
		READS("d/g", below("d/g"));
	MUST(unlink("f") == 0);
	EXPECT("unlink", .path = below("f"), .resolved = CHANGED);
	READS("d/g", below("d/g"));
	MUST(link("f", "h") == -1 && errno == ENOENT);
	EXPECT("link-from", .path = below("f"), .resolved = "asked|joined", .error = ENOENT);
	EXPECT("link-to", .path = below("h"), .resolved = "asked|joined", .error = ENOENT);
}

static void reused_inode(void)
{
	struct stat first, second;
	char name[32];
	int round;

	begin(base, "reused_inode");
	makes_file("first");
	MUST(stat("first", &first) == 0);
	READS("first", below("first"));
	MUST(unlink("first") == 0);
	EXPECT("unlink", .path = below("first"), .resolved = CHANGED);
	for (round = 0; round < 20; round++) {
		snprintf(name, sizeof(name), "again%d", round);
		makes_file(name);
		MUST(stat(name, &second) == 0);
		READS(name, below("%s", name));
		if (second.st_ino == first.st_ino)
			break;
	}
	note("reused", second.st_ino == first.st_ino ? "true" : "false"); /* tmpfs never does */
}

static void same_name_anew(void)
{
	begin(base, "same_name_anew");
	for (int i = 0; i < 200; i++) {
		makes_file("f");
		MUST(unlink("f") == 0);
		EXPECT("unlink", .path = below("f"), .resolved = CHANGED);
	}
}

static void tmpfile_(void)
{
	char link[64], number[64];
	struct stat status;
	int fd, again;

	begin(base, "tmpfile");
	fd = open(here, O_TMPFILE | O_RDWR, 0600);
	MUST(fd >= 0 && fstat(fd, &status) == 0);
	snprintf(number, sizeof(number), "#%lu", (unsigned long)status.st_ino);
	EXPECT("open", "read+write|read+write+create", below("%s", number), .also = here, .resolved = "kernel",
	       .object = "tmpfile");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, O_RDONLY);
	MUST(again >= 0);
	EXPECT("open", "read", below("%s", number), .also = here, .resolved = "kernel", .object = "tmpfile");
	MUST(linkat(AT_FDCWD, link, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
	EXPECT("link-from", .path = below("%s", number), .also = here, .resolved = CHANGED);
	EXPECT("link-to", .path = below("named"), .resolved = CHANGED);
	READS("named", below("named"));
	close(again);
	close(fd);
}

static void unlinked(void)
{
	char link[64];
	int fd, again;

	begin(base, "unlinked");
	makes_file("f");
	fd = opens("f", O_RDWR, "read+write", below("f"));
	MUST(unlink("f") == 0);
	EXPECT("unlink", .path = below("f"), .resolved = CHANGED);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, O_RDONLY);
	MUST(again >= 0);
	EXPECT("open", "read", below("f"), .resolved = "kernel", .object = "deleted");
	MUST(fchmod(fd, 0600) == 0);
	EXPECT("chmod", .path = below("f"), .resolved = "kernel", .object = "deleted");
	close(again);
	close(fd);
	makes_file("f (deleted)"); /* a name, not a state */
	READS("f (deleted)", below("f (deleted)"));
}

static void proc(void)
{
	static char path[PATH_ROOM + 64];
	char other[64];
	pid_t child;

	begin(base, "proc");
	snprintf(path, sizeof(path), "/proc/%d/status", getpid());
	READS("/proc/self/status", path);
	READS(path, path);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", getpid(), gettid());
	READS("/proc/thread-self/comm", path);
	makes_file("f");
	READS("/proc/self/cwd/f", below("f"));
	snprintf(path, sizeof(path), "/proc/self/root/%s/f", here);
	READS(path, below("f"));
	child = forks();
	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(other, sizeof(other), "/proc/%d/status", child);
	READS(other, other);
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0)
		;
	open_fails(other, O_RDONLY, "read", other, ENOENT);
}

static int opens2(const char *given, uint64_t flags, uint64_t resolve, int dir)
{
	struct open_how how = {.flags = flags, .resolve = resolve};

	return syscall(SYS_openat2, dir, given, &how, sizeof(how));
}

static void openat2_(void)
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

static void io_uring_open(void)
{
	uring("io_uring_open", 0);
}

static void io_uring_worker(void)
{
	uring("io_uring_worker", IOSQE_ASYNC); /* a kernel thread of the process opens it */
}

static void io_uring_change(void)
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

static void threads(void)
{
	pthread_t thread;

	begin(base, "threads");
	makes_file("f");
	MUST(pthread_create(&thread, NULL, opens_in_thread, NULL) == 0);
	pthread_join(thread, NULL);
}

static void mapped(void)
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

/* Directories until the path of `leaf` in the last one has `length` bytes; all by relative steps. */
static void long_path(const char *name, size_t length)
{
	static char path[PATH_ROOM], part[256];
	size_t at, rest;
	int fd, error, done = 1;

	begin(base, name);
	snprintf(path, sizeof(path), "%s", here);
	at = strlen(path);
	while (length - at > 6) {
		rest = length - at - 6; /* "/leaf" and the next "/" */
		if (rest > 200)
			rest = rest < 230 ? 100 : 200;
		memset(part, 'a' + rest % 26, rest);
		part[rest] = 0;
		MUST(at + rest + 1 < sizeof(path) && mkdir(part, 0755) == 0);
		path[at] = '/';
		strcpy(path + at + 1, part);
		at += rest + 1;
		done++;
		EXPECT("mkdir", .path = path, .resolved = CHANGED, .optional = at > 4095);
		MUST(chdir(part) == 0);
		if (length - at <= 5)
			break;
	}
	strcpy(path + at, "/leaf");
	at += 5;
	fd = open("leaf", O_WRONLY | O_CREAT | O_EXCL, 0644);
	MUST(fd >= 0);
	EXPECT("open", "write+create", path, .resolved = "kernel", .object = "file", .optional = at > 4095);
	close(fd);
	fd = open("leaf", O_RDONLY);
	error = fd < 0 ? errno : 0;
	MUST(error == 0);
	EXPECT("open", "read", path, .resolved = "kernel", .object = "file", .optional = at > 4095);
	close(fd);
	snprintf(part, sizeof(part), "%zu", at);
	note("length", part);
	snprintf(part, sizeof(part), "%d", done + 2);
	note("happened", part);
	MUST(chdir(base) == 0);
}

static void path_300(void)
{
	long_path("path_300", 300);
}

static void path_4000(void)
{
	long_path("path_4000", 4000);
}

static void path_5000(void)
{
	long_path("path_5000", 5000); /* longer than PATH_MAX: the test wants it lost and counted, or whole */
}

static void names(void)
{
	static const char *const odd[] = {
		"with space",
		" leading and trailing ",
		"new\nline",
		"ends in a line\n",
		"tab\tand\rreturn",
		"quote'\"`$(reboot)",
		"back\\slash",
		"literal \\xff",
		"\033[31mred\033[0m\033]0;title\a",
		"\xff\xfe no utf-8 \xe9",
		"\xed\xa0\x80 surrogate",
		"\xc3\xbcn\xc3\xaf \xe2\x82\xac \xf0\x9f\x90\x9d",
		"\xe2\x80\xae right to left",
		"-rf",
		"*?[a]{b,c}",
		"a,b;c|d&e",
		"\x01\x02\x7f",
		"...",
		"~",
		"%s%n%d",
		"@abstract",
		"<script>&amp;",
	};

	begin(base, "names");
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		makes_file(odd[i]);
		READS(odd[i], below("%s", odd[i]));
		MUST(unlink(odd[i]) == 0);
		EXPECT("unlink", .path = below("%s", odd[i]), .resolved = CHANGED);
		open_fails(odd[i], O_RDONLY, "read", below("%s", odd[i]), ENOENT);
	}
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		MUST(mkdir(odd[i], 0755) == 0);
		EXPECT("mkdir", .path = below("%s", odd[i]), .resolved = CHANGED);
		MUST(chdir(odd[i]) == 0);
		close(opens("f", O_WRONLY | O_CREAT, "write+create", below("%s/f", odd[i])));
		MUST(chdir("..") == 0);
	}
}

static void longest_name(void)
{
	static char name[257];

	begin(base, "longest_name");
	memset(name, 'n', 255);
	makes_file(name);
	READS(name, below("%s", name));
	name[255] = 'n';
	open_fails(name, O_RDONLY, "read", below("%s", name), ENAMETOOLONG);
}

static void failed_opens(void)
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

static void owner(void)
{
	pid_t child;

	begin(base, "owner");
	makes_file("roots");
	MUST(chmod(".", 0777) == 0);
	EXPECT("chmod", .path = here, .resolved = CHANGED);
	child = forks();
	if (child == 0) {
		int fd;

		becomes(1000);
		fd = open("own", O_WRONLY | O_CREAT, 0600);
		MUST(fd >= 0);
		close(fd);
		EXPECT("open", "write+create", below("own"), .resolved = "kernel", .owner = 1, .more = "\"uid\":1000");
		MUST((fd = open("roots", O_RDONLY)) >= 0);
		close(fd);
		EXPECT("open", "read", below("roots"), .resolved = "kernel", .owner = 2, .more = "\"uid\":1000");
		MUST((fd = open("own", O_RDONLY)) >= 0);
		close(fd);
		EXPECT("open", "read", below("own"), .resolved = "kernel", .owner = 1, .more = "\"uid\":1000");
		MUST(chmod("own", 0644) == 0);
		EXPECT("chmod", .path = below("own"), .resolved = CHANGED, .more = "\"uid\":1000");
		_exit(0);
	}
	waits(child);
	int fd = open("own", O_RDONLY);
	MUST(fd >= 0);
	close(fd);
	EXPECT("open", "read", below("own"), .resolved = "kernel", .owner = 2, .more = "\"uid\":0");
	MUST((fd = open("roots", O_RDWR)) >= 0);
	close(fd);
	EXPECT("open", "read+write", below("roots"), .resolved = "kernel", .owner = 1, .more = "\"uid\":0");
}

static void changes(void)
{
	int dir, fd;

	begin(base, "changes");
	makes_directory("d");
	makes_file("f");
	dir = opens("d", O_RDONLY | O_DIRECTORY, "read+directory", below("d"));
	fd = opens("f", O_RDWR, "read+write", below("f"));
	MUST(chmod("f", 0600) == 0);
	EXPECT("chmod", .path = below("f"), .resolved = CHANGED);
	MUST(fchmod(fd, 0640) == 0);
	EXPECT("chmod", .path = below("f"), .resolved = "kernel");
	MUST(fchmodat(dir, "../f", 0600, 0) == 0);
	EXPECT("chmod", .path = below("f"), .resolved = CHANGED);
	MUST(chown("f", 1, 1) == 0);
	EXPECT("chown", .path = below("f"), .resolved = CHANGED);
	MUST(fchown(fd, 2, 2) == 0);
	EXPECT("chown", .path = below("f"), .resolved = "kernel");
	MUST(fchownat(dir, "../f", 0, 0, 0) == 0);
	EXPECT("chown", .path = below("f"), .resolved = CHANGED);
	MUST(fchownat(fd, "", 3, 3, AT_EMPTY_PATH) == 0);
	EXPECT("chown", .path = below("f"), .resolved = CHANGED);
	MUST(setxattr("f", "trusted.hard", "1", 1, 0) == 0);
	EXPECT("setxattr", .path = below("f"), .resolved = CHANGED);
	MUST(fsetxattr(fd, "trusted.hard", "2", 1, 0) == 0);
	EXPECT("setxattr", .path = below("f"), .resolved = "kernel");
	MUST(truncate("f", 5) == 0);
	EXPECT("truncate", .path = below("f"), .resolved = CHANGED);
	MUST(ftruncate(fd, 3) == 0);
	EXPECT("truncate", .path = below("f"), .resolved = "kernel");
	MUST(mknodat(dir, "fifo", S_IFIFO | 0644, 0) == 0);
	EXPECT("mknod", .path = below("d/fifo"), .resolved = CHANGED);
	MUST(mknod("file", S_IFREG | 0644, 0) == 0);
	EXPECT("mknod", .path = below("file"), .resolved = CHANGED);
	MUST(mkdirat(dir, "made", 0755) == 0);
	EXPECT("mkdir", .path = below("d/made"), .resolved = CHANGED);
	MUST(unlinkat(dir, "made", AT_REMOVEDIR) == 0);
	EXPECT("rmdir", .path = below("d/made"), .resolved = CHANGED);
	MUST(unlinkat(dir, "fifo", 0) == 0);
	EXPECT("unlink", .path = below("d/fifo"), .resolved = CHANGED);
	MUST(symlinkat("f", dir, "link") == 0);
	EXPECT("symlink", .path = below("d/link"), .resolved = CHANGED);
	MUST(linkat(AT_FDCWD, "f", dir, "hard", 0) == 0);
	EXPECT("link-from", .path = below("f"), .resolved = CHANGED);
	EXPECT("link-to", .path = below("d/hard"), .resolved = CHANGED);
	close(fd);
	close(dir);
}

static void failed_changes(void)
{
	begin(base, "failed_changes");
	makes_directory("d");
	makes_file("d/f");
	MUST(unlink("missing") == -1 && errno == ENOENT);
	EXPECT("unlink", .path = below("missing"), .resolved = "asked|joined", .error = ENOENT);
	MUST(unlink("d") == -1 && errno == EISDIR);
	EXPECT("unlink", .path = below("d"), .resolved = "asked|joined|kernel", .error = EISDIR);
	MUST(mkdir("d", 0755) == -1 && errno == EEXIST);
	EXPECT("mkdir", .path = below("d"), .resolved = "asked|joined", .error = EEXIST);
	MUST(rmdir("d") == -1 && errno == ENOTEMPTY);
	EXPECT("rmdir", .path = below("d"), .resolved = "asked|joined|kernel", .error = ENOTEMPTY);
	MUST(chmod("missing", 0600) == -1 && errno == ENOENT);
	EXPECT("chmod", .path = below("missing"), .resolved = "asked|joined", .error = ENOENT);
	MUST(truncate("missing", 0) == -1 && errno == ENOENT);
	EXPECT("truncate", .path = below("missing"), .resolved = "asked|joined", .error = ENOENT);
	MUST(symlink("x", "d") == -1 && errno == EEXIST);
	EXPECT("symlink", .path = below("d"), .resolved = "asked|joined", .error = EEXIST);
}

static void open_flags(void)
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

static void devices(void)
{
	begin(base, "devices");
	close(opens("/dev/null", O_RDWR, "read+write", "/dev/null"));
	MUST(mkfifo("fifo", 0644) == 0);
	EXPECT("mknod", .path = below("fifo"), .resolved = CHANGED);
	close(opens("fifo", O_RDWR, "read+write", below("fifo")));
}

static void anonymous(void)
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

static void by_handle(void)
{
	struct {
		struct file_handle head;
		char room[MAX_HANDLE_SZ];
	} handle = {.head.handle_bytes = MAX_HANDLE_SZ};
	int mount_id, dir, fd;

	begin(base, "by_handle");
	makes_file("f");
	dir = opens(".", O_RDONLY | O_DIRECTORY, "read+directory", here);
	MUST(name_to_handle_at(AT_FDCWD, "f", &handle.head, &mount_id, 0) == 0);
	fd = open_by_handle_at(dir, &handle.head, O_RDONLY);
	MUST(fd >= 0);
	EXPECT("open", "read", below("f"), .resolved = "kernel", .object = "file");
	close(fd);
	close(dir);
}

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 2);
	base = argv[1];
	relative();
	symlinked_directory();
	change_below_symlink();
	change_through_symlink();
	rename_above();
	rename_kinds();
	rename_exchange();
	hard_links();
	reused_inode();
	same_name_anew();
	tmpfile_();
	unlinked();
	proc();
	openat2_();
	io_uring_open();
	io_uring_worker();
	io_uring_change();
	threads();
	mapped();
	path_300();
	path_4000();
	path_5000();
	names();
	longest_name();
	failed_opens();
	owner();
	changes();
	failed_changes();
	open_flags();
	devices();
	anonymous();
	by_handle();
	return 0;
}

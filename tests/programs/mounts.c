/* SPDX-License-Identifier: Apache-2.0 */
/* mounts BASE: paths seen through mounts, roots and containers; all on a tmpfs in a mount namespace of its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "container.h"

static const char *base;

#define READS(given, path) close(opens(given, O_RDONLY, "read", path))

static void chroots(void)
{
	pid_t child;

	begin(base, "chroot");
	makes_directory("jail");
	makes_directory("jail/d");
	makes_file("jail/f");
	child = forks();
	if (child == 0) {
		proc_is_there = false;
		MUST(chroot("jail") == 0 && chdir("/d") == 0);
		READS("/f", below("jail/f"));
		READS("../../../f", below("jail/f"));
		open_fails("/nothing", O_RDONLY, "read", below("jail/nothing"), ENOENT);
		close(opens("new", O_WRONLY | O_CREAT, "write+create", below("jail/d/new")));
		MUST(unlink("/f") == 0);
		EXPECT("unlink", .path = below("jail/f"), .resolved = CHANGED);
		MUST(symlink("/d", "/link") == 0);
		EXPECT("symlink", .path = below("jail/link"), .resolved = CHANGED);
		READS("/link/new", below("jail/d/new"));
		MUST(unlink("/link/new") == 0);
		EXPECT("unlink", .path = below("jail/d/new"), .resolved = CHANGED);
		_exit(0);
	}
	waits(child);
}

static void bind_mount(void)
{
	begin(base, "bind_mount");
	makes_directory("from");
	makes_directory("from/d");
	makes_directory("to");
	makes_file("from/d/f");
	makes_file("other");
	MUST(mount("from", "to", NULL, MS_BIND, NULL) == 0);
	MUST(mount("from/d/f", "other", NULL, MS_BIND, NULL) == 0);
	READS("from/d/f", below("from/d/f"));
	for (int i = 0; i < 2; i++)
		READS("to/d/f", below("to/d/f"));
	for (int i = 0; i < 3; i++)
		READS("other", below("other"));
	MUST(unlink("to/d/f") == 0);
	EXPECT("unlink", .path = below("to/d/f"), .resolved = CHANGED);
}

static void second_mount(void)
{
	begin(base, "second_mount");
	makes_directory("one");
	makes_directory("two");
	MUST(mount("hard", "one", "tmpfs", 0, NULL) == 0);
	makes_directory("one/d");
	makes_file("one/d/f");
	MUST(mount("one", "two", NULL, MS_BIND, NULL) == 0);
	READS("one/d/f", below("one/d/f"));
	READS("two/d/f", below("two/d/f"));
	MUST(umount2("one", MNT_DETACH) == 0);
	READS("two/d/f", below("two/d/f"));
	makes_directory("proc");
	MUST(mount("proc", "proc", "proc", 0, NULL) == 0);
	READS("proc/uptime", below("proc/uptime"));
	READS("/proc/uptime", "/proc/uptime");
}

static void mount_moved(void)
{
	begin(base, "mount_moved");
	makes_directory("a");
	makes_directory("a/m");
	makes_directory("n");
	MUST(mount("hard", "a/m", "tmpfs", 0, NULL) == 0);
	makes_file("a/m/f");
	READS("a/m/f", below("a/m/f"));
	MUST(rename("a", "z") == 0); /* a directory above the mount point */
	EXPECT("rename-from", .path = below("a"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("z"), .resolved = CHANGED);
	READS("z/m/f", below("z/m/f"));
	MUST(mount("z/m", "n", NULL, MS_MOVE, NULL) == 0);
	READS("n/f", below("n/f"));
}

static void detached_mount(void)
{
	int dir, fd;

	begin(base, "detached_mount");
	makes_directory("m");
	MUST(mount("hard", "m", "tmpfs", 0, NULL) == 0);
	makes_file("m/detached-leaf");
	dir = opens("m", O_RDONLY | O_DIRECTORY, "read+directory", below("m"));
	MUST(umount2("m", MNT_DETACH) == 0);
	fd = openat(dir, "detached-leaf", O_RDWR);
	MUST(fd >= 0);
	/* no name leads there any more: what it is called below its mount is all that can be said */
	EXPECT("open", "read+write", "/detached-leaf", .also = "detached-leaf", .resolved = "unresolved");
}

static void makes_overlay(void)
{
	static char options[3 * PATH_ROOM];

	makes_directory("lower");
	makes_directory("lower/d");
	makes_directory("upper");
	makes_directory("work");
	makes_directory("merged");
	makes_file("lower/d/f");
	makes_file("lower/d/g");
	makes_file("lower/d/h");
	makes_file("lower/d/i");
	MUST(chmod("lower/d/f", 0755) == 0);
	EXPECT("chmod", .path = below("lower/d/f"), .resolved = CHANGED);
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", below("lower"), below("upper"),
		 below("work"));
	MUST(mount("overlay", "merged", "overlay", 0, options) == 0);
}

static void overlay(void)
{
	void *at;
	int fd;

	begin(base, "overlay");
	makes_overlay();
	for (int i = 0; i < 3; i++)
		READS("merged/d/f", below("merged/d/f"));
	close(opens("merged/d", O_RDONLY | O_DIRECTORY, "read+directory", below("merged/d")));
	fd = opens("merged/d/f", O_RDONLY, "read", below("merged/d/f"));
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED);
	EXPECT("mmap-exec", .path = below("merged/d/f"), .resolved = "kernel");
	at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED && mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0);
	EXPECT("mprotect-exec", .path = below("merged/d/f"), .resolved = "kernel");
	close(fd);
	close(opens("merged/d/new", O_WRONLY | O_CREAT, "write+create", below("merged/d/new")));
	READS("merged/d/new", below("merged/d/new"));
	READS("lower/d/f", below("lower/d/f")); /* the layer itself, opened by its own name, is an access of its own */
}

static void copy_up(void)
{
	begin(base, "copy_up");
	makes_overlay();
	READS("merged/d/f", below("merged/d/f"));
	close(opens("merged/d/f", O_WRONLY | O_APPEND, "write+append", below("merged/d/f")));
	READS("merged/d/f", below("merged/d/f"));
	close(opens("merged/d/g", O_RDWR | O_TRUNC, "read+write+truncate", below("merged/d/g")));
	MUST(chmod("merged/d/h", 0600) == 0);
	EXPECT("chmod", .path = below("merged/d/h"), .resolved = CHANGED);
	READS("merged/d/h", below("merged/d/h"));
	MUST(rename("merged/d/h", "merged/d/j") == 0);
	EXPECT("rename-from", .path = below("merged/d/h"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("merged/d/j"), .resolved = CHANGED);
	MUST(unlink("merged/d/i") == 0);
	EXPECT("unlink", .path = below("merged/d/i"), .resolved = CHANGED);
	MUST(mkdir("merged/made", 0755) == 0);
	EXPECT("mkdir", .path = below("merged/made"), .resolved = CHANGED);
	MUST(rmdir("merged/made") == 0);
	EXPECT("rmdir", .path = below("merged/made"), .resolved = CHANGED);
	MUST(truncate("merged/d/f", 1) == 0);
	EXPECT("truncate", .path = below("merged/d/f"), .resolved = CHANGED);
	MUST(link("merged/d/f", "merged/d/k") == 0);
	EXPECT("link-from", .path = below("merged/d/f"), .resolved = CHANGED);
	EXPECT("link-to", .path = below("merged/d/k"), .resolved = CHANGED);
}

static void overlay_attribute(void)
{
	begin(base, "overlay_attribute");
	makes_overlay();
	MUST(setxattr("merged/d/f", "trusted.hard", "1", 1, 0) == 0);
	EXPECT("setxattr", .path = below("merged/d/f"), .resolved = CHANGED);
	MUST(chown("merged/d/g", 1, 1) == 0);
	EXPECT("chown", .path = below("merged/d/g"), .resolved = CHANGED);
}

static void overlay_exec(void)
{
	pid_t child;

	begin(base, "overlay_exec");
	makes_overlay();
	copies(beside("noop"), "merged/noop");
	child = forks();
	if (child == 0) {
		execl("merged/noop", "noop", NULL);
		die("exec");
	}
	waits(child);
	EXPECT("exec", .path = below("merged/noop"), .resolved = "kernel");
	EXPECT("mmap-exec", .path = below("merged/noop"), .resolved = "kernel|derived", .often = true);
	EXPECT("open", "read", below("merged/noop"), .resolved = "kernel|derived", .often = true);
}

static void namespace_(void)
{
	pid_t child;

	begin(base, "mount_namespace");
	makes_directory("d");
	makes_file("d/f");
	READS("d/f", below("d/f"));
	child = forks();
	if (child == 0) {
		MUST(unshare(CLONE_NEWNS) == 0);
		READS("d/f", below("d/f")); /* the same file and name, in another namespace */
		MUST(mount("hard", "d", "tmpfs", 0, NULL) == 0);
		makes_file("d/f"); /* another file with the same name */
		READS("d/f", below("d/f"));
		MUST(syscall(SYS_pivot_root, "d", "d") == 0 || errno == EINVAL || errno == EBUSY);
		_exit(0);
	}
	waits(child);
	READS("d/f", below("d/f"));
}

static void container(void)
{
	pid_t child;

	begin(base, "container");
	makes_image();
	child = forks();
	if (child == 0) {
		MUST(unshare(CLONE_NEWPID) == 0);
		child = forks();
		if (child == 0) {
			enters_image("upper", "work");
			execl("/bin/inside", "inside", "container", "changes", NULL);
			die("exec");
		}
		waits(child);
		_exit(0);
	}
	waits(child);
}

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 2);
	base = argv[1];
	/* all files that it opens, wherever: an overlay's layers have names of their own, outside any case's directory */
	case_is("started");
	world("exe", beside("mounts"));
	EXPECT("mmap-exec", .path = beside("mounts"), .resolved = "kernel|derived", .often = true);
	if (getenv("REPORT"))
		EXPECT("open", "write+append+create", getenv("REPORT"), .optional = true);
	MUST(unshare(CLONE_NEWNS) == 0);
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("hard", base, "tmpfs", 0, NULL) == 0);
	chroots();
	bind_mount();
	second_mount();
	mount_moved();
	detached_mount();
	overlay();
	copy_up();
	overlay_attribute();
	overlay_exec();
	namespace_();
	container();
	return 0;
}

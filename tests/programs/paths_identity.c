/* SPDX-License-Identifier: Apache-2.0 */
/* What a name stands for, when names and files come apart: renames, hard links, files without a name. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "paths.h"

void rename_above(void)
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

void rename_kinds(void)
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

void rename_exchange(void)
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

void hard_links(void)
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

void reused_inode(void)
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

/* As `rm -r` does it: the next directory may get the memory of the last, and its file the inode number. */
void removed_directory(void)
{
	char name[32], file[64];

	begin(base, "removed_directory");
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		snprintf(file, sizeof(file), "d%d/f", i);
		makes_directory(name);
		makes_file(file);
		MUST(unlink(file) == 0);
		EXPECT("unlink", .path = below("%s", file), .resolved = CHANGED);
		MUST(unlinkat(AT_FDCWD, name, AT_REMOVEDIR) == 0);
		EXPECT("rmdir", .path = below("%s", name), .resolved = CHANGED);
		usleep(2000); /* memory is given back a moment later */
	}
}

void same_name_anew(void)
{
	begin(base, "same_name_anew");
	for (int i = 0; i < 200; i++) {
		makes_file("f");
		MUST(unlink("f") == 0);
		EXPECT("unlink", .path = below("f"), .resolved = CHANGED);
	}
}

void tmpfile_(void)
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

void unlinked(void)
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

void by_handle(void)
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

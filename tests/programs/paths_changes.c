/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of files by name and by descriptor, and whose they are. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "paths.h"

void owner(void)
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

void changes(void)
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

void failed_changes(void)
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

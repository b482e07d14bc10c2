/* SPDX-License-Identifier: Apache-2.0 */
/* Names as a program gives them: relative, through links, long, odd; and /proc's, which depend on who asks. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "paths.h"

void relative(void)
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

void symlinked_directory(void)
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

void change_below_symlink(void)
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

void change_through_symlink(void)
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

void proc(void)
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

void path_300(void)
{
	long_path("path_300", 300);
}

void path_4000(void)
{
	long_path("path_4000", 4000);
}

void path_5000(void)
{
	long_path("path_5000", 5000); /* longer than PATH_MAX: the test wants it lost and counted, or whole */
}

void names(void)
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

void longest_name(void)
{
	static char name[257];

	begin(base, "longest_name");
	memset(name, 'n', 255);
	makes_file(name);
	READS(name, below("%s", name));
	name[255] = 'n';
	open_fails(name, O_RDONLY, "read", below("%s", name), ENAMETOOLONG);
}

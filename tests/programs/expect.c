/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

char here[PATH_ROOM];
bool proc_is_there = true;

static int report = 1;
static char case_name[128];
static char program_path[4096];

void die(const char *what)
{
	dprintf(2, "%s: %s: it did not hold (errno %d, %s)\n", case_name, what, errno, strerror(errno));
	_exit(99);
}

void report_to(const char *program)
{
	const char *fd = getenv("REPORT_FD"), *file = getenv("REPORT");
	char number[16];

	if (fd) {
		report = atoi(fd);
	} else if (file) {
		report = fcntl(open(file, O_WRONLY | O_CREAT | O_APPEND, 0644), F_DUPFD, 100);
		MUST(report >= 0);
		snprintf(number, sizeof(number), "%d", report);
		setenv("REPORT_FD", number, 1);
	}
	ssize_t length = readlink("/proc/self/exe", program_path, sizeof(program_path) - 1);
	if (length <= 0)
		snprintf(program_path, sizeof(program_path), "%s", program);
	umask(022);
}

const char *beside(const char *program)
{
	static char result[4096 + 64];
	int folder = strrchr(program_path, '/') - program_path;

	snprintf(result, sizeof(result), "%.*s/%s", folder, program_path, program);
	return result;
}

struct text {
	char *at, *end;
};

static void adds(struct text *text, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	text->at += vsnprintf(text->at, text->end - text->at, format, list);
	va_end(list);
	MUST(text->at < text->end);
}

static void adds_hex(struct text *text, const char *key, const char *value)
{
	adds(text, ",\"%s\":\"", key);
	for (; *value; value++)
		adds(text, "%02x", (unsigned char)*value);
	adds(text, "\"");
}

void case_is(const char *name)
{
	snprintf(case_name, sizeof(case_name), "%s", name);
	note("case_begins", "true");
}

void begin(const char *base, const char *name)
{
	case_is(name);
	MUST(chdir(base) == 0);
	MUST(getcwd(here, sizeof(here)));
	MUST(mkdir(name, 0755) == 0);
	MUST(chdir(name) == 0);
	MUST(getcwd(here, sizeof(here)));
	world("path", here);
	EXPECT("mkdir", .path = here, .resolved = CHANGED);
}

void world(const char *kind, const char *value)
{
	static char line[3 * PATH_ROOM];
	struct text text = {line, line + sizeof(line)};

	adds(&text, "{\"case\":\"%s\",\"world\":\"%s\"", case_name, kind);
	adds_hex(&text, "value", value);
	adds(&text, "}\n");
	MUST(write(report, line, text.at - line) == text.at - line);
}

const char *member(const char *key, const char *value)
{
	static _Thread_local char results[4][8192];
	static _Thread_local unsigned int next;
	char *result = results[next++ % 4];

	MUST(!strpbrk(value, "\"\\\n"));
	snprintf(result, sizeof(results[0]), "\"%s\":\"%s\"", key, value);
	return result;
}

void note(const char *key, const char *json)
{
	char line[2 * PATH_ROOM];
	int length = snprintf(line, sizeof(line), "{\"case\":\"%s\",\"note\":\"%s\",\"value\":%s}\n", case_name, key, json);

	MUST(write(report, line, length) == length);
}

void expect_row(const struct row *row)
{
	static _Thread_local char line[3 * PATH_ROOM];
	struct text text = {line, line + sizeof(line)};

	adds(&text, "{\"case\":\"%s\",\"op\":\"%s\",\"errno\":%d", case_name, row->op, row->error);
	if (row->access)
		adds(&text, ",\"access\":\"%s\"", row->access);
	if (row->path)
		adds_hex(&text, "path", row->path);
	if (row->also)
		adds_hex(&text, "also", row->also);
	if (row->resolved)
		adds(&text, ",\"resolved\":\"%s\"", row->resolved);
	if (row->object)
		adds(&text, ",\"object\":\"%s\"", row->object);
	if (row->owner)
		adds(&text, ",\"owner_match\":%s", row->owner == 1 ? "true" : "false");
	if (row->optional)
		adds(&text, ",\"optional\":true");
	if (row->often)
		adds(&text, ",\"often\":true");
	if (row->absent)
		adds(&text, ",\"absent\":true");
	if (row->more)
		adds(&text, ",%s", row->more);
	adds(&text, "}\n");
	MUST(write(report, line, text.at - line) == text.at - line);
}

const char *below(const char *format, ...)
{
	static _Thread_local char results[8][PATH_ROOM];
	static _Thread_local unsigned int next;
	char *result = results[next++ % 8];
	size_t length = strlen(here);
	va_list list;

	memcpy(result, here, length);
	result[length++] = '/';
	va_start(list, format);
	vsnprintf(result + length, PATH_ROOM - length, format, list);
	va_end(list);
	return result;
}

/* The kernel's own opinion on a path: guards the expectation, not the recording. */
static void second_opinion(int fd, const char *path)
{
	char link[64], buffer[4097];
	ssize_t length;

	if (!proc_is_there || strlen(path) > 3900)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, buffer, sizeof(buffer) - 1);
	if (length < 0)
		die(link);
	buffer[length] = 0;
	if (strcmp(buffer, path) != 0) {
		dprintf(2, "%s: expected %s, but the kernel says %s\n", case_name, path, buffer);
		_exit(98);
	}
}

static const char *object_of(mode_t mode)
{
	return S_ISREG(mode)	? "file" :
	       S_ISDIR(mode)	? "directory" :
	       S_ISFIFO(mode)	? "fifo" :
	       S_ISSOCK(mode)	? "socket" :
	       S_ISLNK(mode)	? "symlink" :
				  "device";
}

int opens_at(int dir, const char *given, int flags, const char *access, const char *path, int error)
{
	struct stat status = {0};
	int fd;

	errno = 0;
	fd = openat(dir, given, flags, 0644);
	if (errno != error)
		die(given);
	if (fd < 0) {
		EXPECT("open", access, path, .resolved = "asked", .error = error);
		return fd;
	}
	MUST(fstat(fd, &status) == 0);
	second_opinion(fd, path);
	EXPECT("open", access, path, .resolved = "kernel", .object = object_of(status.st_mode));
	return fd;
}

void makes_file(const char *name)
{
	int fd = opens(name, O_WRONLY | O_CREAT | O_EXCL, "write+create", below("%s", name));

	MUST(write(fd, "content", 7) == 7);
	close(fd);
}

void makes_directory(const char *name)
{
	MUST(mkdir(name, 0755) == 0);
	EXPECT("mkdir", .path = below("%s", name), .resolved = CHANGED);
}

pid_t forks(void)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	return pid;
}

void waits(pid_t pid)
{
	int status = -1;

	MUST(waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("a child failed");
}

void becomes(int uid)
{
	MUST(setresgid(uid, uid, uid) == 0);
	MUST(setresuid(uid, uid, uid) == 0);
}

void copies(const char *from, const char *to)
{
	static char buffer[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
	ssize_t length;

	MUST(in >= 0 && out >= 0);
	EXPECT("open", "read", from, .resolved = "kernel", .often = true);
	EXPECT("open", "write+create", *to == '/' ? to : below("%s", to), .resolved = "kernel");
	while ((length = read(in, buffer, sizeof(buffer))) > 0)
		MUST(write(out, buffer, length) == length);
	close(in);
	close(out);
}

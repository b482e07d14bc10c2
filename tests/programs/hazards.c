/* hazards BASE MONTH ZONE…: run every case below BASE, and write `case 0` or `case LINE errno` to descriptor 3.
 *
 * MONTH (2026-03) and the time zones are what differs from run to run beside pids and random names.
 * `HAZARDS_SKIP` names cases to leave out, with commas.
 */
#include "hazards.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

const char *base, *month, *self_path;
char **zones;
volatile bool reload_asked, stop_asked;

/* BASE and the rest of a path; up to eight at a time. */
const char *at(const char *format, ...)
{
	static char paths[8][512];
	static int next;
	char *path = paths[next++ % 8];
	va_list list;
	int used = snprintf(path, sizeof paths[0], "%s/", base);

	va_start(list, format);
	vsnprintf(path + used, sizeof paths[0] - used, format, list);
	va_end(list);
	return path;
}

int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) < 0) {
		close(fd);
		return -1;
	}
	return close(fd);
}

/* How many bytes a file has, at most 64 kB; -1 if it cannot be read. */
int slurp(const char *path)
{
	static char bytes[65536];
	int fd = open(path, O_RDONLY);
	ssize_t size;

	if (fd < 0)
		return -1;
	size = read(fd, bytes, sizeof bytes);
	close(fd);
	return (int)size;
}

/* Random hexadecimal digits; up to four at a time. */
const char *token(size_t size)
{
	static char texts[4][80];
	static int next;
	unsigned char bytes[80];
	char *text = texts[next++ % 4];

	if (getrandom(bytes, size, 0) < 0)
		abort();
	for (size_t i = 0; i < size; i++)
		text[i] = "0123456789abcdef"[bytes[i] % 16];
	text[size] = 0;
	return text;
}

/* The exit status of a child, or 128 and its signal. */
int reap(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int run(const char *path, char *const argv[])
{
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		execv(path, argv);
		_exit(126);
	}
	return reap(child);
}

static void caught(int signal)
{
	if (signal == SIGHUP)
		reload_asked = true;
	else
		stop_asked = true;
}

static const struct {
	const char *name;
	int (*run)(void);
} CASES[] = {
	{"proc_self", proc_self},
	{"fd_reopen", fd_reopen},
	{"tmpfile", tmpfile_case},
	{"deleted_names", deleted_names},
	{"deleted_exe", deleted_exe},
	{"mount_namespace", mount_namespace},
	{"busybox", busybox},
	{"script", script},
	{"name_service", name_service},
	{"gconv", gconv},
	{"locale", locale_case},
	{"late_library", late_library},
	{"tzdata", tzdata},
	{"ca_bundle", ca_bundle},
	{"jit", jit},
	{"memfd_exec", memfd_exec},
	{"hsperfdata", hsperfdata},
	{"shared_memory", shared_memory},
	{"cgroup_cpu", cgroup_cpu},
	{"configmap", configmap},
	{"logrotate", logrotate},
	{"inotify", inotify_case},
	{"core_dump", core_dump},
	{"sighup", sighup},
	{"out_of_memory", out_of_memory},
	{"failover", failover},
	{"monthly", monthly},
	{"daily_folders", daily_folders},
	{"shutdown_path", shutdown_path},
};

static bool skipped(const char *name)
{
	const char *list = getenv("HAZARDS_SKIP");
	char copy[512];

	if (!list)
		return false;
	snprintf(copy, sizeof copy, "%s", list);
	for (char *one = strtok(copy, ","); one; one = strtok(NULL, ","))
		if (!strcmp(one, name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = caught};
	int failed = 0;

	if (argc == 3 && !strcmp(argv[1], "--deleted-exe")) {
		base = argv[2];
		return deleted_exe_child();
	}
	if (argc < 4) {
		fprintf(stderr, "usage: hazards BASE MONTH ZONE...\n");
		return 2;
	}
	self_path = argv[0];
	base = argv[1];
	month = argv[2];
	zones = argv + 3;
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		int line;

		if (skipped(CASES[i].name))
			continue;
		errno = 0;
		line = CASES[i].run();
		dprintf(3, "%s %d %s\n", CASES[i].name, line, line ? strerror(errno) : "");
		failed += line != 0;
	}
	return failed != 0;
}

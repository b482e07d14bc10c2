/* SPDX-License-Identifier: Apache-2.0 */
/* cgroups BASE: cgroups that the workload itself makes, and containers that are gone before one can look. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "container.h"

static const char *base;
static char parents[4][4096]; /* own cgroup in each hierarchy that can tell containers apart */
static int hierarchies;

static bool mounted_at(const char *type, const char *option, char *at, size_t room)
{
	static char line[65536], where[4096], kind[64], rest[4096];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	bool found = false;

	MUST(mounts);
	while (!found && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %4095s %63s %4095s", where, kind, rest) == 3 && strcmp(kind, type) == 0 &&
		    (!option || strstr(rest, option))) {
			snprintf(at, room, "%s", where);
			found = true;
		}
	fclose(mounts);
	return found;
}

static void finds_cgroups(void)
{
	static char line[8192], at[4096];
	FILE *own = fopen("/proc/self/cgroup", "re");

	MUST(own);
	while (fgets(line, sizeof(line), own)) {
		char *controllers = strchr(line, ':') + 1, *path = strchr(controllers, ':');

		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		if (!*controllers ? mounted_at("cgroup2", NULL, at, sizeof(at)) :
				    strcmp(controllers, "memory") == 0 && mounted_at("cgroup", "memory", at, sizeof(at)))
			MUST((size_t)snprintf(parents[hierarchies++], sizeof(*parents), "%s%s", at,
					      strcmp(path, "/") ? path : "") < sizeof(*parents));
	}
	fclose(own);
	MUST(hierarchies > 0);
}

static void makes_cgroup(const char *name)
{
	char path[8192];

	for (int i = 0; i < hierarchies; i++) {
		snprintf(path, sizeof(path), "%s/%s", parents[i], name);
		MUST(mkdir(path, 0755) == 0);
	}
}

static void enters_cgroup(const char *name)
{
	char path[8192];
	int fd;

	for (int i = 0; i < hierarchies; i++) {
		snprintf(path, sizeof(path), "%s/%s/cgroup.procs", parents[i], name);
		fd = open(path, O_WRONLY);
		MUST(fd >= 0 && write(fd, "0", 1) == 1);
		close(fd);
	}
}

static void removes_cgroup(const char *name)
{
	char path[8192];

	for (int i = 0; i < hierarchies; i++) {
		snprintf(path, sizeof(path), "%s/%s", parents[i], name);
		while (rmdir(path) != 0)
			MUST(errno == EBUSY); /* the last process is still being taken out */
	}
}

static void child_cgroup(void)
{
	char name[64], nested[128];
	pid_t child;

	begin(base, "child_cgroup");
	makes_file("f");
	snprintf(name, sizeof(name), "hard-%d", getpid());
	snprintf(nested, sizeof(nested), "%s/nested", name);
	makes_cgroup(name);
	makes_cgroup(nested);
	child = forks();
	if (child == 0) {
		enters_cgroup(name);
		close(opens("f", O_RDONLY, "read", below("f")));
		enters_cgroup(nested);
		close(opens("f", O_RDWR, "read+write", below("f")));
		child = forks();
		if (child == 0) {
			close(opens("f", O_WRONLY, "write", below("f")));
			_exit(0);
		}
		waits(child);
		_exit(0);
	}
	waits(child);
	removes_cgroup(nested);
	removes_cgroup(name);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void brief_containers(void)
{
	char name[64], upper[64], work[64], file[64], spans[1024] = "[";
	double begun;
	pid_t child;

	begin(base, "brief_container");
	makes_image();
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "hard-brief-%d-%d", getpid(), i);
		snprintf(upper, sizeof(upper), "upper/%d", i);
		snprintf(work, sizeof(work), "work/%d", i);
		snprintf(file, sizeof(file), "/data/brief-%d", i);
		makes_directory(upper);
		makes_directory(work);
		begun = now();
		makes_cgroup(name);
		child = forks();
		if (child == 0) {
			enters_cgroup(name);
			MUST(unshare(CLONE_NEWPID) == 0);
			child = forks();
			if (child == 0) {
				enters_image(upper, work);
				execl("/bin/inside", "inside", "brief_container", file, NULL);
				die("exec");
			}
			waits(child);
			_exit(0);
		}
		waits(child);
		removes_cgroup(name);
		sprintf(spans + strlen(spans), "%s%.1f", i ? "," : "", now() - begun);
	}
	strcat(spans, "]");
	note("milliseconds", spans);
}

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 2);
	base = argv[1];
	finds_cgroups();
	MUST(unshare(CLONE_NEWNS) == 0);
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("hard", base, "tmpfs", 0, NULL) == 0);
	child_cgroup();
	brief_containers();
	return 0;
}

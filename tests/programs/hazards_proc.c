/* Names of processes, descriptors and the kernel's own files. */
#include "hazards.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* /proc/self is a symlink to the pid: what is judged is /proc/4711/status. */
int proc_self(void)
{
	char path[64], link[256];
	pid_t child;
	DIR *folder;
	int seen;

	NEED(slurp("/proc/self/status") > 0);
	NEED(slurp("/proc/self/stat") > 0);
	NEED(slurp("/proc/self/maps") > 0);
	NEED(slurp("/proc/self/mountinfo") > 0);
	NEED(slurp("/proc/thread-self/comm") > 0);
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", getpid(), (int)syscall(SYS_gettid));
	NEED(slurp(path) > 0);
	NEED(put("/proc/self/oom_score_adj", "0") == 0);
	NEED(put("/proc/self/comm", "hazards-main") == 0);
	NEED(readlink("/proc/self/exe", link, sizeof link) > 0);
	folder = opendir("/proc/self/fd");
	NEED(folder);
	for (seen = 0; readdir(folder); seen++)
		;
	closedir(folder);
	NEED(seen > 2);

	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof path, "/proc/%d/stat", child);
	seen = slurp(path);
	kill(child, SIGKILL);
	reap(child);
	NEED(seen > 0);
	NEED(slurp("/proc/meminfo") > 0);
	NEED(slurp("/proc/stat") > 0);
	NEED(slurp("/proc/sys/vm/overcommit_memory") > 0);
	NEED(slurp("/proc/sys/net/core/somaxconn") > 0);
	return 0;
}

static int again(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, flags);
}

/* A descriptor opened anew by its number: a file under its own name, one without a name, a pipe. */
int fd_reopen(void)
{
	const char *name = at("data/reopen-%s", token(8));
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600), pipes[2], other;

	NEED(fd >= 0);
	NEED((other = again(fd, O_RDONLY)) >= 0);
	close(other);
	NEED(unlink(name) == 0);
	NEED((other = again(fd, O_RDWR)) >= 0);
	close(other);
	close(fd);
	NEED(pipe(pipes) == 0);
	NEED((other = again(pipes[1], O_WRONLY)) >= 0);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
	NEED((fd = open("/dev/stdout", O_WRONLY | O_APPEND)) >= 0);
	close(fd);
	return 0;
}

/* What a just-in-time compiler and libffi do: code in a memfd, in anonymous memory, in a file that was unlinked. */
int jit(void)
{
	static const unsigned char RETURN[] = {0xc3};
	char name[] = "/tmp/ffiXXXXXX";
	size_t page = 4096;
	void *code;
	int fd = memfd_create("jit-code", MFD_CLOEXEC);

	NEED(fd >= 0);
	NEED(ftruncate(fd, (off_t)page) == 0);
	NEED(pwrite(fd, RETURN, sizeof RETURN, 0) == 1);
	code = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	NEED(code != MAP_FAILED);
	munmap(code, page);
	close(fd);

	code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(code != MAP_FAILED);
	NEED(mprotect(code, page, PROT_READ | PROT_EXEC) == 0);
	munmap(code, page);

	NEED((fd = mkstemp(name)) >= 0);
	NEED(unlink(name) == 0);
	NEED(ftruncate(fd, (off_t)page) == 0);
	code = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	NEED(code != MAP_FAILED);
	munmap(code, page);
	close(fd);
	return 0;
}

/* A program in memory (runc's own, AppImages): it has no path that a rule could list. */
int memfd_exec(void)
{
	char *argv[] = {"busybox", "true", NULL}, *environment[] = {NULL};
	int from = open(at("bin/busybox"), O_RDONLY), fd = memfd_create("program", MFD_CLOEXEC);
	struct stat about;
	pid_t child;

	NEED(from >= 0 && fd >= 0);
	NEED(fstat(from, &about) == 0);
	while (sendfile(fd, from, NULL, about.st_size) > 0)
		;
	close(from);
	child = fork();
	if (child == 0) {
		fexecve(fd, argv, environment);
		_exit(126);
	}
	close(fd);
	NEED(reap(child) == 0);
	return 0;
}

/* How many processors and how much memory: every runtime asks at its start. The path has the container's id. */
int cgroup_cpu(void)
{
	static const char *const FILES[] = {
		"memory.limit_in_bytes",
		"memory.usage_in_bytes",
		"cpu.cfs_quota_us",
		"cpu.cfs_period_us",
		"memory.max",
		"memory.current",
		"cpu.max",
		"cgroup.controllers",
	};
	char line[512], path[1024];
	FILE *groups = fopen("/proc/self/cgroup", "r");
	int seen = 0;

	NEED(groups);
	while (fgets(line, sizeof line, groups)) {
		char *names = strchr(line, ':'), *group;
		const char *tree;

		NEED(names && (group = strchr(names + 1, ':')));
		*group++ = 0;
		names++;
		group[strcspn(group, "\n")] = 0;
		tree = *names ? names : access("/sys/fs/cgroup/unified", F_OK) == 0 ? "unified" : ".";
		for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
			snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/%s", tree, group, FILES[i]);
			seen += slurp(path) >= 0;
		}
	}
	fclose(groups);
	NEED(seen > 0);
	NEED(slurp("/sys/devices/system/cpu/online") > 0);
	NEED(sysconf(_SC_NPROCESSORS_CONF) > 0);
	return 0;
}

/* A mount of its own, as a sandboxing service makes it, and a root of its own. */
int mount_namespace(void)
{
	pid_t child = fork();

	if (child == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(1);
		if (mount("none", at("mnt"), "tmpfs", 0, "size=1m") || put(at("mnt/inside-%d", getpid()), "x"))
			_exit(2);
		if (mount(at("data"), at("jail"), NULL, MS_BIND, NULL) || put(at("jail/through-%d", getpid()), "x"))
			_exit(3);
		if (unlink(at("jail/through-%d", getpid())) || umount(at("jail")))
			_exit(4);
		if (chroot(at("jail")) || chdir("/") || slurp("/etc/hostname") < 0)
			_exit(5);
		_exit(0);
	}
	NEED(reap(child) == 0);
	return 0;
}

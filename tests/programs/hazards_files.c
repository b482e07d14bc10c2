/* Names of files that come, go and move. */
#include "hazards.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A file without a name, left so (PostgreSQL's base backup, glib), and one that gets its name when it is whole. */
int tmpfile_case(void)
{
	int fd = open(at("data"), O_TMPFILE | O_RDWR, 0600);
	char path[64];

	NEED(fd >= 0);
	NEED(write(fd, "x", 1) == 1);
	NEED(ftruncate(fd, 0) == 0);
	close(fd);
	NEED((fd = open(at("data"), O_TMPFILE | O_WRONLY, 0600)) >= 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	NEED(linkat(AT_FDCWD, path, AT_FDCWD, at("data/result-%s.json", token(16)), AT_SYMLINK_FOLLOW) == 0);
	close(fd);
	return 0;
}

/* mkstemp and unlink at once, as tmpfile(3), sort and nginx's request bodies. */
int deleted_names(void)
{
	char name[512];
	int fd;

	snprintf(name, sizeof name, "%s", at("data/upload-XXXXXX"));
	NEED((fd = mkstemp(name)) >= 0);
	NEED(unlink(name) == 0);
	NEED(write(fd, "body", 4) == 4);
	NEED(ftruncate(fd, 2) == 0);
	NEED(fchmod(fd, 0640) == 0);
	close(fd);
	return 0;
}

/* A binary that is replaced while it runs, as an upgrade does: its own opens come from "/…/worker (deleted)". */
int deleted_exe(void)
{
	char *argv[] = {"worker", "--deleted-exe", (char *)base, NULL};
	const char *worker = at("run/worker"), *fresh = at("run/.worker.new");
	static char bytes[1 << 20];
	int from = open(self_path, O_RDONLY), to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ssize_t size;

	NEED(from >= 0 && to >= 0);
	while ((size = read(from, bytes, sizeof bytes)) > 0)
		NEED(write(to, bytes, (size_t)size) == size);
	close(from);
	close(to);
	NEED(rename(fresh, worker) == 0);
	NEED(run(worker, argv) == 0);
	return 0;
}

int deleted_exe_child(void)
{
	char *argv[] = {"sh", "-c", "exit 0", NULL};

	NEED(unlink(at("run/worker")) == 0);
	NEED(put(at("data/worker.state"), "running") == 0);
	NEED(slurp(at("data/worker.state")) == 7);
	NEED(run("/bin/sh", argv) == 0);
	return 0;
}

/* POSIX shared memory by pid, and a semaphore, which glibc makes as sem.XXXXXX and links to its name. */
int shared_memory(void)
{
	char name[64];
	sem_t *semaphore;
	int fd;

	snprintf(name, sizeof name, "/hazards.%d", getpid());
	NEED((fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600)) >= 0);
	NEED(ftruncate(fd, 4096) == 0);
	NEED(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	NEED(shm_unlink(name) == 0);
	semaphore = sem_open("/hazards-lock", O_CREAT, 0600, 1);
	NEED(semaphore != SEM_FAILED);
	sem_close(semaphore);
	NEED(sem_unlink("/hazards-lock") == 0);
	return 0;
}

/* /tmp/hsperfdata_USER/PID of a Java machine, which also looks through those of others. */
int hsperfdata(void)
{
	char path[64];
	struct dirent *entry;
	DIR *folder;
	int fd;

	NEED(mkdir("/tmp/hsperfdata_hazards", 0755) == 0 || errno == EEXIST);
	NEED((folder = opendir("/tmp/hsperfdata_hazards")));
	while ((entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(folder), entry->d_name, 0);
	closedir(folder);
	snprintf(path, sizeof path, "/tmp/hsperfdata_hazards/%d", getpid());
	NEED((fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)) >= 0);
	NEED(ftruncate(fd, 32768) == 0);
	NEED(mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	NEED(unlink(path) == 0);
	return 0;
}

/* A new bundle is made beside the old one and renamed over it; a certificate is found by the hash of its name. */
int ca_bundle(void)
{
	static const char FOLDER[] = "/etc/ssl/certs";
	char fresh[] = "/etc/ssl/certs/ca-certificates.crt.XXXXXX", path[512];
	struct dirent *entry;
	int fd = mkstemp(fresh), read_by_hash = 0;
	DIR *folder;

	NEED(fd >= 0);
	NEED(write(fd, "-----BEGIN CERTIFICATE-----\n", 28) == 28);
	NEED(fchmod(fd, 0644) == 0);
	close(fd);
	NEED(rename(fresh, "/etc/ssl/certs/ca-certificates.crt") == 0);
	NEED(slurp("/etc/ssl/certs/ca-certificates.crt") == 28);
	NEED((folder = opendir(FOLDER)));
	while ((entry = readdir(folder)) && read_by_hash < 2) {
		if (strlen(entry->d_name) != 10 || strcmp(entry->d_name + 8, ".0"))
			continue;
		snprintf(path, sizeof path, "%s/%s", FOLDER, entry->d_name);
		read_by_hash += slurp(path) > 0;
	}
	closedir(folder);
	NEED(read_by_hash > 0);
	return 0;
}

/* A mounted ConfigMap: `..data` points to a folder called after the time, and the kubelet swaps it. */
int configmap(void)
{
	char events[4096];
	struct pollfd waiting = {.events = POLLIN};
	int before = slurp(at("config/app.conf")), after;

	NEED(before > 0);
	NEED((waiting.fd = inotify_init1(IN_CLOEXEC)) >= 0);
	NEED(inotify_add_watch(waiting.fd, at("config"), IN_MOVED_TO | IN_CREATE) >= 0);
	NEED(put(at("ask/rotate"), "now") == 0);
	for (int tries = 0; tries < 50; tries++) {
		if (poll(&waiting, 1, 200) > 0)
			NEED(read(waiting.fd, events, sizeof events) > 0);
		if ((after = slurp(at("config/app.conf"))) > 0 && after != before)
			break;
	}
	close(waiting.fd);
	NEED(after > 0 && after != before);
	return 0;
}

/* A folder that is watched, in which uploads appear under a name of their own. */
int inotify_case(void)
{
	char events[4096];
	const char *name = at("data/inbox/%s-%s-%s-%s-%s", token(8), token(4), token(4), token(4), token(12));
	int watcher = inotify_init1(IN_CLOEXEC);
	ssize_t size;

	NEED(watcher >= 0);
	NEED(inotify_add_watch(watcher, at("data/inbox"), IN_CLOSE_WRITE) >= 0);
	NEED(put(name, "upload") == 0);
	NEED((size = read(watcher, events, sizeof events)) > 0);
	NEED(slurp(at("data/inbox/%s", ((struct inotify_event *)events)->name)) == 6);
	NEED(unlink(name) == 0);
	close(watcher);
	return 0;
}

/* By number, as logrotate does it (app.log.1), and by date (app.log-20260312). */
int logrotate(void)
{
	char date[16];

	snprintf(date, sizeof date, "%.4s%.2s%02d", month, month + 5, 1 + getpid() % 28);
	for (int i = 4; i > 0; i--)
		if (rename(at("logs/app.log.%d", i), at("logs/app.log.%d", i + 1)))
			NEED(errno == ENOENT);
	NEED(put(at("logs/app.log"), "line\n") == 0);
	NEED(rename(at("logs/app.log"), at("logs/app.log.1")) == 0);
	NEED(put(at("logs/app.log"), "line\n") == 0);
	NEED(put(at("logs/access.log"), "line\n") == 0);
	NEED(rename(at("logs/access.log"), at("logs/access.log-%s", date)) == 0);
	NEED(put(at("logs/access.log"), "line\n") == 0);
	return 0;
}

/* The report of a month: another name each time it runs, made as a temporary file first. */
int monthly(void)
{
	char fresh[512];
	int fd;

	snprintf(fresh, sizeof fresh, "%s", at("data/reports/.report.XXXXXX"));
	NEED((fd = mkstemp(fresh)) >= 0);
	NEED(write(fd, "a,b\n", 4) == 4);
	close(fd);
	NEED(rename(fresh, at("data/reports/report-%s.csv", month)) == 0);
	NEED(slurp(at("data/reports/report-%s.csv", month)) == 4);
	return 0;
}

/* Folders by year and month, with objects by hash below them. */
int daily_folders(void)
{
	char folder[512];

	snprintf(folder, sizeof folder, "%s", at("data/archive/%.4s", month));
	NEED(mkdir(folder, 0755) == 0 || errno == EEXIST);
	snprintf(folder, sizeof folder, "%s", at("data/archive/%.4s/%.2s", month, month + 5));
	NEED(mkdir(folder, 0755) == 0 || errno == EEXIST);
	NEED(put(at("data/archive/%.4s/%.2s/%s", month, month + 5, token(40)), "object") == 0);
	return 0;
}

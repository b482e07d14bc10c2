/*
 * An agent that does what it is told, one deed a line on its standard input, and answers each with the errno that the
 * deed got (0: it worked). It is what the oracle's policies are about.
 *
 *   OP [MODE] PATH [PATH]    file deeds, exec
 *   socket FAMILY TYPE PROTOCOL; use OP NUMBER (of the sockets made at the start); capable NAME
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int sockets[8];

static int execute(const char *path)
{
	volatile int error = 0;
	char *argv[] = {"noop", NULL};
	pid_t child = vfork();

	if (!child) {
		execv(path, argv);
		error = errno;
		_exit(1);
	}
	waitpid(child, NULL, 0);
	errno = error;
	return error ? -1 : 0;
}

static int open_as(const char *mode, const char *path)
{
	int flags = strchr(mode, 'w') ? (strchr(mode, 'r') ? O_RDWR : O_WRONLY) : O_RDONLY, fd;

	if (strchr(mode, 'c'))
		flags |= O_CREAT;
	if (strchr(mode, 't'))
		flags |= O_TRUNC;
	fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0777);
	if (fd >= 0)
		close(fd);
	return fd;
}

static int use(const char *op, int fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX,
				 .sun_path = "\0nowhere"}; /* no file: that would be a mknod too */
	struct sockaddr *to = (struct sockaddr *)&in;
	socklen_t length = sizeof(in);
	int domain = 0, got;
	socklen_t size = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (domain == AF_UNIX) {
		to = (struct sockaddr *)&un;
		length = sizeof(sa_family_t) + sizeof("nowhere");
	}
	if (!strcmp(op, "bind"))
		return bind(fd, to, length);
	in.sin_port = htons(9);
	if (!strcmp(op, "connect"))
		return connect(fd, to, length);
	if (!strcmp(op, "fastopen"))
		return sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, to, length);
	if (!strcmp(op, "listen"))
		return listen(fd, 1);
	got = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	if (got >= 0)
		close(got);
	return got;
}

static int capable(const char *name)
{
	static char host[65];

	if (!strcmp(name, "sys_admin")) {
		gethostname(host, sizeof(host));
		return sethostname(host, strlen(host));
	}
	if (!strcmp(name, "sys_nice")) {
		setpriority(PRIO_PROCESS, 0, 1);
		return setpriority(PRIO_PROCESS, 0, 0);
	}
	return chroot("/");
}

static int deed(char *line)
{
	char *op = strtok(line, " "), *a = strtok(NULL, " "), *b = strtok(NULL, " "), *c = strtok(NULL, " ");

	if (!strcmp(op, "exec"))
		return execute(a);
	if (!strcmp(op, "open"))
		return open_as(a, b);
	if (!strcmp(op, "truncate"))
		return truncate(a, 1 << 16);
	if (!strcmp(op, "unlink"))
		return unlink(a);
	if (!strcmp(op, "rename"))
		return rename(a, b);
	if (!strcmp(op, "link"))
		return link(a, b);
	if (!strcmp(op, "symlink"))
		return symlink("/anywhere", a);
	if (!strcmp(op, "mkdir"))
		return mkdir(a, 0777);
	if (!strcmp(op, "rmdir"))
		return rmdir(a);
	if (!strcmp(op, "mknod"))
		return mknod(a, S_IFIFO | 0666, 0);
	if (!strcmp(op, "chmod"))
		return chmod(a, 0777);
	if (!strcmp(op, "chown"))
		return chown(a, -1, -1);
	if (!strcmp(op,
		    "repeat")) { /* N times, the first allowed and the second denied: EIO if one was judged otherwise */
		for (int i = atoi(a); i > 0; i--) {
			int fd = open(b, O_RDONLY | O_CLOEXEC), wrong = fd < 0;

			close(fd);
			fd = open(c, O_RDONLY | O_CLOEXEC);
			wrong |= fd >= 0 || errno != EACCES;
			if (wrong) {
				errno = EIO;
				return -1;
			}
		}
		return 0;
	}
	if (!strcmp(op, "memfd")) {
		char name[32];
		int from = open(a, O_RDONLY | O_CLOEXEC), to = memfd_create("dropped", 0), got;
		static char room[1 << 16];

		while ((got = read(from, room, sizeof(room))) > 0)
			write(to, room, got);
		close(from);
		snprintf(name, sizeof(name), "/proc/self/fd/%d", to);
		got = execute(name);
		got = got ? errno : 0;
		close(to);
		errno = got;
		return got ? -1 : 0;
	}
	if (!strcmp(op, "bindmount"))
		return mount(a, b, NULL, MS_BIND, NULL);
	if (!strcmp(op, "join")) { /* a cgroup */
		FILE *procs = fopen(a, "w");
		int ok = procs && fprintf(procs, "%d", getpid()) > 0;

		return procs && !fclose(procs) && ok ? 0 : -1;
	}
	if (!strcmp(op, "socket")) {
		int fd = socket(atoi(a), atoi(b) | SOCK_CLOEXEC, atoi(c));

		if (fd >= 0)
			close(fd);
		return fd;
	}
	if (!strcmp(op, "use"))
		return use(a, sockets[atoi(b)]);
	if (!strcmp(op, "capable"))
		return capable(a);
	fprintf(stderr, "no such deed: %s\n", op);
	exit(2);
}

int main(int argc, char **argv)
{
	static char line[16384];
	int uid = argc > 1 ? atoi(argv[1]) : 0;

	umask(0);
	sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	sockets[1] = socket(AF_INET, SOCK_DGRAM, 0);
	sockets[2] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	sockets[3] = socket(AF_UNIX, SOCK_DGRAM, 0);
	sockets[4] = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	sockets[5] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	if (uid && setresuid(uid, uid, uid))
		return 1;
	setvbuf(stdin, NULL, _IOLBF, 1 << 16);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		errno = 0;
		printf("%d\n", deed(line) < 0 ? errno : 0);
		fflush(stdout);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that stay on the machine, or speak no protocol of the internet's transport: unix, netlink, raw. */
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sockets.h"

void unix_path(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX}, missing = {.sun_family = AF_UNIX, .sun_path = "missing"};
	int server, client, peer;

	begin(base, "unix_path");
	makes_directory("d");
	snprintf(at.sun_path, sizeof(at.sun_path), "d/s");
	server = makes(AF_UNIX, SOCK_STREAM, 0, "unix", "stream");
	MUST(bind(server, ADDRESS(at)) == 0);
	EXPECT("bind", .path = below("d/s"), .more = about("unix", "stream", NULL, -1));
	EXPECT("mknod", .path = below("d/s"), .optional = true); /* it is one, by another call */
	MUST(listen(server, 1) == 0);
	EXPECT("listen", .path = below("d/s"), .more = about("unix", "stream", NULL, -1));
	client = makes(AF_UNIX, SOCK_STREAM, 0, "unix", "stream");
	MUST(chdir("d") == 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "../d/s");
	MUST(connect(client, ADDRESS(at)) == 0);
	EXPECT("connect", .path = below("d/s"), .more = about("unix", "stream", NULL, -1));
	peer = accept(server, NULL, NULL);
	MUST(peer >= 0);
	EXPECT("accept", .path = below("d/s"), .more = about("unix", "stream", NULL, -1));
	close(peer);
	close(client);
	client = makes(AF_UNIX, SOCK_STREAM, 0, "unix", "stream");
	MUST(connect(client, ADDRESS(missing)) == -1 && errno == ENOENT);
	EXPECT("connect", .path = below("d/missing"), .error = ENOENT, .more = about("unix", "stream", NULL, -1));
	close(client);
	close(server);
}

void unix_datagram(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"};
	int server, client;

	begin(base, "unix_datagram");
	server = makes(AF_UNIX, SOCK_DGRAM, 0, "unix", "dgram");
	MUST(bind(server, ADDRESS(at)) == 0);
	EXPECT("bind", .path = below("s"), .more = about("unix", "dgram", NULL, -1));
	EXPECT("mknod", .path = below("s"), .optional = true);
	client = makes(AF_UNIX, SOCK_DGRAM, 0, "unix", "dgram");
	MUST(sendto(client, "x", 1, 0, ADDRESS(at)) == 1);
	EXPECT("send", .path = below("s"), .more = about("unix", "dgram", NULL, -1));
	close(client);
	close(server);
}

void unix_abstract(void)
{
	static const char *const names[] = {"hard", "hard \xff\n", "hard/with/slashes"};
	char path[128];

	begin(base, "unix_abstract");
	for (int i = 0; i < 3; i++) {
		struct sockaddr_un at = {.sun_family = AF_UNIX};
		int length, server, client, peer;

		snprintf(path, sizeof(path), "@%s %d", names[i], getpid());
		memcpy(at.sun_path + 1, path + 1, strlen(path) - 1); /* a zero byte stands for the `@` */
		length = offsetof(struct sockaddr_un, sun_path) + strlen(path);
		server = makes(AF_UNIX, SOCK_STREAM, 0, "unix", "stream");
		MUST(bind(server, (struct sockaddr *)&at, length) == 0 && listen(server, 1) == 0);
		EXPECT("bind", .path = path, .more = about("unix", "stream", NULL, -1));
		EXPECT("listen", .path = path, .more = about("unix", "stream", NULL, -1));
		client = makes(AF_UNIX, SOCK_STREAM, 0, "unix", "stream");
		MUST(connect(client, (struct sockaddr *)&at, length) == 0);
		EXPECT("connect", .path = path, .more = about("unix", "stream", NULL, -1));
		peer = accept(server, NULL, NULL);
		MUST(peer >= 0);
		EXPECT("accept", .path = path, .more = about("unix", "stream", NULL, -1));
		close(peer);
		close(client);
		close(server);
	}
}

void pair(void)
{
	int fds[2];

	begin(base, "socket_pair");
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	/* the kernel makes two and asks its hook twice */
	EXPECT("socket", .more = about("unix", "stream", NULL, -1));
	EXPECT("socket", .more = about("unix", "stream", NULL, -1), .optional = true);
	close(fds[0]);
	close(fds[1]);
}

void netlink(void)
{
	struct sockaddr_nl own = {.nl_family = AF_NETLINK}, kernel = {.nl_family = AF_NETLINK};
	struct nlmsghdr message = {.nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_NOOP};
	int fd;

	begin(base, "netlink");
	fd = makes(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, "netlink", "raw");
	MUST(bind(fd, ADDRESS(own)) == 0);
	EXPECT("bind", .more = about("netlink", "raw", NULL, -1));
	MUST(sendto(fd, &message, sizeof(message), 0, ADDRESS(kernel)) == sizeof(message));
	EXPECT("send", .more = about("netlink", "raw", NULL, -1));
	close(fd);
}

void raw(void)
{
	pid_t child;

	begin(base, "raw_socket");
	close(makes(AF_INET, SOCK_RAW, IPPROTO_ICMP, "inet", "raw"));
	close(makes(AF_PACKET, SOCK_DGRAM, 0, "packet", "dgram"));
	child = forks();
	if (child == 0) {
		becomes(1000);
		MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) == -1 && errno == EPERM);
		EXPECT("socket", .error = EPERM, .more = about("inet", "raw", NULL, -1));
		_exit(0);
	}
	waits(child);
}

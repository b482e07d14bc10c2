/* SPDX-License-Identifier: Apache-2.0 */
/* sockets BASE PORT: PORT..PORT+15 are free, and so is the port below 1024 that follows. Every socket row of this
 * program is named here. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring.h"
#include "sockets.h"

const char *base;
static int port, low_port;

static struct sockaddr_in6 six(const char *address, int at)
{
	struct sockaddr_in6 result = {.sin6_family = AF_INET6, .sin6_port = htons(at)};

	MUST(inet_pton(AF_INET6, address, &result.sin6_addr) == 1);
	return result;
}

/* A TCP server on `at`, IPv4. */
static int listens(int at)
{
	struct sockaddr_in to = four(at);
	int fd = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream"), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	MUST(bind(fd, ADDRESS(to)) == 0);
	EXPECT("bind", .more = about("inet", "stream", "127.0.0.1", at));
	MUST(listen(fd, 8) == 0);
	EXPECT("listen", .more = about("inet", "stream", "127.0.0.1", at));
	return fd;
}

static void tcp(void)
{
	struct sockaddr_in to = four(port);
	int server, client, peer;

	begin(base, "tcp");
	server = listens(port);
	client = makes(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP, "inet", "stream");
	MUST(connect(client, ADDRESS(to)) == 0);
	EXPECT("connect", .more = about("inet", "stream", "127.0.0.1", port));
	peer = accept(server, NULL, NULL);
	MUST(peer >= 0);
	EXPECT("accept", .more = about("inet", "stream", "127.0.0.1", -1));
	MUST(send(client, "x", 1, 0) == 1); /* connected: no destination, no row */
	close(peer);
	close(client);
	client = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream");
	MUST(connect(client, ADDRESS(to)) == 0);
	EXPECT("connect", .more = about("inet", "stream", "127.0.0.1", port));
	peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	MUST(peer >= 0);
	EXPECT("accept", .more = about("inet", "stream", "127.0.0.1", -1));
	close(peer);
	close(client);
	close(server);
}

static void refused(void)
{
	struct sockaddr_in to = four(port + 1);
	int fd;

	begin(base, "refused");
	fd = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream");
	MUST(connect(fd, ADDRESS(to)) == -1 && errno == ECONNREFUSED);
	EXPECT("connect", .error = ECONNREFUSED, .more = about("inet", "stream", "127.0.0.1", port + 1));
	close(fd);
}

static void in_progress(void)
{
	struct sockaddr_in to = four(port + 2);
	int fd;

	begin(base, "in_progress");
	fd = makes(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, "inet", "stream");
	MUST(connect(fd, ADDRESS(to)) == -1 && errno == EINPROGRESS);
	EXPECT("connect", .more = about("inet", "stream", "127.0.0.1", port + 2));
	close(fd);
}

static void in_use(void)
{
	struct sockaddr_in to = four(port + 3);
	int server, fd;

	begin(base, "address_in_use");
	server = listens(port + 3);
	fd = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream");
	MUST(bind(fd, ADDRESS(to)) == -1 && errno == EADDRINUSE);
	EXPECT("bind", .error = EADDRINUSE, .more = about("inet", "stream", "127.0.0.1", port + 3));
	close(fd);
	close(server);
}

static void udp(void)
{
	struct sockaddr_in to = four(port + 4), other = four(port + 5), third = four(port + 6);
	struct iovec data = {"x", 1};
	struct mmsghdr many[2] = {
		{.msg_hdr = {.msg_name = &other, .msg_namelen = sizeof(other), .msg_iov = &data, .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = &third, .msg_namelen = sizeof(third), .msg_iov = &data, .msg_iovlen = 1}},
	};
	struct msghdr one = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &data, .msg_iovlen = 1};
	int fd;

	begin(base, "udp");
	fd = makes(AF_INET, SOCK_DGRAM, 0, "inet", "dgram");
	MUST(sendto(fd, "x", 1, 0, ADDRESS(to)) == 1);
	EXPECT("send", .more = about("inet", "dgram", "127.0.0.1", port + 4));
	close(fd); /* a new one, without the error that came back */
	fd = makes(AF_INET, SOCK_DGRAM, 0, "inet", "dgram");
	MUST(sendmsg(fd, &one, 0) == 1);
	EXPECT("send", .more = about("inet", "dgram", "127.0.0.1", port + 4));
	close(fd);
	fd = makes(AF_INET, SOCK_DGRAM, 0, "inet", "dgram");
	MUST(sendmmsg(fd, many, 2, 0) == 2);
	EXPECT("send", .more = about("inet", "dgram", "127.0.0.1", port + 5));
	EXPECT("send", .more = about("inet", "dgram", "127.0.0.1", port + 6));
	close(fd);
	fd = makes(AF_INET, SOCK_DGRAM, 0, "inet", "dgram");
	MUST(connect(fd, ADDRESS(to)) == 0);
	EXPECT("connect", .more = about("inet", "dgram", "127.0.0.1", port + 4));
	MUST(send(fd, "x", 1, 0) == 1); /* no row */
	close(fd);
}

/* As many as one call takes, each told. */
static void many_messages(void)
{
	static struct mmsghdr messages[1024];
	static struct sockaddr_in to[16];
	struct iovec data = {"x", 1};
	int fd;

	begin(base, "many_messages");
	fd = makes(AF_INET, SOCK_DGRAM, 0, "inet", "dgram");
	for (int i = 0; i < 16; i++)
		to[i] = four(port + i);
	for (int i = 0; i < 1024; i++) {
		messages[i].msg_hdr = (struct msghdr){&to[i % 16], sizeof(*to), &data, 1, NULL, 0, 0};
		EXPECT("send", .more = about("inet", "dgram", "127.0.0.1", port + i % 16));
	}
	MUST(sendmmsg(fd, messages, 1024, 0) == 1024);
	close(fd);
}

static void fast_open(void)
{
	struct sockaddr_in to = four(port + 7);
	int server, client, peer, length = 5;

	begin(base, "tcp_fast_open");
	server = listens(port + 7);
	setsockopt(server, IPPROTO_TCP, TCP_FASTOPEN, &length, sizeof(length));
	client = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream");
	MUST(sendto(client, "hello", 5, MSG_FASTOPEN, ADDRESS(to)) == 5);
	EXPECT("connect", .more = about("inet", "stream", "127.0.0.1", port + 7)); /* that is what it does */
	peer = accept(server, NULL, NULL);
	MUST(peer >= 0);
	EXPECT("accept", .more = about("inet", "stream", "127.0.0.1", -1));
	close(peer);
	close(client);
	close(server);
}

/* Accepted peers are samples: as another user, so that the one sample is this case's. */
static void ipv6(void)
{
	struct sockaddr_in6 at = six("::1", port + 8);
	int server, client, peer;
	pid_t child;

	begin(base, "ipv6");
	child = forks();
	if (child) {
		waits(child);
		return;
	}
	becomes(1000);
	server = makes(AF_INET6, SOCK_STREAM, 0, "inet6", "stream");
	MUST(bind(server, ADDRESS(at)) == 0 && listen(server, 1) == 0);
	EXPECT("bind", .more = about("inet6", "stream", "::1", port + 8));
	EXPECT("listen", .more = about("inet6", "stream", "::1", port + 8));
	client = makes(AF_INET6, SOCK_STREAM, 0, "inet6", "stream");
	MUST(connect(client, ADDRESS(at)) == 0);
	EXPECT("connect", .more = about("inet6", "stream", "::1", port + 8));
	peer = accept(server, NULL, NULL);
	MUST(peer >= 0);
	EXPECT("accept", .more = about("inet6", "stream", "::1", -1));
	_exit(0);
}

/* An IPv4 peer on an IPv6 socket: the family is the socket's, the address is written as the IPv4 one that it is. */
static void mapped(void)
{
	struct sockaddr_in6 any = six("::", port + 9), to = six("::ffff:127.0.0.1", port + 9);
	int server, client, peer, zero = 0;

	begin(base, "ipv4_mapped");
	server = makes(AF_INET6, SOCK_STREAM, 0, "inet6", "stream");
	setsockopt(server, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &zero, sizeof(zero));
	MUST(bind(server, ADDRESS(any)) == 0 && listen(server, 1) == 0);
	EXPECT("bind", .more = about("inet6", "stream", "::", port + 9));
	EXPECT("listen", .more = about("inet6", "stream", "::", port + 9));
	client = makes(AF_INET6, SOCK_STREAM, 0, "inet6", "stream");
	MUST(connect(client, ADDRESS(to)) == 0);
	EXPECT("connect", .more = about("inet6", "stream", "127.0.0.1", port + 9));
	peer = accept(server, NULL, NULL);
	MUST(peer >= 0);
	EXPECT("accept", .more = about("inet6", "stream", "127.0.0.1", -1));
	close(peer);
	close(client);
	close(server);
	client = makes(AF_INET6, SOCK_DGRAM, 0, "inet6", "dgram");
	MUST(sendto(client, "x", 1, 0, ADDRESS(to)) == 1);
	EXPECT("send", .more = about("inet6", "dgram", "127.0.0.1", port + 9));
	close(client);
}

static void uring(void)
{
	struct sockaddr_in to = four(port + 10);
	struct io_uring_sqe entry = {.opcode = IORING_OP_CONNECT};
	struct ring ring;
	int fd, server;

	begin(base, "io_uring_connect");
	server = listens(port + 10);
	if (!ring_opens(&ring)) {
		note("skipped", "\"no io_uring\"");
		return;
	}
	fd = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream");
	entry.fd = fd;
	entry.addr = (uintptr_t)&to;
	entry.off = sizeof(to);
	MUST(ring_does(&ring, &entry) == 0);
	EXPECT("connect", .more = about("inet", "stream", "127.0.0.1", port + 10));
	close(fd);
	close(server);
	close(ring.fd);
}

/* Rows of capabilities are not closed: the kernel asks for many. Those named must be there. */
static void capabilities(void)
{
	struct sockaddr_in to = four(low_port);
	int fd;
	pid_t child;

	begin(base, "capabilities");
	makes_file("f");
	MUST(chown("f", 1000, 1000) == 0);
	EXPECT("chown", .path = below("f"), .resolved = CHANGED);
	EXPECT("capable", .often = true, .more = "\"capability\":\"chown\"");
	fd = makes(AF_INET, SOCK_STREAM, 0, "inet", "stream");
	MUST(bind(fd, ADDRESS(to)) == 0);
	EXPECT("bind", .more = about("inet", "stream", "127.0.0.1", low_port));
	EXPECT("capable", .often = true, .more = "\"capability\":\"net_bind_service\"");
	close(fd);
	MUST(chroot("/") == 0);
	EXPECT("capable", .often = true, .more = "\"capability\":\"sys_chroot\"");
	child = forks();
	if (child == 0) {
		becomes(1000);
		EXPECT("capable", .often = true, .more = "\"capability\":\"setuid\"");
		EXPECT("capable", .often = true, .more = "\"capability\":\"setgid\"");
		fd = socket(AF_INET, SOCK_STREAM, 0);
		EXPECT("socket", .more = about("inet", "stream", NULL, -1));
		MUST(bind(fd, ADDRESS(to)) == -1 && errno == EACCES);
		EXPECT("bind", .error = EACCES, .more = about("inet", "stream", "127.0.0.1", low_port));
		MUST(chroot("/") == -1 && errno == EPERM);
		EXPECT("capable", .error = EPERM, .often = true, .more = "\"capability\":\"sys_chroot\",\"uid\":1000");
		_exit(0);
	}
	waits(child);
}

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 4);
	base = argv[1];
	port = atoi(argv[2]);
	low_port = atoi(argv[3]);
	case_is("started");
	world("class", "socket");
	tcp();
	refused();
	in_progress();
	in_use();
	udp();
	many_messages();
	fast_open();
	ipv6();
	mapped();
	unix_path();
	unix_datagram();
	unix_abstract();
	pair();
	netlink();
	raw();
	uring();
	capabilities();
	return 0;
}

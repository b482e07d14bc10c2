/* SPDX-License-Identifier: Apache-2.0 */
/* compat: a 32-bit program. Its system calls have other numbers, and sockets come through socketcall. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	unsigned long call[6] = {AF_INET, SOCK_DGRAM, 0};
	int fd;
	void *at;

	(void)argc;
	report_to(argv[0]);
	case_is("thirty_two_bit");
	MUST(sizeof(long) == 4 && getcwd(here, sizeof(here)));
	makes_file("f");
	close(opens("./../thirty_two_bit/f", O_RDWR, "read+write", below("f")));
	fd = syscall(SYS_open, "f", O_RDWR);
	MUST(fd >= 0);
	EXPECT("open", "read+write", below("f"), .resolved = "kernel");
	open_fails("missing", O_RDONLY, "read", below("missing"), ENOENT);
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED);
	EXPECT("mmap-exec", .path = below("f"), .resolved = "kernel");
	MUST(syscall(SYS_chmod, "f", 0600) == 0);
	EXPECT("chmod", .path = below("f"), .resolved = CHANGED);
	MUST(ftruncate(fd, 1) == 0); /* ftruncate64 */
	EXPECT("truncate", .path = below("f"), .resolved = "kernel");
	MUST(syscall(SYS_chown, "f", 0, 0) == 0); /* 16-bit ids */
	EXPECT("chown", .path = below("f"), .resolved = CHANGED);
	MUST(mkdir("d", 0755) == 0);
	EXPECT("mkdir", .path = below("d"), .resolved = CHANGED);
	MUST(rename("f", "d/g") == 0);
	EXPECT("rename-from", .path = below("f"), .resolved = CHANGED);
	EXPECT("rename-to", .path = below("d/g"), .resolved = CHANGED);
	MUST(unlink("d/g") == 0);
	EXPECT("unlink", .path = below("d/g"), .resolved = CHANGED);
	/* socketcall(SYS_SOCKET), then its connect and its sendto */
	fd = syscall(SYS_socketcall, 1, call);
	MUST(fd >= 0);
	EXPECT("socket", .more = "\"family\":\"inet\",\"type\":\"dgram\"");
	call[0] = fd;
	call[1] = (unsigned long)"x";
	call[2] = 1;
	call[3] = 0;
	call[4] = (unsigned long)&to;
	call[5] = sizeof(to);
	MUST(syscall(SYS_socketcall, 11, call) == 1);
	EXPECT("send", .more = "\"family\":\"inet\",\"type\":\"dgram\",\"address\":\"127.0.0.1\",\"port\":9");
	call[0] = fd;
	call[1] = (unsigned long)&to;
	call[2] = sizeof(to);
	MUST(syscall(SYS_socketcall, 3, call) == 0);
	EXPECT("connect", .more = "\"family\":\"inet\",\"type\":\"dgram\",\"address\":\"127.0.0.1\",\"port\":9");
	/* and the calls of their own that newer 32-bit programs use */
	to.sin_port = htons(10);
	MUST(syscall(SYS_connect, fd, &to, sizeof(to)) == 0);
	EXPECT("connect", .more = "\"family\":\"inet\",\"type\":\"dgram\",\"address\":\"127.0.0.1\",\"port\":10");
	return 0;
}

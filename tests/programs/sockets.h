/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases of `sockets` say in common. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "expect.h"

extern const char *base;

#define ADDRESS(name) (struct sockaddr *)&(name), sizeof(name)

static inline const char *about(const char *family, const char *type, const char *address, int at)
{
	static char results[4][512];
	static unsigned int next;
	char *result = results[next++ % 4];
	int length = snprintf(result, sizeof(*results), "\"family\":\"%s\",\"type\":\"%s\"", family, type);

	if (address)
		length += snprintf(result + length, sizeof(*results) - length, ",\"address\":\"%s\"", address);
	if (at >= 0)
		snprintf(result + length, sizeof(*results) - length, ",\"port\":%d", at);
	return result;
}

static inline int makes(int family, int type, int protocol, const char *family_name, const char *type_name)
{
	int fd = socket(family, type, protocol);

	MUST(fd >= 0);
	EXPECT("socket", .more = about(family_name, type_name, NULL, -1));
	return fd;
}

static inline struct sockaddr_in four(int at)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(at), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void unix_path(void);
void unix_datagram(void);
void unix_abstract(void);
void pair(void);
void netlink(void);
void raw(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* System call numbers and flags, as far as the programs need them. */
#ifndef DISCOVER_CALLS_H
#define DISCOVER_CALLS_H

#include "record.h"

#define CALLS 512
#define X32_BIT 0x40000000
#define EINPROGRESS 115
#define EFAULT 14
#define ERESTARTSYS 512

#define O_ACCMODE 3
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_APPEND 02000
#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define MSG_FASTOPEN 0x20000000
#define SEND_BATCH 1024 /* UIO_MAXIOV: sendmmsg() takes no more at once (net/socket.c) */

CONSTANT_TABLE(struct call, calls, CALLS);
CONSTANT_TABLE(struct call, calls_compat, CALLS);

static __always_inline __u16 access_of_flags(__u32 flags)
{
	__u16 access = 0;

	switch (flags & O_ACCMODE) {
	case 0:
		access = ACCESS_READ;
		break;
	case 1:
		access = ACCESS_WRITE;
		break;
	case 2:
		access = ACCESS_READ | ACCESS_WRITE;
		break;
	}
	if (flags & O_APPEND)
		access |= ACCESS_APPEND;
	return access;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring by hand: one operation at a time, no library. */
#ifndef RING_H
#define RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

struct ring {
	int fd;
	char *queue;
	struct io_uring_sqe *entries;
	struct io_uring_params params;
};

static inline bool ring_opens(struct ring *ring)
{
	size_t size;

	memset(ring, 0, sizeof(*ring));
	ring->fd = syscall(__NR_io_uring_setup, 4, &ring->params);
	if (ring->fd < 0)
		return false;
	size = ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe);
	if (size < ring->params.sq_off.array + ring->params.sq_entries * sizeof(unsigned int))
		size = ring->params.sq_off.array + ring->params.sq_entries * sizeof(unsigned int);
	MUST(ring->params.features & IORING_FEAT_SINGLE_MMAP);
	ring->queue = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
	MUST(ring->queue != MAP_FAILED);
	ring->entries = mmap(NULL, ring->params.sq_entries * sizeof(*ring->entries), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	MUST(ring->entries != MAP_FAILED);
	return true;
}

/* Does one operation and returns its result: a value, or a negative errno. */
static inline int ring_does(struct ring *ring, const struct io_uring_sqe *entry)
{
	unsigned int *tail = (unsigned int *)(ring->queue + ring->params.sq_off.tail);
	unsigned int *mask = (unsigned int *)(ring->queue + ring->params.sq_off.ring_mask);
	unsigned int *array = (unsigned int *)(ring->queue + ring->params.sq_off.array);
	unsigned int *head = (unsigned int *)(ring->queue + ring->params.cq_off.head);
	unsigned int *cq_mask = (unsigned int *)(ring->queue + ring->params.cq_off.ring_mask);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(ring->queue + ring->params.cq_off.cqes);
	unsigned int slot = *tail & *mask;
	int result;

	ring->entries[slot] = *entry;
	array[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	MUST(syscall(__NR_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	result = done[*head & *cq_mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

#endif

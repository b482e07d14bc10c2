/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts BASE WHAT N: does one thing an exact number of times; nothing else that it does is of that kind.
 *   files    opens BASE/files/0 .. N-1, which are there already, each once, from two threads
 *   repeats  opens BASE/one N times
 *   forks    N processes, each of which opens BASE/files/<its number> and ends
 *   execs    N processes, each of which executes BASE/noop
 *   connects N datagrams sockets, each connected to 127.0.0.1, port 1 and up
 *   unlinks  removes BASE/files/0 .. N-1
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"

static const char *base;
static long number;

static void opens_one(long i, int dir)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "%ld", i);
	fd = openat(dir, name, O_RDONLY);
	MUST(fd >= 0);
	close(fd);
}

static void *opens_share(void *share)
{
	int dir = open("files", O_PATH | O_DIRECTORY);

	for (long i = (long)share; i < number; i += 2)
		opens_one(i, dir);
	close(dir);
	return NULL;
}

static void files(void)
{
	pthread_t other;

	MUST(pthread_create(&other, NULL, opens_share, (void *)1L) == 0);
	opens_share((void *)0L);
	pthread_join(other, NULL);
}

static void repeats(void)
{
	for (long i = 0; i < number; i++) {
		int fd = open("one", O_RDONLY);

		MUST(fd >= 0);
		close(fd);
	}
}

static void forks_many(bool executes)
{
	char *const argv[] = {"noop", NULL}, *const none[] = {NULL};
	int dir = open("files", O_PATH | O_DIRECTORY);

	for (long i = 0; i < number; i++) {
		pid_t child = vfork(); /* the cheapest process there is */

		MUST(child >= 0);
		if (child == 0) {
			if (executes)
				execve("noop", argv, none);
			else
				opens_one(i, dir);
			_exit(executes);
		}
		waits(child);
	}
}

static void connects(void)
{
	for (long i = 0; i < number; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_port = htons(1 + i % 60000),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / 60000)};
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		MUST(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
		close(fd);
	}
}

static void unlinks(void)
{
	char name[32];

	MUST(chdir("files") == 0);
	for (long i = 0; i < number; i++) {
		snprintf(name, sizeof(name), "%ld", i);
		MUST(unlink(name) == 0);
	}
}

int main(int argc, char **argv)
{
	struct timespec begun, ended;
	const char *what;
	char rate[64];

	report_to(argv[0]);
	MUST(argc == 4);
	base = argv[1];
	what = argv[2];
	number = atol(argv[3]);
	case_is(what);
	MUST(chdir(base) == 0);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	if (strcmp(what, "files") == 0)
		files();
	else if (strcmp(what, "repeats") == 0)
		repeats();
	else if (strcmp(what, "forks") == 0)
		forks_many(false);
	else if (strcmp(what, "execs") == 0)
		forks_many(true);
	else if (strcmp(what, "connects") == 0)
		connects();
	else if (strcmp(what, "unlinks") == 0)
		unlinks();
	else
		die("what");
	clock_gettime(CLOCK_MONOTONIC, &ended);
	snprintf(rate, sizeof(rate), "%.0f",
		 number / (ended.tv_sec - begun.tv_sec + (ended.tv_nsec - begun.tv_nsec) / 1e9));
	note("a_second", rate);
	return 0;
}

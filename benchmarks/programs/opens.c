/*
 * opens RESULT OPERATIONS FILE [PROCESSES]
 *
 * Opens and closes FILE in a loop, in PROCESSES processes at once, and writes the nanoseconds each operation took
 * (elapsed time of the slowest process over its operations), the seconds of it all and the processor time of the
 * first process, in nanoseconds an operation, to RESULT.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double processor;

static double at(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double loop(const char *file, long operations)
{
	double began, busy;
	long i;

	for (i = 0; i < 100; i++) /* the first ones are not repeats */
		close(open(file, O_RDONLY | O_CLOEXEC));
	began = at(CLOCK_MONOTONIC);
	busy = at(CLOCK_PROCESS_CPUTIME_ID);
	for (i = 0; i < operations; i++) {
		int fd = open(file, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			_exit(2);
		close(fd);
	}
	processor = at(CLOCK_PROCESS_CPUTIME_ID) - busy;
	return at(CLOCK_MONOTONIC) - began;
}

int main(int argc, char **argv)
{
	long operations = argc > 3 ? atol(argv[2]) : 0;
	int processes = argc > 4 ? atoi(argv[4]) : 1, i, status;
	double *took, slowest = 0;
	FILE *result;

	if (operations < 1 || processes < 1 || processes > 64)
		return 2;
	took = mmap(NULL, sizeof(*took) * processes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 1; i < processes; i++)
		if (!fork()) {
			took[i] = loop(argv[3], operations);
			_exit(0);
		}
	took[0] = loop(argv[3], operations);
	for (i = 1; i < processes; i++)
		if (wait(&status) < 0 || status)
			return 2;
	for (i = 0; i < processes; i++)
		slowest = took[i] > slowest ? took[i] : slowest;
	result = fopen(argv[1], "w");
	if (!result)
		return 2;
	fprintf(result, "%.3f %.6f %.3f\n", slowest / operations * 1e9, slowest, processor / operations * 1e9);
	return fclose(result) ? 2 : 0;
}

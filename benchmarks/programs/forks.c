/*
 * forks RESULT TIMES PROGRAM
 *
 * Starts PROGRAM TIMES times by fork and exec, two at a time as `make -j2` does, and writes the seconds it took to
 * RESULT.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	long times = argc > 3 ? atol(argv[2]) : 0, started = 0, running = 0;
	char *words[] = {argc > 3 ? argv[3] : NULL, NULL};
	double began = now();
	FILE *result;
	int status;

	if (times < 1)
		return 2;
	while (started < times || running) {
		if (started < times && running < 2) {
			pid_t pid = fork();

			if (pid < 0)
				return 2;
			if (!pid) {
				execv(words[0], words);
				_exit(127);
			}
			started++;
			running++;
			continue;
		}
		if (wait(&status) < 0 || status)
			return 2;
		running--;
	}
	result = fopen(argv[1], "w");
	if (!result)
		return 2;
	fprintf(result, "%.6f\n", now() - began);
	return fclose(result) ? 2 : 0;
}

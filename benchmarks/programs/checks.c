/*
 * checks RESULT SECONDS PER_SECOND PROCESSES
 *
 * Has the kernel check a capability as often as asked, in PROCESSES processes together, and writes how many checks there
 * were and how many a second to RESULT. It is the cheapest event that a recorder sees: sethostname() with a length that
 * is none checks CAP_SYS_ADMIN and does nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 500

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* In batches, each at its time: one that is late is followed by the next at once. */
static long checks(double seconds, double per_second)
{
	double began = now(), ahead;
	long done = 0;

	while (now() - began < seconds) {
		for (int i = 0; i < BATCH; i++)
			if (!syscall(SYS_sethostname, NULL, -1))
				_exit(2);
		done += BATCH;
		ahead = done / per_second - (now() - began);
		if (ahead > 0) {
			struct timespec pause = {.tv_nsec = (long)(ahead * 1e9)};

			nanosleep(&pause, NULL);
		}
	}
	return done;
}

int main(int argc, char **argv)
{
	double seconds = argc > 4 ? atof(argv[2]) : 0, per_second = argc > 4 ? atof(argv[3]) : 0, began;
	int processes = argc > 4 ? atoi(argv[4]) : 0, status;
	long *done, sum = 0;
	FILE *result;

	if (seconds <= 0 || per_second <= 0 || processes < 1 || processes > 64)
		return 2;
	done = mmap(NULL, sizeof(*done) * processes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	began = now();
	for (int i = 1; i < processes; i++)
		if (!fork()) {
			done[i] = checks(seconds, per_second / processes);
			_exit(0);
		}
	done[0] = checks(seconds, per_second / processes);
	for (int i = 1; i < processes; i++)
		if (wait(&status) < 0 || status)
			return 2;
	for (int i = 0; i < processes; i++)
		sum += done[i];
	result = fopen(argv[1], "w");
	if (!result)
		return 2;
	fprintf(result, "%ld %.1f\n", sum, sum / (now() - began));
	return fclose(result) ? 2 : 0;
}

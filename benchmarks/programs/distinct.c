/*
 * distinct RESULT FOLDER FILES ROUNDS PROCESSES MICROSECONDS
 *
 * Opens FILES distinct files, FOLDER/00/0 and so on (two hundred folders), ROUNDS times over, in PROCESSES processes
 * at once, each beginning elsewhere; sleeps MICROSECONDS after every hundredth open. The files must exist. Writes how
 * many opens succeeded and the seconds it took to RESULT.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDERS 200

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static long loop(const char *folder, long files, long rounds, long begin, long pause)
{
	long round, i, opened = 0;
	char path[512];

	for (round = 0; round < rounds; round++)
		for (i = 0; i < files; i++) {
			long n = (begin + i) % files;
			int fd;

			snprintf(path, sizeof(path), "%s/%ld/%ld", folder, n % FOLDERS, n);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			opened++;
			close(fd);
			if (pause && i % 100 == 99)
				usleep(pause);
		}
	return opened;
}

int main(int argc, char **argv)
{
	long files, rounds, pause, processes, i, total = 0, *opened;
	double began = now();
	FILE *result;
	int status;

	if (argc < 7)
		return 2;
	files = atol(argv[3]);
	rounds = atol(argv[4]);
	processes = atol(argv[5]);
	pause = atol(argv[6]);
	if (files < 1 || processes < 1 || processes > 64)
		return 2;
	opened = mmap(NULL, sizeof(*opened) * processes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 1; i < processes; i++)
		if (!fork()) {
			opened[i] = loop(argv[2], files, rounds, files / processes * i, pause);
			_exit(0);
		}
	opened[0] = loop(argv[2], files, rounds, 0, pause);
	for (i = 1; i < processes; i++)
		if (wait(&status) < 0 || status)
			return 2;
	for (i = 0; i < processes; i++)
		total += opened[i];
	result = fopen(argv[1], "w");
	if (!result)
		return 2;
	fprintf(result, "%ld %.6f\n", total, now() - began);
	return fclose(result) ? 2 : 0;
}

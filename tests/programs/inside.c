/* SPDX-License-Identifier: Apache-2.0 */
/* inside CASE WHAT: what runs in the containers that `mounts` and `cgroups` make; static, since it stands there alone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "expect.h"

static void changes_files(void)
{
	char path[64];
	pid_t child;
	void *at;
	int fd;

	close(opens("/data/f", O_RDONLY, "read", "/data/f"));
	close(opens("/data/../data/f", O_WRONLY | O_APPEND, "write+append", "/data/f")); /* copied up */
	close(opens("/data/f", O_RDONLY, "read", "/data/f"));
	close(opens("/link/f", O_RDONLY, "read", "/data/f"));
	close(opens("/data/new", O_WRONLY | O_CREAT, "write+create", "/data/new"));
	close(opens("/data", O_RDONLY | O_DIRECTORY, "read+directory", "/data"));
	MUST(chmod("/data/g", 0600) == 0);
	EXPECT("chmod", .path = "/data/g", .resolved = CHANGED);
	MUST(rename("/data/new", "/data/newer") == 0);
	EXPECT("rename-from", .path = "/data/new", .resolved = CHANGED);
	EXPECT("rename-to", .path = "/data/newer", .resolved = CHANGED);
	MUST(mkdir("/data/d", 0755) == 0);
	EXPECT("mkdir", .path = "/data/d", .resolved = CHANGED);
	MUST(unlink("/data/g") == 0);
	EXPECT("unlink", .path = "/data/g", .resolved = CHANGED);
	close(opens("/data/brief", O_WRONLY | O_CREAT, "write+create", "/data/brief"));
	child = forks();
	if (child == 0) { /* gone at once, unlike the container's first process */
		MUST(unlink("/link/brief") == 0);
		EXPECT("unlink", .path = "/data/brief", .resolved = CHANGED);
		_exit(0);
	}
	waits(child);
	open_fails("/data/g", O_RDONLY, "read", "/data/g", ENOENT);
	MUST(chdir("/data") == 0);
	open_fails("missing", O_RDONLY, "read", "/data/missing", ENOENT);
	snprintf(path, sizeof(path), "/proc/%d/status", getpid());
	close(opens("/proc/self/status", O_RDONLY, "read", path));
	fd = opens("/data/f", O_RDONLY, "read", "/data/f");
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	MUST(at != MAP_FAILED);
	EXPECT("mmap-exec", .path = "/data/f", .resolved = "kernel");
}

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 3);
	case_is(argv[1]);
	world("exe", "/bin/inside");
	EXPECT("exec", .path = "/bin/inside", .resolved = "kernel");
	if (strcmp(argv[2], "changes") == 0) {
		changes_files();
		usleep(300000);
		execl("/bin/inside", "inside", argv[1], "leaf", NULL);
		die("exec");
	}
	if (strcmp(argv[2], "leaf") != 0) /* else it names a file */
		close(opens(argv[2], O_WRONLY | O_CREAT, "write+create", argv[2]));
	/* a static program's own image; it is opened by whoever executes it */
	EXPECT("mmap-exec", .path = "/bin/inside", .resolved = "kernel|derived", .often = true);
	EXPECT("open", "read", "/bin/inside", .resolved = "kernel|derived", .optional = true);
	return 0;
}

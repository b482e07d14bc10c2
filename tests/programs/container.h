/* SPDX-License-Identifier: Apache-2.0 */
/* A container as a runtime makes one: a root of its own on overlayfs, entered by pivot_root. */
#ifndef CONTAINER_H
#define CONTAINER_H

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

/* An image below the running case: /bin/inside, /data with two files, and a link. */
static inline void makes_image(void)
{
	static const char *const folders[] = {"lower",	    "lower/bin", "lower/data", "lower/proc",
					      "lower/tmp",  "upper",	 "work",       "merged"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		makes_directory(folders[i]);
	makes_file("lower/data/f");
	makes_file("lower/data/g");
	copies(beside("inside"), "lower/bin/inside");
	MUST(symlink("data", "lower/link") == 0);
	EXPECT("symlink", .path = below("lower/link"), .resolved = CHANGED);
}

/* The calling process, in new namespaces, becomes the container's first process. */
static inline void enters_image(const char *upper, const char *work)
{
	static char options[2 * PATH_ROOM];

	MUST(unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) == 0);
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	snprintf(options, sizeof(options), "lowerdir=lower,upperdir=%s,workdir=%s", upper, work);
	MUST(mount("overlay", "merged", "overlay", 0, options) == 0);
	MUST(chdir("merged") == 0);
	MUST(mount("proc", "proc", "proc", 0, NULL) == 0);
	MUST(syscall(SYS_pivot_root, ".", ".") == 0);
	MUST(umount2(".", MNT_DETACH) == 0);
	MUST(chdir("/") == 0);
}

#endif

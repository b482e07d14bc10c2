/* The path hazards: what makes the same program use other names on each run, or names that are no files.
 *
 * A case does one such thing as real software does it, checks that it worked, and returns 0 or the line that failed.
 * So the same program says under enforcement what a policy broke.
 */
#ifndef HAZARDS_H
#define HAZARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NEED(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return __LINE__;                                                                               \
	} while (0)

/* hazards.c */
extern const char *base, *month, *self_path;
extern char **zones;
extern volatile bool reload_asked, stop_asked;
const char *at(const char *format, ...) __attribute__((format(printf, 1, 2)));
int put(const char *path, const char *text);
int slurp(const char *path);
const char *token(size_t size);
int reap(pid_t child);
int run(const char *path, char *const argv[]);

/* hazards_proc.c: names of processes, descriptors and kernel files */
int proc_self(void);
int fd_reopen(void);
int jit(void);
int memfd_exec(void);
int cgroup_cpu(void);
int mount_namespace(void);

/* hazards_files.c: names of files that come, go and move */
int tmpfile_case(void);
int deleted_names(void);
int deleted_exe(void);
int deleted_exe_child(void);
int shared_memory(void);
int hsperfdata(void);
int ca_bundle(void);
int configmap(void);
int inotify_case(void);
int logrotate(void);
int monthly(void);
int daily_folders(void);

/* hazards_life.c: libraries that come late, other programs, and what only trouble shows */
int busybox(void);
int script(void);
int name_service(void);
int gconv(void);
int locale_case(void);
int late_library(void);
int tzdata(void);
int sighup(void);
int core_dump(void);
int out_of_memory(void);
int failover(void);
int shutdown_path(void);

#endif

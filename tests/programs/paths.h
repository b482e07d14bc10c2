/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `paths`, in its order. */
#ifndef PATHS_H
#define PATHS_H

#include "expect.h"

extern const char *base;

#define READS(given, path) close(opens(given, O_RDONLY, "read", path))

void relative(void);
void symlinked_directory(void);
void change_below_symlink(void);
void change_through_symlink(void);
void rename_above(void);
void rename_kinds(void);
void rename_exchange(void);
void hard_links(void);
void reused_inode(void);
void removed_directory(void);
void same_name_anew(void);
void tmpfile_(void);
void unlinked(void);
void proc(void);
void openat2_(void);
void io_uring_open(void);
void io_uring_worker(void);
void io_uring_change(void);
void threads(void);
void mapped(void);
void path_300(void);
void path_4000(void);
void path_5000(void);
void names(void);
void longest_name(void);
void failed_opens(void);
void owner(void);
void changes(void);
void failed_changes(void);
void open_flags(void);
void devices(void);
void anonymous(void);
void by_handle(void);

#endif

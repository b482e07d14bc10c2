/* SPDX-License-Identifier: Apache-2.0 */
/* paths BASE: files by every kind of name. */
#include "paths.h"

const char *base;

int main(int argc, char **argv)
{
	report_to(argv[0]);
	MUST(argc == 2);
	base = argv[1];
	relative();
	symlinked_directory();
	change_below_symlink();
	change_through_symlink();
	rename_above();
	rename_kinds();
	rename_exchange();
	hard_links();
	reused_inode();
	removed_directory();
	same_name_anew();
	tmpfile_();
	unlinked();
	proc();
	openat2_();
	io_uring_open();
	io_uring_worker();
	io_uring_change();
	threads();
	mapped();
	path_300();
	path_4000();
	path_5000();
	names();
	longest_name();
	failed_opens();
	owner();
	changes();
	failed_changes();
	open_flags();
	devices();
	anonymous();
	by_handle();
	return 0;
}

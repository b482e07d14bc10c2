/* SPDX-License-Identifier: Apache-2.0 */
/* mapper LIBRARY: loads a shared library: opened once, mapped as code, never opened again. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "expect.h"

int main(int argc, char **argv)
{
	static char libc[4096], loader[4096];
	void *library;
	int (*hard)(void);

	report_to(argv[0]);
	case_is("shared_library");
	MUST(argc == 2);
	library = dlopen(argv[1], RTLD_NOW);
	MUST(library);
	hard = (int (*)(void))dlsym(library, "hard");
	MUST(hard && hard() == 42);
	EXPECT("open", "read", argv[1], .resolved = "kernel", .object = "file");
	EXPECT("mmap-exec", .path = argv[1], .resolved = "kernel", .object = "file");
	/* its own loader and libc, mapped before main */
	MUST(realpath("/lib64/ld-linux-x86-64.so.2", loader));
	MUST(realpath("/lib/x86_64-linux-gnu/libc.so.6", libc));
	EXPECT("mmap-exec", .path = loader, .resolved = "kernel|derived", .more = member("exe", beside("mapper")));
	EXPECT("open", "read", libc, .resolved = "kernel", .more = member("exe", beside("mapper")));
	EXPECT("mmap-exec", .path = libc, .resolved = "kernel", .more = member("exe", beside("mapper")));
	return 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Before main(), once more if need be: without address randomisation, so that pointers
 * are the same in every run, and with all functions bound. A function that is bound
 * when it is first called changes a table that is merged like other data: two members
 * that call it are in conflict.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "internal.h"

#define AGAIN	"DET_REEXECUTED"

void *det_open_library(const char *file, int mode)
{
	void *(*open)(const char *file, int mode) = NULL;

	if (!det_is_static())
		open = dlsym(RTLD_DEFAULT, "dlopen");
	return open ? open(file, mode) : NULL;
}

/* Has it functions, and are they bound when it is loaded? */
static bool binds_late(const Elf64_Dyn *dyn)
{
	bool functions = false, now = false;

	for (; dyn->d_tag != DT_NULL; dyn++) {
		switch (dyn->d_tag) {
		case DT_JMPREL:
			functions = true;
			break;
		case DT_BIND_NOW:
			now = true;
			break;
		case DT_FLAGS:
			now = now || (dyn->d_un.d_val & DF_BIND_NOW);
			break;
		case DT_FLAGS_1:
			now = now || (dyn->d_un.d_val & DF_1_NOW);
			break;
		}
	}
	return functions && !now;
}

static int find_late(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char **late = arg;

	(void)size;
	if (det_is_of_libc(info->dlpi_name))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_DYNAMIC ||
		    !binds_late((const void *)(info->dlpi_addr + ph->p_vaddr)))
			continue;
		*late = info->dlpi_name[0] ? info->dlpi_name : "the program";
		return 1;
	}
	return 0;
}

const char *det_bound_late(void)
{
	const char *now = getenv("LD_BIND_NOW"), *late = NULL;

	if (!now || !*now)
		dl_iterate_phdr(find_late, &late);
	return late;
}

/* The dynamic linker was executed and told the program: it would not be told again. */
static bool is_linker(void)
{
	char path[256], *name;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return true;
	path[n] = '\0';
	name = strrchr(path, '/');
	return name && strncmp(name, "/ld-", 4) == 0;
}

void det_execute_again(char **argv)
{
	int kind = personality(0xffffffff);
	bool random = kind != -1 && !(kind & ADDR_NO_RANDOMIZE);

	if (!det_options.reexec || det_options.backend != DET_SPACES ||
	    getenv(AGAIN) || (!random && !det_bound_late()) || det_version() < 0 ||
	    is_linker()) {
		/* The kernel has named it after the link. */
		if (getenv(AGAIN))
			prctl(PR_SET_NAME, program_invocation_short_name);
		unsetenv(AGAIN);
		return;
	}
	if (random)
		personality(kind | ADDR_NO_RANDOMIZE);
	setenv("LD_BIND_NOW", "1", 1);
	setenv(AGAIN, "1", 1);
	execv("/proc/self/exe", argv);
	/* Without /proc it must do as it is. */
	unsetenv(AGAIN);
}

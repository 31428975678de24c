// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From an address in code to file and line, with elfutils' libdw where that is installed:
 * it is loaded when a report needs it, so that no program depends on it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* As <elfutils/libdwfl.h> has them. */
struct Dwfl_Line;

struct dwfl_callbacks {
	void *find_elf;
	void *find_debuginfo;
	void *section_address;
	char **debuginfo_path;
};

static DET_PRIVATE struct {
	bool tried;
	void *lib;
	struct Dwfl *dwfl;
	struct dwfl_callbacks callbacks;
	struct Dwfl *(*begin)(const struct dwfl_callbacks *callbacks);
	int (*report)(struct Dwfl *dwfl, pid_t pid);
	int (*report_end)(struct Dwfl *dwfl, void *removed, void *arg);
	struct Dwfl_Line *(*getsrc)(struct Dwfl *dwfl, uint64_t addr);
	const char *(*lineinfo)(struct Dwfl_Line *line, uint64_t *addr, int *nr, int *column,
				uint64_t *mtime, uint64_t *length);
} dw;

static bool load(void)
{
	void *lib = det_open_library("libdw.so.1", RTLD_NOW);

	if (!lib)
		return false;
	dw.lib = lib;
	dw.callbacks.find_elf = dlsym(lib, "dwfl_linux_proc_find_elf");
	dw.callbacks.find_debuginfo = dlsym(lib, "dwfl_standard_find_debuginfo");
	dw.begin = dlsym(lib, "dwfl_begin");
	dw.report = dlsym(lib, "dwfl_linux_proc_report");
	dw.report_end = dlsym(lib, "dwfl_report_end");
	dw.getsrc = dlsym(lib, "dwfl_getsrc");
	dw.lineinfo = dlsym(lib, "dwfl_lineinfo");
	return dw.begin && dw.report && dw.report_end && dw.getsrc && dw.lineinfo &&
	       dw.callbacks.find_elf && dw.callbacks.find_debuginfo;
}

struct Dwfl *det_dwfl(void)
{
	if (dw.tried)
		return dw.dwfl;
	dw.tried = true;
	if (!load())
		return NULL;
	dw.dwfl = dw.begin(&dw.callbacks);
	if (dw.dwfl && (dw.report(dw.dwfl, getpid()) ||
			dw.report_end(dw.dwfl, NULL, NULL)))
		dw.dwfl = NULL;
	return dw.dwfl;
}

void *det_dw_function(const char *name)
{
	return dlsym(dw.lib, name);
}

/* "file:line", the file without its folder; false if that is not known. */
bool det_find_line(uintptr_t addr, char *text, size_t size)
{
	const char *file, *base;
	struct Dwfl_Line *line;
	int nr = 0;

	if (!det_dwfl())
		return false;
	line = dw.getsrc(dw.dwfl, addr);
	file = line ? dw.lineinfo(line, NULL, &nr, NULL, NULL, NULL) : NULL;
	if (!file)
		return false;
	base = strrchr(file, '/');
	snprintf(text, size, "%s:%d", base ? base + 1 : file, nr);
	return true;
}

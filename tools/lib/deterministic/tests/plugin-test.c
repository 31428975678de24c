// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Libraries that come and go while the program runs: what is in them is as it is in those
 * that are there from the beginning. They are beside the test.
 */
#include <dlfcn.h>

#include "check.h"

static long *(*get_number)(void);

static void *add(void *arg)
{
	*get_number() += 1 + (long)arg;
	return (void *)*get_number();
}

/* Its thread-local data is each member's own, too. */
static void test_late_library(void)
{
	void *lib = dlopen("libstdc++.so.6", RTLD_NOW), *value;
	det_t t[2];

	CHECK(lib);
	if (!lib)
		return;
	get_number = (long *(*)(void))dlsym(lib, "__cxa_get_globals");
	for (int i = 0; i < 3; i++) {
		CHECK(*get_number() == 0);
		for (long j = 0; j < 2; j++)
			CHECK(det_create(&t[j], add, (void *)j) == 0);
		for (long j = 0; j < 2; j++)
			CHECK(det_join(t[j], &value) == 0 && value == (void *)(1 + j));
	}
	CHECK(*get_number() == 0);
}

static const char *path_of(int which)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	path[n < 0 ? 0 : n] = '\0';
	sprintf(strrchr(path, '/') + 1, "det-plugin-%d.so", which);
	return path;
}

static void *load(int which)
{
	void *lib = dlopen(path_of(which), RTLD_NOW);

	CHECK(lib);
	if (!lib) {
		puts(dlerror());
		exit(verdict());
	}
	get_number = (long *(*)(void))dlsym(lib, "plugin_number");
	return lib;
}

/* One after the other, where the one before was: it has what that had not. */
static void test_another_in_its_place(void)
{
	void *lib, *value;
	det_t t[2];

	for (int i = 0; i < 3; i++) {
		lib = load(1);
		*get_number() = 10;
		CHECK(det_create(&t[0], add, NULL) == 0);
		CHECK(det_join(t[0], &value) == 0 && value == (void *)11);
		CHECK(*get_number() == 11);
		dlclose(lib);

		lib = load(2);
		*get_number() = 20;
		for (long j = 0; j < 2; j++)
			CHECK(det_create(&t[j], add, (void *)j) == 0);
		for (long j = 0; j < 2; j++)
			CHECK(det_join(t[j], &value) == 0 && value == (void *)(1 + j));
		CHECK(*get_number() == 20);
		dlclose(lib);
	}
}

static void *do_nothing(void *arg)
{
	return arg;
}

static int have_member(void)
{
	det_t t;

	return det_create(&t, do_nothing, NULL) || det_join(t, NULL);
}

/* The destructor of a library that the program needs comes behind libdet's. */
static void fork_at_the_end(void)
{
	setenv("PLUGIN_FORKS", "1", 1);
	setenv("LD_PRELOAD", path_of(1), 1);
	execl("/proc/self/exe", "plugin-test", "--member", NULL);
	exit(1);
}

int main(int argc, char **argv)
{
	if (no_spaces())
		return 0;
	if (argc > 1 && strcmp(argv[1], "--member") == 0)
		return have_member();
	test_another_in_its_place();
	test_late_library();
	CHECK(ends(fork_at_the_end, 0, "forked late: 0"));
	return verdict();
}

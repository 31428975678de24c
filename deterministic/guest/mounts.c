// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's file systems: the kernel's own, and the host's by 9p.
 *
 * With the host's root, that is what the command sees as /, read-only; /tmp
 * and /run can be written (not the current folder, should it be in there), and
 * what is written there is gone with the guest; the initramfs is at /run/guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define P9_OPTIONS	"trans=virtio,version=9p2000.L,msize=512000,"

static void try_mount(const char *type, const char *at, unsigned long flags,
		      const char *options)
{
	mkdir(at, 0755);
	if (mount(type, at, type, flags, options))
		fprintf(stderr, "init: %s: %s\n", at, strerror(errno));
}

static void must_mount(const char *from, const char *at, const char *type,
		       unsigned long flags, const char *options)
{
	if (mount(from, at, type, flags, options))
		fail("cannot mount %s as %s: %s", from, at, strerror(errno));
}

static void make_folders(char *path)
{
	for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
	mkdir(path, 0755);
}

static void link_fds(void)
{
	if (symlink("/proc/self/fd", "/dev/fd") ||
	    symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") ||
	    symlink("/proc/self/fd/2", "/dev/stderr"))
		fprintf(stderr, "init: /dev/fd: %s\n", strerror(errno));
}

void mount_basics(void)
{
	try_mount("devtmpfs", "/dev", 0, NULL);
	try_mount("proc", "/proc", 0, NULL);
	try_mount("sysfs", "/sys", 0, NULL);
	try_mount("tmpfs", "/tmp", 0, "mode=1777");
	try_mount("tmpfs", "/run", 0, "mode=755");
	try_mount("devpts", "/dev/pts", 0, "ptmxmode=666");
	try_mount("tmpfs", "/dev/shm", 0, "mode=1777");
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	link_fds();
}

/* A folder of the host's that can be written to, for as long as we run. */
static void overlay_mount(const char *name)
{
	char at[64], options[256], dir[64];

	snprintf(dir, sizeof(dir), "/overlay/%s", name);
	mkdir(dir, 0755);
	snprintf(dir, sizeof(dir), "/overlay/%s/upper", name);
	mkdir(dir, 0755);
	if (!strcmp(name, "tmp"))
		chmod(dir, 01777);
	snprintf(dir, sizeof(dir), "/overlay/%s/work", name);
	mkdir(dir, 0755);
	snprintf(at, sizeof(at), "/host/%s", name);
	snprintf(options, sizeof(options),
		 "lowerdir=/host/%s,upperdir=/overlay/%s/upper,workdir=/overlay/%s/work",
		 name, name, name);
	must_mount("overlay", at, "overlay", 0, options);
}

static void move_mount_to_host(const char *from)
{
	char to[64];

	snprintf(to, sizeof(to), "/host%s", from);
	must_mount(from, to, NULL, MS_MOVE, NULL);
}

/*
 * The current folder stays the host's even below /tmp: who writes a file there
 * learns that it cannot be, and does not lose it.
 */
static void overlays(const char *cwd)
{
	char path[4096];
	bool keep = !strncmp(cwd, "/tmp/", 5) || !strncmp(cwd, "/run/", 5);

	snprintf(path, sizeof(path), "/host%s", cwd);
	mkdir("/cwd", 0755);
	if (keep)
		must_mount(path, "/cwd", NULL, MS_BIND, NULL);
	overlay_mount("tmp");
	overlay_mount("run");
	if (keep)
		must_mount("/cwd", path, NULL, MS_MOVE, NULL);
}

static void enter_host_root(const char *cwd)
{
	mkdir("/host", 0755);
	must_mount("hostroot", "/host", "9p", MS_RDONLY, P9_OPTIONS "cache=loose");
	try_mount("tmpfs", "/overlay", 0, NULL);
	overlays(cwd);
	mkdir("/host/run/guest", 0755);
	must_mount("/", "/host/run/guest", NULL, MS_BIND, NULL);
	move_mount_to_host("/dev");
	move_mount_to_host("/proc");
	move_mount_to_host("/sys");
	if (chdir("/host"))
		fail("cannot enter the host's root: %s", strerror(errno));
	must_mount(".", "/", NULL, MS_MOVE, NULL);
	if (chroot(".") || chdir("/"))
		fail("cannot enter the host's root: %s", strerror(errno));
}

void mount_host(const struct session *s)
{
	if (s->root)
		enter_host_root(s->cwd ?: "/");
	if (!s->dir)
		return;
	if (!s->root)
		make_folders(s->dir);
	must_mount("hostdir", s->dir, "9p", 0, P9_OPTIONS "cache=mmap");
}

/* What was written through a mapping reaches the host here at the latest. */
void unmount_dir(const struct session *s)
{
	if (s->dir && umount2(s->dir, 0))
		fprintf(stderr, "init: %s: %s\n", s->dir, strerror(errno));
}

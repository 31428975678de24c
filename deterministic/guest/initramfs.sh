#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes build/guest: attach and tsc-khz for the host, and initramfs.cpio, which
# holds init, BusyBox, build/user/bin as /bin and build/user/tests as /tests.
# boot takes it as it is, TCG unpacks slowly; initramfs.cpio.gz is for others.
# The same input gives the same bytes, whatever the folder, time and user.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=$top/build/guest
user=$top/build/user
cflags="-O2 -Wall -Wextra -Wno-missing-field-initializers"
export LC_ALL=C

die()
{
	echo "initramfs: $*" >&2
	exit 1
}

# compile PROGRAM SOURCE...: static, unless it is newer than what it is made of
compile()
{
	program=$out/$1
	shift
	if [ -e "$program" ] &&
	   [ -z "$(find "$here" -name '*.[ch]' -newer "$program")" ]; then
		return
	fi
	(
		cd "$here"
		# shellcheck disable=SC2086 # flags are words
		${CC:-cc} $cflags -static -s -Wl,--build-id=none \
			-o "$program.new.$$" "$@"
	) || die "$1 does not compile; a C compiler and a static libc are needed"
	mv "$program.new.$$" "$program"
}

# inputs FIND-TEST...: the files that the image is made of
inputs()
{
	find "$out/init" "$busybox" "$here/initramfs.sh" "$user/bin" \
		"$user/tests" "$@" 2>/dev/null | sort
}

# An input is newer than the image, or it is no longer the same set.
stale()
{
	[ -e "$out/initramfs.cpio" ] || return 0
	[ "$(inputs)" = "$(cat "$out/list" 2>/dev/null)" ] || return 0
	[ -n "$(inputs -newer "$out/initramfs.cpio")" ]
}

# copy FROM TO: every program in FROM, with its folders
copy()
{
	[ -d "$1" ] || return 0
	mkdir -p "$2"
	(cd "$1" && find . -type f) | while IFS= read -r file; do
		mode=644
		[ ! -x "$1/$file" ] || mode=755
		install -D -m "$mode" "$1/$file" "$2/$file"
	done
}

stage_fill()
{
	mkdir -p "$stage/bin" "$stage/tests" "$stage/etc"
	install -m 755 "$out/init" "$stage/init"
	install -m 755 "$busybox" "$stage/bin/busybox"
	"$busybox" --list | while IFS= read -r name; do
		[ "$name" = busybox ] || ln -s busybox "$stage/bin/$name"
	done
	ln -s bin "$stage/sbin"
	printf 'root:x:0:0:root:/:/bin/sh\n' > "$stage/etc/passwd"
	printf 'root:x:0:\n' > "$stage/etc/group"
	for folder in bin tests; do
		copy "$user/$folder" "$stage/$folder"
	done
	chmod 644 "$stage/etc/passwd" "$stage/etc/group"
}

pack()
{
	stage=$out/stage.$$
	new=$out/initramfs.new.$$
	trap 'rm -rf "$stage" "$new" "$new.gz"' EXIT
	trap 'exit 130' INT TERM HUP
	(umask 022 && stage_fill)
	find "$stage" -exec touch -h -d @0 {} +
	(
		cd "$stage"
		find . | sort | cpio --quiet -o -H newc -R 0:0 --reproducible
	) > "$new"
	gzip -n -6 < "$new" > "$new.gz"
	mv "$new.gz" "$out/initramfs.cpio.gz"
	mv "$new" "$out/initramfs.cpio"
	inputs > "$out/list"
}

busybox=$(command -v busybox) || die "busybox is missing (package busybox-static)"
if ldd "$busybox" > /dev/null 2>&1; then
	die "$busybox is not a static program (package busybox-static)"
fi
command -v cpio > /dev/null || die "cpio is missing (package cpio)"
mkdir -p "$out"
compile init init.c mounts.c session.c
compile attach attach.c
compile tsc-khz tsc-khz.c
if stale; then
	pack
fi

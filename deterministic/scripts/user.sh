#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Build what runs in the guest: the programs into build/user/bin, the selftests
# into build/user/tests, both static; then the initramfs with all of it.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock user

# No path of this machine in the debug information.
cc="gcc -Wl,--build-id=none -ffile-prefix-map=$B/linux=. -ffile-prefix-map=$B=build"
WORK=$B/user/work

# Is there something newer than the stamp?
fresh() {
	[ -f "$B/user/.built" ] || return 1
	for d in tools/deterministic tools/lib/deterministic include/uapi deterministic/scripts/user.sh \
		tools/testing/selftests/deterministic; do
		[ -z "$(find "$ROOT/$d" -newer "$B/user/.built" -print | head -1)" ] || return 1
	done
}

programs() {
	make -C "$B/linux/tools/deterministic" OUT="$WORK" STATIC=1 CC="$cc" -j"$(jobs)"
	install_new "$B/user/bin" "$WORK"/*
}

selftests() {
	make -C "$B/linux/tools/testing/selftests/deterministic" OUTPUT="$WORK/tests" \
		CC="$cc" -j"$(jobs)"
	for t in "$WORK"/tests/*_test; do
		[ -f "$ROOT/tools/testing/selftests/deterministic/${t##*/}.c" ] || rm -f "$t"
	done
	strip -g "$WORK"/tests/*_test
	install_new "$B/user/tests" "$WORK"/tests/*
}

# The executable files of the rest, and only these, are in the folder then.
install_new() {
	to=$1
	shift
	rm -rf "$to.new"
	mkdir -p "$to.new" "$to"
	for f; do
		if [ -f "$f" ] && [ -x "$f" ]; then
			cp -p "$f" "$to.new/"
		fi
	done
	rm -rf "$to"
	mv "$to.new" "$to"
}

if ! fresh; then
	mkdir -p "$WORK/tests"
	: >"$B/user/.building"
	step programs "building the programs" programs
	step selftests "building the selftests" selftests
	mv "$B/user/.building" "$B/user/.built"
fi
exec "$ROOT/deterministic/guest/initramfs.sh"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Build what runs in the guest: the programs into build/user/bin, the selftests
# into build/user/tests, both static; the survival test and the fuzzer into
# build/user/survival; what "make demo" runs into build/user/work/demo; with --memory
# also what "make bench" compares the memory of, into build/user/work/memory; then the
# initramfs with the first two.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock user

# No path of this machine in the debug information.
cc="gcc -Wl,--build-id=none -ffile-prefix-map=$B/linux=. -ffile-prefix-map=$B=build"
cxx="g++ ${cc#gcc }"
WORK=$B/user/work

# Is there something newer than the stamp?
fresh() {
	[ -f "$B/user/.built" ] || return 1
	for d in tools/deterministic tools/lib/deterministic include/uapi deterministic/scripts/user.sh \
		tools/testing/selftests/deterministic tools/testing/survival \
		tools/testing/fuzz-spaces tools/testing/prove; do
		[ -z "$(find "$ROOT/$d" -newer "$B/user/.built" -print | head -1)" ] || return 1
	done
}

programs() {
	make -C "$B/linux/tools/deterministic" OUT="$WORK" STATIC=1 CC="$cc" CXX="$cxx" -j"$(jobs)"
	install_new "$B/user/bin" "$WORK"/*
	make -C "$B/linux/tools/deterministic" OUT="$WORK" CC="$cc" CXX="$cxx" demo
}

# For "make bench" alone.
memory() {
	make -C "$B/linux/tools/deterministic" OUT="$WORK" CC="$cc" CXX="$cxx" memory
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

survival() {
	for d in survival fuzz-spaces prove; do
		make -C "$ROOT/tools/testing/$d" OUT="$WORK/survival" CC="$cc" -j"$(jobs)"
	done
	strip -g "$WORK"/survival/* 2>/dev/null || :
	install_new "$B/user/survival" "$WORK"/survival/*
}

# The executable files of the rest, and only these, are in the folder then.
install_new() {
	to=$1
	shift
	rm -rf "$to.new"
	mkdir -p "$to.new" "$to"
	for f; do
		case $f in
		*.so.*) continue ;;
		esac
		if [ -f "$f" ] && [ -x "$f" ]; then
			cp -p "$f" "$to.new/"
		fi
	done
	rm -rf "$to"
	mv "$to.new" "$to"
}

if ! fresh; then
	mkdir -p "$WORK/tests" "$WORK/survival"
	# What a killed make has cut off is new, so make takes it for whole.
	[ ! -f "$B/user/.building" ] ||
		find "$WORK" -type f -newermt "@$(($(last_write "$WORK") - 2))" -delete
	: >"$B/user/.building"
	step programs "building the programs" programs
	step selftests "building the selftests" selftests
	step survival "building the survival test and the fuzzer" survival
	mv "$B/user/.building" "$B/user/.built"
fi
[ "${1:-}" != --memory ] || step memory "building what memory is compared with" memory
exec "$ROOT/deterministic/guest/initramfs.sh"

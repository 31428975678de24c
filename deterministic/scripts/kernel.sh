#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Build a kernel from build/linux: kernel.sh [plain|debug|gdb|off]
# The same commit gives the same bzImage in any folder: version, time, user and
# host are fixed, and nothing is taken from git.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock

kind=${1:-plain}
C=$ROOT/deterministic/configs
set -- "$C/base.config" "$ROOT/deterministic/guest/needs.config" "$C/on.config"
case $kind in
plain) out=$B/out ;;
debug)
	out=$B/out-debug
	set -- "$@" "$C/debug.config"
	;;
gdb)
	out=$B/out-gdb
	set -- "$@" "$C/gdb.config"
	;;
*) die "kernel.sh: no kernel '$kind': plain, debug or gdb" ;;
esac

export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=deterministic KBUILD_BUILD_HOST=deterministic
export KBUILD_BUILD_VERSION=1 LOCALVERSION=
export SOURCE_DATE_EPOCH=0

"$SCRIPTS/configure.sh" --done "$out" "$@" ||
	step "configure-$kind" "configuring the $kind kernel" "$SCRIPTS/configure.sh" "$out" "$@"

cc=gcc
if command -v ccache >/dev/null; then
	cc='ccache gcc'
	export CCACHE_BASEDIR="$B" CCACHE_NOHASHDIR=1
fi
step "kernel-$kind" "building the $kind kernel" \
	make -C "$B/linux" O="$out" ARCH=x86_64 CC="$cc" HOSTCC="$cc" -j"$(jobs)" bzImage

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Build a kernel from build/linux: kernel.sh [--quick] [KIND]. The kinds are plain,
# debug, kcsan, gdb, and for Linux's own selftests linux-selftests and stock: the
# last from the tree that stock.sh makes.
# With --quick, the kernel's make (which looks for some seconds) is not asked if
# no file of ours, no patched file and no option changed since the last build.
# The same commit gives the same bzImage in any folder: version, time, user and
# host are fixed, and nothing is taken from git.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

quick=
if [ "${1:-}" = --quick ]; then
	quick=1
	shift
fi
kind=${1:-plain}
tree=$B/linux
C=$ROOT/deterministic/configs
set -- "$C/base.config" "$ROOT/deterministic/guest/needs.config" "$C/on.config"
case $kind in
plain) out=$B/out ;;
debug)
	out=$B/out-debug
	set -- "$@" "$C/debug.config"
	;;
kcsan)
	out=$B/out-kcsan
	set -- "$@" "$C/kcsan.config"
	;;
gdb)
	out=$B/out-gdb
	set -- "$@" "$C/gdb.config"
	;;
linux-selftests)
	out=$B/out-linux-selftests
	set -- "$@" "$C/linux-selftests.config"
	;;
stock)
	out=$B/out-stock
	tree=$B/stock/linux
	set -- "$C/base.config" "$ROOT/deterministic/guest/needs.config" "$C/linux-selftests.config"
	;;
*) die "kernel.sh: no kernel '$kind'" ;;
esac

lock "$kind"
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=deterministic KBUILD_BUILD_HOST=deterministic
export KBUILD_BUILD_VERSION=1 LOCALVERSION=
export SOURCE_DATE_EPOCH=0

# All that a build is made of, apart from what nobody changes.
inputs() {
	cat "$B/linux/.deterministic-source" "$B/state/ours" "$@"
	gcc --version
	(cd "$B/linux" && xargs -r stat -c '%n %y %s' <"$B/state/touched" 2>&1)
	(cd "$ROOT" && xargs -r stat -c '%n %y %s' <"$B/state/ours")
	cat "$SCRIPTS/kernel.sh"
}

# A killed make leaves targets that are cut off, and takes them for whole: they
# are new. A .cmd file is written when its target is done; without it the target
# is made again.
forget_unfinished() {
	find "$out" -type f -printf '%T@ %p\n' | awk '
		{ time[$2] = $1 }
		END {
			for (f in time) {
				target = f
				if (!sub(/\.cmd$/, "", target) || !match(target, /\/\.[^\/]*$/))
					continue
				target = substr(target, 1, RSTART) substr(target, RSTART + 2)
				if (time[target] + 0 > time[f] + 0)
					print f
			}
		}' | xargs -r rm -f
	since=@$(($(last_write "$out") - 2))
	find "$out" -name '.*.cmd' -newermt "$since" -delete
	# These have no .cmd file.
	find "$out"/tools -type f ! -name '*.o' ! -name '*.h' -newermt "$since" -delete 2>/dev/null || :
}

id=$(inputs "$@" | cksum)
if [ -n "$quick" ] && [ -f "$out/arch/x86/boot/bzImage" ] &&
	[ "$(cat "$out/.built" 2>/dev/null)" = "$id" ]; then
	exit
fi
mkdir -p "$out"
[ ! -f "$out/.building" ] || forget_unfinished
: >"$out/.building"
rm -f "$out/.built"
"$SCRIPTS/configure.sh" --done "$out" "$@" ||
	step "configure-$kind" "configuring the $kind kernel" env TREE="$tree" "$SCRIPTS/configure.sh" "$out" "$@"

# Without a base folder: ccache would make names in __FILE__ relative to it, and
# the kernel would not be the one that gcc alone makes.
cc=gcc
! command -v ccache >/dev/null || cc='ccache gcc'
step "kernel-$kind" "building the $kind kernel" \
	make -C "$tree" O="$out" ARCH=x86_64 CC="$cc" HOSTCC="$cc" -j"$(jobs)" bzImage
printf '%s\n' "$id" >"$out/.built.new"
mv "$out/.built.new" "$out/.built"
rm -f "$out/.building"

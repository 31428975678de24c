#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Every patch of the series compiles by itself: after each one the C files that
# any patch touches are compiled, ours as soon as they are there.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

TREE=$B/series.check/linux
OUT=$B/series.check/out
C=$ROOT/deterministic/configs
export TREE

objects() {
	{
		cat "$B/state/touched"
		cat "$B/state/ours"
	} | grep -E '^(arch|kernel|mm|fs)/.*\.c$' | while read -r f; do
		[ ! -f "$TREE/$f" ] || say "${f%.c}.o"
	done
}

# The feature is on from the patch on that brings it.
configure() {
	set -- "$C/base.config" "$ROOT/deterministic/guest/needs.config"
	if [ -f "$TREE/kernel/Kconfig.deterministic" ] &&
		grep -q Kconfig.deterministic "$TREE/init/Kconfig"; then
		set -- "$@" "$C/on.config" "$C/check.config"
	fi
	"$SCRIPTS/configure.sh" "$OUT" "$@"
}

compile() {
	patch -d "$TREE" -p1 --no-backup-if-mismatch --fuzz=0 --force -s <"$1"
	configure
	# shellcheck disable=SC2046 # words
	make -C "$TREE" O="$OUT" ARCH=x86_64 -j"$(jobs)" $(objects)
}

"$SCRIPTS/fetch.sh" test
"$SCRIPTS/series.sh"
lock series
"$SCRIPTS/stock.sh" "$TREE"
for p in "$B"/series/*.patch; do
	# What is no part of the kernel is compiled by "make user".
	grep -qE '^\+\+\+ b/(arch|kernel|mm|fs|include|init)/' "$p" || continue
	name=${p##*/}
	step "series-${name%%-*}" "compiling after ${name%.patch}" compile "$p"
	say "ok - ${name%.patch} compiles"
done

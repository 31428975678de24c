#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Off means off: with CONFIG_DETERMINISTIC=n the patched source gives the kernel
# that the stock source gives. Both are built with the same small configuration,
# in which everything is on that the patches touch, and the .text, .data and
# .rodata of their vmlinux are compared.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock off

OFF=$B/off
STOCK=$OFF/linux
C=$ROOT/deterministic/configs

# build TREE OUT
build() {
	TREE=$1 "$SCRIPTS/configure.sh" "$2" "$C/off.config"
	make -C "$1" O="$2" ARCH=x86_64 -j"$(jobs)" vmlinux
}

section() {
	objcopy -O binary --only-section="$2" "$1/vmlinux" "$OFF/section"
	sha256sum <"$OFF/section" | cut -d' ' -f1
}

size() {
	echo $((0x$(objdump -h "$1/vmlinux" | awk -v s="$2" '$2 == s { print $3 }')))
}

compare() {
	differ=0
	for s in .text .data .rodata .init.text .init.data; do
		if [ "$(section "$OFF/stock" $s)" = "$(section "$OFF/off" $s)" ]; then
			say "ok - CONFIG_DETERMINISTIC=n: $s is the stock kernel's ($(size "$OFF/off" $s) bytes)"
		else
			say "not ok - CONFIG_DETERMINISTIC=n: $s differs"
			differ=1
		fi
	done
	return $differ
}

export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=deterministic KBUILD_BUILD_HOST=deterministic
export KBUILD_BUILD_VERSION=1 LOCALVERSION=

"$SCRIPTS/tree.sh"
mkdir -p "$OFF"
"$SCRIPTS/stock.sh" "$STOCK"
step off-stock "building a small stock kernel" build "$STOCK" "$OFF/stock"
step off "building it patched, the feature off" build "$B/linux" "$OFF/off"
# The comparison must be able to fail: the two are not the same files.
[ "$(readlink -f "$OFF/stock/source")" != "$(readlink -f "$OFF/off/source")" ] ||
	die "off-check compares a kernel with itself"
compare

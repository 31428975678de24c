#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A kernel with debug information, booted and waiting for gdb: a shell in the
# guest here, gdb in another terminal.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

"$SCRIPTS/fetch.sh" gdb
"$SCRIPTS/tree.sh"
"$SCRIPTS/kernel.sh" --quick gdb
"$SCRIPTS/user.sh"
say "In another terminal, in $ROOT:"
say "  gdb build/out-gdb/vmlinux -ex 'target remote :1234' -ex 'hbreak start_kernel' -ex continue"
exec "$ROOT/deterministic/guest/boot" --gdb --no-check --accel tcg \
	--kernel "$B/out-gdb/arch/x86/boot/bzImage" ${CPUS:+--cpus "$CPUS"} ${MEM:+--mem "$MEM"} --shell

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Data races in the rendezvous of parent and child: the tests of it on a kernel
# with KCSAN, which reports races of our own functions alone; all other code of
# the kernel has its own. TAP on stdout: kcsan.sh [SECONDS]

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

limit=${1:-240}
"$SCRIPTS/kernel.sh" --quick kcsan >&2

# In the guest. The list of functions that reports are about is kept by address:
# each name is written once.
# shellcheck disable=SC2016 # the guest's shell
GUEST='k=/sys/kernel/debug/kcsan
mount -t debugfs none /sys/kernel/debug 2>/dev/null
[ -w $k ] || { echo "Bail out! this kernel has no KCSAN"; exit 1; }
echo whitelist >$k
n=0
for f in $(sed -n "s/^[0-9a-f]* [tT] \(__det_[a-z0-9_]*\|det_[a-z0-9_]*\|dmem_[a-z0-9_]*\|__do_sys_d[pgr][a-z]*t\)$/\1/p" /proc/kallsyms | sort -u); do
	echo "!$f" >$k 2>/dev/null && n=$((n + 1))
done
[ $n -gt 50 ] || { echo "Bail out! only $n of our functions are known"; exit 1; }
echo on >$k
end=$(($(date +%s) + $1))
shift
while :; do
	for t; do
		DET_TEST_STEPS=200 timeout -k 5 120 /tests/$t >/tmp/out 2>&1 ||
			{ grep "^not ok\|^#" /tmp/out | tail -20; echo "not ok - $t under KCSAN"; exit 1; }
		[ $(date +%s) -lt $end ] || break 2
	done
done
echo off >$k
sed -n "s/^\(setup_watchpoints\|data_races\|races_unknown_origin\|report_races\)/# &/p" $k'

rc=0
"$ROOT/deterministic/guest/boot" --cpus 2 --kernel "$B/out-kcsan/arch/x86/boot/bzImage" \
	--boot-timeout 900 --timeout $((limit + 600)) --log "$B/log/kcsan.log" -- \
	/bin/sh -c "$GUEST" kcsan "$limit" rendezvous_test race_test death_test fuzz_test </dev/null || rc=$?
if [ "$rc" -eq 0 ]; then
	say "ok - no data race in our functions"
else
	grep -a -A 12 'KCSAN:' "$B/log/kcsan.log" | head -60 | sed 's/^/# /'
	say "not ok - no data race in our functions (status $rc, $B/log/kcsan.log)"
	exit 1
fi

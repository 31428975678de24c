#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# make prove [RUNS=n] [SEED=s]: the programs of tools/testing/prove and of the
# main job, RUNS times each, over 20 boots that are as different as the seed says:
# one result each, to the byte. TAP on stdout, a line a program. With --share, what
# "make test" has time for. It takes more than an hour: a run that was ended goes on
# where it was if RUNS, SEED and the kernel are the same.
# shellcheck disable=SC2317 # step calls it

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

W=$B/prove
boots=20
runs=${RUNS:-1000}
# Rows of "survive -l": one of each kind a boot.
memory="zram swapoff ksm pageout collapse compact"
others="forks trees migrate_pages ps signals stops"
if [ "${1:-}" = --share ]; then
	W=$B/prove.share
	boots=3
	runs=${RUNS:-6}
	# Those that do something in any minute.
	memory="compact"
	others="forks trees signals"
fi
seed=${SEED:-1}
S=$B/user/survival
# Those that are seen and not only run for a moment.
PROGRAMS="stops racey drace dsort dmatmul dlu dmd5"
NR_PROGRAMS=8

# The next random number below $1, into n.
random() {
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	n=$((seed / 65536 % $1))
}

# pick WORD...: one of them, into word.
pick() {
	random $#
	shift "$n"
	word=$1
}

# What a boot has.
draw() {
	pick 1 2 4
	cpus=$word
	pick 1G 2G 3G
	mem=$word
	pick "" nokaslr
	append=$word
	# shellcheck disable=SC2086 # words
	pick $memory
	rows=$word
	# shellcheck disable=SC2086
	pick $others
	rows=$rows,$word
	random 1000000
	this=$n
}

boot() {
	"$ROOT/deterministic/guest/boot" --cpus "$cpus" --mem "$mem" \
		${ACCEL:+--accel "$ACCEL"} --append "numa=fake=2 $append" --host-root \
		--dir "$W" --timeout $((per * NR_PROGRAMS * 30 + 300)) \
		--log "$B/log/prove-kernel.log" -- \
		"$S/survive" -s "$this" -p prove "$rows" -- -d "$W" \
		-n $((per * NR_PROGRAMS)) -s "$this" </dev/null
}

run_boots() {
	b=0
	while [ "$b" -lt "$boots" ]; do
		b=$((b + 1))
		# All of them together are the runs that were asked for.
		per=$((runs * b / boots - runs * (b - 1) / boots))
		[ "$per" -gt 0 ] || continue
		draw
		[ "$b" -gt "$before" ] || continue
		rc=0
		timed prove "boot $b: $cpus CPUs, $mem, $rows${append:+, $append}" boot
		cat "$log" >>"$W/all"
		[ "$rc" -eq 0 ] || tail -n 15 "$log" | sed 's/^/# /'
		echo "$b $rc" >>"$W/status"
	done
}

report() {
	failed=0
	for p in $PROGRAMS; do
		if grep -q "# $p differs" "$W/all" || [ ! -s "$W/$p.first" ]; then
			failed=1
			say "not ok - $p: not one result"
			grep -A 1 "# $p differs" "$W/all" | head -10
		else
			say "ok - $p: $runs runs, one result"
		fi
	done
	results=$(sort -u "$W/pthreads.all" 2>/dev/null | wc -l)
	if [ "$results" -ge 2 ]; then
		say "ok - with pthreads there are $results results in $runs runs"
	else
		failed=1
		say "not ok - with pthreads $results result: nothing was disturbed enough"
	fi
	booted=$(wc -l <"$W/status")
	if grep -qv ' 0$' "$W/status"; then
		failed=1
		say "not ok - $(grep -cv ' 0$' "$W/status") of $booted boots failed ($B/log/prove.log)"
	else
		say "ok - $booted boots, and nothing in the kernel's log"
	fi
	[ "$failed" -eq 0 ]
}

"$SCRIPTS/fetch.sh" test
"$SCRIPTS/tree.sh"
"$SCRIPTS/kernel.sh" --quick plain
"$SCRIPTS/user.sh"
this_run="$boots $runs $seed $(sha256sum <"$B/out/arch/x86/boot/bzImage")"
if [ -s "$W/status" ] && [ "$(cat "$W/run" 2>/dev/null)" = "$this_run" ]; then
	before=$(tail -n 1 "$W/status" | cut -d ' ' -f 1)
	say "going on after boot $before of $boots (rm -r $W: from the beginning)"
else
	before=0
	rm -rf "$W"
	mkdir -p "$W"
	head -c 100000 "$B/linux/CREDITS" >"$W/input"
	say "$this_run" >"$W/run"
fi
run_boots
rm "$W/run"
report

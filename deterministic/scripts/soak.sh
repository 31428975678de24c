#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# make soak MINUTES=n SEED=s [DEBUG=1]: the cases of survival.sh, drawn at random,
# alone and two or three disturbances at a time, and the fuzzer between them, until
# the time is up. The seed decides what is done; the time, how much of it. The last
# line has the sums; the status is 0 only if all was well.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

minutes=${MINUTES:-30}
seed=${SEED:-1}
kernel=plain
[ -z "${DEBUG:-}" ] || kernel=debug
LOG=$B/log/soak-$kernel.log
# Both kernels can be soaked at the same time.
STATE=$B/state/soak-$kernel
mkdir -p "$STATE"

# The next random number below $1, into a file: in a subshell the seed would stay.
random() {
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	echo $((seed / 65536 % $1)) >"$STATE/random"
}

prepare() {
	"$SCRIPTS/fetch.sh" test
	"$SCRIPTS/tree.sh"
	"$SCRIPTS/kernel.sh" --quick plain
	if [ "$kernel" = debug ]; then
		"$SCRIPTS/kernel.sh" --quick debug
	else
		"$SCRIPTS/kernel.sh" --quick kcsan
	fi
	"$SCRIPTS/user.sh"
	"$SCRIPTS/survival.sh" --cases "$kernel" >"$STATE/cases"
	# What can be done at the same time: disturbances that kill nobody.
	"$B/user/survival/survive" -l | grep -v '(kills)' >"$STATE/list"
	sed 's/ .*//' "$STATE/list" >"$STATE/rows"
	grep -v '(joins)' "$STATE/list" | sed 's/ .*//' >"$STATE/free"
}

# A random line of a file, into line.
draw() {
	random "$(wc -l <"$1")"
	line=$(sed -n "$(($(cat "$STATE/random") + 1))p" "$1")
}

# Every second case is of the matrix, and of these one in three has two or three
# disturbances together: only one of them may need the load in a cgroup, or with an
# owner, of its own. Between them come the fuzzer, what else this kernel is for
# (allocations that fail, or data races), and the named case.
choose() {
	n=$((n + 1))
	case $((n % 8)) in
	2 | 6)
		case=fuzz
		return
		;;
	4)
		case=$(tail -n 1 "$STATE/cases")
		return
		;;
	0)
		case=ps,proc
		return
		;;
	esac
	random 3
	if [ "$(cat "$STATE/random")" -ne 0 ]; then
		draw "$STATE/cases"
		case=$line
		return
	fi
	case="ps"
	draw "$STATE/rows"
	[ "$line" = ps ] || case=$case,$line
	draw "$STATE/free"
	case ,$case, in
	*,"$line",*) ;;
	*) case=$case,$line ;;
	esac
}

# sum BEFORE WORDS: of the numbers between the two.
sum() {
	sed -n "s/^$1\([0-9][0-9]*\) $2.*/\1/p" "$LOG" | awk '{ n += $1 } END { print n + 0 }'
}

lines() {
	grep -acE "$1" "$LOG" || :
}

report() {
	failed=$(lines '^not ok ')
	rounds=$(sum '.*ok - .*: rounds: ' 'rounds,')
	operations=$(sum 'fuzz: .* ' 'operations,')
	faults=$(sum '#.*:' 'places to fail looked at')
	complaints=$(lines "in the kernel's log: |the kernel complain")
	leaks=$(lines 'the machine has grown|left behind')
	say "soak: $kernel kernel, seed ${SEED:-1}, $(elapsed $(($(now) - BEGUN))): $rounds rounds, $operations operations, $faults faults injected, $complaints kernel log lines, $leaks leaks, $(lines '^ok ') passed, $failed failed"
	[ "$failed" -eq 0 ]
}

prepare
: >"$LOG"
BEGUN=$(now)
END=$((BEGUN + minutes * 60))
n=0
seconds=60
[ "$minutes" -ge 10 ] || seconds=20
while [ "$(now)" -lt "$END" ]; do
	choose
	random 100000
	this=$(cat "$STATE/random")
	start=$(now)
	"$SCRIPTS/survival.sh" --case "$case" "$seconds" "$this" "$kernel" >"$STATE/one" 2>&1 || :
	cat "$STATE/one" >>"$LOG"
	verdict=$(grep -E '^(not )?ok ' "$STATE/one" | tail -n 1)
	printf '  %6s  %-30s seed %-6s %5s  %s\n' "$(elapsed $(($(now) - BEGUN)))" "$case" "$this" \
		"$(elapsed $(($(now) - start)))" "${verdict:-not ok - no result}"
	[ -n "$verdict" ] || say "not ok - $case: no result" >>"$LOG"
done
report

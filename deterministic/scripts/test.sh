#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# All tests, part by part; TEST=part for one alone. Each part prints TAP into a
# log, of which its lines are counted: a line here says how long it took and how
# many passed; what failed is shown. The last line is the sum.
# shellcheck disable=SC2317 # part calls them

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

PASSED=0
FAILED=0
SKIPPED=0
G=$ROOT/deterministic/guest

# Lines of TAP, also of nested TAP, in a log: count PATTERN LOG
count() {
	grep -acE "$1" "$2" || :
}

# The names of all parts.
parts() {
	sed -n 's/^\tpart \([a-z0-9-]*\) .*/\1/p' "$SCRIPTS/test.sh"
}

# What is made or done before TEST=part, as parts: needs PART
needs() {
	case $1 in
	merge | model | check | programs | series | off | host | git) ;;
	kunit) say plain debug selftests-debug ;;
	debug | *-debug | fires) say plain debug ;;
	*) say plain ;;
	esac
}

# wanted PART: with TEST=part that one and what it needs.
wanted() {
	[ -n "${TEST:-}" ] || return 0
	case " $TEST $(needs "$TEST") " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

# part NAME TEXT COMMAND...: a command that prints no TAP is one test itself.
part() {
	name=$1
	text=$2
	shift 2
	wanted "$name" || return 0
	log=$B/log/test-$name.log
	ticker "$text" "${log#"$ROOT/"}"
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	ticker_end
	judge
}

judge() {
	p=$(count '^ok ' "$log")
	f=$(count '^not ok ' "$log")
	s=$(count '^ok .*# SKIP' "$log")
	p=$((p - s))
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		echo "not ok - $text ended with status $rc" >>"$log"
		f=1
	elif [ $((p + f + s)) -eq 0 ]; then
		p=1
	fi
	PASSED=$((PASSED + p))
	FAILED=$((FAILED + f))
	SKIPPED=$((SKIPPED + s))
	printf '  %s passed, %s failed, %s skipped\n' "$p" "$f" "$s"
	[ "$s" -eq 0 ] || sed -n 's/^ok.*# SKIP/      skipped:/p' "$log" | sort | uniq -c | sed 's/^ *\([0-9]*\)  */    \1 /'
	[ "$f" -eq 0 ] || show_failures
}

show_failures() {
	grep -a '^not ok ' "$log" | head -30 | sed 's/^/    /'
	# What a program says of itself right before it fails, ...
	awk '/^#/ { said[++nr] = $0; next }
		/^not ok / { for (i = nr > 8 ? nr - 7 : 1; i <= nr; i++) print said[i] }
		{ nr = 0 }' "$log" | head -40 | sed 's/^/    | /'
	# ... and what the harness says of a failed expectation stand far from the end.
	grep -aE '^# [[:alnum:]_-]+\.[ch]:[0-9]+:' "$log" | head -20 | sed 's/^/    | /'
	say "    the last lines of $log:"
	grep -av '^ok ' "$log" | tail -n 25 | sed 's/^/    | /'
}

# A part that nothing else can do without.
must() {
	before=$FAILED
	part "$@"
	[ "$FAILED" -eq "$before" ] || finish
}

finish() {
	say "took $(elapsed $(($(now) - BEGUN)))"
	printf '%s passed, %s failed, %s skipped\n' "$PASSED" "$FAILED" "$SKIPPED" |
		tee "$B/state/result"
	[ "$FAILED" -eq 0 ]
	exit
}

plain() {
	"$SCRIPTS/tree.sh" && "$SCRIPTS/kernel.sh" --quick plain && "$SCRIPTS/user.sh"
}

# The debug kernel is built while parts run that leave a CPU free.
debug_begin() {
	[ -z "${TEST:-}" ] || return 0
	nice "$SCRIPTS/kernel.sh" --quick debug >"$B/log/test-debug-begin.log" 2>&1 </dev/null &
}

# As well: a selftest on the debug kernel keeps one CPU busy.
off_begin() {
	[ -z "${TEST:-}" ] || return 0
	nice -n 19 "$SCRIPTS/off-check.sh" >"$B/log/test-off-begin.log" 2>&1 </dev/null &
}

debug() {
	"$SCRIPTS/kernel.sh" --quick debug
}

# The programs' own test prints its own kind of lines.
programs() {
	"$SCRIPTS/tree.sh"
	"$SCRIPTS/user.sh"
	"$ROOT/tools/deterministic/test.sh" "$B/user/bin" serial pthreads processes
}

programs_guest() {
	"$G/boot" --cpus 2 --host-root --log "$B/log/programs-guest.log" -- \
		tools/deterministic/test.sh build/user/bin spaces
}

merge() {
	"$SCRIPTS/tree.sh"
	make -C "$B/linux/tools/testing/dmem" OUT="$B/dmem" run
}

# The one error that takes minutes and memory.
children() {
	if [ "$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)" -lt 7000000 ]; then
		say "ok - 65,536 children # SKIP less than 7 GB of memory are free"
		return
	fi
	"$G/boot" --mem 6G --timeout 900 --log "$B/log/children.log" -- \
		env DET_SLOW=1 /tests/nest_test -t children
}

run_main_job() {
	"$SCRIPTS/run.sh"
}

# KUnit's results are in the kernel's log of the debug guest.
kunit() {
	sed 's/^\[[^]]*\] *//' "$B/log/selftests-2-debug.1.log" | tr -d '\r' >"$B/state/kunit"
	awk '/# Subtest: / { name = $NF }
		/^(not )?ok [0-9]+ / && name != "" { sub(/ok [0-9]+ /, "&" name "."); print }' \
		"$B/state/kunit" | grep -E 'ok [0-9]+ (dmem|det)' >"$B/state/kunit.tap" || :
	cat "$B/state/kunit.tap"
	[ -s "$B/state/kunit.tap" ] || say "not ok - no KUnit result is in $B/log/selftests-2-debug.1.log"
}

# What a guest must do that breaks its kernel on purpose: fires NAME PATTERN CMD
# [OPTION of boot]
fires() {
	rc=0
	"$G/boot" --debug ${4:-} --log "$B/log/fires.log" --timeout 60 -- /bin/sh -c "$3" 2>&1 || rc=$?
	# Not 125 only: the command may die of it, or nothing ends any more.
	if [ "$rc" -ne 0 ] && grep -aqE "$2" "$B/log/fires.log"; then
		say "ok - a run fails by $1"
	else
		say "not ok - $1 on purpose does not fail the run (status $rc)"
	fi
}

fire_all() {
	d=/sys/kernel/debug/provoke-crash/DIRECT
	m='mount -t debugfs none /sys/kernel/debug 2>/dev/null;'
	fires "a WARNING" 'WARNING:' "$m echo WARNING >$d; true"
	fires "a KASAN report" 'KASAN:' "$m echo READ_AFTER_FREE >$d; true"
	fires "a BUG" 'kernel BUG' "$m echo BUG >$d; true"
	fires "a report of lockdep's" '(BUG: Invalid wait context|WARNING: lock held when returning|still has locks held)' \
		"$m echo SPINLOCKUP >$d; true"
	# Nothing in the kernel leaks on purpose: what kmemleak would say of it.
	fires "a leak that kmemleak tells of" 'unreferenced object' \
		"$m printf '%s\\n' 'where it writes: scan' 'unreferenced object 0x1 (size 8):' >/tmp/leak;
		mount --bind /tmp/leak /sys/kernel/debug/kmemleak" --leaks
}

git_is_clean() {
	[ -d "$ROOT/.git" ] || {
		say "ok - git status # SKIP no git repository"
		return
	}
	if [ "$(git -C "$ROOT" status --porcelain)" = "$GIT_BEFORE" ]; then
		say "ok - git status is as it was"
	else
		git -C "$ROOT" status --porcelain
		say "not ok - git status is as it was"
	fi
}

# A function, so that an edit of this file does not change a run.
main() {
	BEGUN=$(now)
	if [ -n "${TEST:-}" ] && ! parts | grep -qxF -e "$TEST"; then
		# shellcheck disable=SC2046 # words
		die "TEST=$TEST: no such part$("$SCRIPTS/suggest.sh" "$TEST" $(parts))"
	fi
	"$SCRIPTS/fetch.sh" test
	GIT_BEFORE=$(git -C "$ROOT" status --porcelain 2>/dev/null) || GIT_BEFORE=
	must plain "the kernel and what runs on it" plain
	part guest "the guest, from outside" "$G/test.sh"
	part main-job "the main job" run_main_job
	part demo "the demonstration" "$SCRIPTS/demo.sh"
	part selftests-4 "selftests on 4 CPUs" "$SCRIPTS/selftests.sh" 4
	part selftests-2 "selftests on 2 CPUs" "$SCRIPTS/selftests.sh" 2
	part programs-guest "the programs in spaces" programs_guest
	part readme "the README's commands" "$SCRIPTS/check-readme.sh" --run
	debug_begin
	part selftests-1 "selftests on 1 CPU" "$SCRIPTS/selftests.sh" 1
	part children "65,536 children" children
	part merge "the merge in user space" merge
	part model "the model of the rendezvous" make -C "$ROOT/deterministic/model" OUT="$B/model" run
	part check "checkpatch, sparse, W=1, kernel-doc" "$SCRIPTS/check.sh"
	part bench "instructions, against the accepted" "$SCRIPTS/bench.sh" --check
	part prove "one result, whatever is disturbed" "$SCRIPTS/prove.sh" --share
	part library "the library, installed" "$SCRIPTS/library.sh"
	part programs "the programs without spaces" programs
	part series "the series on two kernels" "$SCRIPTS/series-test.sh"
	part survival "what Linux does to memory" "$SCRIPTS/survival.sh" --share plain
	part debug "the debug kernel" debug
	off_begin
	part selftests-debug "selftests on the debug kernel" "$SCRIPTS/selftests.sh" 2 --debug
	part kunit "KUnit in the debug kernel" kunit
	part survival-debug "the same on the debug kernel" "$SCRIPTS/survival.sh" --share debug
	part fires "a broken kernel fails a run" fire_all
	part off "CONFIG_DETERMINISTIC=n" "$SCRIPTS/off-check.sh"
	part host "what can go wrong for a user" "$SCRIPTS/test-host.sh"
	part git "git status" git_is_clean
	finish
}

main

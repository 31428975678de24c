#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Run all selftests in the guest, and print their TAP: selftests.sh CPUS [--debug]
#
# They run in one guest, one after the other. If the guest dies, the test that
# ran has failed, and another guest goes on with the next. Each guest gives one
# result of its own: whether its kernel's log is clean.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

cpus=$1
shift
debug=
limit=900
each=180
if [ "${1:-}" = --debug ]; then
	debug=1
	limit=2400
	each=1200
fi
name=selftests-$cpus${debug:+-debug}
out=$B/state/$name.out

# In the guest: each test with a mark before and its status after it.
# shellcheck disable=SC2016 # the guest's shell
GUEST='limit=$1; shift
for t; do
	echo "# program $t"
	timeout -k 5 $limit /tests/$t 2>&1
	echo "# status $?"
done'

guest() {
	# shellcheck disable=SC2086 # words
	"$ROOT/deterministic/guest/boot" --cpus "$cpus" ${debug:+--debug --leaks} \
		${MEM:+--mem "$MEM"} ${ACCEL:+--accel "$ACCEL"} --timeout "$limit" \
		--log "$B/log/$name.$boots.log" -- \
		/bin/sh -c "$GUEST" selftests "$each" "$@" </dev/null
}

# From the first test that was not begun on.
rest() {
	for t; do
		grep -qx "# program $t" "$out" || printf '%s\n' "$t"
	done
}

# A program that ended badly without a failed test has failed as a whole.
judge_programs() {
	awk '
	/^# program / { program = $3; seen = 0; bad = 0; open = 1 }
	/^ok /        { seen++ }
	/^not ok /    { seen++; bad++ }
	/^# status /  {
		open = 0
		if ($3 == 4)
			print "ok - " program " # SKIP the program skipped itself"
		else if ($3 != 0 && !bad)
			print "not ok - " program ": ended with status " $3
		else if ($3 == 0 && !seen)
			print "not ok - " program ": printed no result"
	}
	{ print }
	END { if (open) print "not ok - " program ": the guest ended in it" }'
}

tests=$(cd "$B/user/tests" && echo *_test)
: >"$out"
boots=0
while [ "$boots" -lt 5 ]; do
	boots=$((boots + 1))
	# shellcheck disable=SC2046,SC2086 # words
	set -- $(rest $tests)
	[ $# -gt 0 ] || break
	rc=0
	guest "$@" >"$out.$boots" 2>"$out.err" || rc=$?
	tr -d '\r' <"$out.$boots" | judge_programs | tee -a "$out"
	if [ "$rc" -eq 0 ]; then
		say "ok - $cpus CPUs${debug:+, debug kernel}: guest and kernel log"
	else
		sed 's/^/# /' "$out.err"
		say "not ok - $cpus CPUs${debug:+, debug kernel}: guest and kernel log (status $rc, $B/log/$name.$boots.log)"
	fi
done

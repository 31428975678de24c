#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Let spin look at every state of rendezvous.pml, and show that it finds each
# fault that the model can be given. TAP; the order is that in which they end.
#
# Without an argument: all checks. With "list": their names. With "trail" and
# the name of one that has failed, or found its fault: the last steps to there.
set -u -o pipefail

OUT=${OUT:-../../build/model}
cd "$(dirname "$0")" || exit 1

# row NAME FAULT DEFS CFLAGS FLAGS WHAT: what spin must say ("" for no error), its
# -D, how pan is compiled and run, and a name for people
row() {
	local IFS='|'
	echo "$*"
}

safety="-DSAFETY -DCOLLAPSE -DNOFAIR"
claim="-DCOLLAPSE -DNOFAIR"
coarse="-DCALLS=1 -DCOARSE"
nested="$coarse -DNESTED -DNO_FREEZER"
frozen="$coarse -DCLAIMS -DSTAYS_FROZEN"

# The model as it is; the longest first.
sound() {
	row nested "" "$nested" "-O2 $safety" "" "a child with a child of its own"
	row single "" "-DCALLS=1" "-O2 $safety" "" "two threads and a child"
	row ends "" "$coarse -DNO_FREEZER" "-O1 -DNP $claim" "-l" \
	    "every run comes to an end"
	row lives "" "$coarse -DCLAIMS" "-O1 $claim" "-a -N lives" \
	    "a started child runs, a wait for one that stopped ends"
	row condemned "" "$frozen" "-O1 $claim" "-a -N condemned" \
	    "a wait ends when the child is being killed, frozen or not"
}

large() {
	row nested-frozen "" "$coarse -DNESTED" "-O2 $safety" "" \
	    "a child with a child, and the freezer"
	row twice "" "-DCALLS=2" "-O2 $safety" "" \
	    "two threads and a child, two rounds"
}

# mutant FAULT ERROR WHAT
mutant() {
	row "$1" "$2" "-DCALLS=1 -D$1" "-O0 $safety" "" "$3"
}

faults() {
	local stuck="invalid end state" broken="assertion violated"

	mutant M_STATE_LATE "$stuck" \
	       "the space says that it sleeps after it has looked"
	mutant M_START_UNLOCKED "$stuck" "a start without the lock"
	mutant M_WAIT_LATE "$stuck" "the parent looks before it is in the queue"
	mutant M_STOP_NO_WAKE "$stuck" "a stop that wakes nobody"
	mutant M_EXIT_NO_WAKE "$stuck" "an exit that wakes nobody"
	mutant M_RELEASE_NO_WAKE "$stuck" "the end of a call wakes no other"
	mutant M_CLAIM_BUSY "$broken" "two calls on one child"
	mutant M_NO_REF "$broken" "a call without a reference to the space"
	mutant M_NO_MM_REF "$broken" \
	       "operations without a reference to the memory"
	mutant M_NO_IMAGE_REF "$broken" \
	       "operations without a reference to the snapshot"
	mutant M_EXIT_NO_WAIT "$broken" \
	       "a master that does not wait for its children"
	row M_PARK_DEAF "non-progress cycle" "$coarse -DM_PARK_DEAF" \
	    "-O0 -DNP $claim" "-l" "a stopped space that ignores SIGKILL"
	row M_KILL_NO_WAKE "acceptance cycle" "$frozen -DM_KILL_NO_WAKE" \
	    "-O0 $claim" "-a -N condemned" "a KILL that wakes nobody"
}

checks() {
	sound
	[ -z "${FULL:-}" ] || large
	faults
}

# The model checker of one check, in a folder of its own.
build() {
	rm -rf "${OUT:?}/$name"
	mkdir -p "$OUT/$name" && cp rendezvous.pml "$OUT/$name" &&
	cd "$OUT/$name" || return 1
	# shellcheck disable=SC2086 # lists of words
	spin $defs -a rendezvous.pml >spin.log 2>&1 || return 1
	# shellcheck disable=SC2086
	cc -w -DMEMLIM=2000 $cflags pan.c -o pan >cc.log 2>&1
}

# What pan has found: nothing, or the text of its error. A pan that was killed
# or ran out of memory has found nothing, and that is no good news.
verdict() {
	if grep -q '^pan:1:' pan.log; then
		sed -n 's/^pan:1: *\(.*\) (at depth.*/\1/p' pan.log
	elif [ "$status" -ne 0 ] || ! grep -q 'errors: 0' pan.log ||
	     grep -q 'not completed\|too small' pan.log; then
		echo "pan has not come to its end (status $status)"
	fi
}

# One line of TAP. Status 1 if it is not as it should be.
check() {
	IFS='|' read -r name says defs cflags flags what <<<"$1"
	begin=$(date +%s)
	if ! build; then
		echo "not ok - model: $name does not build, see $OUT/$name"
		return 1
	fi
	# shellcheck disable=SC2086
	./pan -n -b -m1000000 $flags >pan.log 2>&1
	status=$?
	found=$(verdict)
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)
	took="$states states, $(($(date +%s) - begin)) s"
	if [ -z "$says" ] && [ -z "$found" ]; then
		echo "ok - model: $what ($took)"
	elif [ -n "$says" ] && [[ $found == *"$says"* ]]; then
		echo "ok - model: fault is found: $what ($took)"
	else
		echo "not ok - model: $name: ${found:-no error} ($took)"
		return 1
	fi
}

trail() {
	line=$(FULL=1 checks | grep "^$1|") || return 1
	IFS='|' read -r name says defs cflags flags what <<<"$line"
	cd "$OUT/$name" || return 1
	# shellcheck disable=SC2086
	spin $defs -t -p rendezvous.pml | tail -n "${LINES_OF_TRAIL:-80}"
}

case ${1:-} in
check)
	check "$2"
	;;
list)
	FULL=1 checks | cut -d'|' -f1
	;;
trail)
	trail "$2"
	;;
*)
	if ! command -v spin >/dev/null || ! command -v cc >/dev/null; then
		echo "1..0 # SKIP needs the packages spin and gcc"
		exit 0
	fi
	mkdir -p "$OUT"
	echo "TAP version 13"
	echo "1..$(checks | wc -l)"
	checks | tr '\n' '\0' | xargs -0 -P "$(nproc)" -n 1 "$0" check
	;;
esac

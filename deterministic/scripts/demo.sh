#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# "make demo": the words of FILE=, or of text from the kernel source, are counted by a
# program with two mistakes, with pthreads and in spaces; 60 seconds at most. The rest
# is in demo-guest.sh. With --check, only see whether FILE= can be used.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

LIMIT=50		# then no run begins
END=57
LEAST=200000		# or threads may end before they meet
MOST=1000000

check_file() {
	[ -s "$FILE" ] || die "FILE=$FILE is empty"
	[ "$(head -c $MOST <"$FILE" | tr -d '\000' | wc -c)" -eq "$(head -c $MOST <"$FILE" | wc -c)" ] ||
		die "FILE=$FILE has NUL bytes: a text is needed"
	[ "$(head -c $MOST <"$FILE" | LC_ALL=C wc -w)" -gt 0 ] || die "FILE=$FILE has no words"
}

check_kvm() {
	[ "${ACCEL:-}" != kvm ] || { [ -r /dev/kvm ] && [ -w /dev/kvm ]; } ||
		die "ACCEL=kvm: /dev/kvm is not there, or not for you: leave ACCEL away"
}

[ -z "${FILE:-}" ] || check_file
check_kvm
[ "${1:-}" != --check ] || exit 0

# The user's text is doubled until it is long enough.
make_input() {
	if [ -z "${FILE:-}" ]; then
		what="text of the kernel source"
		head -c $LEAST "$("$SCRIPTS/input.sh")" >"$1"
		return
	fi
	what=$FILE
	[ "$(stat -Lc %s "$FILE")" -le $MOST ] || what="the first MB of $FILE"
	times=1
	{ head -c $MOST <"$FILE" && echo; } >"$1"
	while [ "$(stat -c %s "$1")" -lt $LEAST ]; do
		cat "$1" "$1" >"$1.new"
		mv "$1.new" "$1"
		times=$((times * 2))
	done
	[ $times -eq 1 ] || what="$FILE, $times times over"
}

cpus=${CPUS:-4}
list=
for n in 1 2 4; do
	[ "$n" -gt "$cpus" ] || list="$list $n"
done

# What the programs load, libdw for the lines in reports among it.
libraries() {
	cd "$B/user/work/demo"
	libdw=$(ldconfig -p | awk '$1 == "libdw.so.1" && /x86-64/ && !n++ { print $NF }')
	say "$libdw"
	# shellcheck disable=SC2086 # none is none
	ldd words words-tsan $libdw 2>/dev/null | awk '$2 == "=>" && /\// { print $3 }'
}

in_guest() {
	cd "$B/user/work/demo"
	"$ROOT/deterministic/guest/boot" --host-root --cpus "$cpus" ${MEM:+--mem "$MEM"} \
		${ACCEL:+--accel "$ACCEL"} --boot-timeout 45 --timeout $END \
		--log "$B/log/demo.log" -- /run/guest/bin/sh "$SCRIPTS/demo-guest.sh" "$begun" $LIMIT \
		"$ROOT/tools/deterministic/demo.diff" "$list" "$(libraries)"
}

begun=$(now)
input=$B/state/demo-input
make_input "$input"
say "A program counts words, and has two mistakes that everybody makes once: its four"
say "threads or spaces do count++ on one variable, and call strtok()."
say "The input: $what."
in_guest <"$input"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What Linux does to memory, done to spaces (tools/testing/survival), and random
# operations against a model (tools/testing/fuzz-spaces), in the guest:
#
#	survival.sh --share plain|debug		what "make test" has time for
#	survival.sh --case CASE SECONDS SEED plain|debug
#	survival.sh --cases plain|debug		the names of all cases
#
# KERNEL=image boots another kernel than the one of that kind.
# A case is one boot of the guest and one program there. TAP on stdout; each
# program's own last line has its numbers.
# shellcheck disable=SC2317 # cases are called by name

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

S=$B/user/survival

# boot_guest LIMIT COMMAND...: with the host's files, as procps's ps is the host's.
boot_guest() {
	limit=$1
	shift
	debug=
	[ "$kernel" != debug ] || debug=--debug
	"$ROOT/deterministic/guest/boot" --cpus "${CPUS:-2}" --mem "${MEM:-3G}" $debug \
		${ACCEL:+--accel "$ACCEL"} ${KERNEL:+--kernel "$KERNEL"} --append numa=fake=2 --host-root \
		--timeout "$limit" \
		--log "$B/log/survival-$kernel.log" -- "$@" </dev/null
}

# in_guest NAME LIMIT COMMAND...: one TAP line, unless the program prints its own.
in_guest() {
	name=$1
	shift
	out=$B/state/survival-$kernel.out
	rc=0
	boot_guest "$@" >"$out" 2>&1 || rc=$?
	tr -d '\r' <"$out" >"$out.text"
	cat "$out.text"
	if [ "$rc" -eq 4 ]; then
		say "ok - $kernel: $name # SKIP $(tail -n 1 "$out.text")"
	elif [ "$rc" -eq 0 ]; then
		grep -q '^ok ' "$out.text" || say "ok - $kernel: $name"
	elif ! grep -q '^not ok ' "$out.text"; then
		say "not ok - $kernel: $name (status $rc, $B/log/survival-$kernel.log)"
	fi
}

# More time for the slower kernel: the guest's limit in seconds.
patience() {
	if [ "$kernel" = debug ]; then
		echo $(($1 * 10 + 600))
	else
		echo $(($1 * 3 + 120))
	fi
}

# load NAMES SECONDS SEED ARGUMENTS...: rounds, disturbed
load() {
	names=$1
	seconds=$2
	seed=$3
	shift 3
	in_guest "$names" "$(patience "$seconds")" "$S/survive" -s "$seed" "$names" -- \
		-s "$seed" "$@"
}

# Trees of spaces instead: rounds have none that waits, or is in the middle.
trees() {
	in_guest "$1" "$(patience "$2")" "$S/survive" -s "$3" -p trees "$1" -- -s "$3" -t "$2"
}

program() {
	in_guest "$1" "$(patience 120)" "$S/$1"
}

# one CASE SECONDS SEED: a name of "survive -l" or several with commas, or what
# else cases() lists.
one() {
	case=$1
	shift
	set -- "$1" "$2" -n 1000000000 -t "$1"
	case $case in
	fuzz) in_guest fuzz "$(patience "$1")" "$S/fuzz" -s "$2" -n 1000000000 -t "$1" ;;
	nomem) in_guest nomem "$(patience 300)" "$B/user/tests/nomem_test" ;;
	kcsan) "$SCRIPTS/kcsan.sh" "$1" ;;
	program:*) program "${case#*:}" ;;
	source:*) load ps "$@" -S "${case#*:}" ;;
	master:unshared) load ps "$@" -M unshared -S anon ;;
	master:*) load ps "$@" -M "${case#*:}" ;;
	trees:*) trees "${case#*:}" "$1" "$2" ;;
	*) load "$case" "$@" ;;
	esac
}

# All that there is for a kernel, one name a line.
cases() {
	say ps,proc
	"$S/survive" -l | sed 's/ .*//' | grep -vx -e ps -e proc -e kill-middle
	printf 'trees:%s\n' kill-leaf kill-middle kill-master kill-frozen freezer freezer-v1 suspend \
		ps signals
	# What -S and -M of rounds take, in a kernel with the calls.
	for k in anon huge mlocked pinned file stack shared sharedfile sysv mixed; do
		say "source:$k"
	done
	for k in thread fork vfork exec failed-exec uid userns pidns unshared seccomp mdwe; do
		say "master:$k"
	done
	printf '%s\n' fuzz program:extremes program:poison program:signals program:refused
	case $kernel in
	debug) say nomem ;;
	*) say kcsan ;;
	esac
}

# The named case first, then the programs that check themselves. The rows of the
# matrix are for "make soak": each needs a quiet minute.
share() {
	if [ "$kernel" = debug ]; then
		load ps,proc 120 1 -n 500
		program poison
		one fuzz 40 1
		return
	fi
	load ps,proc 240 1 -n 10000
	for p in extremes poison refused signals; do
		program "$p"
	done
	one fuzz 30 1
}

mode=${1:-}
case $mode in
--share | --cases) kernel=$2 ;;
--case) kernel=$5 ;;
*) die "survival.sh: --share, --case or --cases" ;;
esac
case $mode in
--share) share ;;
--cases) cases ;;
--case) one "$2" "$3" "$4" ;;
esac

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What a goal of the Makefile means: goal.sh GOAL. What can be wrong with what
# the user typed is found here, before anything starts.

ROOT=${ROOT:-$(dirname "$0")/../..}

GOALS="help run demo test exec shell guest tree kernel kernel-debug fetch series
series-check off-check check gdb one soak prove test-fuzzer test-survival linux-selftests cost bench bench-accept user
compile_commands clean distclean"

if [ "$1" = --unknown ]; then
	# shellcheck disable=SC2086 # words
	echo "error: there is no goal $2$("${0%/*}/suggest.sh" "$2" $GOALS)" >&2
	exit 1
fi

goal=$1
if [ "$goal" = distclean ]; then
	# Also where build/ is a link, and before anything is made in it.
	case $(readlink "$ROOT/build" 2>/dev/null) in
	*/deterministic-*) rm -rf "$(readlink "$ROOT/build")" ;;
	esac
	rm -rf "$ROOT/build"
	exit
fi
. "$ROOT/deterministic/scripts/common.sh"

number() {
	case $2 in
	*[!0-9]* | 0 | '') die "$1=$2: a number is needed" ;;
	esac
}

check_input() {
	[ -z "${CPUS:-}" ] || number CPUS "$CPUS"
	[ -z "${JOBS:-}" ] || number JOBS "$JOBS"
	[ -z "${MD5_LENGTH:-}" ] || number MD5_LENGTH "$MD5_LENGTH"
	[ -z "${MINUTES:-}" ] || number MINUTES "$MINUTES"
	[ -z "${SEED:-}" ] || number SEED "$SEED"
	[ -z "${RUNS:-}" ] || number RUNS "$RUNS"
	[ "${CPUS:-1}" -le 16 ] || die "CPUS=$CPUS: the guest's kernel takes 16 at most"
	case ${MEM:-1G} in
	[1-9]*[0-9MG]) digits=${MEM:-1G} && digits=${digits%[MG]} ;;
	*) digits=none ;;
	esac
	case $digits in
	*[!0-9]*) die "MEM=$MEM: a size such as 2G or 1500M is needed" ;;
	esac
	case ${ACCEL:-auto} in
	auto | kvm | tcg) ;;
	*) die "ACCEL=$ACCEL: auto, kvm or tcg" ;;
	esac
	if [ -n "${FILE:-}" ]; then
		[ -f "$FILE" ] || die "FILE=$FILE is not there, or no ordinary file"
		[ -r "$FILE" ] || die "FILE=$FILE can not be read"
		[ "$goal" != run ] || "$SCRIPTS/run.sh" --check
	fi
	[ "$goal" != demo ] || "$SCRIPTS/demo.sh" --check
	if [ -n "${DIR:-}" ]; then
		[ -d "$DIR" ] || die "DIR=$DIR is no folder"
		[ -w "$DIR" ] || die "DIR=$DIR can not be written"
	fi
	case ${MD5:-} in
	'') ;;
	*[!0-9a-fA-F]*) die "MD5=$MD5: 32 hexadecimal digits are needed" ;;
	*) [ "${#MD5}" -eq 32 ] || die "MD5=$MD5: 32 hexadecimal digits are needed" ;;
	esac
	[ -z "${PROFILE:-}" ] || "$SCRIPTS/profile.sh" --check
	[ -z "${KSRC:-}" ] || "$SCRIPTS/source.sh" --check
}

# The options of guest/boot that the variables stand for.
boot() {
	"$ROOT/deterministic/guest/boot" ${CPUS:+--cpus "$CPUS"} ${MEM:+--mem "$MEM"} \
		${ACCEL:+--accel "$ACCEL"} ${DIR:+--dir "$DIR"} "$@"
}

# All that a guest needs, made if it is not there or old.
guest() {
	"$SCRIPTS/fetch.sh" run
	"$SCRIPTS/tree.sh"
	"$SCRIPTS/kernel.sh" --quick plain
	"$SCRIPTS/user.sh"
}

cd "$ROOT"
check_input
case $goal in
run)
	guest
	exec "$SCRIPTS/run.sh"
	;;
demo)
	guest
	exec "$SCRIPTS/demo.sh"
	;;
test)
	exec "$SCRIPTS/test.sh"
	;;
exec)
	[ -n "${CMD:-}" ] || die "make exec CMD='./mine args': CMD is missing"
	guest >&2
	boot --host-root -- /bin/sh -c "$CMD"
	;;
shell)
	guest >&2
	boot --host-root --shell
	;;
guest)
	guest
	"$ROOT/deterministic/guest/bundle.sh"
	;;
tree)
	"$SCRIPTS/fetch.sh" tree
	"$SCRIPTS/tree.sh"
	say "the patched tree is $B/linux"
	;;
kernel)
	"$SCRIPTS/fetch.sh" build
	"$SCRIPTS/tree.sh"
	"$SCRIPTS/kernel.sh" plain
	;;
kernel-debug)
	"$SCRIPTS/fetch.sh" build
	"$SCRIPTS/tree.sh"
	"$SCRIPTS/kernel.sh" debug
	;;
fetch)
	"$SCRIPTS/fetch.sh" all
	;;
one)
	[ -n "${TEST:-}" ] || die "make one TEST=merge_test: TEST is missing"
	guest
	[ -z "${DEBUG:-}" ] || "$SCRIPTS/kernel.sh" debug
	[ -x "$B/user/tests/$TEST" ] ||
		die "there is no test $TEST: $(cd "$B/user/tests" && echo *_test)"
	boot ${DEBUG:+--debug} -- "/tests/$TEST"
	;;
user)
	"$SCRIPTS/fetch.sh" run
	"$SCRIPTS/tree.sh"
	"$SCRIPTS/user.sh"
	;;
bench)
	guest
	[ -z "${PROFILE:-}" ] || exec "$SCRIPTS/profile.sh"
	exec "$SCRIPTS/bench.sh"
	;;
bench-accept)
	exec "$SCRIPTS/bench.sh" --accept
	;;
test-fuzzer | test-survival)
	exec "$SCRIPTS/mutants.sh" "${goal#test-}"
	;;
clean)
	cd "$B"
	# The tree, the downloads and the verdicts stay.
	rm -rf out out-debug out-kcsan out-gdb out-check out-stock out-linux-selftests off stock linux-selftests series.work series.check host user guest log series stage dmem model mutants prove prove.share cost bench library linux.new linux.old
	;;
*)
	exec "$SCRIPTS/$goal.sh"
	;;
esac

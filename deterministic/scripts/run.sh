#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The main job, in the guest: each program on 1, 2, 4, ... CPUs, with pthreads
# and in spaces, over FILE= or the default input, which goes in as stdin. With --check,
# only see whether FILE= is not too large for the guest.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

cpus=${CPUS:-4}
list=1
n=2
while [ "$n" -le "$cpus" ]; do
	list=$list,$n
	n=$((n * 2))
done
case ,$list, in
*,"$cpus",*) ;;
*) list=$list,$cpus ;;
esac

# The guest holds the input some eight times: file, lines, spaces, snapshots.
megabytes() {
	case $1 in
	*G) echo $((${1%G} * 1024)) ;;
	*) echo "${1%M}" ;;
	esac
}

check_size() {
	size=$(($(stat -Lc %s "$1") / 1000000))
	[ $((size * 8 + 256)) -le "$(megabytes "${MEM:-2G}")" ] ||
		die "$1 has $size MB, too much for a guest of ${MEM:-2G}: give it more with MEM="
}

if [ "${1:-}" = --check ]; then
	check_size "$FILE"
	exit
fi
input=$("$SCRIPTS/input.sh")
check_size "$input"

say "the main job: $input ($(stat -Lc %s "$input") bytes), $list CPUs"
# shellcheck disable=SC2016 # the guest's shell
exec "$ROOT/deterministic/guest/boot" --cpus "$cpus" ${MEM:+--mem "$MEM"} \
	${ACCEL:+--accel "$ACCEL"} --log "$B/log/run.log" -- \
	/bin/sh -c 'cat >/tmp/input && exec /bin/det-main-job "$@" /tmp/input' main-job \
	--cpus="$list" ${MD5:+--md5="$MD5"} \
	${MD5_LENGTH:+--md5-length="$MD5_LENGTH"} ${FULL:+--full} <"$input"

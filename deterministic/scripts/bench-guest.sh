#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's half of bench.sh: sh bench-guest.sh PART ARGUMENT... . A line a
# figure, "name unit value text"; lines with # are remarks. Each program's result
# is compared with that of the sequential one.
set -u

T=/tmp/bench
BIN=/bin
PROGRAMS="dmd5 dsort dmatmul dlu dhistogram dkmeans dlinreg dstringmatch dwordcount
dblackscholes dfft dracey dcanneal dgauss"
RUNS=9

fail()
{
	echo "bench: $*" >&2
	exit 1
}

# lines N: a file of so many lines of ten digits, for dsort.
lines()
{
	[ -s "$T/lines.$1" ] || awk "BEGIN {
		x = 1
		for (i = 0; i < $1; i++) {
			x = (x * 69069 + 1) % 4294967296
			printf \"%010.0f\\n\", x
		}
	}" >"$T/lines.$1"
}

# choose_options PROGRAM SIZE: what makes it as large, into options.
choose_options()
{
	options=--size=$2
	case $1-$2 in
	dmd5-small) options="--length=3 f3abb86bd34cf4d52698f14c0da1dc60" ;;
	dmd5-medium) options="--length=4 02c425157ecd32f259548b33402ff6d3" ;;
	dmd5-large) options="--length=5 95ebc3c7b3b9f1d2c40fec14415d3cb8" ;;
	dsort-small) set_lines 4000 ;;
	dsort-medium) set_lines 100000 ;;
	dsort-large) set_lines 1000000 ;;
	dmatmul-small) options=--size=64 ;;
	dmatmul-medium) options=--size=320 ;;
	dmatmul-large) options=--size=768 ;;
	dlu-small) options="--size=64 --block=16" ;;
	dlu-medium) options="--size=512 --block=64" ;;
	dlu-large) options="--size=1024 --block=128" ;;
	esac
}

# choose_size ALL PROGRAM: into size; dgauss in spaces takes minutes.
choose_size()
{
	size=$1
	case $2-$1 in
	dgauss-medium) size=small ;;
	dgauss-large) size=medium ;;
	esac
}

set_lines()
{
	lines "$1"
	options=$T/lines.$1
}

# once MODE WORKERS PROGRAM OPTION...: the nanoseconds of its work, page faults, and
# the sum of what it wrote; of several rounds those of the first in "first". On the
# CPUs of $mask; nothing else runs meanwhile.
mask=
once()
{
	mode=$1
	workers=$2
	program=$3
	shift 3
	set -- "$BIN/$program" "--mode=$mode" "--workers=$workers" --time "$@"
	# shellcheck disable=SC2086 # words
	${mask:+taskset $mask} "$@" >"$T/out" 2>"$T/time"
	sum=$(md5sum <"$T/out")
	first=$(sed -n 's/^d[a-z0-9]*: first \([0-9]*\)\.\([0-9]*\) seconds.*/\1\2/p' "$T/time" |
		sed 's/^0*//')
	# shellcheck disable=SC2046 # words
	set -- $(sed -n 's/^d[a-z0-9]*: \([0-9]*\)\.\([0-9]*\) seconds, \([0-9]*\) page faults$/\1\2 \3/p' "$T/time")
	[ $# -eq 2 ] || fail "$program --mode=$mode: $(cat "$T/time")"
	time=$(echo "$1" | sed 's/^0*//')
	faults=$2
	if [ "$mode" = serial ]; then
		right=$sum
	elif [ "$sum" != "$right" ] && [ "$program-$mode" != dracey-pthreads ] &&
		[ "$program-$mode" != dracey-processes ]; then
		fail "$program --mode=$mode $*: another result than the sequential program's"
	fi
}

# often, as once: the median of five runs, but a long one is not repeated.
often()
{
	once "$@"
	[ "$time" -lt 200000000 ] || return 0
	echo "$time" >"$T/times"
	for _ in 2 3 4 5; do
		once "$@"
		echo "$time" >>"$T/times"
	done
	time=$(sort -n "$T/times" | sed -n 3p)
}

# operations UNIT NAME...
operations()
{
	unit=$1
	shift
	for name; do
		det-bench "$name" | sed "s/ / $unit /" >"$T/line"
		[ -s "$T/line" ] || fail "det-bench $name"
		cat "$T/line"
	done
}

ordinary()
{
	det-ordinary >"$T/line" || fail "det-ordinary"
	sed 's/ / instructions /' "$T/line"
}

# programs SIZE PROGRAM...: instructions, in each mode.
programs()
{
	size=$1
	shift
	for p; do
		choose_options "$p" "$size"
		for m in serial pthreads processes spaces; do
			# shellcheck disable=SC2086 # words
			often "$m" 4 "$p" $options
			echo "$p.$size.$m instructions $time"
		done
	done
}

# against NAME PROGRAM OPTION...: instructions of two and four workers, ten rounds in
# one process, or four of what takes long: the median of all but the first, which makes
# the workers and stands by itself.
against()
{
	name=$1
	p=$2
	shift 2
	once serial 1 "$p" "$@"
	rounds=10
	[ "$time" -lt 200000000 ] || rounds=4
	for n in 2 4; do
		firsts=
		for m in pthreads spaces; do
			[ "$p" != dlu ] ||
				set -- "$1" "--block=$(((${1#--size=} - 1) / (2 * n) + 1))"
			once "$m" "$n" "$p" "--rounds=$rounds" "$@"
			echo "$name.n$n.$m instructions $time"
			firsts="$firsts${firsts:+
}first.$name.n$n.$m instructions $first"
		done
		echo "$firsts"
	done
}

# thesis DIMENSIONS NUMBERS: the cells of the thesis's tables.
thesis()
{
	choose_options dmd5 medium
	# shellcheck disable=SC2086 # words
	against md5.1 dmd5 $options
	for size in $2; do
		lines "$size"
		against "qsort.$size" dsort "$T/lines.$size"
	done
	for size in $1; do
		against "matmult.$size" dmatmul "--size=$size"
		against "lu.$size" dlu "--size=$size"
	done
}

median()
{
	sort -n "$1" | sed -n "$(((runs + 1) / 2))p"
}

# All modes on 1 and 2 CPUs, again and again; what takes long, three times.
wall_runs()
{
	rm -f "$T"/ms.* "$T"/faults.*
	runs=$RUNS
	r=0
	began=$(date +%s)
	while [ "$r" -lt "$runs" ]; do
		r=$((r + 1))
		for c in 1 2; do
			mask=$(((1 << c) - 1))
			for m in pthreads processes spaces; do
				# shellcheck disable=SC2086 # words
				once "$m" 4 "$p" $options
				echo "$time" >>"$T/ms.$c.$m"
				echo "$faults" >>"$T/faults.$c.$m"
			done
		done
		[ $(($(date +%s) - began)) -lt 45 ] || [ "$r" -gt 1 ] || runs=3
	done
	mask=
	[ "$runs" -eq "$RUNS" ] || echo "# $p: medians of $runs"
}

# wall SIZE PROGRAM...: milliseconds and page faults.
wall()
{
	all=$1
	shift
	echo "# CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)"
	for p; do
		choose_size "$all" "$p"
		choose_options "$p" "$size"
		# shellcheck disable=SC2086 # words
		once serial 4 "$p" $options
		wall_runs
		for c in 1 2; do
			for m in pthreads processes spaces; do
				echo "$p.$size.${c}cpu.faults.$m faults $(median "$T/faults.$c.$m")"
			done
			for m in pthreads processes spaces; do
				median "$T/ms.$c.$m" |
					awk "{ printf \"$p.$size.${c}cpu.$m ms %.3f\\n\", \$1 / 1e6 }"
			done
		done
	done
}

# What needs the host's files, which are slow to come: programs with shared libraries.
copy_libraries()
{
	BIN=/run/guest/bin
	PATH="$BIN:$PATH"
	mkdir -p "$T/lib"
	for lib; do
		cp -L "$lib" "$T/lib" || exit
	done
	export LD_LIBRARY_PATH="$T/lib"
}

# dynamic DIRECTORY LIBRARY...: a mapping more costs, and libraries have many.
dynamic()
{
	cp "$1/det-bench" "$T" || exit
	shift
	copy_libraries "$@"
	for name in create_join team_4 barrier_4; do
		"$T/det-bench" "$name" | sed 's/^/dynamic_/; s/ / instructions /' >"$T/line"
		[ -s "$T/line" ] || fail "det-bench $name"
		cat "$T/line"
	done
}

prepare_memory()
{
	G=/sys/fs/cgroup
	mountpoint -q "$G" || mount -t cgroup2 none "$G" || fail "there is no cgroup2"
	echo +memory >"$G/cgroup.subtree_control" || fail "memory is not counted by cgroup"
	cp "$1"/*-tsan "$1/det-members" "$T" || exit
	shift
	copy_libraries "$@"
	export TSAN_OPTIONS=report_bugs=0
}

# peak COMMAND...: the most memory it needs at a time, with what the kernel needs for
# it, in KiB, into kib.
peak()
{
	mkdir "$G/bench" || fail "no cgroup"
	# shellcheck disable=SC2016 # for that shell
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$G/bench" "$@" >"$T/out" 2>"$T/time" ||
		fail "$*: $(cat "$T/time")"
	kib=$(($(cat "$G/bench/memory.peak") / 1024))
	rmdir "$G/bench" || fail "$* has left something behind"
}

# memory_of SIZE PROGRAM: in each mode, and with ThreadSanitizer, which also takes time.
memory_of()
{
	p=$2
	choose_options "$p" "$1"
	for m in serial pthreads processes tsan spaces; do
		program=$BIN/$p
		mode=$m
		if [ "$m" = tsan ]; then
			[ -s "$T/$p-tsan" ] || continue
			program=$T/$p-tsan
			mode=pthreads
		fi
		# shellcheck disable=SC2086 # words
		peak "$program" "--mode=$mode" --workers=4 --time $options
		case $m in
		pthreads | tsan)
			sed -n "s/^d[a-z0-9]*: \([0-9.]*\) seconds.*/\1/p" "$T/time" |
				awk "{ printf \"$p.$1.tsan.$m ms %.3f\n\", \$1 * 1000 }"
			;;
		serial) alone=$kib ;;
		spaces) echo "$p.$1.memory.each KiB $(((kib - alone) / 4))" ;;
		esac
		echo "$p.$1.memory.$m KiB $kib"
	done
}

# memory SIZE DIRECTORY LIBRARY...
memory()
{
	all=$1
	shift
	prepare_memory "$@"
	operations KiB memory_1m memory_1g
	if [ -s "$T/det-members" ]; then
		# The first run also reads the files.
		peak "$T/det-members" 1
		peak "$T/det-members" 1
		one=$kib
		peak "$T/det-members" 17
		echo "members_16 KiB $(((kib - one) / 16)) each of 16 more members of a C++ program"
	fi
	for p in $PROGRAMS; do
		choose_size "$all" "$p"
		memory_of "$size" "$p"
	done
}

mkdir -p "$T"
echo "# kernel $(uname -r)"
case $1 in
short)
	# What make test has time for.
	# shellcheck disable=SC2046 # words
	operations instructions $(det-bench --list | grep -vE '256m|1g|child|memory')
	ordinary
	programs small dsort dmatmul dhistogram dfft dcanneal
	;;
large)
	# shellcheck disable=SC2046 # words
	operations instructions $(det-bench --list | grep -v memory | grep -E '256m|1g|child')
	;;
programs)
	programs small dmd5 dlu dkmeans dlinreg dstringmatch dwordcount dblackscholes \
		dracey dgauss
	;;
thesis) thesis "$2" "$3" ;;
wall)
	# shellcheck disable=SC2086 # words
	wall "$2" $PROGRAMS
	;;
dynamic)
	shift
	dynamic "$@"
	;;
memory)
	shift
	memory "$@"
	;;
*) fail "no part $1" ;;
esac

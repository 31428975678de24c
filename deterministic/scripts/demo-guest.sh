#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's half of demo.sh: sh demo-guest.sh BEGUN LIMIT PATCH CPUS LIBRARIES, in the
# folder with the programs, and their input on stdin. No run begins later than LIMIT
# seconds after the clock said BEGUN: then there are fewer. The status is 1 if something
# was not as it should be.
set -u

PATH=/run/guest/bin:$PATH
T=/tmp/demo
BEGUN=$1
LIMIT=$2
PATCH=$3
LIST=$4
LIBRARIES=$5
RUNS=20
MORE=150		# where threads have not met yet
TSAN_RUNS=3
REPAIRED_RUNS=200
failed=0

say()
{
	printf '%s\n' "$*"
}

wrong()
{
	say "   WRONG: $*"
	failed=1
}

# Hundredths of a second since the boot, into t.
clock()
{
	read -r t rest </proc/uptime
	t=${t%.*}${t#*.}
}

# What lies on the host is slow to start.
prepare()
{
	mkdir -p "$T/lib"
	cat >"$T/input"
	cp words repaired "$T"
	[ ! -s words-tsan ] || cp words-tsan repaired-tsan "$T"
	for lib in $LIBRARIES; do
		[ -e "$T/lib/${lib##*/}" ] || cp -L "$lib" "$T/lib"
	done
	cd "$T" || exit 1
	export LD_LIBRARY_PATH="$T/lib"
	clock
	last=$((t + (BEGUN + LIMIT - $(date +%s)) * 100))
}

# What comes next may take one of N parts of the time that is left.
take_part()
{
	clock
	end=$((t + (last - t) / $1))
}

# many NAME N COMMAND...: until there are N runs of that name, or it is late; one at least.
# What a run says is in a file; the time of each in seconds is in each, and how many there
# are in ran.
many()
{
	name=$1 n=$2
	shift 2
	mkdir -p "$T/$name"
	ran=$(find "$T/$name" -type f | wc -l)
	before=$ran
	clock
	from=$t
	while [ "$ran" -lt "$n" ] && { [ "$ran" -eq "$before" ] || [ "$t" -lt "$end" ]; }; do
		ran=$((ran + 1))
		"$@" <input >"$name/$ran" 2>&1
		echo "status $?" >>"$name/$ran"
		clock
	done
	ms=$(((t - from) * 10 / (ran - before)))
	each=$((ms / 1000)).$(printf %03d $((ms % 1000)))
}

# How many different files there are in a folder; what each says the sum is; how many
# are right.
different()
{
	sha256sum "$1"/* 2>/dev/null | cut -c 1-64 | sort -u | wc -l
}

sums()
{
	sed -n 's/^all: \([0-9]*\) words/\1/p' "$1"/* 2>/dev/null
}

nr_right()
{
	sums "$1" | grep -cx "$right"
}

plural()
{
	case $1-$2 in
	1-*) echo "1 $2" ;;
	*-hash) echo "$1 hashes" ;;
	*) echo "$1 ${2}s" ;;
	esac
}

serially()
{
	take_part 1
	many serial 1 env DET_OPTIONS=backend=serial ./words
	right=$(sums serial)
	say
	say "1. One part after the other: ${right:-?} words, which is right."
	[ -n "$right" ] || { wrong "$(head -n 1 serial/1)" && exit 1; }
}

# show_sums NAME: all that there were, and how many were right
show_sums()
{
	sums "$1" | sort -nu | tr '\n' ' ' | fold -s -w 72 | sed 's/^/     /'
	say
	say "   $(nr_right "$1") of $ran are right."
}

with_threads()
{
	take_part 5
	many threads $RUNS env DET_OPTIONS=backend=threads ./words
	if [ "$(sums threads | sort -u | wc -l)" -le 1 ]; then
		say "2. With pthreads, $ran runs have one answer. There are more of them:"
		take_part 3
		many threads $((RUNS + MORE)) env DET_OPTIONS=backend=threads ./words
	fi
	found=$(sums threads | sort -u | wc -l)
	say "2. With pthreads, $ran runs: $(plural "$found" answer). $each s a run."
	show_sums threads
	[ "$found" -gt 1 ] || wrong "threads had one answer: they have not met. Try a longer FILE."
}

in_spaces()
{
	take_part 3
	many spaces $RUNS ./words
	found=$(different spaces)
	say "3. The same program file in spaces, $ran runs: $(plural "$found" report). $each s a run."
	sed -n '/^WARNING/,/^SUMMARY/s/^/     /p' spaces/1
	[ "$found" -eq 1 ] || wrong "there should be one report"
	grep -q '^conflict: count ' spaces/1 || wrong "it should name the variable count"
	grep -q '^status 66$' spaces/1 || wrong "the status should be 66"
	grep -q 'at demo.c:' spaces/1 ||
		say "   With the package libdw1 on this machine it would name file and line."
	say "   Of strtok() it says nothing: what the C library keeps, each member has for itself."
}

# with_tsan NAME PROGRAM: what it finds
with_tsan()
{
	take_part 6
	many "$1" $TSAN_RUNS "./$2"
	warned=$(grep -l 'WARNING: ThreadSanitizer' "$1"/* | wc -l)
}

original_tsan()
{
	if [ ! -x words-tsan ]; then
		say "4. ThreadSanitizer: gcc has none here."
		return
	fi
	with_tsan tsan words-tsan
	if ! grep -qh '^all: ' tsan/*; then
		say "4. ThreadSanitizer does not run here: $(head -n 1 tsan/1)"
		rm -f repaired-tsan
		return
	fi
	say "4. ThreadSanitizer, with pthreads: a warning in $warned of $ran runs. $each s a run."
	sed -n 's/^SUMMARY: /     /p' tsan/* | sort -u
}

show_patch()
{
	say "5. The repair: two lines. strtok() stays."
	sed -n '/^@@/,$s/^/     /p' "$PATCH"
}

repaired_elsewhere()
{
	take_part 6
	many repaired-threads $RUNS env DET_OPTIONS=backend=threads ./repaired
	found=$(sums repaired-threads | sort -u | wc -l)
	say "6. Repaired, with pthreads, $ran runs: $(plural "$found" answer). $each s a run."
	say "   $(nr_right repaired-threads) of $ran are right.$([ "$found" -le 1 ] ||
		echo " To threads, strtok() is still a mistake.")"
	[ -x repaired-tsan ] || return
	with_tsan repaired-tsan-runs repaired-tsan
	say "   ThreadSanitizer: a warning in $warned of $ran runs, $(
		nr_right repaired-tsan-runs) of $ran are right. $each s a run."
}

# Computes, and forks.
load()
{
	while :; do
		i=0
		while [ $i -lt 3000 ]; do
			i=$((i + 1))
		done
		busybox true
	done
}

# on_cpus N RUNS: that many more, on the first N CPUs, which the load has as well
on_cpus()
{
	taskset -p "$(printf %x $(((1 << $1) - 1)))" $$ >/dev/null || wrong "no taskset"
	load &
	load=$!
	many "on-$1" "$2" ./repaired
	kill $load
	wait $load 2>/dev/null
	say "     $(plural "$1" CPU): $(plural "$ran" run), $(plural "$(different "on-$1")" hash), $each s a run"
	for run in "on-$1"/*; do
		[ ! -f "$run" ] || mv "$run" "repaired-spaces/$1-${run##*/}"
	done
}

# Each number of CPUs has as much time as is left to it.
repaired_in_spaces()
{
	say "7. Repaired, in spaces, beside a program that computes and forks:"
	mkdir repaired-spaces
	phases=$(echo "$LIST" | wc -w)
	left=$REPAIRED_RUNS
	for cpus in $LIST; do
		take_part "$phases"
		on_cpus "$cpus" $(((left + phases - 1) / phases))
		left=$((left - ran))
		phases=$((phases - 1))
	done
	ran=$(find repaired-spaces -type f | wc -l)
	found=$(different repaired-spaces)
	say "   $(plural "$ran" run): $(plural "$found" hash), $(nr_right repaired-spaces) of $ran are right:"
	sha256sum repaired-spaces/* 2>/dev/null | cut -c 1-64 | sort -u | head -n 3 | sed 's/^/     /'
	[ "$found" -eq 1 ] || wrong "there should be one hash"
	[ "$(nr_right repaired-spaces)" -eq "$ran" ] || wrong "all should be right"
}

! grep -q 'QEMU TCG' /proc/cpuinfo ||
	say "Without KVM: QEMU emulates the CPUs, and everything takes longer."
prepare
serially
with_threads
in_spaces
original_tsan
show_patch
repaired_elsewhere
repaired_in_spaces
say
seconds=$(($(date +%s) - BEGUN))
[ $failed -eq 0 ] || { say "FAILED after $seconds seconds." && exit 1; }
say "All as it should be, after $seconds seconds."

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Tests the programs against others that do the same: sort, md5sum, and their
# own sequential selves; and what they say to wrong options and missing files.
#
# usage: test.sh FOLDER [MODE...]
# FOLDER has the programs; a MODE is spaces, pthreads, processes or serial.
# Without one all are tested, and spaces are skipped where the kernel has none.
set -u

if [ $# -lt 1 ] || [ ! -x "$1/dsort" ]; then
	echo "usage: test.sh FOLDER [MODE...]; FOLDER has dsort and the others" >&2
	exit 2
fi
from=$1
shift
passed=0 failed=0 skipped=0
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
# A copy starts faster where the folder is on another machine.
bin=$work/bin
mkdir "$bin" && cp "$from"/d* "$bin" || exit 2

# check NAME COMMAND...: passes if the command succeeds
check()
{
	name=$1
	shift
	if "$@" > "$work/said" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $name"
		sed 's/^/    /' "$work/said" | head -n 10
	fi
}

make_files()
{
	mkdir "$work/in"
	: > "$work/in/empty"
	echo > "$work/in/one-newline"
	printf 'x' > "$work/in/one-letter"
	printf '\n\n\nb\n\na\n\n' > "$work/in/empty-lines"
	printf 'b\na\nc' > "$work/in/no-final-newline"
	printf 'b\0a\nb\0\nb\n\0\n\0\0\na\0b\nb' > "$work/in/nul-bytes"
	printf 'ab\na\nabc\n\303\244\nB\n\377\n \n' > "$work/in/not-ascii"
	head -c 300000 /dev/zero | tr '\0' x > "$work/in/huge-line"
	head -c 100000 /dev/zero | tr '\0' '\n' > "$work/in/all-the-same"
	head -c 200000 "$bin/dsort" > "$work/in/binary"
	cat "$(dirname "$0")"/*.c > "$work/in/text" 2> /dev/null
}

sorts_like_sort()
{
	LC_ALL=C sort "$3" > "$work/want" || return 1
	"$bin/dsort" "--mode=$1" "--workers=$2" "$3" > "$work/got" || return 1
	cmp "$work/got" "$work/want" || return 1
	"$bin/dsort" "--mode=$1" "--workers=$2" < "$3" | cmp - "$work/want"
}

test_sort()
{
	if ! sort --version 2> /dev/null | grep -q GNU; then
		echo "skipped: dsort, there is no GNU sort to compare with"
		skipped=$((skipped + 1))
		return
	fi
	for file in "$work"/in/*; do
		for workers in 1 7; do
			check "dsort, $1, $workers workers, ${file##*/}" \
				sorts_like_sort "$1" "$workers" "$file"
		done
	done
	check "dsort, $1, more workers than lines" \
		sorts_like_sort "$1" 10 "$work/in/no-final-newline"
}

# finds MODE WORD OPTION...
finds()
{
	mode=$1 word=$2
	shift 2
	sum=$(printf %s "$word" | md5sum | cut -c 1-32)
	got=$("$bin/dmd5" "--mode=$mode" "$@" "$sum") || return 1
	echo "$got"
	[ "$got" = "$sum: $word" ]
}

# status N COMMAND...: ends with status N
status()
{
	want=$1
	shift
	"$@"
	got=$?
	echo "status $got instead of $want"
	[ "$got" = "$want" ]
}

test_md5()
{
	check "dmd5, $1, the empty text" finds "$1" "" --length=3
	check "dmd5, $1, abc" finds "$1" abc --length=3
	check "dmd5, $1, the last text" finds "$1" zzz --length=3
	check "dmd5, $1, four letters" finds "$1" gkwe
	check "dmd5, $1, other letters" \
		finds "$1" "00 1 10" --alphabet="01 " --length=8
	check "dmd5, $1, longer" \
		finds "$1" aaaaaaaaaabaaaaa --alphabet=ab --length=16
	check "dmd5, $1, none" status 1 "$bin/dmd5" "--mode=$1" --length=2 \
		00000000000000000000000000000000
}

test_matrices()
{
	for size in 1 2 7 64 100; do
		check "dmatmul, $1, $size" \
			"$bin/dmatmul" "--mode=$1" "--size=$size" --check
		check "dlu, $1, $size" "$bin/dlu" "--mode=$1" "--size=$size" \
			--block=16 --check
	done
}

# again_as_once MODE PROGRAM OPTION...: the work three times, in one process
again_as_once()
{
	mode=$1 program=$2
	shift 2
	"$bin/$program" "--mode=$mode" "$@" > "$work/want" || return 1
	"$bin/$program" "--mode=$mode" --rounds=3 --time "$@" > "$work/got" 2> "$work/err" ||
		return 1
	diff "$work/got" "$work/want" || return 1
	cat "$work/err"
	[ "$(grep -c "^$program: [0-9.]* seconds" "$work/err")" = 1 ] &&
		[ "$(grep -c "^$program: first [0-9.]* seconds" "$work/err")" = 1 ]
}

test_rounds()
{
	check "dsort, $1, again" again_as_once "$1" dsort "$work/in/text"
	check "dmd5, $1, again" again_as_once "$1" dmd5 --length=3 \
		f3abb86bd34cf4d52698f14c0da1dc60
	check "dmatmul, $1, again" again_as_once "$1" dmatmul --size=20 --check
	check "dlu, $1, again" again_as_once "$1" dlu --size=50 --block=16 --check
}

# says_as_serial MODE PROGRAM OPTION...: the sequential program's output
says_as_serial()
{
	mode=$1 program=$2
	shift 2
	"$bin/$program" --mode=serial "$@" > "$work/want" || return 1
	[ -s "$work/want" ] || return 1
	"$bin/$program" "--mode=$mode" --check "$@" > "$work/got" || return 1
	diff "$work/got" "$work/want"
}

# Those that make their input and have one result.
INPUT="dhistogram dkmeans dlinreg dstringmatch dwordcount dblackscholes dfft dcanneal dgauss"

test_input()
{
	for program in $INPUT; do
		for workers in 1 3 4 16; do
			# It makes new workers for each row.
			[ "$program $workers" != "dgauss 16" ] || continue
			check "$program, $1, $workers workers" says_as_serial \
				"$1" "$program" "--workers=$workers"
		done
		check "$program, $1, another seed" \
			says_as_serial "$1" "$program" --seed=123456789
	done
}

# Without a race, and in spaces, what comes of it is foretold.
test_racey()
{
	check "dracey, $1, 1 worker" \
		says_as_serial "$1" dracey --workers=1 --seed=7
	case $1 in
	serial | spaces)
		for workers in 3 4 64; do
			check "dracey, $1, $workers workers" says_as_serial \
				"$1" dracey "--workers=$workers"
		done
		;;
	*)
		check "dracey, $1, a race" "$bin/dracey" "--mode=$1"
		;;
	esac
}

# In spaces it is wrong, and the same in 3 runs.
forgets_alike()
{
	"$bin/dgauss" --mode=spaces --workers=2 --forget-join > "$work/first" || return 1
	cat "$work/first"
	for run in 2 3; do
		echo "run $run"
		"$bin/dgauss" --mode=spaces --workers=2 --forget-join |
			cmp - "$work/first" || return 1
	done
	status 1 "$bin/dgauss" --mode=spaces --workers=2 --forget-join --check
}

test_forgotten_join()
{
	case $1 in
	serial)
		check "dgauss, $1, a forgotten join" \
			says_as_serial "$1" dgauss --forget-join
		;;
	spaces)
		check "dgauss, $1, a forgotten join" forgets_alike
		;;
	*)
		check "dgauss, $1, a forgotten join" \
			"$bin/dgauss" "--mode=$1" --forget-join
		;;
	esac
}

# other_seed PROGRAM: has another result
other_seed()
{
	"$bin/$1" --mode=serial > "$work/first" || return 1
	"$bin/$1" --mode=serial --seed=2 > "$work/got" || return 1
	! cmp -s "$work/first" "$work/got"
}

# The same report from 10 runs, each loaded somewhere else.
same_report()
{
	"$bin/drace" --times=1000 > "$work/first" || return 1
	cat "$work/first"
	i=1
	while [ $i -lt 10 ]; do
		"$bin/drace" --times=1000 | cmp - "$work/first" || return 1
		i=$((i + 1))
	done
	cat > "$work/want" <<-'END'
	join of worker 1:
	conflict: counter[5] (int, 4 bytes)
	join of worker 2:
	conflict: counter[5] (int, 4 bytes)
	join of worker 3:
	conflict: counter[5] (int, 4 bytes)
	counter[0] = 1000
	counter[1] = 0
	counter[2] = 0
	counter[3] = 0
	counter[4] = 0
	counter[5] = 1000
	counter[6] = 0
	counter[7] = 0
	END
	cmp "$work/first" "$work/want"
}

example_says()
{
	"$bin/det-example" > "$work/got"
	[ $? = 1 ] || return 1
	cat > "$work/want" <<-'END'
	join of space 2:
	conflict: counter[3] (int, 4 bytes)
	counter[0] = 0
	counter[1] = 1
	counter[2] = 0
	counter[3] = 1
	END
	diff "$work/got" "$work/want"
}

clock_says()
{
	"$bin/det-clock" > "$work/got" || return 1
	printf 'space 0: 1 2 3\nspace 1: 1 2 3\n' | diff "$work/got" -
}

# main_job_with PROGRAM SCRIPT: runs with SCRIPT in place of PROGRAM
main_job_with()
{
	rm -rf "$work/fake"
	cp -r "$bin" "$work/fake"
	printf '#!/bin/sh\n%s\n' "$2" > "$work/fake/$1"
	"$work/fake/det-main-job" --runs=2 --cpus=1 "$work/in/text"
}

test_main_job()
{
	[ "$1" = spaces ] || return
	check "det-main-job" \
		"$bin/det-main-job" --runs=1 --cpus=1 "$work/in/text"
	# shellcheck disable=SC2016 # the script's shell
	check "det-main-job, two results in spaces" \
		status 1 main_job_with drace 'echo $$'
	check "det-main-job, an unsorted file" status 1 \
		main_job_with dsort "cat '$work/in/text'"
	check "det-main-job, lines lost" status 1 \
		main_job_with dsort "sort '$work/in/text' | sed 5d"
	# shellcheck disable=SC2016
	check "det-main-job, wrong only in spaces" status 1 \
		main_job_with dlu 'case $1 in *spaces) echo 1;; *) echo 2;; esac'
	check "det-main-job, a program that fails" status 2 \
		main_job_with dmd5 'exit 2'
}

# What of it can run without spaces.
test_library()
{
	case $1 in
	pthreads) check "the library, threads" \
		env DET_OPTIONS=backend=threads "$bin/det-team-test" ;;
	serial)
		check "the library, one after another" \
			env DET_OPTIONS=backend=serial "$bin/det-team-test"
		check "the library, heap" "$bin/det-heap-test"
		check "the library, a wrong option" \
			refuses 66 backand env DET_OPTIONS=backand=serial "$bin/det-heap-test"
		;;
	esac
}

test_race()
{
	[ "$1" = spaces ] || return
	# Few rounds: all of it is done with shared libraries ("make test TEST=library").
	check "the library, heap" "$bin/det-heap-test" 5 5000
	for t in join team output libc cxx; do
		[ ! -x "$bin/det-$t-test" ] || check "the library, $t" "$bin/det-$t-test"
	done
	check "drace, 10 runs" same_report
	check "example" example_says
	check "clock" clock_says
}

# refuses STATUS WORD COMMAND...: one line with WORD in it, and the status
refuses()
{
	want=$1 word=$2
	shift 2
	"$@" > "$work/out" 2> "$work/err"
	got=$?
	cat "$work/err"
	[ "$got" = "$want" ] && [ ! -s "$work/out" ] &&
		[ "$(wc -l < "$work/err")" = 1 ] && grep -qF -e "$word" "$work/err"
}

test_options()
{
	for program in dsort dmd5 dmatmul dlu drace dracey $INPUT \
		det-main-job; do
		check "$program --help" "$bin/$program" --help
		check "$program --nonsense" \
			refuses 2 --nonsense "$bin/$program" --nonsense
		check "$program -x" refuses 2 -x "$bin/$program" -x
	done
	for program in dsort dmatmul dlu drace dracey $INPUT; do
		check "$program --mode=x" refuses 2 x "$bin/$program" --mode=x
		check "$program --workers=0" \
			refuses 2 "'0'" "$bin/$program" --workers=0
		check "$program --workers" \
			refuses 2 --workers=N "$bin/$program" --workers
	done
	for program in dracey $INPUT; do
		check "$program --size=x" \
			refuses 2 "'x'" "$bin/$program" --size=x
		check "$program --seed=-1" \
			refuses 2 "'-1'" "$bin/$program" --seed=-1
		check "$program --check=1" \
			refuses 2 "no value" "$bin/$program" --check=1
		check "$program, an argument" \
			refuses 2 file "$bin/$program" file
		check "$program, two seeds" other_seed "$program"
	done
	check "drace --mode=processes" \
		refuses 2 processes "$bin/drace" --mode=processes
	check "dsort, no such file" refuses 2 "$work/none" \
		"$bin/dsort" --mode=serial "$work/none"
	check "det-main-job, no such file" refuses 2 "$work/none" \
		"$bin/det-main-job" "$work/none"
	check "det-main-job, not an MD5" refuses 2 "'abc'" \
		"$bin/det-main-job" --md5=abc "$work/in/text"
	check "dsort, a folder" refuses 2 "$work" \
		"$bin/dsort" --mode=serial "$work"
	check "dsort, a full disk" refuses 2 "No space" \
		"$bin/dsort" --mode=serial --output=/dev/full "$work/in/text"
	check "dmd5 without an MD5" refuses 2 MD5 "$bin/dmd5"
	check "dmd5, no MD5" refuses 2 abc "$bin/dmd5" abc
	check "dmd5, too much" refuses 2 "too many" "$bin/dmd5" --length=40 \
		00000000000000000000000000000000
	check "dmatmul --rounds=0" refuses 2 "'0'" \
		"$bin/dmatmul" --mode=serial --rounds=0
	check "dmatmul --size=0" refuses 2 "'0'" "$bin/dmatmul" --size=0
}

# A limit of CPU time ends the worker, and not its parent, which waits.
worker_dies()
{
	(
		# shellcheck disable=SC3045 # dash, bash and busybox have them
		ulimit -c 0 && ulimit -t 1
		refuses 2 "worker 0 died" \
			"$bin/dmatmul" --mode=processes --workers=1 --size=2500
	)
}

test_processes()
{
	[ "$1" = processes ] || return
	check "a worker that dies" worker_dies
}

make_files
if [ $# = 0 ]; then
	set -- serial pthreads processes
	if "$bin/dmatmul" --mode=spaces --size=1 > /dev/null 2>&1; then
		set -- "$@" spaces
	else
		echo "skipped: spaces, which this kernel has not"
		skipped=$((skipped + 1))
	fi
fi
# Options are the same in every mode: not where each start is slow.
[ "$*" = spaces ] || test_options
for mode; do
	test_sort "$mode"
	test_md5 "$mode"
	test_matrices "$mode"
	test_rounds "$mode"
	test_input "$mode"
	test_racey "$mode"
	test_forgotten_join "$mode"
	test_race "$mode"
	test_library "$mode"
	test_processes "$mode"
	test_main_job "$mode"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

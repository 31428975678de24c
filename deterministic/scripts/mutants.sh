#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Do the tests find mistakes of the kernel's? mutants.sh fuzzer | survival. Each
# patch in the folder mutants of that test makes one. It is applied to a copy of
# the tree, and the test must find something in that kernel, and nothing in the
# kernel as it is. TAP on stdout. TEST=05 takes those whose names begin so.
#
# All is copied with its dates, and the names of the folders in what make
# remembers are changed, so only what a patch changes is compiled again.
# shellcheck disable=SC2317 # step and timed call them

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock mutants

case ${1:-} in
fuzzer) MUTANTS=$ROOT/tools/testing/fuzz-spaces/mutants ;;
survival) MUTANTS=$ROOT/tools/testing/survival/mutants ;;
*) die "mutants.sh: fuzzer or survival" ;;
esac
by=$1
FUZZ=$B/user/survival/fuzz
W=$B/mutants
IMAGE=arch/x86/boot/bzImage
NR=0
FAILED=0

export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=deterministic KBUILD_BUILD_HOST=deterministic
export KBUILD_BUILD_VERSION=1 LOCALVERSION=
export SOURCE_DATE_EPOCH=0

# As kernel.sh has it: another compiler would mean another build of everything.
cc=gcc
! command -v ccache >/dev/null || cc='ccache gcc'

# result STATUS TEXT
result() {
	NR=$((NR + 1))
	if [ "$1" -eq 0 ]; then
		say "ok $NR - $2"
	else
		FAILED=$((FAILED + 1))
		say "not ok $NR - $2"
	fi
}

finish() {
	say "1..$NR"
	[ "$FAILED" -eq 0 ]
	exit
}

# What a patch says of itself before its first file: header PATCH KEY
header() {
	sed -n "/^---/q; s/^# $2: //p" "$1"
}

# Is a patch among those that TEST chooses?
wanted() {
	case ${1##*/} in
	"${TEST:-}"*) return 0 ;;
	esac
	return 1
}

# Leaves the kinds of kernel that are needed in kinds. A patch for none would
# never be tried.
choose() {
	kinds=
	for p in "$MUTANTS"/*.patch; do
		k=$(header "$p" kernel)
		case $k in
		plain | debug) ;;
		*) die "$p does not say '# kernel: plain' or '# kernel: debug'" ;;
		esac
		wanted "$p" || continue
		case " $kinds " in
		*" $k "*) ;;
		*) kinds="$kinds $k" ;;
		esac
	done
	[ -n "$kinds" ] || die "no patch in $MUTANTS begins with '${TEST:-}'"
}

# Files that nobody touches are hard links to those of build/linux and cost no
# space; our files are links there, and copies here.
copy_tree() {
	rm -rf "$W"
	mkdir -p "$W"
	cp -al "$B/linux" "$W/linux"
	while read -r f; do
		rm -f "$W/linux/$f"
		cp -pL "$B/linux/$f" "$W/linux/$f"
	done <"$B/state/links"
}

# What the build of $from has left, as if it had been made in $out.
copy_build() {
	rm -rf "$out"
	cp -a --reflink=auto "$from" "$out"
	find "$out" -name '*.cmd' -exec \
		sed -i "s|$B/linux|$W/linux|g; s|$from|$out|g" {} +
}

# With new dates, or make would keep the objects.
undo() {
	[ -d "$W/was" ] || return 0
	(cd "$W/was" && find . -type f) | while read -r f; do
		cp "$W/was/$f" "$W/linux/$f"
	done
	rm -rf "$W/was"
}

# A file is copied before it is changed: it may be a hard link.
change() {
	undo
	sed -n 's,^+++ b/\([^	]*\).*,\1,p' "$1" | while read -r f; do
		mkdir -p "$W/was/${f%/*}"
		mv "$W/linux/$f" "$W/was/$f"
		cp "$W/was/$f" "$W/linux/$f"
	done
	patch -d "$W/linux" -p1 --no-backup-if-mismatch --fuzz=0 --force -r - <"$1"
}

build() {
	change "$1"
	make -C "$W/linux" O="$out" ARCH=x86_64 CC="$cc" HOSTCC="$cc" -j"$(jobs)" bzImage
	# The same sources give the same kernel in any folder.
	! cmp "$out/$IMAGE" "$from/$IMAGE" || {
		echo "the patch does not change the kernel"
		return 1
	}
}

# fuzz KERNEL NAME: leaves the guest's status in rc, and the time in took.
fuzz() {
	fuzz_log=$B/log/fuzz-$2.log
	kernel_log=$B/log/fuzz-$2.kernel.log
	limit=300
	[ "$kind" = plain ] || limit=1200
	begun=$(now)
	ticker "fuzzing $2" "${fuzz_log#"$ROOT/"}"
	rc=0
	# shellcheck disable=SC2086 # words
	"$ROOT/deterministic/guest/boot" --kernel "$1" ${debug:+--debug} --cpus "${CPUS:-2}" \
		${MEM:+--mem "$MEM"} ${ACCEL:+--accel "$ACCEL"} --timeout "$limit" \
		--log "$kernel_log" --host-root -- "$FUZZ" -s 1 -t 60 -l 10 \
		>"$fuzz_log" 2>&1 </dev/null || rc=$?
	ticker_end
	printf '  %s\n' "${fuzz_log#"$ROOT/"}"
	took=$(($(now) - begun))
}

# survive KERNEL NAME CASE: a case of survival.sh, in the same way.
survive() {
	fuzz_log=$B/log/survive-$2.log
	begun=$(now)
	ticker "surviving $2" "${fuzz_log#"$ROOT/"}"
	rc=0
	KERNEL=$1 "$SCRIPTS/survival.sh" --case "$3" 30 1 "$kind" >"$fuzz_log" 2>&1 || rc=$?
	ticker_end
	printf '  %s\n' "${fuzz_log#"$ROOT/"}"
	took=$(($(now) - begun))
}

# By what it was found: leaves it in how. A guest that did not get as far as the
# test has found nothing.
found_by_fuzzer() {
	how=
	case $rc in
	1) how="a difference" ;;
	124) ! grep -q 'command has not ended' "$fuzz_log" || how="a fuzzer that does not end" ;;
	125) "$ROOT/deterministic/guest/log-check" "$kernel_log" >/dev/null 2>&1 ||
		how="the kernel's log" ;;
	esac
	operations=$(sed -n 's/^fuzz: .* \([0-9][0-9]*\) operations.*/\1/p' "$fuzz_log" | tail -n 1)
	[ -n "$how" ]
}

found_by_survival() {
	operations=
	how=$(grep '^not ok ' "$fuzz_log" | grep -v '(status ' | head -n 1)
	[ -n "$how" ]
}

last_lines() {
	tail -n 20 "$1" | sed 's/^/#   /'
}

# unchanged [CASE]: what is found in the kernel as it is would be found in all
# others, too.
unchanged() {
	what="${debug:+debug }kernel as it is${1:+ by $1}"
	try "$from/$IMAGE" "$kind" "${1:-}"
	if [ "$by" = fuzzer ]; then
		[ "$rc" -eq 0 ]
	else
		grep -q '^ok ' "$fuzz_log" && ! grep -q '^not ok ' "$fuzz_log"
	fi && {
		result 0 "nothing is found in the $what"
		return
	}
	result 1 "nothing is found in the $what (status $rc)"
	last_lines "$fuzz_log"
	[ "$by" != fuzzer ] || finish
}

# try KERNEL NAME [CASE]
try() {
	if [ "$by" = fuzzer ]; then
		fuzz "$1" "$2"
	else
		survive "$@"
	fi
}

# mutant NAME PATCH
mutant() {
	timed "fuzz-$1.build" "building $1" build "$2"
	if [ "$rc" -ne 0 ]; then
		result 1 "$1: its kernel could not be made"
		last_lines "$B/log/fuzz-$1.build.log"
		return
	fi
	try "$out/$IMAGE" "$1" "$(header "$2" case)"
	if "found_by_$by"; then
		result 0 "$1: found${operations:+ with $operations operations} in $took s, by $how"
		return
	fi
	result 1 "$1: not found${operations:+ with $operations operations} in $took s (status $rc)"
	say "#   class: $(header "$2" class)"
	say "#   what: $(header "$2" what)"
	say "#   seen by: $(header "$2" 'seen by')"
	last_lines "$fuzz_log"
}

# The cases of survival.sh that the wanted patches name.
cases() {
	for p in "$MUTANTS"/*.patch; do
		if wanted "$p" && [ "$(header "$p" kernel)" = "$kind" ]; then
			header "$p" case
		fi
	done | sort -u
}

# All that are for one kind of kernel.
mutants() {
	kind=$1
	debug=
	[ "$kind" = plain ] || debug=1
	from=$B/out${debug:+-debug}
	out=$W/out${debug:+-debug}
	if [ "$by" = fuzzer ]; then
		unchanged
	else
		for c in $(cases); do
			unchanged "$c"
		done
	fi
	step "fuzz-$kind.copy" "copying what was built" copy_build
	for p in "$MUTANTS"/*.patch; do
		if wanted "$p" && [ "$(header "$p" kernel)" = "$kind" ]; then
			name=${p##*/}
			mutant "${name%.patch}" "$p"
		fi
	done
}

# A function, so that an edit of this file does not change a run.
main() {
	choose
	"$SCRIPTS/fetch.sh" test
	"$SCRIPTS/tree.sh"
	for k in $kinds; do
		"$SCRIPTS/kernel.sh" --quick "$k"
	done
	"$SCRIPTS/user.sh"
	[ -x "$FUZZ" ] || die "there is no fuzzer $FUZZ: 'make user' builds it"
	need_space 3000 "a copy of what was built"
	step fuzz-tree "copying the tree" copy_tree
	for k in $kinds; do
		mutants "$k"
	done
	finish
}

main

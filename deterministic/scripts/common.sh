# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2034
#
# What all scripts share: where things are, one-line errors, timed steps with a
# log, and the lock of the build folder. It is sourced, after ROOT was set to
# the root of the repository.
#
# B is the physical path of build/. The kernel's own make can not work in a path
# with a space or a colon, so for such a repository build/ is a link to a folder
# in the user's cache.

set -eu
umask 022
LC_ALL=C.UTF-8
export LC_ALL
# The caller's make passes -j, variables and its job server in the environment;
# none of them is meant for the kernel's make.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL GNUMAKEFLAGS KBUILD_OUTPUT O CDPATH
# Nor is what the user has set for other builds.
unset ARCH SUBARCH CROSS_COMPILE LLVM LLVM_IAS V W C M KCFLAGS KAFLAGS KCPPFLAGS \
	CC HOSTCC HOSTCFLAGS HOSTLDFLAGS CFLAGS CPPFLAGS LDFLAGS LDLIBS

ROOT=$(cd "$ROOT" && pwd -P)
SCRIPTS=$ROOT/deterministic/scripts
PATH=$PATH:/usr/sbin:/sbin

# All that a person must act on: one line that says what and what to do.
die() {
	echo "error: $*" >&2
	exit 1
}

say() {
	printf '%s\n' "$*"
}

awkward_path() {
	case $1 in
	*[!A-Za-z0-9/._+@%,=~-]*) return 0 ;;
	esac
	return 1
}

# build/ beside the sources, or a link to a folder with a usable name.
set_build_folder() {
	if ! awkward_path "$ROOT"; then
		B=$ROOT/build
		mkdir -p "$B" 2>/dev/null ||
			die "can not write in $ROOT: copy it to a folder of your own"
	else
		cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}
		awkward_path "$cache" &&
			die "the kernel can not be built in a path with '$ROOT' in it, nor in '$cache': set XDG_CACHE_HOME to a folder without spaces"
		sum=$(printf '%s' "$ROOT" | cksum)
		B=$cache/deterministic-${sum%% *}
		mkdir -p "$B" || die "can not make $B: set XDG_CACHE_HOME to a folder of your own"
		B=$(cd "$B" && pwd -P)
		if [ ! -L "$ROOT/build" ]; then
			[ ! -d "$ROOT/build" ] || rmdir "$ROOT/build" 2>/dev/null ||
				die "$ROOT has a character that the kernel's make can not take: remove its folder build, it will be made in $B"
		fi
		ln -sfn "$B" "$ROOT/build"
	fi
	mkdir -p "$B/log" "$B/state" "$B/dl"
}
set_build_folder

elapsed() {
	printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

now() {
	date +%s
}

# lock NAME: one maker of this part of build/ at a time. The lock ends with the
# last process of a make, so what outlives a killed make is waited for.
lock() {
	exec 9>"$B/.lock-$1"
	if ! flock -n 9; then
		say "another make works on this (or ends just now): waiting for it" >&2
		flock 9
	fi
}

# On a terminal the time of a long step is seen to grow: ticker TEXT HINT, then
# ticker_end, which leaves the cursor behind the text.
ticker() {
	ticker_text=$1
	ticker_start=$(now)
	ticker_pid=
	if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
		(
			trap 'exit 0' TERM
			# A Ctrl-C ends the script, and not what it has in the background.
			while sleep 1 && kill -0 $$ 2>/dev/null; do
				printf '\r  %-44s %6s  %s' "$1" "$(elapsed $(($(now) - ticker_start)))" "$2"
			done
		) 9>&- &
		ticker_pid=$!
	else
		printf '  %-44s ' "$1"
	fi
}

ticker_end() {
	if [ -n "$ticker_pid" ]; then
		kill "$ticker_pid" 2>/dev/null || :
		wait "$ticker_pid" 2>/dev/null || :
		printf '\r\033[K  %-44s ' "$ticker_text"
	fi
	printf '%6s' "$(elapsed $(($(now) - ticker_start)))"
}

# Run a command with its output in a log, and one line on the screen with the
# time that it took: timed LOG TEXT COMMAND... leaves the status in rc. It must not
# be called behind || or in an if: the shell would go on after an error in it.
timed() {
	log=$B/log/$1.log
	text=$2
	shift 2
	ticker "$text" "${log#"$ROOT/"}"
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	ticker_end
	if [ "$rc" -eq 0 ]; then
		printf '  %s\n' "${log#"$ROOT/"}"
	else
		printf '  failed\n'
	fi
}

# Where the disk is full, the log may have had no room to say so.
check_full() {
	if grep -qsE 'No space left on device|Disk quota exceeded|enough free space' "$log" || [ "$(free_mib)" -lt 16 ]; then
		die "$text failed: the disk is full, of $B or of ${TMPDIR:-/tmp}: free some space and try again; the log: $log"
	fi
}

# A step that should not fail: if it does, the end of its log is shown.
step() {
	timed "$@"
	[ "$rc" -ne 0 ] || return 0
	check_full
	say "--- last lines of ${log#"$ROOT/"}:"
	tail -n 15 "$log"
	die "$text failed (status $rc); the whole log: $log"
}

# A step that fails for a known reason: quietly WHAT-TO-DO LOG TEXT COMMAND...
quietly() {
	advice=$1
	shift
	timed "$@"
	[ "$rc" -ne 0 ] || return 0
	check_full
	die "$text did not work: $advice; what was said is in $log"
}

# The second in which a file of a folder was written last. What a kill has cut off
# was written then, or just before.
last_write() {
	find "$1" -type f -printf '%T@\n' | sort -n | sed -n '$s/\..*//p'
}

# Free space in MiB where build/ is.
free_mib() {
	df -Pm "$B" | awk 'NR == 2 { print $4 }'
}

need_space() {
	have=$(free_mib)
	[ "$have" -ge "$1" ] ||
		die "$2 needs $1 MB of free space in $B, there are $have: free some, or move the repository to a larger disk"
}

# check_version FOLDER NAME: is it a Linux 6.12?
check_version() {
	v=$(sed -n 's/^VERSION = //p; s/^PATCHLEVEL = //p' "$1/Makefile" 2>/dev/null | tr '\n' .)
	[ "$v" = 6.12. ] ||
		die "$2 is ${v:-not a kernel source}${v:+ a Linux ${v%.} source}: Linux 6.12 is needed"
}

jobs() {
	n=$(nproc 2>/dev/null || echo 1)
	say "${JOBS:-$n}"
}

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Write build/series: what would be mailed, format-patch files that "git am"
# applies to a clean 6.12.y. series.sh [--check]
#
# The patches of patches/series come in order, each with our new files that
# patches/files gives it; after them the rest of our files, by what they are. A
# repository with the stock version of the files that are touched is made, the
# commits are made in it, and the result is applied by git am to a second one.
# Author and date are those of the patch, or of the newest change to a file.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

WORK=$B/series.work
REPO=$WORK/repo
OUT=$B/series
GIT="git -c core.hooksPath=/dev/null -c commit.gpgSign=false -c core.autocrlf=false"

# From git where there is one, else a neutral one.
author() {
	a=$(git -C "$ROOT" log -1 --format='%an <%ae>' -- "$@" 2>/dev/null) || a=
	say "${a:-deterministic <deterministic@localhost>}"
}

date_of() {
	d=$(git -C "$ROOT" log -1 --format=%aD -- "$@" 2>/dev/null) || d=
	say "${d:-Thu, 01 Jan 1970 00:00:00 +0000}"
}

# Of the patch whose message was taken last.
author_of_patch() {
	sed -n 's/^Author: //p' "$WORK/info" | tr '\n' ' '
	sed -n 's/^Email: \(.*\)/<\1>/p' "$WORK/info"
}

# The message of a patch file: the subject, its continuation, the body.
message() {
	git mailinfo -k "$WORK/body" /dev/null <"$1" >"$WORK/info" 2>/dev/null
	sed -n 's/^Subject: \(\[PATCH[^]]*\] *\)\{0,1\}//p' "$WORK/info"
	echo
	cat "$WORK/body"
}

sign() {
	grep -q '^Signed-off-by: ' "$1" || printf '\nSigned-off-by: %s\n' "$2" >>"$1"
}

commit() {
	sign "$WORK/message" "$1"
	(
		cd "$REPO"
		GIT_AUTHOR_NAME=${1%% <*} GIT_COMMITTER_NAME=${1%% <*}
		GIT_AUTHOR_EMAIL=${1##*<}
		GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL%>} GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
		GIT_AUTHOR_DATE=$2 GIT_COMMITTER_DATE=$2
		export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
		export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
		$GIT add -A
		$GIT commit -q --no-verify -F "$WORK/message"
	)
}

place() {
	case $1 in
	Kconfig) say kernel/Kconfig.deterministic ;;
	*) say "$1" ;;
	esac
}

# What only this repository has the tools for stays here.
OWN="develop survival"

take_file() {
	printf '%s\n' "$1" >>"$WORK/taken"
	p=$(place "$1")
	mkdir -p "$REPO/$(dirname "$p")"
	cp "$ROOT/$1" "$REPO/$p"
	for own in $OWN; do
		case $p in
		Documentation/deterministic/"$own".rst) rm "$REPO/$p" ;;
		Documentation/deterministic/index.rst) sed -i "/$own/d" "$REPO/$p" ;;
		esac
	done
}

# The files that patches/files gives to the patch with this number.
files_of() {
	[ ! -f "$ROOT/patches/files" ] ||
		sed -n -e 's/[[:space:]]*#.*//' -e "s/^$1[[:space:]]*//p" "$ROOT/patches/files" |
		tr -s '[:space:]' '\n'
}

stock_repo() {
	rm -rf "$WORK"
	mkdir -p "$REPO"
	while read -r f; do
		[ -e "$B/orig/$f" ] || continue
		mkdir -p "$REPO/${f%/*}"
		cp "$B/orig/$f" "$REPO/$f"
	done <"$B/state/touched"
	: >"$WORK/taken"
	cd "$REPO"
	$GIT init -q -b series
	$GIT add -A -f
	$GIT -c user.name=stock -c user.email=stock@localhost commit -q --allow-empty -m stock
	cd "$ROOT"
	cp -r "$REPO" "$WORK/clean"
}

add_patch() {
	message "$ROOT/patches/$1" >"$WORK/message"
	patch -d "$REPO" -p1 --no-backup-if-mismatch --fuzz=0 --force -s <"$ROOT/patches/$1"
	files_of "${1%%-*}" >"$WORK/files"
	while read -r f; do
		[ -f "$ROOT/$f" ] || die "patches/files names $f, which is not there"
		take_file "$f"
	done <"$WORK/files"
	who=$(author_of_patch)
	when=$(sed -n 's/^Date: //p' "$WORK/info")
	commit "${who:-$(author "patches/$1")}" "${when:-$(date_of "patches/$1")}"
}

# One commit of all of our files under a folder that no patch took.
add_rest() {
	subject=$1
	body=$2
	shift 2
	grep -vxF -f "$WORK/taken" "$B/state/ours" | while read -r f; do
		for d; do
			case $f in
			"$d"/*) printf '%s\n' "$f" ;;
			esac
		done
	done >"$WORK/files"
	[ -s "$WORK/files" ] || return 0
	while read -r f; do
		take_file "$f"
	done <"$WORK/files"
	printf '%s\n\n%s\n' "$subject" "$body" >"$WORK/message"
	commit "$(author "$@")" "$(date_of "$@")"
}

write_series() {
	"$SCRIPTS/tree.sh"
	stock_repo
	while read -r p; do
		add_patch "$p"
	done <"$B/state/series"
	add_rest "deterministic: kernel files" "Code that no other patch brings." \
		arch include kernel mm
	add_rest "Documentation: deterministic processes" \
		"A guide for users, a reference of the calls, and the design." \
		Documentation/deterministic
	add_rest "tools/testing: fuzz the merge of deterministic processes" \
		"The merge core has no dependency on the kernel's memory management: it is
compiled here and compared with a slow, simple one." tools/testing/dmem
	add_rest "selftests: deterministic processes" \
		"One file a concept, on kselftest_harness.h." tools/testing/selftests/deterministic
	add_rest "tools/lib/deterministic: a library for deterministic processes" \
		"Wrappers of the calls, fork and join, and reports of conflicts that name
variables." tools/lib/deterministic
	add_rest "tools/deterministic: programs that run in spaces" \
		"Benchmarks, matrices, races and more, each also with pthreads and with
forked processes." tools/deterministic
	left=$(grep -vxF -f "$WORK/taken" "$B/state/ours" || :)
	[ -z "$left" ] || die "no commit of the series has $(printf '%s' "$left" | head -1)"
	rm -rf "$OUT.new"
	mkdir -p "$OUT.new"
	(cd "$REPO" && $GIT format-patch -q --no-signature --zero-commit -o "$OUT.new" HEAD~"$(count)")
}

count() {
	echo $(($($GIT -C "$REPO" rev-list --count HEAD) - 1))
}

# What is written is what git am takes, and gives the tree that we build.
check_am() {
	(
		cd "$WORK/clean"
		$GIT -c user.name=am -c user.email=am@localhost am -q "$OUT.new"/*.patch
	)
	diff -r --exclude=.git "$WORK/clean" "$REPO"
	while read -r f; do
		cmp "$WORK/clean/$f" "$B/linux/$f"
	done <"$B/state/touched"
}

all() {
	write_series
	check_am
	rm -rf "$OUT"
	mv "$OUT.new" "$OUT"
}

lock series
step series "writing the series" all
say "$(find "$OUT" -name '*.patch' | wc -l) patches in ${OUT#"$ROOT/"}"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Make build/linux: the stock source, patches/series applied, our files linked.
#
# It can be killed at any moment. The source is unpacked beside and renamed. The
# stock version of a file is saved in build/orig before the file is changed for
# the first time, so what has no copy there is untouched. The series is always
# applied to the saved files in a folder of its own, and only files that differ
# are moved over: a changed patch costs the build what it changed.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock tree

TREE=$B/linux
ORIG=$B/orig
STAGE=$B/stage
LINKS=$B/state/links
PATCHED=$B/state/patched

# The folders of the repository that have a place in the kernel's tree.
OURS="arch include kernel mm Documentation/deterministic
tools/testing/selftests/deterministic tools/testing/dmem
tools/lib/deterministic tools/deterministic"

unpack() {
	mkdir -p "$TREE.new"
	if [ -d "$1" ]; then
		(cd "$1" && tar cf - --exclude=./.git --exclude='*.o' --exclude='*.cmd' .) |
			tar xf - -C "$TREE.new"
	else
		case $1 in
		*.deb)
			dpkg-deb --fsys-tarfile "$1" |
				tar xOf - --wildcards './usr/src/linux-source-*.tar.xz' |
				tar xJf - -C "$TREE.new" --strip-components=1
			;;
		*) tar xf "$1" -C "$TREE.new" --strip-components=1 ;;
		esac
	fi
	[ -f "$TREE.new/Makefile" ] || return 1
	if [ -f "$TREE.new/.config" ] || [ -d "$TREE.new/include/config" ]; then
		make -C "$TREE.new" mrproper
	fi
}

# The source is known by its name, size and date.
source_id() {
	[ -z "${KSRC:-}" ] || echo "the user's"
	if [ -d "$1" ]; then
		stat -c '%n dir' "$1"
		head -5 "$1/Makefile" | cksum
		git -C "$1" rev-parse HEAD 2>/dev/null || :
	else
		stat -c '%n %s %Y' "$1"
	fi
}

# A tree stays if it was made from the user's own source, or its source is gone.
tree_stays() {
	[ -z "${KSRC:-}" ] && [ -f "$TREE/.deterministic-source" ] || return 1
	grep -q "^the user's" "$TREE/.deterministic-source" || ! "$SCRIPTS/source.sh" >/dev/null 2>&1
}

make_stock() {
	! tree_stays || return 0
	src=$("$SCRIPTS/source.sh")
	id=$(source_id "$src")
	if [ "$(cat "$TREE/.deterministic-source" 2>/dev/null)" = "$id" ]; then
		return
	fi
	need_space 2500 "unpacking the kernel source"
	rm -rf "$TREE.new" "$TREE.old"
	advice="it is no kernel source, or not whole: name another with KSRC="
	case $src in
	"$B"/*) advice="it is not whole: remove it and try again" ;;
	esac
	quietly "$advice" unpack "unpacking ${src##*/}" unpack "$src"
	check_version "$TREE.new" "$src"
	printf '%s\n' "$id" >"$TREE.new/.deterministic-source"
	# From here to the second rename there is no tree: a kill means unpacking
	# again, never a half tree. ORIG belongs to the old tree and goes first.
	[ ! -e "$TREE" ] || mv "$TREE" "$TREE.old"
	rm -rf "$ORIG" "$LINKS" "$PATCHED"
	mv "$TREE.new" "$TREE"
	rm -rf "$TREE.old"
}

series() {
	[ ! -f "$ROOT/patches/series" ] ||
		sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' "$ROOT/patches/series"
}

# The existing files that the patches change.
touched() {
	series | while read -r p; do
		sed -n -e 's,^--- a/\([^	]*\).*,\1,p' -e 's,^+++ b/\([^	]*\).*,\1,p' "$ROOT/patches/$p"
	done | sort -u
}

# Put a file into the tree whole or not at all.
install_file() {
	mkdir -p "$TREE/${2%/*}" "$ORIG/.new"
	cp "$1" "$ORIG/.new/file"
	mv -f "$ORIG/.new/file" "$TREE/$2"
}

save_original() {
	[ ! -e "$ORIG/$1" ] && [ ! -e "$ORIG/$1.absent" ] || return 0
	mkdir -p "$ORIG/${1%/*}" "$ORIG/.new"
	if [ -e "$TREE/$1" ] && [ ! -L "$TREE/$1" ]; then
		cp -p "$TREE/$1" "$ORIG/.new/file"
		mv -f "$ORIG/.new/file" "$ORIG/$1"
	else
		: >"$ORIG/$1.absent"
	fi
}

apply_series() {
	rm -rf "$STAGE"
	mkdir -p "$STAGE"
	while read -r f; do
		save_original "$f"
		[ -e "$ORIG/$f" ] || continue
		mkdir -p "$STAGE/${f%/*}"
		cp "$ORIG/$f" "$STAGE/$f"
	done <"$B/state/touched"
	series >"$B/state/series"
	while read -r p; do
		[ -f "$ROOT/patches/$p" ] || die "patches/series names $p, which is not in patches/"
		patch -d "$STAGE" -p1 --no-backup-if-mismatch --fuzz=0 --force -s \
			<"$ROOT/patches/$p" >"$B/log/patch.log" 2>&1 || {
			cat "$B/log/patch.log" >&2
			die "patches/$p does not apply to $("$SCRIPTS/source.sh")"
		}
	done <"$B/state/series"
}

# Move over what differs; give back what no patch changes any more.
sync_tree() {
	cat "$B/state/touched" "$PATCHED" 2>/dev/null | sort -u >"$B/state/both"
	# Names stay in PATCHED until they are truly restored.
	cp "$B/state/both" "$PATCHED.new"
	mv "$PATCHED.new" "$PATCHED"
	while read -r f; do
		if grep -qxF -- "$f" "$B/state/touched"; then
			new=$STAGE/$f
		else
			new=$ORIG/$f
		fi
		if [ ! -e "$new" ]; then
			rm -f "$TREE/$f"
		elif ! cmp -s "$new" "$TREE/$f"; then
			install_file "$new" "$f"
		fi
	done <"$B/state/both"
	cp "$B/state/touched" "$PATCHED.new"
	mv "$PATCHED.new" "$PATCHED"
}

our_files() {
	(
		cd "$ROOT"
		for d in $OURS; do
			[ ! -d "$d" ] || find "$d" -type f ! -name '.*.swp' ! -name '*~' ! -name '*.o' \
				! -name '*.a' ! -name '*.d' -print
		done
		# What git ignores was made by a build and stays behind.
	) | sort | skip_ignored
	[ ! -f "$ROOT/Kconfig" ] || say Kconfig
}

skip_ignored() {
	if [ "$(git -C "$ROOT" rev-parse --show-toplevel 2>/dev/null)" = "$ROOT" ]; then
		cat >"$B/state/found"
		(cd "$ROOT" && git check-ignore --stdin <"$B/state/found") >"$B/state/ignored" 2>/dev/null || :
		grep -vxF -f "$B/state/ignored" "$B/state/found" || :
	else
		cat
	fi
}

place() {
	case $1 in
	Kconfig) say kernel/Kconfig.deterministic ;;
	*) say "$1" ;;
	esac
}

# A link as short as can be: relative where build/ lies in the repository.
target() {
	if [ "$B" = "$ROOT/build" ]; then
		printf '%s' "$2/" | sed -e 's,[^/]*/,../,g' -e 's,$,../../,'
		say "$1"
	else
		say "$ROOT/$1"
	fi
}

link_files() {
	our_files >"$B/state/ours"
	: >"$LINKS.new"
	while read -r f; do
		p=$(place "$f")
		printf '%s\n' "$p" >>"$LINKS.new"
		case $p in
		*/*) d=${p%/*} ;;
		esac
		t=$(target "$f" "$d")
		[ "$(readlink "$TREE/$p" 2>/dev/null)" = "$t" ] && continue
		[ ! -e "$TREE/$p" ] || [ -L "$TREE/$p" ] ||
			die "$p is in the stock kernel: a change to it belongs into patches/"
		mkdir -p "$TREE/$d"
		ln -sfn "$t" "$TREE/$p"
	done <"$B/state/ours"
	if [ -f "$LINKS" ]; then
		grep -vxF -f "$LINKS.new" "$LINKS" >"$LINKS.gone" || :
		while read -r p; do
			[ ! -L "$TREE/$p" ] || rm -f "$TREE/$p"
		done <"$LINKS.gone"
	fi
	mv "$LINKS.new" "$LINKS"
}

make_stock
touched >"$B/state/touched"
apply_series
sync_tree
link_files

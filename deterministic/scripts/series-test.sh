#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# git am takes the series on the oldest and on the newest 6.12 that the package
# archive offers. TAP on stdout. With --fetch, only download what is missing of these
# two; with --size, say how much that is, or nothing.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

PACKAGE=linux-source-6.12

# The files that the series touches, of another version, as a repository.
stock() {
	cd "$B"
	rm -rf "$B/series.work/other"
	mkdir -p "$B/series.work/other/src"
	cd "$B/series.work/other/src"
	sed 's,^,*/,' "$B/state/touched" >../names
	dpkg-deb --fsys-tarfile "$1" | tar xOf - --wildcards './usr/src/linux-source-*.tar.xz' |
		tar xJf - --strip-components=1 --wildcards -T ../names 2>/dev/null || :
	git init -q
	git add -A -f
	git -c user.name=stock -c user.email=stock@localhost commit -q -m stock
}

# The version that is built, as far as that is known before the tree is there.
ours() {
	if [ -f "$B/linux/Makefile" ]; then
		sed -n 's/^SUBLEVEL = /6.12./p' "$B/linux/Makefile"
		return
	fi
	{
		find "$B/dl" -maxdepth 1 -name "${PACKAGE}_*.deb" | sed 's/.*_\(6[^_]*\)_.*/\1/'
		dpkg-query -W -f '${Version}\n' "$PACKAGE" 2>/dev/null
	} | head -1 | sed 's/-.*//'
}

# The oldest and the newest that the archive has.
archive() {
	apt-cache madison "$PACKAGE" 2>/dev/null | awk '/Packages/ { print $3 }' | sort -uV |
		sed -n '1p; $p' | uniq
}

# find_deb VERSION: what was downloaded, or nothing
find_deb() {
	find "$B/dl/other" -name "*_$(printf '%s' "$1" | sed 's/:/%3a/')_*.deb" 2>/dev/null | head -1
}

missing() {
	for v in $(archive); do
		[ "${v%%-*}" = "$(ours)" ] || [ -n "$(find_deb "$v")" ] || say "$v"
	done
}

size() {
	for v in $(missing); do
		apt-cache show "$PACKAGE=$v"
	done | awk '/^Size:/ { n += $2 } END { if (n) printf "%.0f MB\n", n / 1e6 }'
}

download() {
	deb=$(find_deb "$1")
	[ -z "$deb" ] || return 0
	mkdir -p "$B/dl/other"
	(cd "$B/dl/other" && apt-get -o APT::Sandbox::User="$(id -un)" download "$PACKAGE=$1") >&2 ||
		return 1
	deb=$(find_deb "$1")
}

# on WHICH VERSION
on() {
	if [ "${2%%-*}" = "$OURS" ]; then
		say "ok - the series applies to the $1, $2 (the one that is built)"
	elif ! download "$2"; then
		say "ok - the series on the $1, $2 # SKIP it could not be downloaded"
	else
		stock "$deb"
		if git -c user.name=am -c user.email=am@localhost am -q "$B"/series/*.patch; then
			say "ok - git am takes the series on the $1, $2"
		else
			say "not ok - git am takes the series on the $1, $2"
		fi
	fi
}

case ${1:-} in
--size)
	size
	exit
	;;
--fetch)
	for v in $(missing); do
		download "$v"
	done
	exit
	;;
esac
"$SCRIPTS/series.sh"
OURS=$(ours)
say "ok - git am takes the series on $OURS"
versions=$(archive)
if [ -z "$versions" ]; then
	say "ok - the series on the oldest and newest 6.12 # SKIP no package archive is known"
	exit
fi
on oldest "$(printf '%s\n' "$versions" | head -1)"
on newest "$(printf '%s\n' "$versions" | tail -1)"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# git am takes the series on the oldest and on the newest 6.12 that the package
# archive offers. TAP on stdout.

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

download() {
	deb=$(find "$B/dl/other" -name "*_$(printf '%s' "$1" | sed 's/:/%3a/')_*.deb" 2>/dev/null | head -1)
	[ -z "$deb" ] || return 0
	mkdir -p "$B/dl/other"
	(cd "$B/dl/other" && apt-get -o APT::Sandbox::User="$(id -un)" download "$PACKAGE=$1") >&2 ||
		return 1
	deb=$(find "$B/dl/other" -name '*.deb' | sort | tail -1)
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

"$SCRIPTS/series.sh"
OURS=6.12.$(sed -n 's/^SUBLEVEL = //p' "$B/linux/Makefile")
say "ok - git am takes the series on $OURS"
versions=$(apt-cache madison "$PACKAGE" 2>/dev/null | awk '/Packages/ { print $3 }' | sort -V)
if [ -z "$versions" ]; then
	say "ok - the series on the oldest and newest 6.12 # SKIP no package archive is known"
	exit
fi
on oldest "$(printf '%s\n' "$versions" | head -1)"
on newest "$(printf '%s\n' "$versions" | tail -1)"

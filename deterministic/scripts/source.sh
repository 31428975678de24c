#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Say where the stock kernel source is: KSRC= (a folder or a tarball), a .deb
# in build/dl that was downloaded, or what the Debian package installed.
# With --check, only see whether what KSRC names can be a kernel source.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

from_user() {
	[ -e "$KSRC" ] || die "KSRC=$KSRC is not there: name a Linux 6.12 tree or tarball"
	[ -r "$KSRC" ] || die "KSRC=$KSRC can not be read"
	if [ -d "$KSRC" ]; then
		check_version "$KSRC" "KSRC=$KSRC"
		(cd "$KSRC" && pwd -P)
	else
		say "$(cd "$(dirname "$KSRC")" && pwd -P)/${KSRC##*/}"
	fi
}

if [ "${1:-}" = --check ]; then
	from_user >/dev/null
	exit
fi
if [ -n "${KSRC:-}" ]; then
	from_user
	exit
fi
for f in "$B"/dl/linux-source-6.12_*.deb /usr/src/linux-source-6.12.tar.xz; do
	if [ -f "$f" ]; then
		say "$f"
		exit
	fi
done
die "no kernel source: run 'make fetch', or name a Linux 6.12 tree or tarball with KSRC="

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Say where the stock kernel source is: KSRC= (a folder or a tarball), a .deb
# in build/dl that was downloaded, or what the Debian package installed.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

if [ -n "${KSRC:-}" ]; then
	[ -e "$KSRC" ] || die "KSRC=$KSRC is not there: name a Linux 6.12 tree or tarball"
	if [ -d "$KSRC" ]; then
		(cd "$KSRC" && pwd -P)
	else
		say "$(cd "$(dirname "$KSRC")" && pwd -P)/${KSRC##*/}"
	fi
	exit
fi
for f in "$B"/dl/linux-source-6.12_*.deb /usr/src/linux-source-6.12.tar.xz; do
	if [ -f "$f" ]; then
		say "$f"
		exit
	fi
done
die "no kernel source: run 'make fetch', or name a Linux 6.12 tree or tarball with KSRC="

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Make a stock tree beside the patched one: stock.sh FOLDER. Files that nobody
# touches are hard links to those of build/linux and cost no space; the others
# are copies of the originals.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

stock=$1
rm -rf "$stock.new"
mkdir -p "$(dirname "$stock")"
cp -al "$B/linux" "$stock.new"
while read -r f; do
	rm -f "$stock.new/$f"
	[ ! -e "$B/orig/$f" ] || cp -p "$B/orig/$f" "$stock.new/$f"
done <"$B/state/touched"
while read -r f; do
	rm -f "$stock.new/$f"
done <"$B/state/links"
rm -rf "$stock"
mv "$stock.new" "$stock"

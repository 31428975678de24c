#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Write build/compile_commands.json, where clangd looks for it: the kernel's own
# list, in which our files have the names that they have in the repository.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

"$SCRIPTS/fetch.sh" test
"$SCRIPTS/tree.sh"
"$SCRIPTS/kernel.sh" --quick plain

list() {
	python3 "$B/linux/scripts/clang-tools/gen_compile_commands.py" -d "$B/out" \
		-o "$B/compile_commands.new"
	while read -r f; do
		printf 's,"file": "[^"]*linux/%s","file": "%s/%s",\n' "$f" "$ROOT" "$f"
	done <"$B/state/ours" >"$B/state/ours.sed"
	sed -f "$B/state/ours.sed" "$B/compile_commands.new" >"$B/compile_commands.json"
	rm -f "$B/compile_commands.new" "$B/state/ours.sed"
}

step compile_commands "writing build/compile_commands.json" list

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Print the path of the main job's input: FILE=, or text from the kernel source,
# whole lines up to 2 MB (FULL=1: 20 MB), the same for the same source.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

if [ -n "${FILE:-}" ]; then
	say "$FILE"
	exit
fi
size=2000000
[ -z "${FULL:-}" ] || size=20000000
input=$B/state/input-$size
if [ -z "$(find "$input" -newer "$B/linux/.deterministic-source" 2>/dev/null)" ]; then
	# Our own files are links and not among them. cat ends by SIGPIPE.
	(cd "$B/linux" && find Documentation kernel mm -type f | LC_ALL=C sort | xargs cat) 2>/dev/null |
		head -c "$size" | sed '$d' >"$input.new"
	mv "$input.new" "$input"
fi
say "$input"

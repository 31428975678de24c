#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Configure a kernel: configure.sh [--done] OUT FRAGMENT...
# With --done, only say whether it is configured so already.
# The fragments are laid over x86-64's allnoconfig. A symbol that the kernel did
# not take (a missing dependency) is named: a KASAN that is asked for and not
# there would make every test of the debug kernel a lie.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

only_ask=
if [ "$1" = --done ]; then
	only_ask=1
	shift
fi
out=$1
shift
mkdir -p "$out"

# A later fragment wins over an earlier one.
wanted() {
	cat "$@" | awk '
		/^CONFIG_[A-Za-z0-9_]+=/ { s = substr($0, 1, index($0, "=") - 1); v[s] = $0 }
		/^# CONFIG_[A-Za-z0-9_]+ is not set$/ { v[$2] = $0 }
		END { for (s in v) print v[s] }' | sort
}

# What was asked for and is not so. A symbol that is off may also not exist.
missing() {
	while read -r line; do
		case $line in
		'# '*)
			s=${line#\# }
			s=${s%% *}
			! grep -q "^$s=" "$out/.config" || printf '%s ' "$s=n"
			;;
		*) grep -qxF -- "$line" "$out/.config" || printf '%s ' "$line" ;;
		esac
	done <"$out/.wanted"
}

wanted "$@" >"$out/.wanted.new"
id=$(cat "$B/linux/.deterministic-source" "$out/.wanted.new" | cksum)
# The Kconfig files are looked at by the kernel's own make, on each build.
if [ -f "$out/.config" ] && [ "$(cat "$out/.configured" 2>/dev/null)" = "$id" ]; then
	exit 0
fi
[ -z "$only_ask" ] || exit 1
mv "$out/.wanted.new" "$out/.wanted"
rm -f "$out/.configured"
make -C "${TREE:-$B/linux}" O="$out" ARCH=x86_64 KCONFIG_ALLCONFIG="$out/.wanted" allnoconfig
not=$(missing)
if [ -n "$not" ]; then
	echo "these options are not as asked for: $not"
	exit 1
fi
printf '%s\n' "$id" >"$out/.configured"

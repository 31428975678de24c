#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# make cost: what programs pay that have nothing to do with spaces, in instructions,
# on the stock kernel and on the patched one with the same options. Without any
# randomisation the figures are the same to the last digit in each run; more than
# 0.1 % more than the stock kernel's fails. TAP on stdout.
# shellcheck disable=SC2317 # step calls them

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

W=$B/cost

# measure KIND: lines "name instructions"
measure() {
	"$ROOT/deterministic/guest/boot" --kernel "$B/out-$1/arch/x86/boot/bzImage" \
		--accel icount --append "nokaslr norandmaps" --log "$B/log/cost-kernel.log" \
		-- /bin/det-ordinary >"$W/$1" </dev/null
}

report() {
	failed=0
	tr -d '\r' <"$W/stock" >"$W/list"
	while read -r name stock; do
		ours=$(tr -d '\r' <"$W/linux-selftests" | sed -n "s/^$name //p")
		word='not ok'
		if awk "BEGIN { exit !(${ours:-0} > 0 && ${ours:-0} <= $stock * 1.001) }"; then
			word=ok
		else
			failed=1
		fi
		say "$word - $name: $ours instructions, stock $stock ($(awk "BEGIN { printf \"%+.2f\", (${ours:-0} / $stock - 1) * 100 }") %)"
	done <"$W/list"
	[ "$failed" -eq 0 ] && [ -s "$W/list" ]
}

"$SCRIPTS/fetch.sh" run
"$SCRIPTS/tree.sh"
"$SCRIPTS/kernel.sh" --quick linux-selftests
step stock "making the stock tree" "$SCRIPTS/stock.sh" "$B/stock/linux"
"$SCRIPTS/kernel.sh" stock
"$SCRIPTS/user.sh"
mkdir -p "$W"
for k in stock linux-selftests; do
	step "cost-$k" "counting instructions, $k kernel" measure "$k"
done
report

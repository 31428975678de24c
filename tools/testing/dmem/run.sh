#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Run the test of the merge core, then show that it can fail: each mutant is
# the core with one fault, and the test must find it. One TAP stream.
set -u

nr=0
failed=0

# result STATUS NAME
result() {
	nr=$((nr + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $nr - $2"
	else
		failed=$((failed + 1))
		echo "not ok $nr - $2"
	fi
}

# The test's own lines, without its header and its plan.
run_test() {
	"$OUT/dmem_test" >"$OUT/test.log" 2>&1
	status=$?
	sed -e '/^TAP version/d' -e '/^1\.\./d' "$OUT/test.log"
	nr=$(grep -c -e '^ok' -e '^not ok' "$OUT/test.log")
	failed=$(grep -c '^not ok' "$OUT/test.log")
	if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		result 1 "the test ran to its end (status $status)"
	fi
}

# mutant NAME FILE SED: the test must fail on the core changed by SED, and pass
# where SED is empty
mutant() {
	dir=$OUT/mutant
	rm -rf "$dir"
	mkdir -p "$dir"
	cp "$MM/dmem_merge.c" "$MM/dmem_merge.h" "$dir"
	sed -e "$3" "$MM/$2" >"$dir/$2"
	if cmp -s "$MM/$2" "$dir/$2" && [ -n "$3" ]; then
		echo "# its line is not in $2 any more"
		result 1 "mutant: $1"
		return
	fi
	# shellcheck disable=SC2086 # lists of words
	if ! $CC -O1 $DMEM_CFLAGS -I"$dir" -o "$dir/test" $SRCS \
	     "$dir/dmem_merge.c" >"$dir/log" 2>&1; then
		echo "# it does not compile:"
		sed 's/^/# /' "$dir/log"
		result 1 "mutant: $1"
		return
	fi
	SEED=1 timeout 60 "$dir/test" >"$dir/log" 2>&1
	status=$?
	if [ -z "$3" ]; then
		result $status "no mutant: $1"
	else
		[ $status -eq 1 ]
		result $? "mutant is found: $1"
	fi
}

echo "TAP version 13"
run_test
mutant "the core as it is passes, built in the same way" dmem_merge.c ""
mutant "a carry between bytes" dmem_merge.h \
	's/((diff & low) + low)/(diff + low)/'
mutant "half a granule of 8" dmem_merge.h \
	's/(bytes >> 32) | (bytes << 32)/(bytes >> 32)/'
mutant "the same value is no conflict" dmem_merge.c \
	's/dmem_byte_mask(caller ^ snap) & range/& \& dmem_byte_mask(child ^ caller)/'
mutant "the caller's granule is ignored" dmem_merge.c \
	's/dmem_granule_mask(ours, granule)/ours/'
mutant "bytes outside the range count" dmem_merge.c \
	's/dmem_byte_mask(child ^ snap) & range/dmem_byte_mask(child ^ snap)/'
mutant "a partial word is written whole" dmem_merge.c \
	's/if (mask == ~0ULL)/if (mask)/'
mutant "a difference in the fourth word is skipped" dmem_merge.c \
	's/(a\[w + 3\] ^ b\[w + 3\])/0/'
mutant "a run goes on over equal words" dmem_merge.c \
	's/found ? w + 1 : next_differing/next_differing/'
mutant "the last words that have changed are forgotten" dmem_merge.c \
	's/w -= 4)/w -= 8)/'
mutant "a whole word is taken beyond the range" dmem_merge.c \
	's/ \&\& w - first < whole//'
mutant "TAKE takes only the changed bytes" dmem_merge.c \
	's/take |= both;/;/'
mutant "KEEP writes" dmem_merge.c \
	's/take &= ~both;/;/'
echo "1..$nr"
[ "$failed" -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Looks whether each test that README names as file.test exists.
cd "$(dirname "$0")" || exit 1
bad=0 n=0
for t in $(grep -oE '\b[a-z]+\.[a-z0-9_]+\b' README | sort -u); do
	file=${t%%.*}_test.c name=${t#*.}
	[ -f "$file" ] || continue
	n=$((n + 1))
	grep -qE "^TEST(_F|_F_TIMEOUT)?\(([a-z_]+, )?$name[,)]" "$file" && continue
	echo "README: no test $name in $file"
	bad=1
done
echo "$n tests named"
[ $n -gt 100 ] || bad=1
exit $bad

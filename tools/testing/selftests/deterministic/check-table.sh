#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Looks whether each test that README names as file.test exists.
cd "$(dirname "$0")" || exit 1

named()
{
	grep -oE '\b[a-z]+\.[a-z0-9_]+\b' README | sort -u
}

missing=$(named | while IFS=. read -r file name; do
	[ -f "${file}_test.c" ] || continue
	grep -qE "^TEST(_F|_F_TIMEOUT)?\\(([a-z_]+, )?${name}[,)]" \
		"${file}_test.c" || echo "README: no $name in ${file}_test.c"
done)
[ -z "$missing" ] || echo "$missing"
echo "$(named | wc -l) tests named"
[ -z "$missing" ] && [ "$(named | wc -l)" -gt 100 ]

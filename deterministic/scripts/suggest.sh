#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# suggest.sh WORD KNOWN...: the known word that WORD may be a slip of, as the
# end of a sentence; else all of them.

LC_ALL=C awk '
# The number of letters to insert, remove or change (Levenshtein).
function distance(a, b,    i, j, d, c, m) {
	for (i = 0; i <= length(a); i++)
		d[i, 0] = i
	for (j = 0; j <= length(b); j++)
		d[0, j] = j
	for (i = 1; i <= length(a); i++)
		for (j = 1; j <= length(b); j++) {
			c = substr(a, i, 1) != substr(b, j, 1)
			m = d[i - 1, j - 1] + c
			if (d[i - 1, j] + 1 < m)
				m = d[i - 1, j] + 1
			if (d[i, j - 1] + 1 < m)
				m = d[i, j - 1] + 1
			d[i, j] = m
		}
	return d[length(a), length(b)]
}
BEGIN {
	word = ARGV[1]
	best = 3
	for (k = 2; k < ARGC; k++) {
		all = all " " ARGV[k]
		n = distance(toupper(word), toupper(ARGV[k]))
		if (n < best && n < length(word)) {
			best = n
			found = ARGV[k]
		}
	}
	if (found != "")
		printf ": did you mean %s?\n", found
	else
		printf ": known are%s\n", all
}' "$@"

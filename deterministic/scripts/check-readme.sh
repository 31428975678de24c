#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The program in the README is tools/deterministic/example.c, and every goal
# that the documentation names with "make" is one of the Makefile's.

cd "$(dirname "$0")/../.." || exit 1
status=0

# The first block of C in the README.
program() {
	sed -n '/^```c$/,/^```$/{/^```/!p;}' README.md
}

if ! program | cmp - tools/deterministic/example.c; then
	echo "README.md: the program is not tools/deterministic/example.c"
	status=1
fi

# The last is the kernel's own.
goals=" $(sed -n '/^GOALS="/,/"$/p' deterministic/scripts/goal.sh |
	sed 's/GOALS=//' | tr '"\n' '  ') headers "
docs="README.md deterministic/TODO.rst deterministic/BUGS.rst
$(ls Documentation/deterministic/*.rst)"
# Words after "make" in code: behind a backquote or at the start of a line of code.
# shellcheck disable=SC2086 # words
for goal in $(grep -hoE '(`|^    ( |\$)*)make [a-z][a-z_-]*' $docs |
	sed 's/.*make //' | sort -u); do
	case $goals in
	*" $goal "*) ;;
	*)
		echo "the documentation names 'make $goal', which is no goal"
		status=1
		;;
	esac
done
exit $status

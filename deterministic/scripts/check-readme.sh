#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the documentation says of the rest is so: check-readme.sh [--run]
#
# The program in the README is tools/deterministic/example.c, and every goal
# that is named with "make" is one of the Makefile's. With --run the README's
# commands are executed as they stand, and their output must be the README's.

cd "$(dirname "$0")/../.." || exit 1
status=0

wrong() {
	echo "wrong: $*"
	status=1
}

# The first block of C in the README.
program() {
	# shellcheck disable=SC2016 # backquotes
	sed -n '/^```c$/,/^```$/{/^```/!p;}' README.md
}

# The indented block that follows the paragraph with these words.
block() {
	awk -v words="$1" '
		index($0, words) { found = 1 }
		found && /^    / { print substr($0, 5); inside = 1; next }
		inside { exit }' README.md
}

# Words after "make" in code: behind a backquote or first in a line of code.
named_goals() {
	grep -hoE '(`|^    )make [a-z][a-z_-]*' README.md deterministic/*.rst \
		Documentation/deterministic/*.rst | sed 's/.*make //' | sort -u
}

check_goals() {
	# The last is the kernel's own.
	goals=" $(sed -n '/^GOALS="/,/"$/p' deterministic/scripts/goal.sh |
		sed 's/GOALS=//' | tr '"\n' '  ') headers "
	named_goals >"$work/goals"
	[ -s "$work/goals" ] || wrong "no goal was found in the documentation"
	while read -r goal; do
		case $goals in
		*" $goal "*) ;;
		*) wrong "the documentation names 'make $goal', which is no goal" ;;
		esac
	done <"$work/goals"
	for goal in $goals; do
		case $goal in
		help | headers) continue ;;
		esac
		sh deterministic/scripts/help.sh | grep -qE "make $goal( |\$)" ||
			wrong "'make help' does not name the goal $goal"
	done
}

# In the folder of the repository, as a reader would; two.c goes away again.
check_commands() {
	[ ! -e two.c ] || {
		wrong "two.c is there already: remove it"
		return
	}
	mkdir -p build
	program >two.c
	block 'run it in the guest.' >"$work/commands"
	block 'It prints this' >"$work/wanted"
	sh -e "$work/commands" >"$work/output" 2>"$work/errors"
	ended=$?
	rm -f two.c
	[ "$ended" -ne 0 ] || wrong "the README's program ended with status 0"
	# What make says of the library comes first, and is not the program's.
	tail -n "$(wc -l <"$work/wanted")" "$work/output" |
		diff "$work/wanted" - || {
		wrong "the README's program printed something else"
		tail -n 5 "$work/errors"
	}
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
program | cmp -s - tools/deterministic/example.c ||
	wrong "the README's program is not tools/deterministic/example.c"
check_goals
[ "${1:-}" != --run ] || check_commands
exit $status

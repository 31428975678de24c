#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the kernel's own checkers say about our files: checkpatch --strict,
# sparse, W=1, kernel-doc; and shellcheck, SPDX lines, and the documentation's
# code. TAP on stdout; what a checker said is shown after its line.
# shellcheck disable=SC2317 # check() calls them

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

"$SCRIPTS/fetch.sh" test >&2
"$SCRIPTS/tree.sh" >&2
SAID=$B/log/check.log
: >"$SAID.all"
failed=0

# check NAME COMMAND...: passes if the command succeeds and says nothing.
check() {
	name=$1
	shift
	if "$@" >"$SAID" 2>&1 && [ ! -s "$SAID" ]; then
		say "ok - $name"
	else
		say "not ok - $name"
		sed 's/^/#   /' "$SAID" | head -60
		cat "$SAID" >>"$SAID.all"
		failed=1
	fi
}

kernel_sources() {
	grep -E '^(arch|include|kernel|mm)/.*\.[ch]$' "$B/state/ours"
}

# FILE_PATH_CHANGES asks for MAINTAINERS, which a private series has not; ENOSYS
# is what RAX holds at a stop at a call.
checkpatch() {
	ignore=$1
	shift
	(
		cd "$B/linux"
		perl scripts/checkpatch.pl --strict --terse --quiet --no-summary --show-types \
			--max-line-length=100 --ignore "FILE_PATH_CHANGES,ENOSYS$ignore" "$@"
	)
}

# ours IGNORE PATTERN: our files in the tree whose place matches.
ours() {
	# shellcheck disable=SC2046 # words
	set -- "$1" $(grep -E '\.[chS]$' "$B/state/ours" | grep -E "$2")
	ignore=$1
	shift
	[ $# -eq 0 ] || checkpatch "$ignore" --file "$@"
}

# What is asked for and can not be is said here, by the kind of file: programs
# have no BIT() and no __printf(); events look as all other events do.
checkpatch_files() {
	ours "" '^(arch|kernel|mm|include/linux)/'
	ours ,BIT_MACRO '^include/uapi/'
	ours ,OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT '^include/trace/'
	ours "$USER" '^tools/(deterministic|testing)/'
	# The errors of pthreads are positive, and lists of functions are macros.
	ours "$USER,USE_NEGATIVE_ERRNO" '^tools/lib/.*/(([^l/]|l[^o/])[^/]*|tests/.*)$'
	ours "$USER,USE_NEGATIVE_ERRNO,$LISTS" '^tools/lib/.*/locks.c$'
	# shellcheck disable=SC2046 # words
	checkpatch "$USER" --file $(find "$ROOT/deterministic/guest" -name '*.[ch]')
	# shellcheck disable=SC2046 # words
	checkpatch "$USER,MACRO_ARG_REUSE" --file $(find "$ROOT/tools/testing/survival" \
		"$ROOT/tools/testing/fuzz-spaces" "$ROOT/tools/testing/prove" -name '*.[ch]')
}
LISTS=COMPLEX_MACRO,MACRO_ARG_REUSE,MACRO_ARG_UNUSED,MULTISTATEMENT_MACRO_USE_DO_WHILE,TRAILING_SEMICOLON,SPACING,AVOID_EXTERNS
USER=,CAMELCASE,BIT_MACRO,PREFER_DEFINED_ATTRIBUTE_MACRO,VOLATILE,EMBEDDED_FUNCTION_NAME

checkpatch_patches() {
	checkpatch ,FROM_SIGN_OFF_MISMATCH --patch "$ROOT"/patches/*.patch
}

# Our objects, made anew with the checker on; what others' headers say is
# theirs: lines that name our files count.
objects() {
	kernel_sources | sed -n 's/\.c$/.o/p'
}

our_lines() {
	names=$(kernel_sources | sed 's/[.]/\\./g' | tr '\n' '|')
	grep -E "(${names%|}):[0-9]+" "$1" || :
}

compile() {
	rc=0
	# shellcheck disable=SC2046 # words
	(
		cd "$B/linux"
		export KBUILD_BUILD_TIMESTAMP=0
		for o in $(objects); do
			rm -f "$B/out-check/$o"
		done
		make O="$B/out-check" ARCH=x86_64 -j"$(jobs)" "$@" $(objects)
	) >"$B/log/check-compile.log" 2>&1 || rc=$?
	our_lines "$B/log/check-compile.log"
	[ "$rc" -eq 0 ] || tail -5 "$B/log/check-compile.log"
}

kernel_doc() {
	(
		cd "$B/linux"
		# shellcheck disable=SC2046 # words
		./scripts/kernel-doc -none -Wall -Werror $(kernel_sources)
	)
}

spdx() {
	find "$ROOT" -path "$ROOT/build" -prune -o -path "$ROOT/.git" -prune -o -type f -print |
		while read -r f; do
			case ${f#"$ROOT/"} in
			LICENSES/* | COPYING | README.md | patches/*.patch | patches/series) continue ;;
			# As those of others have none.
			tools/testing/*/README | */selftests/*/README | */selftests/*/config | */selftests/*/settings) continue ;;
			build | *~ | .*.swp | *.checkpatch-camelcase.*) continue ;;
			esac
			head -3 "$f" | grep -q 'SPDX-License-Identifier: ' || say "$f"
		done
}

shell_scripts() {
	find "$ROOT" -path "$ROOT/build" -prune -o -path "$ROOT/.git" -prune -o -type f -print |
		while read -r f; do
			case $(head -c 20 "$f" | tr -d '\0' | head -1) in
			'#!/bin/sh'* | '#!/bin/bash'*) printf '%s\n' "$f" ;;
			esac
		done
}

shell_check() {
	# The sourced file is named by a variable.
	shell_scripts | xargs -d '\n' shellcheck -x -e SC1091 --severity=warning
}

table() {
	make -s -C "$ROOT/tools/testing/selftests/deterministic" check-table >/dev/null
}

check "checkpatch --strict on our files" checkpatch_files
check "checkpatch --strict on the patches" checkpatch_patches
check "kernel-doc" kernel_doc
check "SPDX lines" spdx
check "shellcheck" shell_check
check "the README's program and goals" "$SCRIPTS/check-readme.sh"
check "every test that the selftests' README names exists" table

C=$ROOT/deterministic/configs
"$SCRIPTS/configure.sh" "$B/out-check" "$C/base.config" "$ROOT/deterministic/guest/needs.config" \
	"$C/on.config" "$C/check.config" >"$B/log/check-configure.log" 2>&1
check "W=1" compile W=1
# Of the locks of page tables sparse does not know that taking one can fail.
sparse() {
	compile "$@" | grep -v 'context imbalance in .* - unexpected unlock' || :
}

check "sparse" sparse C=2 CF=-D__CHECK_ENDIAN__
exit $failed

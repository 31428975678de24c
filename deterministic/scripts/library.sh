#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The library as its users have it: installed into a folder, linked shared and static
# with what its file for pkg-config says; then its own tests with the host's shared
# libraries, in the guest.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

WORK=$B/library
LIB=$ROOT/tools/lib/deterministic
INST=$WORK/installed

verdict() {
	if [ "$1" -eq 0 ]; then
		say "ok - $2"
	else
		say "not ok - $2"
	fi
}

# try NAME COMMAND...
try() {
	name=$1
	shift
	rc=0
	"$@" >"$WORK/said" 2>&1 || rc=$?
	verdict "$rc" "$name"
	[ "$rc" -eq 0 ] || sed 's/^/# /' "$WORK/said"
}

# What a program needs, from the file that pkg-config reads. It is not at its prefix, and
# pkg-config need not be there.
flags() {
	sed -n "s/^$1: //p" "$INST/usr/lib/pkgconfig/det.pc" | sed -e "s|\${libdir}|$INST/usr/lib|g" \
		-e "s|\${includedir}|$INST/usr/include|g"
}

program() {
	cat >"$WORK/norm.c" <<-'EOF'
	#include <det.h>

	static double v[100];

	static void square(long i, void *arg)
	{
		v[i] = i * i / *(double *)arg;
	}

	static void add(void *result)
	{
		double s = 0;

		for (long i = det_id() * 25; i < det_id() * 25 + 25; i++)
			s += v[i];
		s = det_sum(s);
		if (det_id() == 0)
			*(double *)result = s;
		printf("%u", det_id());
	}

	int main(void)
	{
		double scale = 2, sum = 0;

		if (det_for(4, 0, 100, square, &scale) || det_parallel(4, add, &sum))
			return 1;
		printf(" %.1f\n", sum);
		return sum != 164175;
	}
	EOF
}

# shellcheck disable=SC2046 # words
build_shared() {
	(cd "$WORK" && gcc -o norm norm.c $(flags Cflags) $(flags Libs) -Wl,-rpath,"$INST/usr/lib")
}

# shellcheck disable=SC2046 # words
build_static() {
	(cd "$WORK" && gcc -static -o norm-static norm.c $(flags Cflags) $(flags Libs) \
		$(flags Libs.private))
}

# Threads are on any kernel.
without_spaces() {
	[ "$(DET_OPTIONS=backend=serial "$1")" = "0123 164175.0" ] &&
		DET_OPTIONS=backend=threads "$1"
}

in_guest() {
	"$ROOT/deterministic/guest/boot" --host-root --timeout 900 --log "$B/log/library.log" -- \
		/bin/sh -c "for p in norm norm-static; do
			[ \"\$($WORK/\$p)\" = '0123 164175.0' ] && echo \"ok - \$p in spaces\" ||
				echo \"not ok - \$p in spaces\"
		done
		for t in $WORK/tests/det-*-test; do
			\$t && echo \"ok - \${t##*/}\" || echo \"not ok - \${t##*/}\"
		done"
}

rm -rf "$WORK"
mkdir -p "$WORK"
program
try "the library is built" make -C "$LIB" OUT="$WORK/tests" -j"$(jobs)"
try "it is installed" make -C "$LIB" OUT="$WORK/tests" DESTDIR="$INST" PREFIX=/usr install
for m in "$LIB"/man/*.[37]; do
	section=${m##*.}
	try "${m##*/} is there" test -s "$INST/usr/share/man/man$section/${m##*/}"
done
try "a program is linked with it" build_shared
try "a static program is" build_static
try "it runs without spaces" without_spaces "$WORK/norm"
try "the static one does" without_spaces "$WORK/norm-static"
in_guest

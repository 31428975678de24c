#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What can go wrong on a user's machine is made to go wrong: it must end in one
# line that says what and what to do, and the next try must go on from there.
# All of it in a copy of the repository, with a small stand-in for the kernel
# source where the real one does not matter: test-host.sh [PART...]. TAP on
# stdout.
# shellcheck disable=SC2317 # trap and expect call functions

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

W=$B/host
NR=0
FAILURES=0

result() {
	NR=$((NR + 1))
	if [ "$1" -eq 0 ]; then
		say "ok $NR - $2"
	else
		say "not ok $NR - $2"
		sed 's/^/#   /' "$W/said" | tail -n 15
		FAILURES=$((FAILURES + 1))
	fi
}

skip() {
	NR=$((NR + 1))
	say "ok $NR - $1 # SKIP $2"
}

# refuse NAME PATTERN COMMAND...: fails, and says so in one line (make adds its
# own, "make: ***").
refuse() {
	name=$1
	pattern=$2
	shift 2
	rc=0
	"$@" >"$W/said" 2>&1 </dev/null || rc=$?
	grep -v '^make.*: \*\*\* \[' "$W/said" | grep -v '^  ' >"$W/lines" || :
	bad=0
	if [ "$rc" -eq 0 ] || ! grep -qE "$pattern" "$W/lines" ||
		[ "$(wc -l <"$W/lines")" -ne 1 ]; then
		echo "(status $rc, wanted one line with '$pattern')" >>"$W/said"
		bad=1
	fi
	result $bad "$name"
}

# works NAME COMMAND...
works() {
	name=$1
	shift
	rc=0
	"$@" >"$W/said" 2>&1 </dev/null || rc=$?
	result "$rc" "$name"
}

# What is in the repository and not made: copy TO
copy() {
	rm -rf "$1"
	mkdir -p "$1"
	(cd "$ROOT" && tar cf - --exclude=./build --exclude=./.git .) | tar xf - -C "$1"
}

# A tarball with the version's Makefile and the files that the patches touch.
small_source() {
	rm -rf "$W/small"
	mkdir -p "$W/small/linux/include"
	while read -r f; do
		[ -e "$B/orig/$f" ] || continue
		mkdir -p "$W/small/linux/${f%/*}"
		cp "$B/orig/$f" "$W/small/linux/$f"
	done <"$B/state/touched"
	printf 'VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 0\nmrproper:\n' >"$W/small/linux/Makefile"
	tar cJf "$W/small.tar.xz" -C "$W/small" linux
	sed 's/^PATCHLEVEL = .*/PATCHLEVEL = 6/' "$W/small/linux/Makefile" >"$W/small/Makefile"
	cp -r "$W/small/linux" "$W/wrong"
	mv "$W/small/Makefile" "$W/wrong/Makefile"
	tar cJf "$W/wrong.tar.xz" -C "$W" wrong
	head -c 2000 "$W/small.tar.xz" >"$W/short.tar.xz"
}

# All tools but one: a folder of links for PATH.
path_without() {
	rm -rf "$W/path"
	mkdir -p "$W/path"
	for d in /bin /usr/bin /sbin /usr/sbin /usr/local/bin; do
		[ -d "$d" ] || continue
		find "$d" -maxdepth 1 ! -type d ! -name "$1" -exec ln -sf -t "$W/path" {} + 2>/dev/null || :
	done
}

m() {
	make -C "$W/copy" --no-print-directory "$@"
}

mistakes() {
	refuse "a mistyped variable" 'CPU: did you mean CPUS' m CPU=2 run
	refuse "an unknown variable" 'unknown variable XYZZY' m XYZZY=2 run
	refuse "a mistyped goal" 'no goal rnu: did you mean run' m rnu
	refuse "CPUS that is no number" 'CPUS=two' m run CPUS=two
	refuse "too many CPUS" 'CPUS=64' m run CPUS=64
	refuse "MEM that is no size" 'MEM=much' m run MEM=much
	refuse "an unknown ACCEL" 'ACCEL=xen' m run ACCEL=xen
	refuse "a FILE that is not there" 'FILE=/none' m run FILE=/none
	refuse "a FILE that is a folder" 'FILE=/' m run FILE=/
	refuse "a DIR that is not there" 'DIR=/none' m exec CMD=true DIR=/none
	refuse "an MD5 that is none" 'MD5=xyz' m run MD5=xyz
	refuse "make exec without CMD" 'CMD is missing' m exec
	refuse "make one without TEST" 'TEST is missing' m one
	refuse "KSRC that is not there" 'KSRC=/none' m tree KSRC=/none
	refuse "KSRC that is another kernel" 'Linux 6.6 source' m tree KSRC="$W/wrong"
	refuse "KSRC that is no kernel" 'not a kernel source' m tree KSRC=/usr/bin
	refuse "a tarball of another kernel" 'Linux 6.6 source' m tree KSRC="$W/wrong.tar.xz"
	refuse "a tarball that is cut off" 'short.tar.xz did not work: it is no kernel source' m tree KSRC="$W/short.tar.xz"
	refuse "a tarball that is none" 'it is no kernel source' m tree KSRC="$W/copy/Makefile"
	works "and the next try goes on" m tree KSRC="$W/small.tar.xz"
}

# Nobody without a terminal and without YES=1.
as_nobody() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$W" "$@"
	else
		"$@"
	fi
}

missing_tools() {
	path_without flex
	chmod -R a+rwX "$W/copy"
	refuse "a missing package, no terminal" 'missing: flex. Type: sudo apt-get update' \
		as_nobody env PATH="$W/path" YES='' make -C "$W/copy" --no-print-directory kernel
	path_without 'apt-get'
	rm -f "$W/path/bison"
	refuse "a missing tool on another distribution" 'these tools are missing: bison' \
		env PATH="$W/path" make -C "$W/copy" --no-print-directory kernel KSRC="$W/small.tar.xz"
}

# In name spaces of its own: without a network, with a small disk.
without_network() {
	if ! unshare -rn true 2>/dev/null; then
		skip "no network" "no user name spaces here"
		return
	fi
	# Where flex is installed, apt-get would find nothing to fetch.
	path_without flex
	rm -f "$W/path/apt-get"
	printf '#!/bin/sh\necho "Temporary failure resolving" >&2\nexit 100\n' >"$W/path/apt-get"
	chmod +x "$W/path/apt-get"
	refuse "no network, and a package is missing" 'did not work: is there a network' \
		env PATH="$W/path" unshare -rn make -C "$W/copy" --no-print-directory kernel
	if [ -f /usr/src/linux-source-6.12.tar.xz ]; then
		works "no network, and nothing is missing" \
			unshare -rn make -C "$W/copy" --no-print-directory fetch
	fi
}

small_disk() {
	if ! unshare -rm true 2>/dev/null; then
		skip "a full disk" "no user name spaces here"
		return
	fi
	mkdir -p "$W/disk"
	# shellcheck disable=SC2016 # for the inner shell
	refuse "under 4 GB of space" 'needs 4096 MB of free space' unshare -rm sh -c '
		mount -t tmpfs -o size=100M none "$1" && cp -r "$2" "$1/copy" &&
		cd "$1/copy" && rm -rf build && make --no-print-directory kernel' sh "$W/disk" "$W/copy"
}

# The tree, as names, sums and where links lead.
print_tree() {
	(cd "$W/copy/build/linux" && find . -type l -printf '%p -> %l\n' && find . -type f -exec cksum {} +) |
		sort
}

# Killed after ever more time, with all that it started; then once to its end.
kills() {
	rm -rf "$W/copy/build"
	m tree KSRC="$W/small.tar.xz" >"$W/said" 2>&1
	print_tree >"$W/tree.good"
	for delay in 0.02 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.5 0.6; do
		[ "$delay" != 0.25 ] || rm -rf "$W/copy/build"
		setsid -w timeout -s KILL "$delay" make -C "$W/copy" --no-print-directory tree \
			KSRC="$W/small.tar.xz" >>"$W/said" 2>&1 </dev/null || :
	done
	works "after kills at eleven moments the next try ends well" m tree KSRC="$W/small.tar.xz"
	print_tree >"$W/tree.now"
	rc=0
	diff "$W/tree.good" "$W/tree.now" >"$W/said" || rc=1
	result $rc "and the tree is the same"
}

# A changed patch: the files that it touches are new, no other.
changed_patch() {
	p=$(head -1 "$B/state/series")
	touch -d '2001-01-01' "$W/stamp"
	(cd "$W/copy/build/linux" && find . -type f -exec touch -d '2000-01-01' {} +)
	(cd "$W/copy/patches" && printf '\n' >>"$p")
	m tree KSRC="$W/small.tar.xz" >"$W/said" 2>&1
	rc=0
	[ -z "$(find "$W/copy/build/linux" -type f -newer "$W/stamp")" ] || rc=1
	result $rc "a patch that changes nothing makes no file new"
	sed -i '$d' "$W/copy/patches/series"
	m tree KSRC="$W/small.tar.xz" >"$W/said" 2>&1
	rc=0
	[ -n "$(find "$W/copy/build/linux" -type f -newer "$W/stamp")" ] || rc=1
	result $rc "a patch that goes takes its changes with it"
	cp "$ROOT"/patches/* "$W/copy/patches/"
}

parallel() {
	rm -rf "$W/copy/build"
	works "make -j4 tree" m -j4 tree KSRC="$W/small.tar.xz"
	(m tree KSRC="$W/small.tar.xz" >"$W/said.1" 2>&1) &
	works "two makes at a time, one" m tree KSRC="$W/small.tar.xz"
	rc=0
	wait $! || rc=$?
	result $rc "two makes at a time, the other"
}

# The real source, since the kernel's and the selftests' makefiles matter here.
space_in_path() {
	copy "$W/a b:c"
	works "a path with a space and a colon" env XDG_CACHE_HOME="$W/cache" \
		make -C "$W/a b:c" --no-print-directory user ${KSRC:+KSRC="$KSRC"}
	rc=0
	[ -s "$W/a b:c/build/guest/initramfs.cpio.gz" ] || rc=1
	result $rc "its initramfs is there"
	rc=0
	cmp "$W/a b:c/build/guest/initramfs.cpio.gz" "$B/guest/initramfs.cpio.gz" >"$W/said" 2>&1 || rc=1
	result $rc "and is the same, byte for byte, as that of another folder"
	refuse "a cache with a space as well" 'set XDG_CACHE_HOME' \
		env XDG_CACHE_HOME="$W/x y" make -C "$W/a b:c" --no-print-directory tree
	make -C "$W/a b:c" --no-print-directory distclean
	rm -rf "$W/a b:c" "$W/cache"
}

rm -rf "$W"
mkdir -p "$W"
: >"$W/said"
copy "$W/copy"
small_source
[ $# -gt 0 ] || set -- mistakes missing_tools without_network small_disk kills changed_patch \
	parallel space_in_path
for one; do
	$one
done
say "1..$NR"
rm -rf "$W"
[ "$FAILURES" -eq 0 ]

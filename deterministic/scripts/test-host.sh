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
# What an ordinary user can reach, wherever build/ lies.
N=$(mktemp -d)
trap 'rm -rf "$N"' EXIT
trap 'exit 130' INT TERM HUP
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

# wait_until COMMAND...: at most two minutes
wait_until() {
	for _ in $(seq 2400); do
		! "$@" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}

# A tarball with the version's Makefile and the files that the patches touch. Its
# kernel is built at once, never (STAND_IN=slow), or until the disk is full.
small_source() {
	rm -rf "$W/small"
	mkdir -p "$W/small/linux/include"
	while read -r f; do
		[ -e "$B/orig/$f" ] || continue
		mkdir -p "$W/small/linux/${f%/*}"
		cp "$B/orig/$f" "$W/small/linux/$f"
	done <"$B/state/touched"
	cat >"$W/small/linux/Makefile" <<'END'
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 0
mrproper:
allnoconfig:
	cp $(KCONFIG_ALLCONFIG) $(O)/.config
bzImage:
	test "$$STAND_IN" != slow || sleep 600
	test "$$STAND_IN" != full || cat /dev/zero >$(O)/big
	mkdir -p $(O)/arch/x86/boot
	echo built >$(O)/arch/x86/boot/bzImage
END
	tar cJf "$W/small.tar.xz" -C "$W/small" linux
	sed 's/^PATCHLEVEL = .*/PATCHLEVEL = 6/' "$W/small/linux/Makefile" >"$W/small/Makefile"
	cp -r "$W/small/linux" "$W/wrong"
	mv "$W/small/Makefile" "$W/wrong/Makefile"
	tar cJf "$W/wrong.tar.xz" -C "$W" wrong
	head -c 2000 "$W/small.tar.xz" >"$W/short.tar.xz"
}

# All tools but one, as a folder of links for PATH: path_without TOOL FOLDER
path_without() {
	rm -rf "$2"
	mkdir -p "$2"
	for d in /bin /usr/bin /sbin /usr/sbin /usr/local/bin; do
		[ -d "$d" ] || continue
		find "$d" -maxdepth 1 ! -type d ! -name "$1" -exec ln -sf -t "$2" {} + 2>/dev/null || :
	done
}

m() {
	make -C "$W/copy" --no-print-directory "$@"
}

mistakes() {
	truncate -s 500M "$W/large"
	refuse "a mistyped variable" 'CPU: did you mean CPUS' m CPU=2 run
	refuse "an unknown variable" 'unknown variable XYZZY' m XYZZY=2 run
	refuse "a mistyped goal" 'no goal rnu: did you mean run' m rnu
	refuse "CPUS that is no number" 'CPUS=two' m run CPUS=two
	refuse "too many CPUS" 'CPUS=64' m run CPUS=64
	refuse "MEM that is no size" 'MEM=much' m run MEM=much
	refuse "an unknown ACCEL" 'ACCEL=xen' m run ACCEL=xen
	refuse "a FILE that is not there" 'FILE=/none' m run FILE=/none
	refuse "a FILE that is a folder" 'FILE=/' m run FILE=/
	: >"$W/empty"
	printf ' \n\n' >"$W/blank"
	refuse "make demo, a FILE that is not there" 'FILE=/none' m demo FILE=/none
	refuse "make demo, an empty FILE" 'empty is empty' m demo FILE="$W/empty"
	refuse "make demo, a FILE without words" 'has no words' m demo FILE="$W/blank"
	refuse "make demo, a FILE that is no text" 'has NUL bytes' m demo FILE="$W/large"
	refuse "a DIR that is not there" 'DIR=/none' m exec CMD=true DIR=/none
	refuse "MEM with letters in it" 'MEM=1.5G' m run MEM=1.5G
	refuse "a FILE too large for MEM" 'too much for a guest of 1G' m run FILE="$W/large" MEM=1G
	refuse "a mistyped part of the tests" 'TEST=survivl: no such part: did you mean survival' m test TEST=survivl
	refuse "a mistyped operation" 'PROFILE=round_trp is no operation: did you mean round_trip' m bench PROFILE=round_trp
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

# For an ordinary user: a copy that is his, the program that makes a kernel in it
# as he would, and stand-ins for what he would install with. Their package lists
# know of the kernel source after an update only; flex is missing at first.
ordinary_user() {
	if [ -e "$N/make" ]; then
		rm -rf "$N/copy/build" "$N/state"/* "$N/path/flex"
		return
	fi
	copy "$N/copy"
	mkdir -p "$N/bin" "$N/state"
	path_without flex "$N/path"
	rm -f "$N/path/sudo"
	stand_ins
	user='' hide=''
	if [ "$(id -u)" -eq 0 ]; then
		chmod 711 "$N"
		chown -R 65534:65534 "$N/copy" "$N/state" "$N/path"
		user='setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all'
	fi
	if [ -f /usr/src/linux-source-6.12.tar.xz ]; then
		hide="unshare -m sh -c 'mount -t tmpfs none /usr/src && exec \"\$@\"' sh"
	fi
	cat >"$N/make" <<END
#!/bin/sh
exec $hide $user env -u KSRC -u YES HOME="$N/state" PATH="$N/bin:$N/path" \\
	make -C "$N/copy" --no-print-directory kernel "\$@"
END
	chmod +x "$N/make"
}

# The source of an installed package can not always be hidden.
downloads_here() {
	[ -n "$(command -v dpkg-deb)" ] || return 1
	[ -z "$hide" ] || unshare -m true 2>/dev/null
}

stand_ins() {
	cat >"$N/bin/sudo" <<END
#!/bin/sh
echo "\$*" >>"$N/state/sudo"
[ "\$1" != -n ] || shift
exec "\$@"
END
	cat >"$N/bin/apt-cache" <<END
#!/bin/sh
case "\$*" in
*linux-source*) [ -e "$N/state/lists" ] || exit 0 ;;
esac
printf 'Package: some\nSize: 153000000\n'
END
	cat >"$N/bin/apt-get" <<END
#!/bin/sh
case "\$*" in
*--print-uris*) echo "'http://localhost/flex.deb' flex.deb 1500000 SHA256:0" ;;
*update*) : >"$N/state/lists" ;;
*install*) ln -sf "$(command -v flex)" "$N/path/flex" ;;
*download*)
	head -c 1000 "$N/source.deb" >linux-source-6.12_1_all.deb
	[ ! -e "$N/state/slow" ] || sleep 2
	cp "$N/source.deb" linux-source-6.12_1_all.deb
	;;
esac
END
	chmod +x "$N"/bin/*
	mkdir -p "$W/deb/usr/src" "$W/deb/DEBIAN"
	cp "$W/small.tar.xz" "$W/deb/usr/src/linux-source-6.12.tar.xz"
	printf 'Package: linux-source-6.12\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: none\n' \
		>"$W/deb/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$W/deb" "$N/source.deb" >/dev/null
}

missing_tools() {
	ordinary_user
	refuse "a missing package, no terminal" 'missing: flex. Type: sudo apt-get update' \
		"$N/make"
	path_without apt-get "$W/path"
	rm -f "$W/path/bison"
	refuse "a missing tool on another distribution" 'these tools are missing: bison' \
		env PATH="$W/path" make -C "$W/copy" --no-print-directory kernel KSRC="$W/small.tar.xz"
}

# In name spaces of its own: without a network (-n), with mounts (-m). Root can do
# without one for users, which a chroot does not allow.
apart() {
	option=$1
	shift
	if unshare "$option" true 2>/dev/null; then
		unshare "$option" "$@"
	else
		unshare -r "$option" "$@"
	fi
}

without_network() {
	if ! apart -n true 2>/dev/null; then
		skip "no network" "no name spaces here"
		return
	fi
	# Where flex is installed, apt-get would find nothing to fetch.
	path_without flex "$W/path"
	rm -f "$W/path/apt-get"
	printf '#!/bin/sh\necho "Temporary failure resolving" >&2\nexit 100\n' >"$W/path/apt-get"
	chmod +x "$W/path/apt-get"
	refuse "no network, and a package is missing" 'did not work: is there a network' \
		apart -n env PATH="$W/path" make -C "$W/copy" --no-print-directory kernel
	ln -s "$(command -v flex)" "$W/path/flex"
	rm -rf "$W/copy/build"
	if [ -f /usr/src/linux-source-6.12.tar.xz ]; then
		skip "no network, and the source is missing" "it is installed"
	else
		refuse "no network, and the source is missing" \
			'kernel source \([0-9]+ MB\) did not work: is there a network' \
			apart -n env PATH="$W/path" make -C "$W/copy" --no-print-directory kernel
	fi
	# As make fetch leaves it: all packages, and the source.
	mkdir -p "$W/copy/build/dl"
	ordinary_user
	cp "$N/source.deb" "$W/copy/build/dl/linux-source-6.12_1_all.deb"
	works "no network, and nothing is missing" \
		apart -n make -C "$W/copy" --no-print-directory kernel
	rm -rf "$W/copy/build"
}

small_disk() {
	if ! apart -m true 2>/dev/null; then
		skip "a full disk" "no name spaces here"
		return
	fi
	mkdir -p "$W/disk"
	# shellcheck disable=SC2016 # for the inner shell
	refuse "under 4 GB of space" 'needs 4096 MB of free space' apart -m sh -c '
		mount -t tmpfs -o size=100M none "$1" && cp -r "$2" "$1/copy" &&
		cd "$1/copy" && rm -rf build && make --no-print-directory kernel' sh "$W/disk" "$W/copy"
}

read_only_folder() {
	if ! apart -m true 2>/dev/null; then
		skip "a DIR that cannot be written" "no name spaces here"
		return
	fi
	mkdir -p "$W/read-only"
	# shellcheck disable=SC2016 # for the inner shell
	refuse "a DIR that cannot be written" 'DIR=.* can not be written' apart -m sh -c '
		mount -t tmpfs -o ro none "$1" && cd "$2" &&
		make --no-print-directory exec CMD=true DIR="$1"' sh "$W/read-only" "$W/copy"
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
	sum=$(printf '%s' "$W/a b:c" | cksum)
	second_tree "$W/cache/deterministic-${sum%% *}"
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

# on_terminal KEYS PATTERN COMMAND: types KEYS once PATTERN is on the screen. In the
# foreground: what a shell starts in the background ignores a Ctrl-C.
on_terminal() {
	rm -f "$W/ended" "$W/screen"
	rc=0
	{
		wait_until grep -aqE "$2" "$W/screen" || :
		# shellcheck disable=SC2059 # escapes
		printf "$1"
		wait_until [ -e "$W/ended" ] || :
	} | {
		timeout -k 1 200 script -qefc "$3" "$W/screen" >/dev/null 2>&1 || rc=$?
		: >"$W/ended"
		exit $rc
	} || rc=$?
	tr -d '\r' <"$W/screen" >"$W/said"
}

# said NAME PATTERN N: so many lines of the screen match.
said() {
	rc=0
	[ "$(grep -acE "$2" "$W/said")" -eq "$3" ] || rc=1
	result $rc "$1"
}

question() {
	ordinary_user
	if ! downloads_here; then
		skip "a question on a terminal" "nothing would be downloaded here"
		return
	fi
	on_terminal 'n\n' 'Y/n' "$N/make"
	said "a question on a terminal, with the size: no" 'Missing: flex \(1.5 MB\). Install' 1
	said "then the command is said" '^error: missing: flex. Type: sudo apt-get update && sudo' 1
	said "and the status is an error" '^make: \*\*\* ' 1
	on_terminal 'y\n' 'Y/n' "$N/make"
	result $rc "a question on a terminal: yes"
	said "asked once, though the package lists are old as well" 'Y/n' 1
	said "the size of the download is said" 'downloading the kernel source \(153 MB\)' 1
	ordinary_user
	works "YES=1: no question" "$N/make" YES=1
	said "what was installed is named" 'installing flex \(1.5 MB\)' 1
	ordinary_user
	mv "$N/bin/sudo" "$N/sudo"
	refuse "YES=1 without sudo" 'missing: flex. Type: ' "$N/make" YES=1
	mv "$N/sudo" "$N/bin/sudo"
}

# killed GROUP CONDITION COMMAND...: by SIGKILL once the condition is met; GROUP is
# "-" for all of it, "" for the first process alone.
killed() {
	group=$1
	condition=$2
	shift 2
	setsid "$@" >"$W/said" 2>&1 </dev/null &
	pid=$!
	wait_until eval "$condition" || result 1 "in two minutes: $condition"
	kill -s KILL -- "$group$pid"
	wait $pid 2>/dev/null || :
}

killed_download() {
	ordinary_user
	if ! downloads_here; then
		skip "a killed download" "nothing would be downloaded here"
		return
	fi
	for group in - ''; do
		ordinary_user
		: >"$N/state/slow"
		killed "$group" "[ -s $N/copy/build/dl/partial/*.deb ]" "$N/make" YES=1
		rm "$N/state/slow"
		rc=0
		[ -z "$(find "$N/copy/build/dl" -maxdepth 1 -name '*.deb')" ] || rc=1
		result $rc "a killed download${group:+ and all its processes} leaves nothing that looks whole"
		works "the next try goes on" "$N/make" YES=1
		rc=0
		cmp "$N/copy/build/dl/linux-source-6.12_1_all.deb" "$N/source.deb" >"$W/said" 2>&1 || rc=1
		result $rc "and has all of it"
	done
	head -c 1000 "$N/source.deb" >"$N/copy/build/dl/linux-source-6.12_1_all.deb"
	refuse "a download that was damaged later" 'it is not whole: remove it and try again' "$N/make"
}

# Nothing goes on behind a Ctrl-C, such as the clock of the step.
ctrl_c() {
	if [ -z "$(command -v script)" ]; then
		skip "Ctrl-C" "script is missing"
		return
	fi
	rm -rf "$W/copy/build"
	on_terminal '\003' 'building the plain kernel +0:0[2-9]' "trap : INT; stty -g >$W/before
		STAND_IN=slow make -C $W/copy --no-print-directory kernel KSRC=$W/small.tar.xz || rc=\$?
		echo; echo status \$rc; stty -g >$W/after; sleep 1.5; echo end"
	said "Ctrl-C ends a long step" '^status [^0]' 1
	rc=0
	[ "$(sed '1,/^status/d; /^Script/d; /^$/d' "$W/said")" = end ] || rc=1
	result $rc "and all of it"
	rc=0
	cmp "$W/before" "$W/after" >"$W/said" 2>&1 || rc=1
	result $rc "the terminal is as it was"
	works "the next try goes on" m kernel KSRC="$W/small.tar.xz"
	said "and waits for nobody" 'waiting for' 0
}

# df promises much until truly nothing is left.
full_disk() {
	if ! apart -m true 2>/dev/null; then
		skip "a disk that gets full" "no name spaces here"
		return
	fi
	mkdir -p "$W/disk" "$W/df"
	cat >"$W/df/df" <<END
#!/bin/sh
$(command -v df) "\$@" | awk 'NR == 2 && \$4 > 2 { \$4 += 5000 } { print }'
END
	chmod +x "$W/df/df"
	# shellcheck disable=SC2016 # for the inner shell
	works "a disk that gets full while the kernel is built, and then is not" \
		apart -m env PATH="$W/df:$PATH" sh -c '
		mount -t tmpfs -o size=40M none "$1" && cp -r "$2" "$1/copy" && cd "$1/copy" &&
		rm -rf build && k="make --no-print-directory kernel KSRC=$3" &&
		! STAND_IN=full $k >"$4" 2>&1 && rm build/out/big && $k' \
		sh "$W/disk" "$W/copy" "$W/small.tar.xz" "$W/full"
	refuse "what is said then" 'building the plain kernel failed: the disk is full' \
		sh -c "cat $W/full; exit 1"
}

# The tree once more, as links: nothing writes into a file of it.
second_tree() {
	mkdir -p "$1"
	cp -al "$B/linux" "$B/orig" "$1/"
	cp -a "$B/state" "$1/"
}

# The kernel that was built, once more in another folder, so that a build there
# takes seconds. What it says of its folder is said of the other.
second_kernel() {
	K=$W/real
	copy "$K"
	second_tree "$K/build"
	cp -a "$B/out" "$K/build/"
	ln -sfn "$K/build/linux" "$K/build/out/source"
	grep -rlI "$B" "$K/build/out" | xargs -r sed -i "s,$B/,$K/build/,g"
	# What was written in the last two seconds before a kill is made again: not these.
	sleep 3
	bz=arch/x86/boot/bzImage
	log=$K/build/log/kernel-plain.log
}

same_kernel() {
	rc=0
	cmp "$K/build/out/$bz" "$B/out/$bz" >"$W/said" 2>&1 || rc=1
	result $rc "and the kernel is the same, byte for byte"
}

killed_compile() {
	touch "$K"/mm/dmem*.c "$K"/kernel/det*.c
	killed - "grep -q 'CC  *mm/dmem' $log" make -C "$K" kernel
	# What is left of an object if the kill comes a moment later.
	: >"$K/build/out/mm/dmem.o"
	for what in 'LD  *vmlinux.o' 'boot/compressed/vmlinux.bin'; do
		killed - "grep -q '$what' $log" make -C "$K" kernel
	done
	works "after kills while the kernel was compiled and linked the next try ends well" \
		make -C "$K" kernel
	same_kernel
	works "what the user's shell has for other builds does not count" \
		env ROOT=/ TREE=/ CROSS_COMPILE=none- ARCH=arm64 make -C "$K" kernel
	same_kernel
}

failing_compile() {
	cp -p "$K/mm/dmem.c" "$W/dmem.c"
	echo 'int broken = ;' >>"$K/mm/dmem.c"
	rc=0
	make -C "$K" kernel >"$W/said" 2>&1 || rc=$?
	result $((rc == 0)) "a file that does not compile"
	said "the last lines of the log are shown" 'dmem.c:[0-9:]* error' 1
	said "and the log is named" "^error: .*failed.*the whole log: $log" 1
	cp -p "$W/dmem.c" "$K/mm/dmem.c"
	works "the next try goes on after a repair" make -C "$K" kernel
}

compiles() {
	second_kernel
	killed_compile
	failing_compile
	rm -rf "$K"
}

# What is made, if only this part of the tests runs.
"$SCRIPTS/tree.sh" >&2
"$SCRIPTS/kernel.sh" --quick plain >&2
"$SCRIPTS/user.sh" >&2
rm -rf "$W"
mkdir -p "$W"
: >"$W/said"
copy "$W/copy"
small_source
[ $# -gt 0 ] || set -- mistakes missing_tools without_network small_disk read_only_folder kills changed_patch \
	parallel question killed_download ctrl_c full_disk compiles space_in_path
for one; do
	$one
done
say "1..$NR"
rm -rf "$W"
[ "$FAILURES" -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# All that comes from a network: packages and the kernel source.
# fetch.sh tree|build|run|test|gdb|linux-selftests|all says how much will be done
# with them; each includes those before it, but linux-selftests not gdb. With "test" and
# "all" there are also the sources on which the series is tried; without these "test"
# goes on, and that test is skipped.
#
# What is missing is found before anything long starts. A package is installed
# after one question on a terminal, without it for root and with YES=1; else the
# command to type is said. With nothing missing, no network is touched.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
purpose=${1:-test}
SOURCE_PACKAGE=linux-source-6.12
NETWORK="is there a network? Then try again"
sudo='sudo '
[ "$(id -u)" -ne 0 ] || sudo=
allowed=

# tool, Debian's package, from which purpose on it is needed
NEEDED="
patch patch tree
tar tar tree
xz xz-utils tree
flock util-linux tree
gcc gcc build
make make build
flex flex build
bison bison build
bc bc build
perl perl build
gzip gzip build
cpio cpio build
gelf.h libelf-dev build
stdlib.h libc6-dev build
libc.a libc6-dev build
busybox busybox-static run
qemu-system-x86_64 qemu-system-x86 run
git git test
sparse sparse test
spin spin test
shellcheck shellcheck test
python3 python3 test
g++ g++ test
pgrep procps test
script bsdutils test
unshare util-linux test
gdb gdb gdb
rsync rsync linux-selftests
sys/capability.h libcap-dev linux-selftests
numa.h libnuma-dev linux-selftests
liburing.h liburing-dev linux-selftests
"

level() {
	case $1 in
	tree) echo 1 ;;
	build) echo 2 ;;
	run) echo 3 ;;
	test) echo 4 ;;
	gdb | linux-selftests) echo 5 ;;
	all) echo 6 ;;
	esac
}

# Is it here? A tool, a header or the static C library.
here() {
	case $1 in
	*.h)
		command -v gcc >/dev/null || [ -f "/usr/include/$1" ] || return 1
		! command -v gcc >/dev/null ||
			printf '#include <%s>\n' "$1" | gcc -E -o /dev/null -x c - 2>/dev/null
		;;
	libc.a)
		! command -v gcc >/dev/null || [ -f "$(gcc -print-file-name=libc.a)" ]
		;;
	busybox)
		# A dynamic one does not run in the guest.
		command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1
		;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Lines "tool package" of what is not here.
missing() {
	printf '%s\n' "$NEEDED" | while read -r tool package from; do
		[ -n "$tool" ] || continue
		[ "$(level "$from")" -le "$(level "$purpose")" ] || continue
		[ "$(level "$from")" -lt 5 ] || [ "$from" = "$purpose" ] || [ "$purpose" = all ] ||
			continue
		here "$tool" || echo "$tool $package"
	done
}

column() {
	awk -v n="$1" '!seen[$n]++ { printf "%s%s", sep, $n; sep = " " }'
}

known_to_apt() {
	for p in "$@"; do
		[ -n "$(apt-cache --quiet=2 show "$p" 2>/dev/null | head -1)" ] || return 1
	done
}

# The size of what apt-get would download, where it knows: apt_size PACKAGE...
apt_size() {
	apt-get install --no-install-recommends --print-uris -qq -y "$@" 2>/dev/null |
		awk '$3 ~ /^[0-9]+$/ { n += $3 } END { if (n) printf " (%.1f MB)", n / 1e6 }'
}

# Run apt-get as root, with sudo if we are not.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		DEBIAN_FRONTEND=noninteractive "$@"
	else
		sudo "$@"
	fi
}

ask() {
	command -v sudo >/dev/null || return 1
	printf '%s [Y/n] ' "$1"
	read -r answer </dev/tty || return 1
	case $answer in
	'' | y* | Y*) ;;
	*) return 1 ;;
	esac
	sudo apt-get --version >/dev/null
}

# Asked once: may_install WHAT
may_install() {
	[ -z "$allowed" ] || return 0
	if [ "$(id -u)" -eq 0 ]; then
		:
	elif [ -n "${YES:-}" ]; then
		# A password can be typed on a terminal only.
		command -v sudo >/dev/null || return 1
		if [ -t 0 ]; then
			sudo apt-get --version >/dev/null || return 1
		else
			sudo -n apt-get --version >/dev/null 2>&1 || return 1
		fi
	elif [ -t 0 ] && [ -t 1 ]; then
		ask "Missing: $1. Install with sudo apt-get?" || return 1
	else
		return 1
	fi
	allowed=1
}

update() {
	quietly "$NETWORK" apt-update "fetching the package lists" as_root apt-get update
}

# An installation that was killed is ended first. Old package lists name files
# that are gone. Another apt-get, such as that of a killed make, is waited for.
install_now() {
	if [ -n "$(ls -A /var/lib/dpkg/updates 2>/dev/null)" ]; then
		as_root dpkg --configure -a || return
	fi
	set -- as_root apt-get -o DPkg::Lock::Timeout=600 install --no-install-recommends -y "$@"
	"$@" && return
	as_root apt-get update && "$@"
}

# "apt-get" may be there and useless: in a name space without the real root.
install_packages() {
	list=$(missing)
	[ -n "$list" ] || return 0
	packages=$(printf '%s\n' "$list" | column 2)
	tools=$(printf '%s\n' "$list" | column 1)
	command -v apt-get >/dev/null ||
		die "these tools are missing: $tools. Install them with your system's package manager (Debian's names: $packages)"
	command="${sudo}apt-get update && ${sudo}apt-get install --no-install-recommends -y $packages"
	# shellcheck disable=SC2086 # words
	may_install "$packages$(apt_size $packages)" || die "missing: $packages. Type: $command"
	# shellcheck disable=SC2086 # words
	known_to_apt $packages || update
	# shellcheck disable=SC2086 # words
	quietly "$NETWORK" apt-install "installing $packages$(apt_size $packages)" install_now $packages
	list=$(missing)
	[ -z "$list" ] ||
		die "still missing after the installation: $(printf '%s\n' "$list" | column 1)"
}

download_once() {
	rm -rf "$B/dl/partial"
	mkdir -p "$B/dl/partial" &&
		(cd "$B/dl/partial" && apt-get -o APT::Sandbox::User="$(id -un)" download "$SOURCE_PACKAGE") &&
		mv "$B"/dl/partial/*.deb "$B/dl/" &&
		rm -rf "$B/dl/partial"
}

# Old package lists name a file that is gone.
download_source() {
	download_once && return
	[ -n "$allowed" ] && as_root apt-get update && download_once
}

source_size() {
	apt-cache show "$SOURCE_PACKAGE" | awk '/^Size:/ { printf "%.0f MB", $2 / 1e6; exit }'
}

fetch_source() {
	[ -z "${KSRC:-}" ] || return 0
	[ ! -f "$B/linux/.deterministic-source" ] || return 0
	! "$SCRIPTS/source.sh" >/dev/null 2>&1 || return 0
	command -v apt-get >/dev/null ||
		die "the kernel source is missing: name a Linux 6.12 tree or tarball (from kernel.org) with KSRC="
	if ! known_to_apt "$SOURCE_PACKAGE"; then
		may_install "the package lists" ||
			die "apt does not know $SOURCE_PACKAGE. Type: ${sudo}apt-get update; or name a Linux 6.12 source with KSRC="
		update
		known_to_apt "$SOURCE_PACKAGE" ||
			die "this system's package sources do not have $SOURCE_PACKAGE (Debian 12: add bookworm-security or bookworm-backports), or name a Linux 6.12 source with KSRC="
	fi
	[ "$(id -u)" -ne 0 ] || allowed=1
	advice=$NETWORK
	[ -n "$allowed" ] || advice="is there a network? Then type ${sudo}apt-get update, and try again"
	quietly "$advice" download "downloading the kernel source ($(source_size))" download_source
}

fetch_others() {
	case $purpose in
	test | all) ;;
	*) return 0 ;;
	esac
	command -v apt-cache >/dev/null || return 0
	size=$("$SCRIPTS/series-test.sh" --size)
	[ -n "$size" ] || return 0
	timed series-sources "downloading other kernel sources ($size)" "$SCRIPTS/series-test.sh" --fetch
	[ "$rc" -eq 0 ] || [ "$purpose" != all ] ||
		die "$text did not work: $NETWORK; what was said is in $log"
}

# Once everything was there, only what a later call needs is looked at.
need_build_space() {
	if [ ! -f "$B/out/arch/x86/boot/bzImage" ]; then
		need_space 4096 "the build"
	fi
}

need_build_space
# Two makes do not download the same; on a foreign system flock may be missing.
! here flock || lock fetch
install_packages
fetch_source
fetch_others

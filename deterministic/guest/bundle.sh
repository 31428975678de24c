#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes build/guest/deterministic.run: one file that holds the kernel, the
# initramfs with the programs and the tests, and boot. It needs a POSIX shell,
# tail, gzip, tar and QEMU, and is run as boot is; without arguments it is a
# shell in the guest. It unpacks itself once, below ~/.cache.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
kernel=${1:-$top/build/out/arch/x86/boot/bzImage}
run=$top/build/guest/deterministic.run

# The same input gives the same bytes.
stage_fill()
{
	install -D -m 755 -t "$stage/deterministic/guest" \
		"$here/boot" "$here/log-check"
	install -D -m 644 "$kernel" "$stage/build/out/arch/x86/boot/bzImage"
	install -D -m 755 -t "$stage/build/guest" \
		"$top/build/guest/attach" "$top/build/guest/tsc-khz"
	install -m 644 -t "$stage/build/guest" \
		"$top/build/guest/initramfs.cpio"
	find "$stage" -type d -exec chmod 755 {} +
}

# The name of the folder is the content's, so a newer file is unpacked anew.
header()
{
	sum=$(sha256sum < "$1" | cut -c1-16)
	cat <<END
#!/bin/sh
# A Linux kernel with dput, dget and dret, and a QEMU guest that runs it.
#	sh deterministic.run			a shell in the guest
#	sh deterministic.run --host-root ./prog	a program of this machine's
#	sh deterministic.run --help
dir=\${XDG_CACHE_HOME:-\$HOME/.cache}/deterministic-$sum
if [ ! -d "\$dir" ]; then
	echo "unpacking into \$dir" >&2
	mkdir -p "\$dir.\$\$" &&
	tail -n +@NEXT@ "\$0" | gzip -dc | tar -xf - -C "\$dir.\$\$" &&
	mv -T "\$dir.\$\$" "\$dir" || { rm -rf "\$dir.\$\$"; exit 125; }
fi
[ \$# -gt 0 ] || set -- --shell
exec "\$dir/deterministic/guest/boot" "\$@"
# What follows is a tar.gz.
END
}

[ -r "$kernel" ] || { echo "bundle: there is no $kernel" >&2; exit 1; }
"$here/initramfs.sh"
stage=$(mktemp -d)
trap 'rm -rf "$stage" "$run.tar" "$run.head" "$run.new"' EXIT
(umask 022 && stage_fill)
tar -C "$stage" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
	-cf - build deterministic | gzip -n -6 > "$run.tar"
header "$run.tar" > "$run.head"
next=$(($(wc -l < "$run.head") + 1))
sed "s/@NEXT@/$next/" "$run.head" | cat - "$run.tar" > "$run.new"
chmod 755 "$run.new"
mv "$run.new" "$run"

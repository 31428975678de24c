#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Checks the guest from outside: what a user's terminal, script or make sees of
# a command in there. Prints TAP; fails if a check does.
#
#	test.sh [NAME...]	all checks, or those named
# shellcheck disable=SC2016 # much in here is for the guest's shell
set -u

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
work="$(mktemp -d)/a b,c"
boot=${work%/*}/boot
mkdir -p "$work"
trap 'rm -rf "${work%/*}"' EXIT
trap 'exit 130' INT TERM HUP
cd "$work" || exit 1
# A name without a space in it, and logs of failures that are wanted stay here.
cat > "$boot" <<END
#!/bin/sh
exec "$here/boot" --log "$work/log" "\$@"
END
chmod 755 "$boot"
failed=0
count=0

# same WHAT GOT WANTED
same()
{
	[ "$2" = "$3" ] && return 0
	printf '# %s: got "%s", wanted "%s"\n' "$1" "$2" "$3" | head -n 20
	return 1
}

# has WHAT FILE PATTERN
has()
{
	grep -aqE -e "$3" "$2" && return 0
	echo "# $1: no '$3' in:"
	head -n 10 "$2" | sed 's/^/#	/'
	return 1
}

# One line of at most 300 characters, not a page of them.
one_line()
{
	same "lines of $1" "$(wc -l < "$1")" 1
}

no_qemu_left()
{
	for try in $(seq 300); do
		pgrep -f "guest/initramfs.cpio.*path=.*$1" > left || return 0
		sleep 0.2
	done
	echo "# QEMU still runs after $try looks: $(cat left)"
	return 1
}

# in_terminal COMMAND: standard input is what is typed
in_terminal()
{
	script -qec "trap : INT; stty -a > before; $1; stty -a > after" \
		/dev/null > screen
	cmp -s before after && return 0
	echo "# the terminal is not as it was:"
	diff before after | sed 's/^/#	/'
	return 1
}

# Waits until FILE holds PATTERN, for a minute at most.
wait_for()
{
	for try in $(seq 600); do
		! grep -aqE -e "$2" "$1" 2> /dev/null || return 0
		sleep 0.1
	done
	echo "# no '$2' in $1 after $try looks" >&2
	return 1
}

# types WAIT-FOR TEXT...: types each text when the screen shows what is before
types()
{
	: > screen
	while [ $# -gt 0 ]; do
		wait_for screen "$1" || break
		sleep 0.2
		# shellcheck disable=SC2059 # escapes are meant
		printf "$2"
		shift 2
	done
	sleep 0.5
}

test_status()
{
	"$boot" -- sh -c 'echo out; echo err >&2; exit 7' < /dev/null > o 2> e
	same status $? 7 && same output "$(cat o)" out && same error "$(cat e)" err
}

test_signal()
{
	"$boot" -- sh -c 'kill -9 $$' < /dev/null
	same status $? 137
}

test_no_such_command()
{
	"$boot" -- no-such-command < /dev/null 2> e
	same status $? 127 && has error e 'no-such-command: No such file'
}

test_arguments()
{
	newline='a
b'
	"$boot" -- printf '<%s>' 'two  words' "$newline" "it's" '"q" \ $HOME' '' -- \
		< /dev/null > o || return 1
	same arguments "$(cat o)" "<two  words><$newline><it's><\"q\" \\ \$HOME><><-->"
}

test_long_command_line()
{
	long=$(head -c 60000 /dev/zero | tr '\0' x)
	"$boot" -- sh -c 'echo ${#1} ${#2}' sh "$long" "$long$long" < /dev/null > o
	same lengths "$(cat o)" "60000 120000"
}

test_binary_data()
{
	head -c 3000000 /dev/urandom > data
	"$boot" -- cat < data > o || return 1
	cmp data o
}

test_end_of_input()
{
	same bytes "$(printf abc | "$boot" -- wc -c)" 3 &&
	same none "$("$boot" -- wc -c < /dev/null)" 0
}

test_command_that_reads_nothing()
{
	yes | head -c 5000000 | "$boot" -- echo ready > o
	same output "$(cat o)" ready
}

test_reader_that_goes_away()
{
	"$boot" --timeout 60 -- sh -c 'trap "" HUP; yes; echo $? >&2' \
		< /dev/null 2> e | head -n 1 > o
	same output "$(cat o)" y && same status "$(cat e)" 141
}

test_host_program()
{
	cat > hello.c <<-'END'
		#include <stdio.h>
		int main(int argc, char **argv)
		{
			printf("%d %s\n", argc, argv[1]);
			return 42;
		}
	END
	"${CC:-cc}" -o hello hello.c || return 1
	"$boot" --host-root -- ./hello 'x y' < /dev/null > o
	same status $? 42 && same output "$(cat o)" "2 x y"
}

test_host_root_is_read_only()
{
	"$boot" --host-root -- sh -c 'pwd; > here; > /usr/here; echo $?' \
		< /dev/null > o 2> e
	same folder "$(head -n 1 o)" "$(pwd -P)" &&
	has error e 'here.*Read-only' && [ ! -e here ]
}

test_dir_is_writable()
{
	mkdir -p 'd, e'
	"$boot" --host-root --dir 'd, e' -- sh -c \
		'echo new > "d, e/f" && mkdir "d, e/g" && cd "d, e" && mv f g' \
		< /dev/null || return 1
	same content "$(cat 'd, e/g/f')" new || return 1
	"$boot" --dir 'd, e' -- sh -c 'pwd; cat g/f; rm -r g' < /dev/null > o
	same output "$(cat o)" "$(pwd -P)/d, e
new" && [ ! -e 'd, e/g' ]
}

# From key to prompt. On a machine that is busy with other things it says
# nothing, and is skipped.
test_exec_in_5_seconds()
{
	for try in 1 2 3; do
		start=$(date +%s%N)
		"$boot" --host-root -- true < /dev/null || return 1
		ms=$((($(date +%s%N) - start) / 1000000))
		echo "# look $try: $ms ms"
		[ "$ms" -ge 5000 ] || return 0
	done
	read -r load _ < /proc/loadavg
	[ "${load%.*}" -le "$(nproc)" ] && return 1
	skip="the load is $load"
}

test_time_limit()
{
	"$boot" --timeout 5 -- sleep 1000 < /dev/null 2> e
	same status $? 124 && one_line e && has message e 'not ended in 5 seconds.*log'
}

test_hang_in_boot()
{
	"$boot" --boot-timeout 5 --append 'rdinit=/bin/sleep -- 1000' -- true < /dev/null 2> e
	same status $? 124 && one_line e && has message e 'not booted.*log'
}

test_panic()
{
	"$boot" -- sh -c 'echo c > /proc/sysrq-trigger; sleep 1000' < /dev/null 2> e
	same status $? 125 && one_line e && has message e 'Kernel panic.*log'
}

# Each complaint is found, and an innocent log is not one.
test_log_check()
{
	cat > log <<-'END'
		[ 0.0] Command line: page_table_check=on kmemleak=on WARNING
		[ 0.1] random: crng init done, no warning, DEBUG: no bug
		[ 0.2] traps: a[9] general protection fault ip:4011 sp:7ffd error:0
		[ 0.3] kmemleak: Kernel memory leak detector initialized
	END
	"$here/log-check" log || return 1
	while IFS= read -r line; do
		echo "[ 1.0] $line" > log
		"$here/log-check" log > o && {
			echo "# not found: $line"
			return 1
		}
		same line "$(cat o)" "[ 1.0] $line" || return 1
		"$here/log-check" --expect "${line%% *}" log || return 1
	done <<-'END'
		BUG: sleeping function called from invalid context
		WARNING: CPU: 0 PID: 1 at mm/memory.c:1 f+0x1/0x2
		WARNING: possible recursive locking detected
		BUG: KASAN: slab-use-after-free in f+0x1/0x2
		kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
		kmemleak: Kernel memory leak detector disabled
		BUG: Bad rss-counter state mm:0 type:MM_ANONPAGES val:1
		BUG: non-zero pgtables_bytes on freeing mm: 4096
		Oops: general protection fault, probably for non-canonical address
		INFO: task sleep:1 blocked for more than 120 seconds.
		general protection fault: 0000
		rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
		refcount_t: underflow; use-after-free.
		kernel BUG at mm/page_table_check.c:100!
		BUG kmalloc-64 (Not tainted): Poison overwritten
	END
	! "$here/log-check" --expect nothing-like-it log 2> e &&
	has message e 'nothing matches'
}

# The same from end to end: a complaint fails a command that did not fail.
test_complaint_of_the_kernel()
{
	"$boot" -- sh -c 'echo "<4>WARNING: a test" > /dev/kmsg' < /dev/null 2> e
	same status $? 125 && one_line e && has message e 'complained: .*a test' ||
		return 1
	"$boot" --expect 'a test' -- sh -c \
		'echo "<4>WARNING: a test" > /dev/kmsg' < /dev/null 2> e
	same 'status when expected' $? 0 || return 1
	"$boot" --expect 'a test' -- true < /dev/null 2> e
	same 'status when missing' $? 125 || return 1
	"$boot" --leaks -- true < /dev/null 2> e
	same 'status without kmemleak' $? 125 && has message e 'no kmemleak'
}

test_terminal()
{
	types 'status' '' | in_terminal "stty rows 33 cols 77; stty -a > before
		$boot -- sh -c 'tty; stty size; exit 5'; echo status \$?" || return 1
	has tty screen /dev/pts/0 && has size screen '33 77' &&
	has status screen 'status 5'
}

# Types at a shell: Ctrl-C and Ctrl-Z are for what runs in it.
test_job_control()
{
	types '# ' 'echo a$((1+1))b; sleep 1000\r' a2b '\003' \
		'\^C' 'echo c$((1+2))d; sleep 1000\r' c3d '\032' \
		Stopped 'fg\r' '# .*fg' '\003' '\^C.*\^C|fg.*' 'exit 6\r' |
		in_terminal "$boot --shell; echo status \$?" || return 1
	has 'after Ctrl-Z' screen Stopped && has status screen 'status 6'
}

test_ctrl_c()
{
	types 'in it' '\003' | in_terminal \
		"$boot -- sh -c 'echo in it; sleep 1000'; echo status \$?" || return 1
	has status screen 'status 130'
}

test_ctrl_c_in_boot()
{
	{ wait_for kernel.log version && printf '\003'; sleep 1; } | in_terminal \
		"$boot --log kernel.log --dir . --append 'rdinit=/bin/sleep -- 1000' \
			-- true; echo status \$?" || return 1
	has status screen 'status 130' && no_qemu_left "$(basename "$work" ,c)"
}

test_escape()
{
	types 'in it' '\003' 'C' '\035' | in_terminal "$boot --dir . -- \
		sh -c 'trap \"\" INT; echo in it; sleep 1000'; echo status \$?" ||
		return 1
	has status screen 'status 130' && no_qemu_left "$(basename "$work" ,c)"
}

# Killed in the middle, neither QEMU nor a raw terminal stays behind.
test_killed()
{
	types 'in it' '' | in_terminal "$boot --dir . -- \
		sh -c 'echo in it; sleep 1000' & until grep -q 'in it' screen; do
		sleep 0.2; done; pkill -9 -f 'guest/[a]ttach.*$work'
		wait; echo status \$?" || return 1
	has message screen 'the guest was killed' &&
	no_qemu_left "$(basename "$work" ,c)"
}

# signalled SIGNAL: sent to boot alone, when the command runs
signalled()
{
	: > o
	"$boot" --dir . -- sh -c 'echo in it; sleep 1000' \
		< /dev/null > o 2> /dev/null &
	wait_for o 'in it'
	kill -s "$1" $!
	wait $! 2> /dev/null
	same "status after $1" $? "$2" && no_qemu_left "$(basename "$work" ,c)"
}

test_boot_killed()
{
	signalled KILL 137
}

test_boot_terminated()
{
	signalled TERM 143
}

# fails PATTERN OPTIONS...: one line, status 125, before anything starts
fails()
{
	pattern=$1
	shift
	"$boot" "$@" < /dev/null > o 2> e
	same "status of $*" $? 125 && has message e "$pattern"
}

test_mistakes()
{
	fails 'no option --nonsense' --nonsense -- true &&
	fails 'needs a value' --cpus &&
	fails 'needs a number' --cpus two -- true &&
	fails 'not .foo' --accel foo -- true &&
	fails 'no kernel .*nowhere' --kernel nowhere -- true &&
	fails 'no folder' --dir nowhere -- true &&
	fails 'usage' &&
	mkdir tools && ln -s /usr/bin/* tools && rm -f tools/qemu* &&
	PATH=$work/tools fails 'qemu-system-x86_64 is missing' -- true
}

test_reproducible()
{
	for name in one two; do
		mkdir -p "$name/deterministic" "$name/build/user/bin"
		cp -r "$here" "$name/deterministic/guest"
		echo program > "$name/build/user/bin/p"
		chmod 755 "$name/build/user/bin/p"
		"$name/deterministic/guest/initramfs.sh" || return 1
		sleep 1.1
	done
	for file in initramfs.cpio initramfs.cpio.gz; do
		cmp "one/build/guest/$file" "two/build/guest/$file" || return 1
	done
}

test_bundle()
{
	"$here/bundle.sh" || return 1
	cp "$top/build/guest/deterministic.run" .
	for turn in first second; do
		XDG_CACHE_HOME=$work/cache sh deterministic.run --accel tcg -- \
			uname -n < /dev/null > o 2> e || return 1
		same "$turn output" "$(cat o)" guest || return 1
	done
	same 'second unpacking' "$(cat e)" ""
}

run()
{
	count=$((count + 1))
	skip=
	if "test_$1"; then
		echo "ok $count guest: $1${skip:+ # SKIP $skip}"
	else
		echo "not ok $count guest: $1"
		failed=$((failed + 1))
	fi
}

"$here/initramfs.sh" || exit 1
"$boot" -- true < /dev/null || exit 1	# whether KVM works is known from here on
# shellcheck disable=SC2046 # words
[ $# -gt 0 ] ||
	set -- $(sed -n 's/^test_\([a-z0-9_]*\)()$/\1/p' "$here/test.sh")
echo "TAP version 13"
echo "1..$#"
for name; do
	run "$name"
done
[ "$failed" = 0 ]

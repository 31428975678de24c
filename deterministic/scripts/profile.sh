#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench PROFILE=name: where the instructions of one operation of det-bench go, by
# function. Another name is refused with "profile.sh --check", before anything starts.
#
# QEMU logs each instruction that it executes, one a block, to a pipe; that is so slow
# that the log is switched on by the monitor when the operation's setup is over. The
# guest does not see it: its clock counts what it always counts. det-bench calls three
# functions that do nothing, so that the log says where a series of rounds begins, and
# each of its rounds. The figure of det-bench is the median of rounds less the median
# of rounds that do nothing; so is this, with the middle half of the rounds each.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

W=$B/bench
ROWS=40
PROFILE=${PROFILE:-}
CR=$(printf '\r')
PROGRAM=$B/user/bin/det-bench
NAMES=$(sed -n 's/^	{ "\([a-z0-9_]*\)", [a-z_]*, [0-9]*,.*/\1/p' \
	"$ROOT/tools/deterministic/bench.c")

check_name() {
	# shellcheck disable=SC2086 # words
	say "$NAMES" | grep -qxF "$PROFILE" ||
		die "PROFILE=$PROFILE is no operation$("$SCRIPTS/suggest.sh" "$PROFILE" $NAMES)"
}

# Not in build/: of a pipe's name QEMU takes a comma for the next option.
make_pipes() {
	D=$(mktemp -d /tmp/profile.XXXXXX)
	guest=
	counter=
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkfifo "$D/in" "$D/out" "$D/log" "$D/monitor.in" "$D/monitor.out"
}

# shellcheck disable=SC2317 # a trap calls it
clean_up() {
	trap '' INT TERM HUP
	for pid in $guest $counter; do
		kill "$pid" 2>/dev/null || :
	done
	rm -rf "$D"
}

# As bench.sh boots it: the figure is the same.
start_guest() {
	"$ROOT/deterministic/guest/boot" --timeout 7200 --log "$B/log/profile-kernel.log" \
		--accel icount --append "nokaslr norandmaps" \
		--qemu "-monitor pipe:$D/monitor -D $D/log" \
		-- /bin/det-bench --profile "$PROFILE" \
		<"$D/in" >"$D/out" 2>"$B/log/profile.log" 7>&- &
	guest=$!
}

failed() {
	tail -n 5 "$B/log/profile.log"
	die "$PROFILE: $1; the kernel's log: $B/log/profile-kernel.log"
}

# monitor COMMAND...: and the answer to one more says that they were done. What is
# typed comes back as well, letter by letter.
monitor() {
	exec 5>"$D/monitor.in" 6<"$D/monitor.out"
	printf '%s\n' "$@" 'info status' >&5
	while IFS= read -r line <&6; do
		case $line in
		'VM status: running'*) return 0 ;;
		*\(qemu\)*) ;;
		*) say "${line%"$CR"}" >>"$B/log/profile.log" ;;
		esac
	done
	failed "QEMU's monitor said nothing"
}

# symbols BEGIN: "address name" of all functions, in their order. One of det-bench's is
# at BEGIN, and others there are where they are from it.
symbols() {
	nm "$PROGRAM" >"$D/program"
	base=$(($1 - 0x$(awk '$3 == "series_begins" { print $1 }' "$D/program")))
	{
		awk '$2 ~ /^[tTwW]$/' "$B/out/System.map"
		awk '$2 ~ /^[tTwWi]$/ { print $1, $2, "user:" $3 }
			$3 == "_end" { print $1, "T", "elsewhere" }' "$D/program" |
			while read -r address type name; do
				printf '%016x %s %s\n' $((0x$address + base)) "$type" "$name"
			done
	} | sort | awk '$1 "" != last { print $1, $3; last = $1 "" }'
}

# count SERIES BEGIN END: reads the log, writes lines "series round total function
# instructions calls".
count() {
	awk -F / -v "marks=$*" '
	# The last one that does not begin behind the address; they are compared as words.
	function function_at(pc,    low, high, middle) {
		if (pc in memo)
			return memo[pc]
		low = 1
		high = nr
		while (low < high) {
			middle = int((low + high + 1) / 2)
			if (address[middle] "" <= pc "")
				low = middle
			else
				high = middle - 1
		}
		starts[pc] = address[low] "" == pc ""
		return memo[pc] = name[low]
	}
	function end_of_round(    pc, f, total, instructions, calls) {
		for (pc in times) {
			f = function_at(pc)
			total += times[pc]
			instructions[f] += times[pc]
			if (starts[pc])
				calls[f] += times[pc]
		}
		round++
		for (f in instructions)
			print series, round, total, f, instructions[f], calls[f] + 0
	}
	BEGIN {
		split(marks, at, " ")
		for (i in at)
			mark[at[i]] = i
	}
	FNR == NR {
		address[++nr] = substr($0, 1, 16)
		name[nr] = substr($0, 18)
		next
	}
	NF < 4 {
		# That block was not executed after all: an interrupt came before it.
		if (/^Stopped/ && counting)
			times[last]--
		next
	}
	$2 in mark {
		if (mark[$2] == 1) {
			series++
			round = 0
		} else if (mark[$2] == 3 && counting) {
			end_of_round()
		}
		counting = mark[$2] == 2
		split("", times)
		next
	}
	counting {
		last = $2
		times[$2]++
	}' "$D/symbols" -
}

# In the background, reading the log, until nobody has it open for writing: the shell
# keeps what it closes for a function.
start_counter() {
	symbols "$1" >"$D/symbols"
	(
		exec 7>&-
		count "$(printf '%016x' "$1")" "$(printf '%016x' "$2")" "$(printf '%016x' "$3")"
	) <"$D/log" >"$D/rounds" &
	counter=$!
}

# What det-bench says. Of the two names by which QEMUs know the setting, only one is
# right; with it each instruction is a block, and is logged.
listen() {
	each=1
	figure=
	exec 3>"$D/in" 4<"$D/out"
	while IFS= read -r line <&4; do
		line=${line%"$CR"}
		case $line in
		"profile each of "*) each=${line##* } ;;
		profile*)
			# shellcheck disable=SC2086 # words
			start_counter ${line#profile }
			monitor 'one-insn-per-tb on' 'singlestep on' 'log exec,nochain'
			echo >&3
			;;
		"$PROFILE "*)
			line=${line#* }
			figure=${line%% *}
			text=${line#* }
			;;
		esac
	done
	rc=0
	wait "$guest" || rc=$?
	guest=
	if [ "$rc" -ne 0 ] || [ -z "$figure" ]; then
		failed "det-bench ended with status $rc"
	fi
}

# The rows, "instructions per-cent calls function", the largest first; the sum goes to
# the file total. Behind a series there is one of rounds that do nothing. Where there
# are four, the operation is what the second two have more than the first two.
table() {
	cut -d ' ' -f 1-3 "$D/rounds" | uniq | sort -k1,1n -k3,3n >"$D/order"
	# shellcheck disable=SC2094 # awk reads it twice
	awk -v "each=$each" -v "sum=$D/total" '
	pass == 1 {
		rounds[$1]++
		nr = $1
	}
	pass == 2 {
		rank[$1]++
		skipped = int(rounds[$1] / 4)
		if (rank[$1] <= skipped || rank[$1] > rounds[$1] - skipped)
			next
		sign = $1 % 2 ? 1 : -1
		if (nr == 4)
			sign *= ($1 > 2 ? 1 : -1) / each
		weight[$1, $2] = sign / (rounds[$1] - 2 * skipped)
	}
	pass == 3 && ($1, $2) in weight {
		w = weight[$1, $2]
		total += w * $5
		instructions[$4] += w * $5
		calls[$4] += w * $6
	}
	END {
		printf "%.1f\n", total >sum
		for (f in instructions)
			if (instructions[f] >= 0.05 || instructions[f] <= -0.05)
				printf "%14.1f %9.1f %9.1f  %s\n", instructions[f],
					100 * instructions[f] / total, calls[f], f
	}' pass=1 "$D/order" pass=2 "$D/order" pass=3 "$D/rounds" | sort -k1,1rn -k4
}

# The log knows no idle time.
head_of_table() {
	total=$(cat "$D/total")
	say "$PROFILE: $text"
	say "$figure instructions by the guest's clock, $total by the log" \
		"($(awk "BEGIN { printf \"%+.1f\", ($total / $figure - 1) * 100 }") %)"
	printf '%14s %9s %9s  %s\n' instructions 'per cent' calls function
}

profile() {
	mkdir -p "$W"
	make_pipes
	begun=$(now)
	exec 7<>"$D/log"
	start_guest
	listen
	exec 7>&-
	wait "$counter" || failed "the log could not be read"
	counter=
	[ -s "$D/rounds" ] || failed "QEMU has logged nothing"
	table >"$D/rows"
	file=$W/profile-$PROFILE.txt
	{
		head_of_table
		cat "$D/rows"
	} >"$file"
	head -n $((ROWS + 3)) "$file"
	say "took $(elapsed $(($(now) - begun))); all $(wc -l <"$D/rows") rows: ${file#"$ROOT/"}"
}

check_name
[ "${1:-}" = --check ] || profile

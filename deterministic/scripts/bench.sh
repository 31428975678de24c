#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench [FULL=1]: what spaces cost, in instructions (which repeat, also on a
# loaded machine) and in time (of which only ratios tell something). A
# table that grows; build/bench has the figures, plots, and the thesis's tables
# beside ours. "bench.sh --accept" makes the instructions the accepted ones;
# "bench.sh --check" counts some of them again: TAP, and not 2 % worse. PROFILE=name
# is for profile.sh.

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"

W=$B/bench
MEMORY=$B/user/work/memory
ACCEPTED=$ROOT/deterministic/figures.tsv
KERNEL=$B/out/arch/x86/boot/bzImage
CR=$(printf '\r')
PARTS="short dynamic large programs thesis wall memory"

# ratio A B: to two digits behind the point.
ratio() {
	awk "BEGIN { if ($2 > 0) printf \"%.2f\", $1 / $2 }"
}

# What an operation is compared with: a name, and what to call the ratio.
other_of() {
	case $1 in
	*create_join) say "thread x pthreads" ;;
	*team_4 | *barrier_4) say "thread_${1#dynamic_} x pthreads" ;;
	create_*) say "fork_${1#create_} x fork" ;;
	child_1000) say "child_10 x the 10th" ;;
	round_16m | round_256m | round_1g) say "round_1m x 1 MiB" ;;
	esac
}

# show_operation NAME VALUE TEXT
show_operation() {
	words=
	other=$(other_of "$1")
	if [ -n "$other" ]; then
		base=$(sed -n "s/^${other%% *} [a-z]* \([0-9.]*\).*/\1/p" "$W"/raw.* | head -1)
		[ -z "$base" ] || words="$(ratio "$2" "$base") ${other#* }"
	fi
	printf '  %-50s %15s  %s\n' "${3:-$1}" "$2" "$words"
}

# show_program NAME UNIT VALUE: a row is complete with the figure of the spaces.
show_program() {
	case $1 in
	*.serial) ;;
	*.pthreads)
		pthreads=$3
		processes=-
		;;
	*.processes) processes=$3 ;;
	*.spaces)
		words=$(ratio "$3" "$pthreads")
		case $1 in
		*.faults.*) words=faults ;;
		*.1cpu.*)
			before=$3
			pthreads_before=$pthreads
			;;
		*.2cpu.*) words="$words, speed-up $(ratio "$before" "$3"), pthreads $(ratio "$pthreads_before" "$pthreads")" ;;
		esac
		printf '  %-26s %13s %13s %13s  %s\n' "${1%.spaces}" "$pthreads" \
			"$processes" "$3" "$words"
		;;
	esac
}

# show_memory NAME VALUE: a row is complete with the figure of the spaces.
show_memory() {
	case $1 in
	*.memory.serial)
		tsan=-
		times=-
		;;
	*.memory.pthreads) pthreads=$2 ;;
	*.memory.processes) processes=$2 ;;
	*.memory.tsan) tsan=$2 ;;
	*.memory.each) each=$2 ;;
	*.tsan.pthreads) before=$2 ;;
	*.tsan.tsan) times=$(ratio "$2" "$before") ;;
	*.memory.spaces)
		printf '  %-26s %13s %13s %13s  %s\n' "${1%.memory.spaces}" "$pthreads" \
			"$processes" "$2" "$each a space; TSan: $tsan, and $times x the time"
		;;
	esac
}

# The guest's lines, as they come.
show() {
	header=
	while IFS= read -r line; do
		line=${line%"$CR"}
		case $line in
		'# kernel'* | status*) continue ;;
		'# '*)
			say "  ${line#??}"
			continue
			;;
		esac
		name=${line%% *}
		line=${line#* }
		unit=${line%% *}
		line="${line#* } "
		case $name in
		*.*)
			[ -n "$header" ] || printf '  %-26s %13s %13s %13s  %s\n' \
				"$unit" pthreads processes spaces "x pthreads"
			header=1
			case $name in
			*.memory.* | *.tsan.*) show_memory "$name" "${line%% *}" ;;
			*) show_program "$name" "$unit" "${line%% *}" ;;
			esac
			;;
		*) show_operation "$name" "${line%% *}" "${line#* }" ;;
		esac
	done
}

# What programs with shared libraries load.
libraries() {
	ldd "$MEMORY"/* 2>/dev/null | awk '$2 == "=>" && /\// { print $3 }' | sort -u
}

# As in_guest, with the host's files: host_in_guest ACCEL PART ARGUMENT...
host_in_guest() {
	accel=$1
	shift
	rc=0
	# shellcheck disable=SC2046 # words
	"$ROOT/deterministic/guest/boot" --host-root --timeout 7200 --mem 4G --cpus 2 \
		--append "nokaslr norandmaps" --log "$B/log/bench-kernel.log" --accel "$accel" \
		-- /run/guest/bin/sh "$SCRIPTS/bench-guest.sh" "$@" "$MEMORY" $(libraries) \
		</dev/null || rc=$?
	say "status $rc"
}

# in_guest PART ARGUMENT...: what it writes, and a last line with the status.
in_guest() {
	case $1 in
	memory)
		host_in_guest "${ACCEL:-auto}" "$@"
		return
		;;
	dynamic)
		host_in_guest icount "$@"
		return
		;;
	esac
	counting=1
	[ "$1" != wall ] || counting=
	rc=0
	accel=${counting:+icount}
	# shellcheck disable=SC2016 # the guest's shell
	"$ROOT/deterministic/guest/boot" --timeout 7200 --log "$B/log/bench-kernel.log" \
		--accel "${accel:-${ACCEL:-auto}}" ${counting:+--append "nokaslr norandmaps"} \
		--cpus 2 -- \
		/bin/sh -c 'cat >/tmp/bench.sh && exec sh /tmp/bench.sh "$@" </dev/null' \
		bench "$@" <"$SCRIPTS/bench-guest.sh" || rc=$?
	say "status $rc"
}

# measure TEXT PART ARGUMENT...: a table, and a line with the time that it took.
measure() {
	text=$1
	part=$2
	shift
	begun=$(now)
	say "$text"
	in_guest "$@" 2>"$B/log/bench-$part.log" | tee "$W/raw.$part" | show
	printf '  %-44s %6s  %s\n' "$text" "$(elapsed $(($(now) - begun)))" \
		"build/log/bench-$part.log"
	grep -qx 'status 0' "$W/raw.$part" || {
		tail -n 5 "$B/log/bench-$part.log"
		die "$text failed; the kernel's log: $B/log/bench-kernel.log"
	}
}

# What figures depend on; that of the kernel itself is what they are for.
conditions() {
	say "# compiler: $(gcc --version | head -1)"
	say "# Linux: $(tr -d '\r' <"$1" | sed -n 's/^# kernel //p' | head -1)"
}

# All that was measured: name, unit, value, ratio to pthreads.
write_figures() {
	for p in $PARTS; do
		cat "$W/raw.$p"
	done | tr -d '\r' | awk -v OFS='\t' '
		/^#/ || $1 == "status" { next }
		{ name[++nr] = $1; unit[nr] = $2; value[$1] = $3 }
		function figure(n, u, v, other) {
			print n, u, v, (other > 0 ? sprintf("%.3f", v / other) : "")
		}
		function speedup(mode,    one, two) {
			one = value[program ".1cpu." mode]
			two = value[program ".2cpu." mode]
			return one > 0 && two > 0 ? sprintf("%.3f", one / two) : 0
		}
		END {
			other["create_join"] = "thread"
			other["team_4"] = "thread_team_4"
			other["barrier_4"] = "thread_barrier_4"
			for (n in other)
				dynamic["dynamic_" n] = other[n]
			for (n in dynamic)
				other[n] = dynamic[n]
			for (i = 1; i <= nr; i++) {
				o = name[i]
				if (o in other)
					o = other[o]
				else if (o !~ /\./ || !sub(/\.(serial|processes|spaces|tsan)$/, ".pthreads", o))
					o = ""
				figure(name[i], unit[i], value[name[i]], o == "" ? 0 : value[o])
			}
			for (i = 1; i <= nr; i++) {
				program = name[i]
				if (unit[i] != "ms" || !sub(/\.1cpu\./, ".speedup.", program))
					continue
				n = program
				mode = program
				sub(/\.speedup\..*/, "", program)
				sub(/.*\./, "", mode)
				figure(n, "x", speedup(mode), mode == "pthreads" ? 0 : speedup("pthreads"))
			}
		}' >"$W/figures.tsv"
	{
		conditions "$W/raw.short"
		say "# kernel: sha256 of bzImage $(sha256sum <"$KERNEL" | cut -c1-16)"
	} >"$W/conditions"
}

# The thesis's overheads beside ours.
write_thesis() {
	awk -F '\t' '
		function ours(n, first,    name) {
			name = first $1 "." $2 ".n" n ".spaces"
			return name in ratio ? sprintf("%.2f", ratio[name]) : "-"
		}
		FNR == NR { ratio[$1] = $4; next }
		/^#/ { next }
		$1 != table {
			table = $1
			printf "\n%-8s %8s %11s %6s %7s %11s %6s %7s\n", table, "size",
				"N=2 thesis", "ours", "first", "N=4 thesis", "ours", "first"
		}
		{
			printf "%-8s %8s %11s %6s %7s %11s %6s %7s\n", "", $2,
				$3, ours(2), ours(2, "first."), $4, ours(4), ours(4, "first.")
		}
	' "$W/figures.tsv" "$SCRIPTS/thesis.tsv" >"$W/thesis.body"
	{
		say "Overhead: spaces over pthreads, N workers. The thesis: time on N of eight CPUs,"
		say "Linux 3.0, means of ten runs. Ours: instructions, user and kernel, on one CPU,"
		say "ten times in one process (four, if it takes long), spaces being kept: the median"
		say "of all but the first, which makes them and stands apart. lu in 2N columns of"
		say "blocks, qsort sorts lines of ten digits, md5 tries 475,255 texts. Instructions"
		say "know no cache, and nothing of what several CPUs do at the same time. What was not"
		say "measured is a dash."
		cat "$W/thesis.body"
	} >"$W/thesis.txt"
	rm "$W/thesis.body"
}

# points PATTERN COLUMN: "size value" of figures whose name is PATTERN, with a group
# around the size; nothing else where there are none.
points() {
	awk -F '\t' -v column="$2" '{ print $1 "\t" $column }' "$W/figures.tsv" |
		sed -n "s/^$1	/\1 /p" | sed 's/^\([0-9]*\)m /\1 /; s/^1g /1024 /' | sort -n
}

plot() {
	name=$1
	shift
	{
		say "set terminal svg size 800,500 background 'white'"
		say "set output '$W/$name.svg'"
		say "set grid; set key below"
		cat
	} | gnuplot 2>"$B/log/bench-gnuplot.log" || die "gnuplot: $B/log/bench-gnuplot.log"
}

# overhead NAME XLABEL PROGRAM...: against size, ours and the thesis's.
overhead() {
	svg=$1
	label=$2
	shift 2
	lines=
	for p; do
		for n in 2 4; do
			points "$p\.\([0-9]*\)\.n$n\.spaces" 4 >"$W/plot/$p.$n"
			awk -v p="$p" -v c=$((n == 2 ? 3 : 4)) '$1 == p { print $2, $c }' \
				"$SCRIPTS/thesis.tsv" >"$W/plot/$p.$n.thesis"
			lines="$lines${lines:+, }'$W/plot/$p.$n' with linespoints title '$p, N=$n', \
				'$W/plot/$p.$n.thesis' with linespoints dashtype 2 title 'thesis, $p, N=$n'"
		done
	done
	plot "$svg" <<-END
		set title 'Overhead: spaces over pthreads'
		set logscale xy
		set yrange [0.5:*]
		set xlabel '$label'
		set ylabel 'instructions (thesis: time), times pthreads'
		plot $lines
	END
}

plots() {
	command -v gnuplot >/dev/null || {
		say "no plots: gnuplot is missing (package gnuplot-nox)"
		return 0
	}
	mkdir -p "$W/plot"
	overhead overhead-matrix "rows and columns" matmult lu
	overhead overhead-qsort "lines" qsort
	for mode in pthreads processes spaces; do
		points "\(d[a-z0-9]*\)\.[a-z]*\.speedup\.$mode" 3 >"$W/plot/speedup.$mode"
	done
	plot speedup <<-END
		set title 'Speed-up from 1 to 2 CPUs'
		set style data histograms
		set style fill solid
		set yrange [0:*]
		set xtics rotate by -45
		plot '$W/plot/speedup.pthreads' using 2:xtic(1) title 'pthreads', \
			'$W/plot/speedup.processes' using 2 title 'processes', \
			'$W/plot/speedup.spaces' using 2 title 'spaces'
	END
	for f in round create fork; do
		points "$f""_\([0-9]*[mg]\)" 3 >"$W/plot/cost.$f"
	done
	plot cost <<-END
		set title 'Cost against mapped memory, one page changed'
		set logscale xy
		set xlabel 'MiB'
		set ylabel 'instructions'
		plot '$W/plot/cost.round' with linespoints title 'round of a kept space', \
			'$W/plot/cost.create' with linespoints title 'space made, merged, killed', \
			'$W/plot/cost.fork' with linespoints title 'fork, exit, wait'
	END
	say "plots: build/bench/overhead-matrix.svg overhead-qsort.svg speedup.svg cost.svg"
}

bench() {
	rows="16 32 64 128 256 512${FULL:+ 1024}"
	lines="1000 4000 8000 10000 40000 80000 100000 400000${FULL:+ 800000 1000000}"
	size=medium
	[ -z "${FULL:-}" ] || size=large
	BEGUN=$(now)
	rm -rf "$W"
	mkdir -p "$W"
	"$SCRIPTS/user.sh" --memory
	measure "instructions of an operation" short
	measure "the same in a program with shared libraries" dynamic
	measure "the same with more memory" large
	measure "instructions of the other programs" programs
	measure "the thesis's overheads" thesis "$rows" "$lines"
	measure "time and page faults, medians of nine" wall "$size"
	measure "most memory at a time" memory "$size"
	write_figures
	write_thesis
	cat "$W/thesis.txt"
	plots
	say "took $(elapsed $(($(now) - BEGUN))); figures: build/bench/figures.tsv, the thesis's: build/bench/thesis.txt"
}

accept() {
	[ -s "$W/figures.tsv" ] || die "there are no figures: make bench first"
	sum=$(sha256sum <"$KERNEL" | cut -c1-16)
	grep -q " $sum\$" "$W/conditions" ||
		die "the kernel is another one than the figures are of: make bench first"
	{
		say "# SPDX-License-Identifier: GPL-2.0-only"
		cat "$W/conditions"
		awk -F '\t' '$2 == "instructions"' "$W/figures.tsv"
	} >"$ACCEPTED.new"
	mv "$ACCEPTED.new" "$ACCEPTED"
	say "accepted: $(grep -vc '^#' "$ACCEPTED") figures in deterministic/figures.tsv"
}

# compare FILE...: with what is accepted; of several boots the better one counts. What
# Linux's own threads cost depends on who has ended first, and is nothing of ours: it
# must only be what ours is to be compared with.
compare() {
	cat "$@" | tr -d '\r' | awk '
	FNR == NR { if (!/^#/) accepted[$1] = $3; next }
	/^#/ || $1 == "status" { next }
	!($1 in value) { name[++nr] = $1; value[$1] = $3 }
	$3 < value[$1] { value[$1] = $3 }
	END {
		for (i = 1; i <= nr; i++) {
			n = name[i]
			most = n ~ /thread/ ? 1.25 : 1.02
			if (!(n in accepted)) {
				print "ok - " n " # SKIP no figure is accepted"
			} else if (value[n] > accepted[n] * most) {
				printf "not ok - %s: %s is %.1f %% more than accepted\n", n,
					value[n], (value[n] / accepted[n] - 1) * 100
				failed = 1
			} else {
				print "ok - " n
			}
		}
		exit failed
	}' "$ACCEPTED" -
}

# Figures of another compiler, or of another Linux, are others. A boot that reaches the
# guest at another moment can have one that is too large: then there is a second one.
check() {
	if [ ! -s "$ACCEPTED" ]; then
		say "ok - instruction figures # SKIP none are accepted (make bench-accept)"
		return
	fi
	mkdir -p "$W"
	in_guest short >"$W/check"
	if ! grep -qx 'status 0' "$W/check"; then
		cat "$W/check"
		say "not ok - the benchmark runs"
		return
	fi
	conditions "$W/check" >"$W/check.conditions"
	if ! grep '^# [cL]' "$ACCEPTED" | cmp -s - "$W/check.conditions"; then
		say "ok - instruction figures # SKIP accepted ones are of another compiler or Linux"
		return
	fi
	if ! compare "$W/check" >"$W/check.result"; then
		in_guest short >"$W/check.again"
		if ! grep -qx 'status 0' "$W/check.again"; then
			cat "$W/check.again"
			say "not ok - the benchmark runs again"
			return
		fi
		compare "$W/check" "$W/check.again" >"$W/check.result" || :
	fi
	cat "$W/check.result"
}

# A profile has what the guest's clock has counted.
check_profile() {
	name=null_dget
	if PROFILE=$name "$SCRIPTS/profile.sh" >"$B/log/bench-profile.log" 2>&1 &&
		sed -n 's/.* by the log (\(.*\) %)$/\1/p' "$B/log/bench-profile.log" |
		awk '{ good = $1 > -5 && $1 < 5 } END { exit !good }'; then
		say "ok - the profile of $name"
	else
		tail -n 5 "$B/log/bench-profile.log"
		say "not ok - the profile of $name"
	fi
}

case ${1:-} in
--accept) accept ;;
--check)
	check_profile
	check
	;;
*) bench ;;
esac

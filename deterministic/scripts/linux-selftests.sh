#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Linux's own selftests of mm, seccomp, ptrace, clone3, rseq and exec, on the
# patched kernel and on the stock one with the same options: they must not differ.
# TAP on stdout, one line a program (of mm: a category of its run_vmtests.sh);
# TEST=mm: takes those whose names begin so. The programs are the stock tree's.
#
# A result is a line "ok" or "not ok" of a program, by its text. A program in
# which one differs runs again on both kernels, three times in all: what was seen
# on both is no difference. A program that is ended after LIMIT seconds has told
# only a part: what is missing then is no difference either.
# shellcheck disable=SC2317 # step calls them

ROOT=${ROOT:-$(dirname "$0")/../..}
. "$ROOT/deterministic/scripts/common.sh"
lock linux

TARGETS="clone3 exec ptrace rseq seccomp mm"
LIMIT=${LIMIT:-300}
W=$B/linux-selftests
# In the guest's memory, as programs write beside themselves.
# shellcheck disable=SC2016 # the guest's shell
GUEST='installed=$1; limit=$2; shift 2
cp -r "$installed" /tmp/selftests && cd /tmp/selftests || exit 1
for t; do
	echo "# program $t"
	category=${t#mm:}
	if [ "$category" = "$t" ]; then
		./run_kselftest.sh -o "$limit" -t "$t"
	else
		KSELFTEST_RUN_VMTESTS_SH_ARGS="-t $category" \
			./run_kselftest.sh -o "$limit" -t mm:run_vmtests.sh
	fi 2>&1
	echo "# end $t"
done'

# mm/khugepaged.c of some 6.12.y uses the number without its header.
install_programs() {
	make -C "$B/stock/linux" O="$B/out-stock" ARCH=x86_64 -j"$(jobs)" headers
	make -C "$B/stock/linux/tools/testing/selftests" O="$B/out-stock" ARCH=x86_64 \
		-j"$(jobs)" TARGETS="$TARGETS" USERCFLAGS=-DKSFT_SKIP=4 FORCE_TARGETS=1 INSTALL_PATH="$W/programs" install
}

# The names of all, with mm's categories instead of its one script.
programs() {
	grep -v '^mm:' "$W/programs/kselftest-list.txt"
	sed -n '/^usage()/,/^EOF/s/^- \([a-z_]*\)$/mm:\1/p' "$W/programs/mm/run_vmtests.sh"
}

# guest KERNEL RUN PROGRAM...: those that a dead guest has left go into another.
guest() {
	kernel=$1
	raw=$W/$kernel.$2
	shift 2
	: >"$raw"
	while [ $# -gt 0 ]; do
		"$ROOT/deterministic/guest/boot" --kernel "$B/out-$kernel/arch/x86/boot/bzImage" \
			--cpus "${CPUS:-2}" --mem "${MEM:-4G}" ${ACCEL:+--accel "$ACCEL"} --no-check \
			--append numa=fake=2 --host-root --log "$raw.log" --timeout $((LIMIT * ($# + 1))) -- \
			/bin/sh -c "$GUEST" selftests "$W/programs" "$LIMIT" "$@" \
			>"$raw.new" 2>&1 </dev/null || :
		tr -d '\r' <"$raw.new" >>"$raw"
		cat "$raw.log" >>"$raw.kernel"
		begun=$(grep -c '^# program ' "$raw.new") || :
		[ "$begun" -gt 0 ] || die "the guest did not get to its first program: $raw.new"
		shift "$begun"
	done
	results "$kernel" <"$raw" >>"$W/results"
}

# Lines "program TAB text TAB kernel TAB verdict". Numbers of tests and addresses
# say nothing; the same text again is another result.
results() {
	awk -v kernel="$1" '
	function put(text, verdict) {
		text = text " " ++seen[text]
		print program "\t" text "\t" kernel "\t" verdict
	}
	/^# program / { program = $3; split("", seen); next }
	/^# end /     { put("the program ended", "yes"); next }
	/^(# )*(not )?ok / {
		text = $0
		sub(/^(# )*/, "", text)
		verdict = text ~ /^not/ ? "not ok" : "ok"
		if (text ~ /# SKIP/)
			verdict = "skip"
		if (text ~ /# TIMEOUT/)
			verdict = "time"
		sub(/^(not )?ok( [0-9]+)?( -)? */, "", text)
		sub(/ *# (SKIP|TIMEOUT|exit=).*/, "", text)
		gsub(/0x[0-9a-f]+/, "0x", text)
		put(text, verdict)
	}'
}

# What differs, as lines "program TAB text TAB stock TAB patched".
differences() {
	awk -F '\t' '
	{
		key = $1 "\t" $2
		all[key] = $1
		seen[key, $3] = seen[key, $3] $4 ","
		has[key, $3, $4] = 1
		if ($4 == "time")
			cut[$1] = 1
	}
	function agree(key,    i, n, v) {
		n = split("ok,not ok,skip,time,yes", v, ",")
		for (i = 1; i <= n; i++)
			if (has[key, "stock", v[i]] && has[key, "linux-selftests", v[i]])
				return 1
		return 0
	}
	END {
		for (key in all) {
			if (agree(key))
				continue
			a = seen[key, "stock"]
			b = seen[key, "linux-selftests"]
			if (cut[all[key]] && (a == "" || b == ""))
				continue
			print key "\t" (a ? a : "nothing") "\t" (b ? b : "nothing")
		}
	}' "$W/results"
}

# run N PROGRAM...: on both kernels.
run() {
	n=$1
	shift
	for k in stock linux-selftests; do
		name=patched
		[ "$k" = linux-selftests ] || name=stock
		step "linux-selftests-$name" "run $n of $# programs, $name kernel" guest "$k" "$n" "$@"
	done
	differences >"$W/differences"
}

# Complaints, without time, numbers and names that change from run to run.
complaints() {
	"$ROOT/deterministic/guest/log-check" "$1" 2>&1 |
		sed 's/^\[[^]]*\] *//; s/0x[0-9a-f]*//g; s/[0-9][0-9]*//g' | sort -u || :
}

report() {
	failed=0
	for p in $selected; do
		n=$(awk -F '\t' -v p="$p" '$1 == p && $3 == "stock" && $4 != "skip"' "$W/results" | cut -f2 | sort -u | wc -l)
		if grep -q "^$p	" "$W/differences"; then
			failed=$((failed + 1))
			say "not ok - $p: differs from the stock kernel"
			grep "^$p	" "$W/differences" | awk -F '\t' '{ print "#   " $2 ": stock " $3 " patched " $4 }'
		else
			say "ok - $p: $n results, none differs"
		fi
	done
	complaints "$W/stock.1.kernel" >"$W/stock.complaints"
	complaints "$W/linux-selftests.1.kernel" >"$W/patched.complaints"
	if [ -z "$(comm -13 "$W/stock.complaints" "$W/patched.complaints")" ]; then
		say "ok - the kernel's log: no complaint that the stock kernel has not"
	else
		failed=$((failed + 1))
		say "not ok - the kernel's log has what the stock kernel's has not"
		comm -13 "$W/stock.complaints" "$W/patched.complaints" | sed 's/^/#   /'
	fi
	[ "$failed" -eq 0 ]
}

"$SCRIPTS/fetch.sh" linux-selftests
"$SCRIPTS/tree.sh"
"$SCRIPTS/kernel.sh" --quick linux-selftests
step stock "making the stock tree" "$SCRIPTS/stock.sh" "$B/stock/linux"
"$SCRIPTS/kernel.sh" stock
rm -rf "$W"
mkdir -p "$W"
step linux-selftests-programs "building Linux's selftests" install_programs
selected=$(programs | grep "^${TEST:-}") || die "TEST=$TEST: no program's name begins so"
: >"$W/results"
# shellcheck disable=SC2086 # words
run 1 $selected
for n in 2 3; do
	again=$(cut -f1 "$W/differences" | sort -u)
	[ -n "$again" ] || break
	# shellcheck disable=SC2086 # words
	run "$n" $again
done
report

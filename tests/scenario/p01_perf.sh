#!/bin/sh
# SPDX-License-Identifier: MIT
# The probes are in the programs when they can be, and the tools of tools/perf say what they lack in one line.
. "$(dirname "$0")/../lib/host.sh"
perf=$here/tools/perf
export B

# says WORD COMMAND...: fails with one line that has the word.
says() {
	word=$1; shift
	if "$@" >"$dir/out" 2>&1; then fail "did not fail: $*"; fi
	eq "lines of $*" "$(wc -l <"$dir/out")" 1
	grep -q -- "$word" "$dir/out" || fail "$*: no \"$word\" in: $(cat "$dir/out")"
}

# A PATH with the usual tools but those named.
path_without() {
	rm -rf "$dir/bin"
	mkdir "$dir/bin"
	for tool in sh cat sed grep ls tr id dirname basename mktemp rm cut sleep getopts python3 readelf perf bpftrace; do
		case " $* " in *" $tool "*) continue ;; esac
		found=$(command -v "$tool") && [ -x "$found" ] && ln -s "$found" "$dir/bin/$tool"
	done
	return 0
}

if echo '#include <sys/sdt.h>' | ${CC:-gcc} -E - >/dev/null 2>&1 && command -v readelf >/dev/null; then
	readelf -n "$B/mhost-worker" "$B/mhostd" >"$dir/notes"
	for probe in flip reclaim attach admit first_token token end; do
		grep -q "Name: $probe\$" "$dir/notes" || fail "there is no probe $probe"
	done
	eq "probes of others" "$(grep 'Provider:' "$dir/notes" | grep -vc 'Provider: mhost$')" 0
else
	echo "# sys/sdt.h or readelf is not here: the probes were not looked at"
fi

says 'usage' "$perf/trace.sh"
says 'there is no nosuch.bt' "$perf/trace.sh" nosuch
says 'is not built' env B="$dir" "$perf/trace.sh" tokens
path_without bpftrace
says 'bpftrace is not here' env PATH="$dir/bin" "$perf/trace.sh" tokens
path_without perf
says 'perf is not here' env PATH="$dir/bin" "$perf/flame.sh" -p $$
path_without python3
[ ! -e "$dir/bin/perf" ] || says 'python3 is not here' env PATH="$dir/bin" "$perf/flame.sh" -p $$
says 'usage' "$perf/faults.sh"
says 'is no store' "$perf/faults.sh" "$dir/nosuch" tiny@1.0.0

# Stacks as perf prints them: two threads, one stack twice.
printf ' 7\n\t10 leaf\n\t20 main\n\n 7\n\t10 leaf\n\t20 main\n\n 8\n\t30 other <x>\n\n' >"$dir/stacks"
eq "folded" "$(python3 "$perf/flame.py" t --folded <"$dir/stacks" | tr '\n' '|')" \
	'thread 7;main;leaf 2|thread 8;other <x> 1|'
python3 "$perf/flame.py" 'a & b' <"$dir/stacks" |
	python3 -c 'import sys, xml.dom.minidom; print(len(xml.dom.minidom.parse(sys.stdin).getElementsByTagName("title")))' >"$dir/titles"
eq "boxes of the graph" "$(cat "$dir/titles")" 6
if python3 "$perf/flame.py" t </dev/null >/dev/null; then fail "a graph of nothing"; fi

# Faults need no counters: a table of two lines, whatever the machine has.
"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$perf/faults.sh" "$MHOST_STORE" tiny@1.0.0 20 >"$dir/table"
eq "rows" "$(grep -cE '^(prefer|never) +[0-9]+ +[0-9]+ ' "$dir/table")" 2

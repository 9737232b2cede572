#!/bin/sh
# SPDX-License-Identifier: MIT
# flame.sh: where a running worker spends its time, as a flame graph.
#   tools/perf/flame.sh [-p PID] [-s SECONDS] [-o FILE.svg]  default: the one worker, 5 s, flame.svg
. "$(dirname "$0")/lib.sh"

pid='' seconds=5 out=flame.svg
while getopts p:s:o: opt; do
	case $opt in
	p) pid=$OPTARG ;;
	s) seconds=$OPTARG ;;
	o) out=$OPTARG ;;
	*) die "usage: flame.sh [-p PID] [-s SECONDS] [-o FILE.svg]" ;;
	esac
done
need perf linux-perf
need python3 python3
worker_pid
# Virtual machines often have no cycle counter: the clock's ticks do as well.
event=cycles
event_counts cycles || event=cpu-clock
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
perf record -q -e $event -F 299 --call-graph dwarf,4096 -o "$work/data" -p "$pid" -- sleep "$seconds" \
	>"$work/log" 2>&1 || die "perf record: $(tail -n 1 "$work/log"); see perf_event_paranoid, or be root"
perf script -i "$work/data" -F tid,ip,sym >"$work/stacks" 2>/dev/null || die "perf script failed"
python3 "$perf_dir/flame.py" "worker $pid, $seconds s of $event" <"$work/stacks" >"$work/svg" ||
	die "no samples in $seconds s: is the worker idle?"
mv "$work/svg" "$out"
echo "$out"

#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh: run test programs one after another, each under a time limit, and close with a tally.
#   tests/run.sh [-t SECONDS] PROGRAM...        exit status of a program: 0 ok, 77 skipped, else failed
# A program's output is shown when it fails, or always with V=1; lines "# ran: ..." (what this machine has) always.
set -u
limit=300
[ "${1:-}" = -t ] && { limit=$2; shift 2; }
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for program in "$@"; do
	start=$(date +%s)
	timeout -k 10 "$limit" "$program" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - start))
	case $status in
	0) passed=$((passed + 1)) word=ok ;;
	77) skipped=$((skipped + 1)) word=skip ;;
	124 | 137) failed=$((failed + 1)) word="FAILED (over $limit s)" ;;
	*) failed=$((failed + 1)) word="FAILED ($status)" ;;
	esac
	printf '%-44s %s  %s s\n' "${program##*/}" "$word" "$took"
	case $status in
	0) if [ -n "${V:-}" ]; then cat "$log"; else grep '^# ran: ' "$log"; fi ;;
	77) grep '^# skipped' "$log" ;;
	*) cat "$log" ;;
	esac
done
if [ "$skipped" -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh: run test programs, each under a time limit, and close with a tally.
#   tests/run.sh [-t SECONDS] [PROGRAM... --] PROGRAM...   exit status of a program: 0 ok, 77 skipped, else failed
# Those before -- run side by side, as many as there are CPUs; the others one after another.
# A program's output is shown when it fails, or always with V=1; lines "# ran: ..." (what this machine has) always.
set -u
limit=300
[ "${1:-}" = -t ] && { limit=$2; shift 2; }

# One program, its lines written at once; a letter for the tally goes to $tally.
run_one()
{
	log=$(mktemp) || exit 1
	start=$(date +%s)
	timeout -k 10 "$limit" "$1" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - start))
	case $status in
	0) letter=p word=ok ;;
	77) letter=s word=skip ;;
	124 | 137) letter=f word="FAILED (over $limit s)" ;;
	*) letter=f word="FAILED ($status)" ;;
	esac
	case $letter in
	p) [ -n "${V:-}" ] || { grep '^# ran: ' "$log" >"$log.shown"; mv "$log.shown" "$log"; } ;;
	s) grep '^# skipped' "$log" >"$log.shown"; mv "$log.shown" "$log" ;;
	esac
	text=$(printf '%-44s %s  %s s\n' "${1##*/}" "$word" "$took"; cat "$log")
	printf '%s\n' "$text"
	echo $letter >>"$tally"
	rm -f "$log"
}

[ "${1:-}" = --one ] && { limit=$2 tally=$3; run_one "$4"; exit 0; }
tally=$(mktemp) || exit 1
trap 'rm -f "$tally"' EXIT
all=$# asked=$# beside=0
for program in "$@"; do
	[ "$program" = -- ] && break
	beside=$((beside + 1))
done
if [ $beside -lt $all ]; then
	jobs=$(nproc)
	while [ "$1" != -- ]; do
		printf '%s\n' "$1"
		shift
	done | xargs -P "$jobs" -I '{}' "$0" --one "$limit" "$tally" '{}'
	shift $((beside + 1))
	asked=$((all - 1))
fi
for program in "$@"; do
	run_one "$program"
done
count()
{
	grep -c "$1" "$tally"
}
passed=$(count p) failed=$(count f) skipped=$(count s)
if [ "$skipped" -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ] && [ $((passed + skipped)) -eq $asked ]

#!/bin/sh
# SPDX-License-Identifier: MIT
# faults.sh: page faults and dTLB misses of a worker while it answers, with hugepages and without.
#   tools/perf/faults.sh STORE MODEL@VERSION [TOKENS]    default 128 tokens; starts hosts of its own
. "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || die "usage: faults.sh STORE MODEL@VERSION [TOKENS]"
store=$1 version=$2 tokens=${3:-128} host=
[ -d "$store/models" ] || die "$store is no store; mhost import makes one"
[ -x "$B/mhostd" ] || die "$B/mhostd is not built; run make, or name the folder in B"
work=$(mktemp -d)
trap '[ -z "$host" ] || kill "$host" 2>/dev/null; wait; rm -rf "$work"' EXIT
export MHOST_SOCKET="$work/s"

counter=
if ! command -v perf >/dev/null 2>&1; then
	echo "perf is not here (Debian package linux-perf): faults come from /proc, there are no dTLB misses"
elif event_counts dTLB-load-misses; then
	counter=dTLB-load-misses
else
	echo "this machine counts no dTLB misses (a virtual machine, or perf_event_paranoid): faults only"
fi

# minor and major faults of @1 so far
faults() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f8,10; }

measure() {	# hugepages=@1
	printf '[mhostd]\nworkers = 1\nhugepages = %s\n' "$1" >"$work/ini"
	"$B/mhostd" --config "$work/ini" --store "$store" --socket "$work/s" 2>"$work/log" &
	host=$!
	n=0
	until "$B/mhost" status >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 200 ] || die "mhostd does not start: $(tail -n 1 "$work/log")"
		sleep 0.05
	done
	"$B/mhost" activate "$version" >/dev/null || die "$version cannot be activated"
	worker=$(cat "/proc/$host/task/$host/children")
	worker=${worker%% *}
	"$B/mhost" run "${version%@*}" x -n 1 --ignore-eos >/dev/null	# what only the first request touches
	# shellcheck disable=SC2046
	set -- "$1" $(faults "$worker")
	if [ -n "$counter" ]; then
		perf stat -x, -e $counter -o "$work/stat" -p "$worker" -- \
			"$B/mhost" run "${version%@*}" "Once" -n "$tokens" --ignore-eos >/dev/null
		misses=$(grep "$counter" "$work/stat" | cut -d, -f1)
	else
		"$B/mhost" run "${version%@*}" "Once" -n "$tokens" --ignore-eos >/dev/null
		misses=-
	fi
	# shellcheck disable=SC2046
	set -- "$@" $(faults "$worker")
	printf '%-10s %14s %14s %18s\n' "$1" $(($4 - $2)) $(($5 - $3)) "$misses"
	kill "$host"
	wait "$host" 2>/dev/null || true
	host=
}

printf '%-10s %14s %14s %18s\n' hugepages "minor faults" "major faults" "dTLB load misses"
measure prefer
measure never

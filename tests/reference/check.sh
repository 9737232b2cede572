#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh: the committed reference data, and SmolLM2 when it can be had, against the build in $B.
#   LEVELS=all     on every ISA level that this CPU has, one after the other
#   LEVELS='...'   on these; without it on the one that mhostd chooses
here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/tests/lib/levels.sh"
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
set -- --mhost "$B/mhost" --mhostd "$B/mhostd"
if model=$(sh "$here/tools/fetch-smollm2.sh"); then
	set -- "$@" --smollm2 "$model"
else
	echo "# SmolLM2 cannot be fetched: its part is left out"
fi
check() { python3 "$here/tests/reference/check_reference.py" "$@" -q; }

levels=${LEVELS:-auto} absent= failed=
if [ "$levels" = all ]; then
	levels=
	for level in $all_levels; do
		if cpu_has_level "$level"; then levels="$levels $level"; else absent="$absent $level"; fi
	done
fi
for level in $levels; do
	check "$@" --isa "$level" || failed="$failed $level"
done
[ -z "$absent" ] || echo "# ran: no isa$absent, which this CPU lacks"
[ -z "$failed" ] || { echo "# failed: isa$failed"; exit 1; }

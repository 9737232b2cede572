#!/bin/sh
# SPDX-License-Identifier: MIT
# tsan.sh: the storm of threads must be clean under ThreadSanitizer, and each build of it with one
# kind of memory order weakened must be reported. B: build folder.
set -u
race=${B:-build}/tests/race
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}"
wrap=
bad=0

"$race/storm_threads" >"$log" 2>&1
status=$?
# More address randomness than it can do with: try once without.
if grep -q 'unexpected memory mapping' "$log"; then
	wrap="setarch -R"
	$wrap "$race/storm_threads" >"$log" 2>&1
	status=$?
	if grep -qE 'unexpected memory mapping|failed to set personality' "$log"; then
		echo "# skipped: ThreadSanitizer does not start on this kernel"
		exit 77
	fi
fi
cat "$log"
[ $status -eq 0 ] || bad=1

for weak in 1 2 3; do
	$wrap "$race/storm_weak$weak" >"$log" 2>&1
	status=$?
	if [ $status -eq 66 ] && grep -q 'data race' "$log"; then
		echo "weakened orders $weak: caught"
	else
		echo "weakened orders $weak: SURVIVES (exit $status)"
		bad=1
	fi
done
exit $bad

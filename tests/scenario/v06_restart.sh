#!/bin/sh
# SPDX-License-Identifier: MIT
# A supervisor killed in the middle of a release goes on with it; a disk that takes no history stops nothing;
# a clock that jumps decides nothing.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
# Every look at the wall clock shows another day.
${CC:-gcc} -shared -fPIC -o "$dir/clock.so" "$here/tests/fault/clock.c" || fail "cannot build the clock"
case $B in *asan*|*tsan*) ;; *) export LD_PRELOAD="$dir/clock.so" ;; esac
host() { release_host "$@"; }
host
unset LD_PRELOAD
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" release tiny@1.1.0 --steps 10,20,30,40,100 --interval 1s >/dev/null
n=0
while [ $n -lt 4 ]; do
	load_start
	wait_for 120 release_at $((n + 1))
	load_stop
	wait_for 5 kept $((n + 1))
	before=$(weight_now)
	kill -KILL "$host_pid"; wait "$host_pid" 2>/dev/null || true
	host
	wait_for 30 release_at $((n + 1))
	is_active 1.1.0 || [ "$(weight_now)" -ge "$before" ] || fail "went back from $before % to $(weight_now) %"
	n=$((n + 1))
done
load_start
wait_for 120 is_active 1.1.0
load_stop
eq "its history" "$(status_of 'o["models"][0]["history"]')" "['1.0.0']"

# No room for the history: told, tried again, and nothing is lost when there is room.
mv "$MHOST_STORE/history.jsonl" "$dir/kept.jsonl"
mkdir "$MHOST_STORE/history.jsonl"
"$MHOST" rollback tiny >/dev/null
"$MHOST" activate tiny@1.2.0 >/dev/null
behind() { [ "$(status_of 'o["history"]["behind"] >= 2 and "history.jsonl" in o["history"]["note"]')" = True ]; }
wait_for 10 behind
eq "served meanwhile" "$("$MHOST" run tiny hi -n 2 --json | json 'o["version"]')" 1.2.0
rmdir "$MHOST_STORE/history.jsonl"
caught_up() { [ "$(status_of 'o["history"]["behind"]')" = 0 ] && story "rollback flip"; }
wait_for 10 caught_up

# A clean end and a new start: the same version, without being told.
host_stop
host
wait_for 10 is_active 1.2.0
# But the configuration's word, when it is new, is taken.
host_stop
release_host "[model tiny]" "active = 1.0.0"
wait_for 10 is_active 1.0.0
"$MHOST" activate tiny@1.1.0 >/dev/null
wait_for 5 grep -q '"active": "1.1.0"' "$MHOST_STORE/state/tiny.json"
host_stop
release_host "[model tiny]" "active = 1.0.0"
wait_for 10 is_active 1.1.0
# A state that is damaged is left aside.
host_stop
echo '{"active": 7' >"$MHOST_STORE/state/tiny.json"
release_host
eq "nothing active" "$(status_of 'o["models"]')" "[]"
grep -q "left aside" "$dir/log" || fail "the damaged state is not told"

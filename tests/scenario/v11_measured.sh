#!/bin/sh
# SPDX-License-Identifier: MIT
# What an operator's command measures: waited for when it is slow, forgotten when it is another's; commands without
# number do not keep a version from its gate.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
# The command takes three intervals, and what it says is bad.
cat >"$dir/slow" <<'X'
sleep 3; echo 9
X
release_host "steps = 50,100" "interval = 1s" "metric = complaints" "metric_max = 1" \
	"metric_command = sh $dir/slow"
"$MHOST" activate tiny@1.0.0 >/dev/null
load_start
"$MHOST" release tiny@1.1.0 >/dev/null
over() { [ "$(route)" = "('1.0.0', None, 0.0)" ] || is_active 1.1.0; }
wait_for 60 over
eq "with a slow number" "$(route)" "('1.0.0', None, 0.0)"
story_is "flip release step fail"

# Renamed in the middle of a step: what the old command said is no evidence any more.
reload_is() { [ "$(grep -c "reload: .* is in force" "$dir/log")" -ge "$1" ]; }
reload() { sed -i "$2" "$dir/ini"; kill -HUP "$host_pid"; wait_for 10 reload_is "$1"; }
reload 1 's/^metric_command.*/metric_command = echo 0.5/; s/^steps.*/steps = 50/'
"$MHOST" release tiny@1.2.0 >/dev/null
wait_for 60 verdict pass
metrics() { release_of '",".join(sorted(f["metric"] for f in r["verdict"]["findings"] if f["metric"] in ("complaints", "returns")))'; }
is_metrics() { [ "$(metrics)" = "$1" ]; }
eq "measured" "$(metrics)" complaints
reload 2 's/^metric = .*/metric = returns/'
wait_for 20 is_metrics returns
reload 3 's/^metric_command.*//'
wait_for 20 is_metrics ""
"$MHOST" abort tiny >/dev/null

# Hooks that do not end: the gate is none of them.
"$MHOST" golden make tiny@1.0.0 --print --prompts "$(echo "Once upon a time" >"$dir/prompts"; echo "$dir/prompts")" >"$dir/good"
"$MHOST" import tiny@1.3.0 "$model" --golden "$dir/good" >/dev/null
reload 4 '/^interval/a hook = sleep 60\nhook_timeout = 60s'
for i in 1 2 3 4 5 6 7 8 9; do "$MHOST" activate tiny@1.1.0 >/dev/null; "$MHOST" activate tiny@1.0.0 >/dev/null; done
wait_for 5 grep -q "hook: .*too many of its kind" "$dir/log"
"$MHOST" activate tiny@1.3.0 >/dev/null
eq "through its gate" "$(route)" "('1.3.0', None, 0.0)"
load_stop

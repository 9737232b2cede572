#!/bin/sh
# SPDX-License-Identifier: MIT
# Evidence that no user brings: probes when nobody asks, and what an operator's command measures.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0 1.3.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
printf 'Once upon a time\nThe sea was\nOn the table there\n' >"$dir/probes"
echo 0.5 >"$dir/metric"
export MHOST_REHEARSE="tiny@1.2.0:errors=50"
release_host "probe_count = 60" "steps = 50,100" "interval = 1s" "metric = complaints" "metric_max = 1" \
	"metric_command = test \"\$MHOST_MODEL\" = tiny && cat $dir/metric" "[model tiny]" "probes = $dir/probes"
"$MHOST" activate tiny@1.0.0 >/dev/null
why() { "$MHOST" history tiny --json | grep '"event":"fail"' | tail -1 | json 'o["version"], o["why"]'; }

# Nobody asks; the probes are enough to judge by, good and bad.
"$MHOST" release tiny@1.1.0 >/dev/null
wait_for 120 is_active 1.1.0
"$MHOST" release tiny@1.2.0 >/dev/null
wait_for 120 is_active 1.1.0
case $(why) in *1.2.0*"failed requests"*) ;; *) fail "why: $(why)" ;; esac

# The operator's number is out of its bounds: back, though all replies are good.
echo 1.5 >"$dir/metric"
"$MHOST" release tiny@1.3.0 >/dev/null
wait_for 120 is_active 1.1.0
case $(why) in *1.3.0*complaints*) ;; *) fail "why: $(why)" ;; esac

# No number at all: nothing is decided.
rm "$dir/metric"
"$MHOST" release tiny@1.3.0 >/dev/null
wait_for 20 verdict inconclusive
eq "still there" "$(route)" "('1.1.0', '1.3.0', 50.0)"
"$MHOST" abort tiny >/dev/null
story_is "flip release step promote flip release step fail release step fail release step abort"

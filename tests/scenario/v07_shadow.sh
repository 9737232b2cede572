#!/bin/sh
# SPDX-License-Identifier: MIT
# Replies are compared with a candidate that no user sees: the same weights agree wholly and go on to a canary,
# other weights are told by their divergence and go no further.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@1.1.0 "$model" >/dev/null
"$MHOST" import tiny@1.2.0 "$model" --quantize q4_0 >/dev/null
release_host 'shadow_samples_min = 20' 'kl_max = 0.0001' 'top1_min = 0' 'perplexity_ratio_max = 1000'
"$MHOST" activate tiny@1.0.0 >/dev/null
load_start --think 20
finding() { "$MHOST" history tiny --json | grep "\"event\":\"$1\"" | tail -1 | json "[f for f in o['verdict']['findings'] if f['metric'] == '$2'][0]['candidate']"; }

# The same weights: shadow passes by itself, then the canary runs.
"$MHOST" release tiny@1.1.0 --shadow 50 --canary --steps 20,100 --interval 1s >/dev/null
eq "unseen" "$(release_of 'r["mode"], r["weight"]')" "('shadow', 50.0)"
wait_for 120 is_active 1.1.0
story_is "flip release step step promote flip"
eq "no divergence" "$("$MHOST" history tiny --json | grep '"canary"' | head -1 | json 'abs([f for f in o["verdict"]["findings"] if f["metric"] == "shadow_kl"][0]["candidate"]) < 1e-6')" True

# Other weights: what they say differs; no request was ever theirs.
"$MHOST" release tiny@1.2.0 --shadow 100 --interval 1s >/dev/null
wait_for 120 is_active 1.1.0
story_is "flip release step step promote flip release step fail"
[ "$(finding fail shadow_kl | json 'o > 0.0001')" = True ] || fail "no divergence of other weights"
load_stop
if grep -q "1.2.0" "$dir/load.out"; then fail "a user saw the shadow"; fi

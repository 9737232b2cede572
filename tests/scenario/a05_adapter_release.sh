#!/bin/sh
# SPDX-License-Identifier: MIT
# Adapters are released as versions are: compared unseen, then a canary that climbs by itself; one that fails is back
# at once and no reply failed; one that says other things goes no further. The version below is never touched.
. "$(dirname "$0")/../lib/host.sh"
peft=$here/tests/reference/data/peft
. "$here/tests/lib/release.sh"

# Finite values whose product is not: what no import can see.
mkdir "$dir/broken"
cp "$peft/r8_rslora/adapter_model.safetensors" "$dir/broken/"
sed 's/"lora_alpha": [0-9.]*/"lora_alpha": 1e30/' "$peft/r8_rslora/adapter_config.json" >"$dir/broken/adapter_config.json"

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$MHOST" import tiny/style@1.0.0 "$peft/r1_all" >/dev/null
"$MHOST" import tiny/style@1.1.0 "$peft/r1_all" >/dev/null
"$MHOST" import tiny/style@1.4.0 "$peft/r1_all" >/dev/null
"$MHOST" import tiny/style@1.2.0 "$dir/broken" >/dev/null
"$MHOST" import tiny/style@1.3.0 "$peft/r4_all_linear" >/dev/null
printf 'Once upon a time\nThe sea was\nOn the table there\n' >"$dir/probes"
release_host 'shadow_samples_min = 20' 'kl_max = 0.0001' 'top1_min = 0' 'perplexity_ratio_max = 1000' \
	'probe_count = 60' '[model tiny]' "probes = $dir/probes"
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" adapter swap tiny style@1.0.0 >/dev/null

style() { "$MHOST" history tiny/style --json; }
events() { style | python3 -c 'import json, sys
words = [json.loads(line)["event"] for line in sys.stdin]
print(" ".join(w for w in words if w not in ("import", "load", "unload", "verdict", "gate")))'; }
ends_with() { case "$(events)" in *"$1") ;; *) return 1 ;; esac; }
finding() { style | grep "\"event\":\"$1\"" | tail -1 | json "[f for f in o['verdict']['findings'] if f['metric'] == '$2'][0]['candidate']"; }

# Nobody asks: probes are enough to judge by. Both are shown side by side meanwhile.
refused "shadow tiny/style --prompts $dir/probes" "no release in progress"
"$MHOST" release tiny/style@1.4.0 --steps 50,100 --interval 2s >/dev/null
"$MHOST" hold tiny/style >/dev/null
eq "side by side" "$("$MHOST" shadow tiny/style --prompts "$dir/probes" --json |
	json 'o["model"], o["adapter"], o["active"], o["candidate"], o["same"], len(o["samples"])')" \
	"('tiny', 'style', '1.0.0', '1.4.0', 3, 3)"
"$MHOST" resume tiny/style >/dev/null
wait_for 120 ends_with "release step hold resume promote flip"
"$MHOST" adapter swap tiny style@1.0.0 >/dev/null

# The same weights: nothing differs, then traffic moves by itself.
"$MHOST" release tiny/style@1.1.0 --shadow 50 --canary --steps 20,100 --interval 1s >/dev/null
load_start --adapter style --think 20
wait_for 120 ends_with "release step step promote flip"

# Numbers that are none, at the first request: back at once, and the active adapter has answered it.
"$MHOST" release tiny/style@1.2.0 --steps 25,100 --interval 60s >/dev/null
wait_for 20 ends_with "flip release step fail"

# Other weights: told by what they would have said.
"$MHOST" release tiny/style@1.3.0 --shadow 100 --interval 1s >/dev/null
wait_for 120 ends_with "fail release step fail"
[ "$(finding fail shadow_kl | json 'o > 0.0001')" = True ] || fail "no divergence of other weights"
load_stop
if grep -q "style@1.[23].0" "$dir/load.out"; then fail "a user saw what failed"; fi
grep -q "style@1.1.0" "$dir/load.out" || fail "nobody saw the adapter that passed"
eq "the version below" "$("$MHOST" history tiny --json | python3 -c 'import json, sys
print([o["event"] for o in map(json.loads, sys.stdin) if not o.get("adapter") and o["event"] not in ("import", "load")])')" "['flip']"
eq "which is active" "$("$MHOST" run tiny Once -n 1 --adapter style --json | json 'o["adapters"][0]["version"]')" 1.1.0

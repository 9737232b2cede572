#!/bin/sh
# SPDX-License-Identifier: MIT
# Adapters merged into versions: a host serves them, and they answer as what PEFT's merge_and_unload() makes of the same files.
. "$(dirname "$0")/../lib/host.sh"
peft=$here/tests/reference/data/peft

refuses() {	# STATUS WORDS ARGUMENT...: one line on standard error, nothing on standard output
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost $*" "$status" "$wanted"
	eq "output of: mhost $*" "$(cat "$dir/out")" ""
	eq "lines about: mhost $*" "$(wc -l <"$dir/err")" 1
	grep -qF -e "$words" "$dir/err" || fail "mhost $*: no '$words' in: $(cat "$dir/err")"
}

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
for name in r1_all r4_all_linear r8_rslora r16_bf16 r64_q patterns embeddings lm_head; do
	"$MHOST" import "tiny/$name@1.0.0" "$peft/$name" >/dev/null
done

# Each merge that PEFT made becomes a version. In merges.json their order, types and scales.
python3 - "$peft/merges.json" >"$dir/merges" <<'PY'
import json, sys
for n, m in enumerate(json.load(open(sys.argv[1]))["merges"]):
    kind = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}[m["dtype"]]
    print("1.%d.0 %s %s" % (n + 1, kind, " ".join("%s@1.0.0:%g" % tuple(p) for p in m["parts"])))
PY
while read -r version kind parts; do
	# shellcheck disable=SC2086 # several adapters
	"$MHOST" adapter merge tiny@1.0.0 $parts --as "tiny@$version" --type "$kind" --why "as PEFT" >"$dir/out"
	grep -q "^merged tiny@$version = tiny@1.0.0 + " "$dir/out" || fail "no word of the merge: $(cat "$dir/out")"
	grep -q "of them $([ "$kind" = bf16 ] && echo "BF16 as before" || echo "from BF16 to ")" "$dir/out" || fail "no word of types: $(cat "$dir/out")"
done <"$dir/merges"
"$MHOST" verify tiny >/dev/null || fail "a merged version is damaged"

host_start
cat >"$dir/check.py" <<'PY'
import base64, json, math, struct, subprocess, sys
mhost, path = sys.argv[1:]
count = 0
for n, m in enumerate(json.load(open(path))["merges"]):
    ref = "tiny@1.%d.0" % (n + 1)
    subprocess.run([mhost, "load", ref], check=True, stdout=subprocess.DEVNULL)
    for case in m["cases"]:
        out = json.loads(subprocess.run([mhost, "run", ref, "--tokens", ",".join(map(str, case["prompt"])), "-n", "16", "--ignore-eos",
                                         "--logprobs", "20", "--json"], check=True, capture_output=True).stdout)
        if out["tokens"] != case["greedy"]:
            sys.exit("%s %s: tokens %s, PEFT has %s" % (ref, m["name"], out["tokens"], case["greedy"]))
        raw = base64.b64decode(case["last_logits_f32_b64"])
        logits = struct.unpack("<%df" % (len(raw) // 4), raw)
        total = max(logits) + math.log(math.fsum(math.exp(v - max(logits)) for v in logits))
        limit = (1e-3 if m["dtype"] == "float32" else 5e-3) * (max(logits) - min(logits))
        for t in out["logprobs"][0]["top"]:
            if abs(t["logprob"] - (logits[t["id"]] - total)) > limit:
                sys.exit("%s %s: token %d has %g, PEFT has %g" % (ref, m["name"], t["id"], t["logprob"], logits[t["id"]] - total))
            count += 1
    subprocess.run([mhost, "unload", ref], check=True, stdout=subprocess.DEVNULL)
print("compared %d log-probabilities" % count)
PY
python3 "$dir/check.py" "$MHOST" "$peft/merges.json" | grep -q "^compared [1-9][0-9]" || fail "differs from PEFT"

# A release like any other; back on the base with no merge in the answer.
"$MHOST" activate tiny@1.0.0 >/dev/null
base=$("$MHOST" run tiny --tokens 5,6,7 -n 8 --json | json 'o["tokens"]')
"$MHOST" activate tiny@1.1.0 >/dev/null
[ "$("$MHOST" run tiny --tokens 5,6,7 -n 8 --json | json 'o["tokens"]')" != "$base" ] || fail "the merge says what the base says"
"$MHOST" rollback tiny >/dev/null
eq "after the rollback" "$("$MHOST" run tiny --tokens 5,6,7 -n 8 --json | json 'o["tokens"]')" "$base"
host_stop

# Where it came from.
eq "manifest" "$(json 'o["parent"], o["merge"]["untied"], [(a["adapter"], a["version"], a["scale"]) for a in o["merge"]["adapters"]]' <"$MHOST_STORE/models/tiny/1.7.0/manifest.json")" \
	"('1.0.0', True, [('patterns', '1.0.0', -0.5), ('embeddings', '1.0.0', 1.0), ('lm_head', '1.0.0', 0.25)])"
"$MHOST" history tiny | grep -q "merge *tiny@1.1.0 .*as PEFT" || fail "no merge in the history"
"$MHOST" diff tiny@1.0.0 1.2.0 | grep -q "merge.adapters: - -> .*r4_all_linear" || fail "no merge in the difference: $("$MHOST" diff tiny@1.0.0 1.2.0)"
eq "changed" "$("$MHOST" diff tiny@1.0.0 1.3.0 --json | json 'len(o["tensors"]["changed"]), o["tensors"]["unchanged"]')" "(3, 27)"

# A quantised base: exact sums, in F16 unless told otherwise, and every type is told.
"$MHOST" import small@1.0.0 "$here/tools/tiny/model" --quantize q4_1 >/dev/null
"$MHOST" import small/tone@1.0.0 "$peft/r1_all" >/dev/null
"$MHOST" adapter merge small@1.0.0 tone@1.0.0 --bump minor --json >"$dir/out"
eq "types" "$(json 'o["version"], o["parent"], sorted({(t["from"], t["to"]) for t in o["merge"]["tensors"]}), len(o["merge"]["tensors"])' <"$dir/out")" \
	"('1.1.0', '1.0.0', [('Q4M', 'F16')], 21)"
"$MHOST" adapter merge small@1.0.0 small/tone@1.0.0:2 --bump minor --type q8_0 --meta run=7 | grep -q "^21 of them from Q4M to Q8" || fail "no word of Q8"

# Of another family: the shape goes along, and what the manifest says of it holds.
cp -r "$here/tools/tiny/model" "$dir/mistral"
chmod u+w "$dir/mistral/config.json"
sed -i 's/"LlamaForCausalLM"/"MistralForCausalLM"/; s/"model_type": "llama"/"model_type": "mistral", "sliding_window": 64/' "$dir/mistral/config.json"
"$MHOST" import wind@1.0.0 "$dir/mistral" >/dev/null
"$MHOST" import wind/tone@1.0.0 "$peft/r1_all" >/dev/null
"$MHOST" adapter merge wind@1.0.0 tone@1.0.0 --as wind@1.1.0 >/dev/null
"$MHOST" verify wind >"$dir/out" 2>&1 || fail "of another family: $(cat "$dir/out")"
eq "its shape" "$("$MHOST" diff wind@1.0.0 1.1.0 --json | json 'o["config"]')" "[]"

refuses 2 "limit one of them" adapter merge tiny@1.0.0 r1_all@1.0.0
refuses 2 "limit one of them" adapter merge tiny@1.0.0 r1_all@1.0.0 --as tiny@2.0.0 --bump minor
refuses 2 "usage" adapter merge tiny@1.0.0 --as tiny@2.0.0
refuses 2 "usage" adapter
refuses 2 "base: " adapter merge tiny r1_all@1.0.0 --as tiny@2.0.0
refuses 2 "adapter: " adapter merge tiny@1.0.0 r1_all --as tiny@2.0.0
refuses 2 "scale: limit a finite number" adapter merge tiny@1.0.0 r1_all@1.0.0:nan --as tiny@2.0.0
refuses 2 "scale: limit a finite number" adapter merge tiny@1.0.0 r1_all@1.0.0: --as tiny@2.0.0
refuses 2 "named twice" adapter merge tiny@1.0.0 r1_all@1.0.0 r1_all@1.0.0:2 --as tiny@2.0.0
refuses 2 "limit adapters of tiny" adapter merge tiny@1.0.0 small/tone@1.0.0 --as tiny@2.0.0
refuses 2 "name the same model" adapter merge tiny@1.0.0 r1_all@1.0.0 --as other@2.0.0
refuses 2 "limit f32, f16, bf16, q8_0" adapter merge tiny@1.0.0 r1_all@1.0.0 --as tiny@2.0.0 --type q3
refuses 1 "is in the store already" adapter merge tiny@1.0.0 r1_all@1.0.0 --as tiny@1.1.0
refuses 1 "tiny@3.0.0" adapter merge tiny@3.0.0 r1_all@1.0.0 --as tiny@3.1.0
refuses 1 "tiny/none@1.0.0" adapter merge tiny@1.0.0 none@1.0.0 --as tiny@2.0.0
refuses 1 "beyond what its type can hold" adapter merge tiny@1.0.0 r1_all@1.0.0:1e9 --as tiny@2.0.0 --type f16
eq "left behind" "$(ls "$MHOST_STORE/tmp")" ""

# Pruned like any other; the base stays whole though it shared packs with what went.
"$MHOST" adapter merge tiny@1.0.0 r64_q@1.0.0 --as tiny@2.0.0 >/dev/null
"$MHOST" prune tiny --keep 1 >/dev/null
"$MHOST" verify tiny >/dev/null || fail "prune took what was shared"

#!/bin/sh
# SPDX-License-Identifier: MIT
# Adapters of PEFT in the store: imported, listed, shown, verified by the commands that need no host; a host beside them does not mind.
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

refuses 1 "base: tiny has no version in the store" import tiny/tone@1.0.0 "$peft/r1_all"
"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
eq "list of none" "$("$MHOST" list --adapters --json)" '{"adapters":[]}'

# Each that PEFT made, and the numbers that it gave.
count=0
for folder in "$peft"/*/; do
	"$MHOST" import "tiny/$(basename "$folder")@1.0.0" "$folder" >/dev/null
	count=$((count + 1))
done
[ "$count" -gt 8 ] || fail "only $count adapters"
eq "listed" "$("$MHOST" list --adapters tiny --json | json 'len(o["adapters"])')" "$count"
eq "listed of another" "$("$MHOST" list --adapters other --json | json 'o["adapters"]')" "[]"
"$MHOST" show tiny/patterns@1.0.0 --json >"$dir/shown"
eq "ranks" "$(json 'o["lora"]["ranks"]' <"$dir/shown")" "[2, 3, 4, 6]"
eq "targets" "$(json 'len(o["targets"]), o["lora"]["target_count"]' <"$dir/shown")" "(21, 21)"
eq "scales" "$(json '[round(t["scale"], 4) for t in o["targets"] if t["module"] in ("model.layers.1.self_attn.q_proj", "model.layers.0.mlp.gate_proj", "model.layers.2.self_attn.o_proj")]' <"$dir/shown")" "[1.25, 1.3333, 6.0]"
eq "base" "$(json 'o["base"]["version"], o["base"]["fits"]["hidden"], o["base"]["trained_on"]' <"$dir/shown")" \
	"('1.0.0', 96, 'tools/tiny/model')"
hash=$(sha256sum "$peft/patterns/adapter_model.safetensors" | cut -d' ' -f1)
eq "source" "$(json 'o["source"]["files"][1]["sha256"]' <"$dir/shown")" "$hash"
"$MHOST" show tiny/patterns@1.0.0 | grep -q "model.layers.1.self_attn.q_proj .* 6 " || fail "no line of a target"

# Numbers, metadata, parents, the history.
"$MHOST" import tiny/tone "$peft/r1_all" --bump minor --meta dataset.id=a --why first --json >"$dir/first"
eq "first" "$(json 'o["version"], o["base"], o["parent"], o["targets"], o["rank_max"]' <"$dir/first")" \
	"('1.0.0', '1.0.0', None, 21, 1)"
"$MHOST" import tiny/tone "$peft/r8_rslora" --bump minor --base tiny@1.0.0 --json >"$dir/second"
eq "second" "$(json 'o["version"], o["parent"], o["targets"]' <"$dir/second")" "('1.1.0', '1.0.0', 12)"
eq "meta" "$("$MHOST" show tiny/tone@1.0.0 --json | json 'o["meta"]["dataset.id"]')" a
"$MHOST" history | grep -q "import *tiny/tone@1.0.0 .* first" || fail "no import in the history"
eq "history" "$("$MHOST" history --json | grep -c '"adapter":"tone"')" 2

# Imports at the same time get different numbers, and images that know theirs.
pids=
for i in 1 2 3 4 5 6; do
	"$MHOST" import tiny/crowd "$peft/lm_head" --bump patch >/dev/null &
	pids="$pids $!"
done
for pid in $pids; do wait "$pid" || fail "an import beside others failed"; done
eq "crowd" "$("$MHOST" list --adapters tiny --json | json '[a["version"] for a in o["adapters"] if a["adapter"] == "crowd"]')" \
	"['1.0.0', '1.0.1', '1.0.2', '1.0.3', '1.0.4', '1.0.5']"
"$MHOST" verify tiny/crowd >/dev/null || fail "an import beside others is damaged"
rm -r "$MHOST_STORE/models/tiny/adapters/crowd"

refuses 1 "is in the store already" import tiny/tone@1.1.0 "$peft/r1_all"
refuses 1 "base: tiny@3.0.0" import tiny/tone@2.0.0 "$peft/r1_all" --base tiny@3.0.0
refuses 2 "name the same model" import tiny/tone@2.0.0 "$peft/r1_all" --base other@1.0.0
refuses 2 "limit adapters" import tiny@2.0.0 "$here/tools/tiny/model" --base tiny@1.0.0
refuses 2 "limit models" import tiny/tone@2.0.0 "$peft/r1_all" --quantize q8_0
refuses 2 "is not a version" import tiny/tone@2 "$peft/r1_all"
refuses 2 "limit" import tiny/Tone@2.0.0 "$peft/r1_all"
refuses 2 "with --bump" import tiny/tone@2.0.0 "$peft/r1_all" --bump patch
refuses 1 "adapter_config.json" import tiny/tone@2.0.0 "$here/tools/tiny/model"
refuses 1 "cannot be opened as a folder" import tiny/tone@2.0.0 "$dir/nothing"
refuses 1 "import the version first" show tiny/none@1.0.0
cp -r "$peft/r1_all" "$dir/dora"
sed -i 's/"use_dora": false/"use_dora": true/' "$dir/dora/adapter_config.json"
refuses 1 "use_dora: is set" import tiny/tone@2.0.0 "$dir/dora"
eq "left behind" "$(ls "$MHOST_STORE/tmp")" ""

# What differs is what they add to the base, whatever their ranks: twice the scale is all of it once more.
"$MHOST" diff tiny/tone@1.0.0 1.1.0 --json >"$dir/diff"
eq "diff" "$(json 'o["a"], o["targets"]["unchanged"], len(o["targets"]["changed"]), len(o["targets"]["only_a"]), [d["b"] for d in o["lora"] if d["field"] == "use_rslora"]' <"$dir/diff")" \
	"('tiny/tone@1.0.0', 0, 12, 9, [True])"
cp -r "$peft/r1_all" "$dir/twice"
sed -i 's/"lora_alpha": 2/"lora_alpha": 4/' "$dir/twice/adapter_config.json"
"$MHOST" import tiny/twice@1.0.0 "$dir/twice" >/dev/null
"$MHOST" diff tiny/tone@1.0.0 tiny/twice@1.0.0 --json >"$dir/diff"
eq "twice" "$(json 'round(o["targets"]["relative"], 6), {round(t["relative"], 6) for t in o["targets"]["changed"]}, len(o["targets"]["changed"])' <"$dir/diff")" "(1.0, {1.0}, 21)"
eq "the same" "$("$MHOST" diff tiny/embeddings@1.0.0 tiny/embeddings@1.0.0 | tail -n 1)" "targets    0 changed, 5 unchanged"
refuses 2 "compare like with like" diff tiny/tone@1.0.0 tiny@1.0.0
refuses 1 "import the version first" diff tiny/tone@1.0.0 9.0.0

# Old versions go, but none that a host serves or may go back to.
for i in 1 2 3 4 5; do "$MHOST" import tiny/old --bump patch "$peft/lm_head" >/dev/null; done
versions() { "$MHOST" list --adapters tiny --json | json '" ".join(a["version"] for a in o["adapters"] if a["adapter"] == "old")'; }
eq "dry run" "$("$MHOST" prune tiny/old --keep 4 --dry-run)" "would remove tiny/old@1.0.0"
"$MHOST" prune tiny/old --keep 4 >/dev/null
eq "kept" "$(versions)" "1.0.1 1.0.2 1.0.3 1.0.4"
host_start
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" adapter swap tiny old@1.0.1 >/dev/null
"$MHOST" adapter swap tiny old@1.0.3 >/dev/null
# Past the store: the host reads the file itself, and answers as with what was imported.
"$MHOST" adapter push tiny pushed "$peft/r1_all" >/dev/null
eq "pushed" "$("$MHOST" run tiny --tokens 5,6,7,8 -n 8 --adapter pushed --json | json 'o["tokens"]')" \
	"$("$MHOST" run tiny --tokens 5,6,7,8 -n 8 --adapter tone@1.0.0 --json | json 'o["tokens"]')"
refuses 1 "use_dora: is set" adapter push tiny pushed "$dir/dora"
"$MHOST" prune tiny/old --keep 1 --json >"$dir/out"
eq "with a host" "$(json 'o["model"], o["adapter"], [r["version"] for r in o["removed"]], sorted(r["version"] for r in o["protected"])' <"$dir/out")" \
	"('tiny', 'old', ['1.0.2'], ['1.0.1', '1.0.3'])"
host_stop
"$MHOST" prune tiny/old --keep 1 >/dev/null
eq "after it" "$(versions)" "1.0.1 1.0.3 1.0.4"
eq "told" "$("$MHOST" history tiny/old | grep -c "prune ")" 2
refuses 1 "is not in the store" prune tiny/none --keep 1
refuses 2 "usage" prune tiny/old@1.0.1 --keep 1
rm -r "$MHOST_STORE/models/tiny/adapters/old" "$MHOST_STORE/models/tiny/adapters/twice"

# A host lists and serves the model as before.
host_start
eq "versions" "$("$MHOST" list --json | json '[v["version"] for v in o["versions"]]')" "['1.0.0']"
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" run tiny "Once" -n 3 >/dev/null
host_stop

# Damage is found, and named.
eq "good" "$("$MHOST" verify --json | json 'len(o["versions"]), o["damaged"]')" "($((count + 3)), 0)"
eq "one" "$("$MHOST" verify tiny/tone --json | json '[(v["adapter"], v["version"], v["good"]) for v in o["versions"]]')" \
	"[('tone', '1.0.0', True), ('tone', '1.1.0', True)]"
image=$MHOST_STORE/models/tiny/adapters/tone/1.1.0/image.mhi
chmod 644 "$image"
printf '\377' | dd of="$image" bs=1 seek=$(($(stat -c %s "$image") - 5000)) conv=notrunc 2>/dev/null
status=0
"$MHOST" verify tiny/tone@1.1.0 >"$dir/out" 2>"$dir/err" || status=$?
eq "status of damage" "$status" 1
grep -q "^tiny/tone@1.1.0 DAMAGED: tensor model.layers.*lora_" "$dir/out" || fail "damage is not named: $(cat "$dir/out")"
"$MHOST" verify tiny/tone@1.0.0 >/dev/null

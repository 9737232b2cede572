#!/bin/sh
# SPDX-License-Identifier: MIT
# Versions in the store without a daemon: where they come from, and what the history says of them.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

# refused STATUS WORDS ARGUMENT...: one line on standard error with these words, nothing on standard output
refused() {
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost $*" "$status" "$wanted"
	eq "lines on standard error of: mhost $*" "$(wc -l <"$dir/err")" 1
	grep -qF -e "$words" "$dir/err" || fail "mhost $*: no '$words' in: $(cat "$dir/err")"
	[ ! -s "$dir/out" ] || fail "mhost $*: also printed: $(cat "$dir/out")"
}
manifest() { json "$2" <"$MHOST_STORE/models/tiny/$1/manifest.json"; }

# -- metadata ---------------------------------------------------------------------------------------
cat >"$dir/meta.json" <<-END
	{"code": {"commit": "1f3a9c", "dirty": false}, "metrics": {"loss": 1.5, "steps": [10, 20]}}
END
cat >"$dir/meta.ini" <<-END
	; of the trainer
	seed = 7
	[dataset]
	id = tales
	hash = 00ff	; of the tar
	[hyperparameters]
	lr = 1e-4
END
eq "an empty history" "$("$MHOST" history)" ""
"$MHOST" import tiny@1.0.0 "$model" --meta note=first --meta-file "$dir/meta.json" --meta-file "$dir/meta.ini" >/dev/null
eq "nested JSON" "$(manifest 1.0.0 'o["meta"]["code"], o["meta"]["metrics"]')" \
	"({'commit': '1f3a9c', 'dirty': False}, {'loss': 1.5, 'steps': [10, 20]})"
eq "INI" "$(manifest 1.0.0 'o["meta"]["seed"], o["meta"]["dataset"], o["meta"]["hyperparameters"]')" \
	"('7', {'id': 'tales', 'hash': '00ff'}, {'lr': '1e-4'})"
eq "a pair" "$(manifest 1.0.0 'o["meta"]["note"], o["parent"]')" "('first', None)"
"$MHOST" import tiny@1.0.1 "$model" --quantize q8_0 >/dev/null
eq "parent by default" "$(manifest 1.0.1 'o["parent"]')" 1.0.0
"$MHOST" import tiny@1.0.2 "$model" --parent 1.0.0 >/dev/null
eq "parent by option" "$(manifest 1.0.2 'o["parent"]')" 1.0.0
"$MHOST" import tiny@1.0.3 "$model" --meta parent=1.0.1 >/dev/null
eq "parent in the metadata" "$(manifest 1.0.3 'o["parent"], o["meta"]')" "('1.0.1', {})"

try() { refused "$1" "$2" import tiny@1.1.0 "$model" "$3" "$4" "$5" "$6"; }
try 2 'seed: given twice' --meta seed=8 --meta-file "$dir/meta.ini"
try 2 'seed: given twice' --meta-file "$dir/meta.ini" --meta-file "$dir/meta.ini"
try 2 'note: given twice' --meta note=a --meta note=a
try 2 'parent in the metadata' --meta parent=1.0.0 --parent 1.0.1
bad() { printf "$1" >"$dir/bad"; refused "$2" "$3" import tiny@1.1.0 "$model" --meta-file "$dir/bad"; }
bad '{"a": 1, "a": 2}' 1 'duplicate'
bad '{"a": 1' 1 'JSON: line 1'
bad '{"a b": 1}' 2 'limit a key of'
bad '[x]\nk = 1\nk = 2\n' 1 'bad:3: [x] k: given twice'
bad 'k = 1\n[k]\na = 1\n' 1 'bad:3: [k] a: given twice'
bad 'k = 1\nwhat is this\n' 1 'bad:2: neither a [section]'
bad "k = $(printf '%0300d' 0)\n" 1 'write it as JSON'
bad "[$(printf '%060d' 0)]\nk = 1\n" 1 'write it as JSON'
bad 'k = \377\n' 1 'is neither JSON nor text'
bad "{\"deep\": $(printf '[%.0s' $(seq 40))$(printf ']%.0s' $(seq 40))}" 2 'too deep'
head -c 300000 /dev/zero | tr '\0' ' ' >"$dir/big"
refused 1 'limit 262144' import tiny@1.1.0 "$model" --meta-file "$dir/big"
refused 1 'cannot be opened' import tiny@1.1.0 "$model" --meta-file "$dir/nowhere"
refused 1 'parent: tiny@1.0.9 is not in the store' import tiny@1.1.0 "$model" --parent 1.0.9
refused 2 'parent 9: limit' import tiny@1.1.0 "$model" --parent 9
[ ! -e "$MHOST_STORE/models/tiny/1.1.0" ] || fail "a refused import left something"

# -- numbers ----------------------------------------------------------------------------------------
next() { "$MHOST" import "$1" "$model" --bump "$2" --json | json 'o["version"]'; }
eq "the first" "$(next first minor)" 1.0.0
eq "the first, for people" "$("$MHOST" import second "$model" --bump patch | cut -d: -f1)" "imported second@1.0.0"
eq "patch" "$(next first patch)" 1.0.1
eq "minor" "$(next first minor)" 1.1.0
eq "major" "$(next first major)" 2.0.0
"$MHOST" import first@2.1.0-rc.1 "$model" >/dev/null
eq "release of a pre-release" "$(next first patch)" 2.1.0
for i in 1 2 3; do "$MHOST" import first "$model" --bump patch --json >"$dir/bump$i" & done; wait
eq "three at once" "$(for i in 1 2 3; do json 'o["version"]' <"$dir/bump$i"; done | sort | tr '\n' ' ')" "2.1.1 2.1.2 2.1.3 "
eq "in the history" "$("$MHOST" history first -n 3 | grep -o '2\.1\.[123]' | sort -u | tr '\n' ' ')" "2.1.1 2.1.2 2.1.3 "
refused 2 '--bump big: limit' import first "$model" --bump big
refused 2 'limit MODEL without a version' import first@3.0.0 "$model" --bump major
"$MHOST" import full@1.0.999999999 "$model" >/dev/null
refused 1 'full@1.0.999999999: no next version' import full "$model" --bump patch

# -- the promise of a MAJOR -------------------------------------------------------------------------
# changed FILE EXPRESSION: the tiny model at $dir/changed with the object `o` of that file changed
changed() {
	rm -rf "$dir/changed" && cp -r "$model" "$dir/changed" && chmod -R u+w "$dir/changed"
	python3 - "$dir/changed/$1" "$2" <<-'END'
		import json, sys
		o = json.load(open(sys.argv[1]))
		exec(sys.argv[2])
		json.dump(o, open(sys.argv[1], "w"))
	END
}
swap='v = o["model"]["vocab"]; v["A"], v["B"] = v["B"], v["A"]; print(min(v["A"], v["B"]))'
token=$(changed tokenizer.json "$swap")
refused 1 "tokenizer: token $token (the first of 2 that differ): \"B\", was \"A\" in tiny@1.0.3" import tiny@1.1.0 "$dir/changed"
"$MHOST" import tiny@2.0.0 "$dir/changed" >/dev/null
changed tokenizer_config.json 'o["chat_template"] = o["chat_template"].replace("\n", "\n ", 1) + "x"'
refused 1 'chat template: line ' import tiny@1.1.0 "$dir/changed"
changed config.json 'o["max_position_embeddings"] //= 2'
refused 1 'context length (may only grow): 256, was 512 in tiny@1.0.3, limit the same within MAJOR 1' import tiny@1.1.0 "$dir/changed"
eq "allowed" "$("$MHOST" import tiny@1.1.0 "$dir/changed" --allow-incompatible --json | json 'o["incompatible"]')" \
	"['context length (may only grow): 256, was 512']"
eq "in the manifest" "$(manifest 1.1.0 'o["incompatible"]')" "['context length (may only grow): 256, was 512']"
"$MHOST" history tiny -n 1 | grep -q 'incompatible=\["context length' || fail "the history does not tell what was allowed"
before=$("$MHOST" history | wc -l)

# -- history ----------------------------------------------------------------------------------------
"$MHOST" import other@1.0.0 "$model" --why "nightly run" >/dev/null
eq "the reason" "$("$MHOST" history other --json | json 'o["why"]')" "nightly run"
refused 2 '--why: limit 512' import other@1.0.1 "$model" --why "$(printf '%0600d' 0)"
eq "all events" "$("$MHOST" history | wc -l)" $((before + 1))
eq "of one model" "$("$MHOST" history tiny | wc -l)" 6
eq "the last two" "$("$MHOST" history -n 2 --json | python3 -c 'import json, sys
print([(e["event"], e["model"], e["version"], e["uid"]) for e in map(json.loads, sys.stdin)])')" \
	"[('import', 'tiny', '1.1.0', $(id -u)), ('import', 'other', '1.0.0', $(id -u))]"
"$MHOST" history tiny --store "$MHOST_STORE" | grep -q 'import *tiny@1.0.3 .*parent=1.0.1' || fail "no line for people"
refused 2 '-n x: limit' history -n x
refused 2 'model name' history Tiny
refused 2 'usage: mhost history' history a b
printf '{"event":"torn' >>"$MHOST_STORE/history.jsonl"
eq "a torn line" "$("$MHOST" history 2>&1 >/dev/null)" \
	"mhost: history: warning: 1 damaged lines of $MHOST_STORE/history.jsonl were skipped"
"$MHOST" history other --follow --json >"$dir/follow" &
follow=$!
wait_for 10 test -s "$dir/follow"
"$MHOST" import other@1.0.1 "$model" >/dev/null
wait_for 10 grep -q '"version":"1.0.1"' "$dir/follow"
kill "$follow"; wait "$follow" 2>/dev/null || true
eq "followed" "$(wc -l <"$dir/follow")" 2
# An import that the history cannot take is an import all the same.
mv "$MHOST_STORE/history.jsonl" "$dir/kept" && mkdir "$MHOST_STORE/history.jsonl"
"$MHOST" import other@1.0.2 "$model" >/dev/null 2>"$dir/err" || fail "the import failed: $(cat "$dir/err")"
grep -q 'warning: imported, but not in the history: .*history.jsonl' "$dir/err" || fail "no warning: $(cat "$dir/err")"
rmdir "$MHOST_STORE/history.jsonl" && mv "$dir/kept" "$MHOST_STORE/history.jsonl"

# -- verify -----------------------------------------------------------------------------------------
"$MHOST" verify >"$dir/out" || fail "a good store is called damaged: $(cat "$dir/out")"
eq "versions looked at" "$(grep -c ' good$' "$dir/out")" "$(find "$MHOST_STORE/models" -name image.mhi | wc -l)"
eq "one version" "$("$MHOST" verify tiny@1.0.1 --json | json 'o["damaged"], [v["version"] for v in o["versions"]]')" "(0, ['1.0.1'])"
flip() { # FILE OFFSET: one bit, OFFSET from the end
	chmod u+w "$1"
	python3 -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(-int(sys.argv[2]), 2); b = f.read(1); f.seek(-1, 1); f.write(bytes([b[0] ^ 1]))' "$1" "$2"
}
cp -a "$MHOST_STORE" "$dir/hurt"
# 1.0.1 is of another type: a pack of its own
flip "$(find "$dir/hurt/models/tiny/1.0.1" -name 'pack-*' -links 1)" $((4096 * 30))
chmod u+w "$dir/hurt/models/tiny/1.0.2/manifest.json"
sed -i 's/"version": "1.0.2"/"version": "1.0.7"/' "$dir/hurt/models/tiny/1.0.2/manifest.json"
rm "$dir/hurt/models/other/1.0.0/image.mhi"
status=0
"$MHOST" verify --store "$dir/hurt" >"$dir/out" 2>"$dir/err" || status=$?
eq "damage" "$status $(cat "$dir/err" | cut -d';' -f1)" "1 mhost: verify: 3 of $(find "$MHOST_STORE/models" -name image.mhi | wc -l) versions are damaged"
grep -q 'tiny@1.0.1 DAMAGED: tensor [a-z].*: its hash' "$dir/out" || fail "the tensor is not named: $(cat "$dir/out")"
grep -q 'tiny@1.0.2 DAMAGED: manifest: version: 1.0.7, limit 1.0.2' "$dir/out" || fail "the manifest is not named: $(cat "$dir/out")"
grep -q 'other@1.0.0 DAMAGED: .*No such file' "$dir/out" || fail "the missing image is not named: $(cat "$dir/out")"
status=0
"$MHOST" verify tiny --store "$dir/hurt" --json >"$dir/out" 2>/dev/null || status=$?
eq "damage as JSON" "$status $(json '[v["version"] for v in o["versions"] if not v["good"]], o["damaged"]' <"$dir/out")" \
	"1 (['1.0.1', '1.0.2'], 2)"
# A pack that versions share is damage to all of them, named once.
rm -rf "$dir/hurt" && cp -a "$MHOST_STORE" "$dir/hurt"
pack=$(echo "$dir"/hurt/models/tiny/1.0.0/pack-*)
sharers=$(find "$dir/hurt/models" -samefile "$pack" | wc -l)
[ "$sharers" -ge 3 ] || fail "only $sharers versions share $pack"
flip "$pack" $((4096 * 60))
status=0
"$MHOST" verify tiny --store "$dir/hurt" >"$dir/out" 2>"$dir/err" || status=$?
eq "damage of a shared pack" "$status $(cut -d' ' -f3 "$dir/err")" "1 $sharers"
eq "told once" "$(grep -c 'mhp: chunk 0 .*its hash' "$dir/out") $(grep 'mhp: damages tiny@1.0.0, ' "$dir/out" | tr ' ' '\n' | grep -c @)" "1 $((sharers + 1))"
eq "and pointed at" "$(grep -c 'mhp: damaged, as told of tiny@1.0.0$' "$dir/out")" $((sharers - 1))
refused 1 'nosuch is not in the store' verify nosuch
refused 1 'tiny@9.9.9 is not in the store' verify tiny@9.9.9
refused 2 'usage: mhost verify' verify a b

# -- diff -------------------------------------------------------------------------------------------
"$MHOST" import talk@1.0.0 "$model" --meta lr=1 >/dev/null
"$MHOST" import talk@1.1.0 "$here/tools/tiny/model-b" --meta lr=2 >/dev/null
"$MHOST" diff talk@1.0.0 1.1.0 --json >"$dir/diff"
eq "the rest is the same" "$(json 'o["config"], o["tokenizer"], o["template"], [s["field"] for s in o["sources"]]' <"$dir/diff")" \
	"([], [], [], ['model.safetensors'])"
eq "metadata" "$(json '[m for m in o["metadata"] if m["field"] == "meta.lr"]' <"$dir/diff")" "[{'field': 'meta.lr', 'a': '1', 'b': '2'}]"
# Norms by other means: straight from the two files, whose weights the images hold as they came.
python3 - "$model" "$here/tools/tiny/model-b" "$dir/diff" <<'END' || fail "norms differ from those of the files"
import json, struct, sys
def tensors(path):
	data = open(path + "/model.safetensors", "rb").read()
	n = struct.unpack("<Q", data[:8])[0]
	for name, t in json.loads(data[8:8 + n]).items():
		if name != "__metadata__":
			raw = data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]]
			assert t["dtype"] == "BF16", t["dtype"]
			words = struct.unpack("<%dH" % (len(raw) // 2), raw)
			yield name, struct.unpack("<%df" % len(words), struct.pack("<%dI" % len(words), *(w << 16 for w in words)))
a, b = dict(tensors(sys.argv[1])), dict(tensors(sys.argv[2]))
told = {t["tensor"]: t for t in json.load(open(sys.argv[3]))["tensors"]["changed"]}
assert set(told) == {n for n in a if a[n] != b[n]} and len(told) > 20, sorted(told)
for name, t in told.items():
	diff = [y - x for x, y in zip(a[name], b[name])]
	relative = (sum(d * d for d in diff) / sum(x * x for x in a[name])) ** 0.5
	assert abs(t["relative"] / relative - 1) < 1e-6 and abs(t["max_abs"] - max(map(abs, diff))) < 1e-6, (t, relative)
END
"$MHOST" diff talk@1.0.0 talk@1.1.0 >"$dir/out"
grep -q '^model.layers.1.mlp.up_proj.weight  *BF16 ' "$dir/out" && grep -q '^tokenizer  the same$' "$dir/out" || fail "diff told: $(cat "$dir/out")"
eq "a version and itself" "$("$MHOST" diff tiny@1.0.0 1.0.0 --json | json 'o["metadata"], o["tensors"]["changed"], o["tensors"]["unchanged"]')" "([], [], 30)"
eq "another type" "$("$MHOST" diff tiny@1.0.0 1.0.1 --json | json '{(t["type_a"], t["type_b"], t["relative"] < 0.01) for t in o["tensors"]["changed"]}')" \
	"{('BF16', 'Q8', True)}"
"$MHOST" diff tiny@1.0.0 tiny@2.0.0 | grep -q "^tokenizer  tokenizer: token $token (the first of 2 that differ): \"A\" -> \"B\"" ||
	fail "the token is not named: $("$MHOST" diff tiny@1.0.0 tiny@2.0.0)"
refused 1 'tiny@9.9.9: ' diff tiny@1.0.0 9.9.9
refused 1 'nosuch@1.0.0: ' diff nosuch@1.0.0 tiny@1.0.0
refused 2 'usage: mhost diff' diff tiny@1.0.0
refused 2 'is not a version' diff tiny 1.0.0
refused 2 'is not a version' diff tiny@1.0.0 x

# -- prune ------------------------------------------------------------------------------------------
stored() { (cd "$MHOST_STORE/models/$1" && echo *); }
for i in 0 1 2 3 4 5 6; do "$MHOST" import old@1.$i.0 "$model" >/dev/null; done
refused 2 'usage: mhost prune' prune old
refused 2 'usage: mhost prune' prune --keep 2
refused 2 '--keep 0: limit 1..1000000' prune old --keep 0
refused 2 '--keep -1: limit' prune old --keep -1
refused 2 '--keep x: limit' prune old --keep x
refused 2 'model name' prune old@1.0.0 --keep 1
refused 1 'nosuch is not in the store' prune nosuch --keep 1
# Without a host the history tells what was routed last.
echo '{"event":"flip","model":"old","version":"1.1.0","from":"1.0.0"}' >>"$MHOST_STORE/history.jsonl"
eq "what would go" "$("$MHOST" prune old --keep 4 --dry-run --json | json '[v["version"] for v in o["removed"]], [v["version"] for v in o["protected"]], o["freed_bytes"]')" \
	"(['1.2.0'], ['1.0.0', '1.1.0'], 0)"
eq "after a dry run" "$(stored old)" "1.0.0 1.1.0 1.2.0 1.3.0 1.4.0 1.5.0 1.6.0"
"$MHOST" prune old --keep 4 >"$dir/out"
grep -q '^removed old@1.2.0, 0.0 MB$' "$dir/out" && grep -q '^kept old@1.0.0: in the history: flip' "$dir/out" ||
	fail "prune told: $(cat "$dir/out")"
eq "after" "$(stored old)" "1.0.0 1.1.0 1.3.0 1.4.0 1.5.0 1.6.0"
eq "in the history" "$("$MHOST" history old -n 1 --json | json 'o["event"], o["version"], o["why"], 0 < o["bytes"] < 100000')" \
	"('prune', '1.2.0', 'older than the 4 kept', True)"	# the weights are those of others too
"$MHOST" import lone@1.0.0 "$model" --quantize q8_0 >/dev/null
"$MHOST" import lone@1.1.0 "$model" >/dev/null
eq "what nobody else has" "$("$MHOST" prune lone --keep 1 --json | json 'o["freed_bytes"] > 300000')" True
eq "again" "$("$MHOST" prune old --keep 6)" "nothing to remove"
# With a host, the host: 1.3.0 is in the rollback history, 1.4.0 active, 1.1.0 in memory.
host_start --workers 1 --threads 1
for v in 1.3.0 1.4.0; do "$MHOST" activate old@$v >/dev/null; done
"$MHOST" load old@1.1.0 >/dev/null
"$MHOST" prune old --keep 1 --json >"$dir/out"
eq "protected" "$(json '{v["version"]: v["why"] for v in o["protected"]}' <"$dir/out")" \
	"{'1.1.0': 'resident', '1.3.0': 'in the rollback history', '1.4.0': 'active'}"
eq "removed" "$(json '[v["version"] for v in o["removed"]]' <"$dir/out")" "['1.0.0', '1.5.0']"
eq "after" "$(stored old)" "1.1.0 1.3.0 1.4.0 1.6.0"
eq "the host serves on" "$("$MHOST" rollback old --json | json 'o["version"], o["read_bytes"]')" "('1.3.0', 0)"
refused 1 'old@1.5.0 is not in the store' load old@1.5.0
# That host knows nothing of another store, whose history and state do; without them only the newest stays.
cp -r "$MHOST_STORE" "$dir/other"
removed() { "$MHOST" prune old --keep 1 --store "$dir/other" --json | json '[v["version"] for v in o["removed"]]'; }
eq "another store" "$(removed)" "[]"
rm -r "$dir/other/history.jsonl" "$dir/other/state"
eq "another store without history" "$(removed)" "['1.1.0', '1.3.0', '1.4.0']"
host_stop
[ -z "$(ls "$MHOST_STORE/tmp" 2>/dev/null)" ] || fail "left in tmp: $(ls "$MHOST_STORE/tmp")"

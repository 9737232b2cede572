#!/bin/sh
# SPDX-License-Identifier: MIT
# A release in shadow: replies of the active version compared after the fact, users none the wiser; both versions' replies side by side.
. "$(dirname "$0")/../lib/host.sh"

refuses() {	# STATUS WORDS ARGUMENT...: one line on standard error, nothing on standard output
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" shadow "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost shadow $*" "$status" "$wanted"
	eq "lines for: mhost shadow $*" "$(wc -l <"$dir/err")" 1
	grep -qF -e "$words" "$dir/err" || fail "mhost shadow $*: no '$words' in: $(cat "$dir/err")"
	[ ! -s "$dir/out" ] || fail "mhost shadow $*: also printed: $(cat "$dir/out")"
}

printf 'What is the capital of France?\n{"prompt": "Once upon a time", "max_tokens": 30, "name": "story"}\n{"tokens": [529, 300]}\n' >"$dir/prompts"
refuses 2 'usage: mhost shadow' tiny
refuses 2 'usage: mhost shadow' --prompts "$dir/prompts"
refuses 2 'name the model alone' tiny@1.0.0 --prompts "$dir/prompts"
refuses 2 '--samples 0: limit 1..' tiny --prompts "$dir/prompts" --samples 0
refuses 2 '-n x: limit 1..' tiny --prompts "$dir/prompts" -n x
refuses 1 'cannot be read: No such file' tiny --prompts "$dir/nowhere"
refuses 1 'is mhostd running' tiny --prompts "$dir/prompts"

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$MHOST" import tiny@1.1.0 "$here/tools/tiny/model-b" >/dev/null
"$MHOST" import tiny@1.0.1 "$here/tools/tiny/model" >/dev/null
printf '[release]\nshadow_samples_min = 5\nkl_max = 1000\ntop1_min = 0\nperplexity_ratio_max = 100\n' >"$dir/ini"
host_start --config "$dir/ini" --workers 2 --threads 1
refuses 1 'tiny: no such model' tiny --prompts "$dir/prompts"
"$MHOST" activate tiny@1.0.0 >/dev/null
refuses 1 'no release in progress' tiny --prompts "$dir/prompts"

release() { "$MHOST" release tiny --json | json "(o['release'] or {}).get('$1')"; }
finding() { "$MHOST" release tiny --json | json "[f['candidate'] for f in (o['release']['verdict'] or {'findings': []})['findings'] if f['metric'] == '$1']"; }
is_compared() { [ "$(release compared)" = "$1" ]; }
is_found() { [ "$(finding shadow_kl)" != "[]" ]; }
# ask COUNT: as many replies, all of the active version
ask() {
	for i in $(seq "$1"); do
		eq "version" "$("$MHOST" run tiny "Tell me about the number $i" -n 20 --ignore-eos --json | json 'o["version"]')" 1.0.0
	done
}

# The same weights: no divergence at all. Held, so that it is weighed again and again.
"$MHOST" release tiny@1.0.1 --shadow 100 --interval 1s >/dev/null
"$MHOST" hold tiny >/dev/null
ask 12
wait_for 30 is_compared 12
wait_for 30 is_found
eq "divergence from itself" "$(finding shadow_kl)" "[0.0]"
eq "agreement with itself" "$(finding shadow_top1)" "[1.0]"
"$MHOST" shadow tiny --prompts "$dir/prompts" --json >"$dir/one"
eq "same" "$(json 'o["active"], o["candidate"], o["same"], len(o["samples"])' <"$dir/one")" "('1.0.0', '1.0.1', 3, 3)"
eq "no difference" "$(json '[s["first_difference"] for s in o["samples"]]' <"$dir/one")" "[None, None, None]"
"$MHOST" abort tiny >/dev/null

# Other words for the same things.
"$MHOST" release tiny@1.1.0 --shadow 100 --interval 1s >/dev/null
"$MHOST" hold tiny >/dev/null
ask 8
wait_for 30 is_compared 8
wait_for 30 is_found
eq "divergence" "$(finding shadow_kl | json '0.01 < o[0] < 50')" True
eq "agreement" "$(finding shadow_top1 | json '0 < o[0] < 1')" True
eq "nobody asked the candidate" "$("$MHOST" release tiny --json | json 'o["release"]["candidate_cohort"]["requests"]')" 0
"$MHOST" shadow tiny --prompts "$dir/prompts" --samples 2 -n 40 --json >"$dir/two"
eq "samples" "$(json '[(s["line"], s["name"]) for s in o["samples"]]' <"$dir/two")" "[(1, None), (2, 'story')]"
eq "replies" "$(json 'all(len(s[k]["tokens"]) <= 40 and s[k]["text"] and s[k]["finish_reason"] in ("stop", "length") for s in o["samples"] for k in ("active", "candidate"))' <"$dir/two")" True
eq "as run says" "$(json 'o["samples"][1]["candidate"]["tokens"]' <"$dir/two")" \
	"$("$MHOST" run tiny@1.1.0 "Once upon a time" -n 30 --json | json 'o["tokens"]')"
eq "first difference" "$(json '[(lambda a, b, d: a[:d] == b[:d] and a[d:d + 1] != b[d:d + 1])(s["active"]["tokens"], s["candidate"]["tokens"], s["first_difference"]) for s in o["samples"]]' <"$dir/two")" "[True, True]"
"$MHOST" shadow tiny --prompts "$dir/prompts" >"$dir/out"
grep -q '^2/3  story: differ from token [0-9]* on (>>)$' "$dir/out" || fail "no difference shown: $(cat "$dir/out")"
eq "both marked" "$(grep -o '>>' "$dir/out" | wc -l)" "$((3 * $(grep -c 'differ from' "$dir/out")))"
"$MHOST" abort tiny >/dev/null
pins() { [ "$("$MHOST" workers --json | json 'sum(sum(w["pins"].values()) for w in o)')" = 0 ]; }
wait_for 10 pins

# Numbers that are none: the release is over at once, the user has a reply.
host_stop
MHOST_REHEARSE='tiny@1.1.0:nan=100' host_start --config "$dir/ini" --workers 1 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" release tiny@1.1.0 --shadow 100 --interval 600s >/dev/null
ask 1
over() { [ "$("$MHOST" release tiny --json | json 'o["release"]')" = None ]; }
wait_for 30 over
"$MHOST" history tiny | grep -q 'not finite' || fail "history does not say why: $("$MHOST" history tiny)"
host_stop

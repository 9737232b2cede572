#!/bin/sh
# SPDX-License-Identifier: MIT
# Several replies to one prompt: each is the one to its seed, the prompt is computed once, the best are chosen.
. "$(dirname "$0")/../lib/host.sh"

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
host_start --workers 2 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
long=$(i=0; while [ $i -lt 12 ]; do printf 'A cow is a calm farm animal. '; i=$((i + 1)); done)
ask() { "$MHOST" run tiny "$long" -n 12 --ignore-eos --temperature 1.5 --json "$@"; }

ask --choices 8 --seed 40 >"$dir/many"
eq "eight" "$(json 'len(o["choices"]), len(set(c["text"] for c in o["choices"])) > 1' <"$dir/many")" "(8, True)"
# Whole pages of 32 tokens are shared, in a batch that all came in at once too.
eq "computed once" "$(json 'sum(c["cached_tokens"] < (len(o["prompt_tokens"]) - 1) // 32 * 32 for c in o["choices"])' <"$dir/many")" 1
for i in 0 3 7; do
	eq "the reply to its seed" "$(json "o['choices'][$i]['tokens']" <"$dir/many")" "$(ask --seed $((40 + i)) | json 'o["tokens"]')"
done

ask --choices 8 --seed 40 --best-of 8 >"$dir/ranked"
eq "ranked" "$(json '[c["mean_logprob"] for c in o["choices"]] == sorted((c["mean_logprob"] for c in o["choices"]), reverse=True)' \
	<"$dir/ranked")" True
eq "the same ones" "$(json 'sorted(c["text"] for c in o["choices"])' <"$dir/ranked")" "$(json 'sorted(c["text"] for c in o["choices"])' <"$dir/many")"
eq "the best" "$(ask --seed 40 --best-of 8 | json 'o["choices"][0]["tokens"]')" "$(json 'o["choices"][0]["tokens"]' <"$dir/ranked")"
eq "echo" "$("$MHOST" run tiny "A cow is" --echo -n 3 | head -c 8)" "A cow is"

refused() {
	wanted=$1; shift
	"$MHOST" run tiny x "$@" >"$dir/out" 2>"$dir/err" && fail "accepted: $*"
	grep -q -- "$wanted" "$dir/err" || fail "$*: $(cat "$dir/err")"
	eq "one line" "$(wc -l <"$dir/err")" 1
}
refused "--choices 65: limit 1..64" --choices 65
refused "--best-of 2: limit --choices, 3" --choices 3 --best-of 2
refused "exceed the context" -n 100000 --choices 2

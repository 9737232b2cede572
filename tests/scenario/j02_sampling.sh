#!/bin/sh
# SPDX-License-Identifier: MIT
# Further ways to choose tokens, from the command line to the reply. What each does is tests/unit's matter.
. "$(dirname "$0")/../lib/host.sh"

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
host_start --workers 1 --threads 2
"$MHOST" activate tiny@1.0.0 >/dev/null
ask() { "$MHOST" run tiny "A cow is" -n 12 --ignore-eos --json "$@"; }
ids() { json 'o["tokens"]'; }
first() { json 'o["tokens"][0]'; }

plain=$(ask | ids)
likeliest=$(ask | first)
eq "off" "$(ask --typical-p 1 --xtc 0 --dry 0 --mirostat 0 --top-n-sigma 0 --frequency-penalty 0 --dynatemp 0 | ids)" "$plain"
[ "$(ask --bias "$likeliest:-inf" | json "$likeliest in o['tokens']")" = False ] || fail "a forbidden token came"
eq "bias" "$(ask --bias 77:1000000 | json 'set(o["tokens"])')" "{77}"
eq "stop token" "$(ask --stop-token 5,6 --bias 77:1000 --stop-token 77 | json 'o["tokens"], o["finish_reason"], o["text"]')" \
	"([77], 'stop', '')"
# Nothing may end it before: the bias of the stop token is in vain until then.
eq "least tokens" "$(ask --stop-token 77 --bias 77:1000 --min-tokens 7 | json 'len(o["tokens"]), o["tokens"].index(77)')" "(8, 7)"
[ "$(ask --presence-penalty 100 | json 'len(set(o["tokens"]))')" = 12 ] || fail "a token came again"

for way in "--typical-p 0.5" "--xtc 0.5,0.05" "--mirostat 3,0.2" "--top-n-sigma 1" "--dynatemp 0.5,1.5" "--dry 2,1.5,1,100" \
	"--frequency-penalty 1"; do
	# shellcheck disable=SC2086
	one=$(ask --temperature 1 --seed 5 $way | ids)
	# shellcheck disable=SC2086
	eq "$way, again" "$(ask --temperature 1 --seed 5 $way | ids)" "$one"
done

refused() {
	wanted=$1; shift
	ask "$@" >"$dir/out" 2>"$dir/err" && fail "accepted: $*"
	grep -q -- "$wanted" "$dir/err" || fail "$*: $(cat "$dir/err")"
	eq "one line" "$(wc -l <"$dir/err")" 1
}
refused "--typical-p 2: limit 0..1" --typical-p 2
refused "--xtc 0.5,0.1,3: limit PROBABILITY" --xtc 0.5,0.1,3
refused "--bias 5: limit TOKEN:BIAS" --bias 5
refused "--mirostat x: limit TAU" --mirostat x

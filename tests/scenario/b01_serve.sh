#!/bin/sh
# SPDX-License-Identifier: MIT
# One model from import to reply, through every verb that a user has.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
host_start --workers 2 --threads 1
"$MHOST" list | grep -q 'tiny@1.0.0 *stored' || fail "list does not show the stored version"
"$MHOST" activate tiny@1.0.0 >/dev/null
eq "active" "$("$MHOST" status --json | json 'o["models"][0]["active"]')" 1.0.0

prompt='<|im_start|>user
Hello<|im_end|>
<|im_start|>assistant
'
one=$("$MHOST" run tiny "$prompt" -n 20 --json)
two=$("$MHOST" run tiny@1.0.0 "$prompt" -n 20 --json)
eq "greedy replies" "$(echo "$one" | json 'o["tokens"]')" "$(echo "$two" | json 'o["tokens"]')"
eq "version" "$(echo "$one" | json 'o["version"]')" 1.0.0
[ "$(echo "$one" | json 'len(o["text"])')" -gt 0 ] || fail "the reply has no text"

ids=$("$MHOST" tokenize tiny "Hello, world! 123" --json | json '",".join(map(str, o["tokens"]))')
eq "round trip of text" "$("$MHOST" detokenize tiny --tokens "$ids")" "Hello, world! 123"
eq "score" "$("$MHOST" score tiny --tokens "$ids" --json | json 'o["logprobs"][0], round(sum(o["logprobs"][1:]) - o["sum_logprob"], 3) == 0')" \
	"(None, True)"
eq "prompt by ids" "$("$MHOST" run tiny --tokens "$ids" -n 3 --json | json '",".join(map(str, o["prompt_tokens"]))')" "$ids"
eq "logprobs" "$("$MHOST" run tiny "$prompt" -n 4 --logprobs 3 --json | json '[len(t["top"]) for t in o["logprobs"]]')" "[3, 3, 3, 3]"
eq "greedy takes the top" "$("$MHOST" run tiny "$prompt" -n 4 --logprobs 1 --json | json 'all(t["id"] == t["top"][0]["id"] for t in o["logprobs"])')" True
eq "same seed, same reply" "$("$MHOST" run tiny "$prompt" -n 20 --temperature 0.9 --seed 5 --json | json 'o["tokens"]')" \
	"$("$MHOST" run tiny "$prompt" -n 20 --temperature 0.9 --seed 5 --json | json 'o["tokens"]')"

# Stop strings: everything before, nothing after.
text=$(echo "$one" | json 'o["text"]')
stop=$(echo "$one" | json 'o["text"][3:6]')
eq "stop string" "$("$MHOST" run tiny "$prompt" -n 20 --stop "$stop" --json | json 'o["text"] + "|" + o["finish_reason"]')" \
	"$(echo "$text" | python3 -c 'import sys; t=sys.stdin.read(); print(t[:t.index(sys.argv[1])] + "|stop")' "$stop")"
host_stop

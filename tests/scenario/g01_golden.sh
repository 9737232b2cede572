#!/bin/sh
# SPDX-License-Identifier: MIT
# Golden cases: made from a running version, carried by an import, checked before and after, and what is told when one fails.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
other=$here/tools/tiny/model-b

# refuses STATUS WORDS ARGUMENT...: one line on standard error with these words, nothing on standard output
refuses() {
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost $*" "$status" "$wanted"
	grep -qF -e "$words" "$dir/err" || fail "mhost $*: no '$words' in: $(cat "$dir/err")"
	[ ! -s "$dir/out" ] || fail "mhost $*: also printed: $(cat "$dir/out")"
}

# json_lines EXPRESSION: standard input is a list of objects, one a line, named all
json_lines() { python3 -c 'import json,sys; all=[json.loads(l) for l in sys.stdin]; print(eval(sys.argv[1]))' "$1"; }

cat >"$dir/prompts" <<END
{"name": "sky", "prompt": "<|im_start|>user\nWhat colour is the sky?<|im_end|>\n<|im_start|>assistant\n", "max_tokens": 40}
A cow is

{"tokens": [529]}
END

# Bad usage.
refuses 2 'usage: mhost golden check' golden
refuses 2 'usage: mhost golden check' golden frob tiny@1.0.0
refuses 2 'usage: mhost golden check' golden check
refuses 2 'is not a version' golden check tiny@1
refuses 2 '--limit 0: limit 1..86400' golden check tiny@1.0.0 --limit 0
refuses 2 '--max-tokens 0: limit' golden make tiny@1.0.0 --max-tokens 0
refuses 2 '--margin -1: limit 0..100' golden make tiny@1.0.0 --margin -1
refuses 2 '--tolerance x: limit 0..100' golden make tiny@1.0.0 --tolerance x
refuses 1 'is mhostd running?' golden check tiny@1.0.0
refuses 1 "$MHOST_SOCKET" golden make tiny@1.0.0 --prompts "$dir/prompts"

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
host_start --workers 1 --threads 1
refuses 1 'nowhere: cannot be read: No such file' golden make tiny@1.0.0 --prompts "$dir/nowhere"
refuses 1 'tiny@1.0.0 is not resident' golden make tiny@1.0.0 --prompts "$dir/prompts"
refuses 1 'tiny@9.9.9: ' golden check tiny@9.9.9
eq "a version without cases" "$("$MHOST" golden check tiny@1.0.0)" "tiny@1.0.0: no golden cases"
eq "the same for scripts" "$("$MHOST" golden check tiny@1.0.0 --json | json 'o["cases"], o["file"]')" "(0, None)"

# Made from a version that is loaded and not routed; the version itself passes, under any prompt chunking and again.
"$MHOST" load tiny@1.0.0 >/dev/null
"$MHOST" golden make tiny@1.0.0 --print --prompts "$dir/prompts" --max-tokens 8 >"$dir/golden"
eq "cases made" "$(wc -l <"$dir/golden")" 3
eq "what a case says" "$(head -1 "$dir/golden" | json 'sorted(o), o["name"], o["max_tokens"], len(o["expect"]) == len(o["logprobs"])')" \
	"(['expect', 'logprobs', 'max_tokens', 'name', 'prompt', 'tolerance'], 'sky', 40, True)"
eq "a case for versions to come" "$("$MHOST" golden make tiny@1.0.0 --print --no-expect --prompts "$dir/prompts" | head -1 | json 'sorted(o)')" \
	"['continuation_tokens', 'min_logprob', 'name', 'prompt']"
eq "the version against itself" "$("$MHOST" golden check tiny@1.0.0 --file "$dir/golden")" "tiny@1.0.0: 3 of 3 golden cases passed"
eq "replies that run would give" "$(head -1 "$dir/golden" | json 'o["expect"]')" \
	"$("$MHOST" run tiny@1.0.0 "$(head -1 "$dir/golden" | json 'o["prompt"]')
" -n 40 --json | json 'o["tokens"]')"

# With the version: copied by the import, found by the check.
"$MHOST" import tiny@1.1.0 "$model" --golden "$dir/golden" >/dev/null
cmp "$dir/golden" "$MHOST_STORE/models/tiny/1.1.0/golden.jsonl"
eq "mode of the copy" "$(stat -c %a "$MHOST_STORE/models/tiny/1.1.0/golden.jsonl")" 444
"$MHOST" load tiny@1.1.0 >/dev/null
eq "the version's own cases" "$("$MHOST" golden check tiny@1.1.0 --json | json 'o["cases"], o["passed"], o["failed"], o["failures"]')" "(3, 3, 0, [])"

# Other weights with the same cases: every failure is told, with prompt and token.
"$MHOST" import tiny@1.2.0 "$other" --golden "$dir/golden" >/dev/null
"$MHOST" load tiny@1.2.0 >/dev/null
status=0
"$MHOST" golden check tiny@1.2.0 >"$dir/out" 2>"$dir/err" || status=$?
eq "exit status of a failed check" "$status" 1
eq "what came out" "$(cat "$dir/out")" "tiny@1.2.0: $((3 - $(wc -l <"$dir/err"))) of 3 golden cases passed"
grep -q 'mhost: golden: tiny@1.2.0: sky (".*What colour is the sky?.*"): the reply differs at token 0: expected token [0-9]*, got token [0-9]*' \
	"$dir/err" || fail "not told what differs: $(cat "$dir/err")"
"$MHOST" golden check tiny@1.2.0 --json >"$dir/json" 2>"$dir/err2" && fail "a failed check went well for scripts"
[ ! -s "$dir/err2" ] || fail "not quiet for scripts: $(cat "$dir/err2")"
eq "failures for scripts" "$(json 'o["failed"] == len(o["failures"]), o["failures"][0]["check"], o["failures"][0]["name"], o["failures"][0]["at"]' \
	<"$dir/json")" "(True, 'expect', 'sky', 0)"

# Each way to fail. The bound is one that this text, scored by the score verb, just reaches or just misses.
sum=$("$MHOST" score tiny@1.0.0 --tokens "$("$MHOST" tokenize tiny@1.0.0 "The sky is" --json | json '",".join(map(str, o["tokens"]))'),$(
	"$MHOST" tokenize tiny@1.0.0 " blue." --no-special --json | json '",".join(map(str, o["tokens"]))')" --json | json 'o["logprobs"]')
count=$("$MHOST" tokenize tiny@1.0.0 " blue." --no-special --json | json 'len(o["tokens"])')
bound() { python3 -c "l=$sum[-$count:]; print(repr(sum(l)/len(l) + $1))"; }
expect=$(sed -n 2p "$dir/golden" | json '", ".join(map(str, o["expect"]))')
told() {	# CASE WORDS
	echo "$1" >"$dir/case"
	status=0
	"$MHOST" golden check tiny@1.0.0 --file "$dir/case" >/dev/null 2>"$dir/err" || status=$?
	eq "exit status of $1" "$status" 1
	eq "lines about $1" "$(wc -l <"$dir/err")" 1
	grep -qF -e "$2" "$dir/err" || fail "no '$2' in: $(cat "$dir/err")"
}
passes() {
	echo "$1" >"$dir/case"
	"$MHOST" golden check tiny@1.0.0 --file "$dir/case" >/dev/null || fail "does not pass: $1"
}
passes "{\"prompt\": \"The sky is\", \"continuation\": \" blue.\", \"min_logprob\": $(bound -0.00001)}"
told "{\"prompt\": \"The sky is\", \"continuation\": \" blue.\", \"min_logprob\": $(bound 0.00001)}" 'the mean log-probability of'
passes "{\"prompt\": \"A cow is\", \"expect\": [$expect]}"
told "{\"prompt\": \"A cow is\", \"max_tokens\": 8, \"expect\": [${expect%, *}]}" 'at token 7: expected the end of the reply, got token'
told "{\"prompt\": \"A cow is\", \"max_tokens\": 9, \"expect\": [$expect, 766]}" 'at token 8: expected token 766, got'
told '{"tokens": [9999], "expect": [1]}' 'line 1 (1 tokens): no reply: '
told '{"tokens": [1], "continuation_tokens": [9999], "min_logprob": 0}' 'no reply: '
told "{\"prompt\": \"a\", \"max_tokens\": 100000, \"expect\": [1]}" 'no reply: '

scores=$(sed -n 2p "$dir/golden" | json '", ".join(map(str, o["logprobs"]))')
passes "{\"prompt\": \"A cow is\", \"expect\": [$expect], \"logprobs\": [$scores], \"tolerance\": 0.00001}"
told "{\"prompt\": \"A cow is\", \"expect\": [$expect], \"logprobs\": [-9.5, ${scores#*, }]}" 'the log-probability of token 0 of the reply is -'

# Recorded: kept with the version and told in the manifest, checked by verify and by activate; a host need not run.
eq "recorded" "$("$MHOST" golden make tiny@1.0.0)" "tiny@1.0.0: 8 golden cases recorded"
own=$MHOST_STORE/models/tiny/1.0.0
eq "in the manifest" "$("$MHOST" show tiny@1.0.0 --json | json 'o["manifest"]["golden"]["cases"], o["manifest"]["golden"]["sha256"]')" \
	"(8, '$(sha256sum "$own/golden.jsonl" | cut -d' ' -f1)')"
eq "told" "$("$MHOST" history tiny --json | json_lines '[e["cases"] for e in all if e["event"] == "golden"]')" "[8]"
eq "recorded anew" "$("$MHOST" golden make tiny@1.0.0 --prompts "$dir/prompts" --json | json 'o["cases"]')" 3
eq "lines" "$(wc -l <"$own/golden.jsonl")" 3
eq "temporaries in the store after that" "$(ls -A "$MHOST_STORE/tmp")" ""
eq "the same version" "$("$MHOST" run tiny@1.0.0 "A cow is" -n 8 --json | json 'o["tokens"]')" "[$expect]"
verified() { "$MHOST" verify "$1" --json | json '[(v["golden_cases"], v["good"]) for v in o["versions"]]'; }
eq "verified by this host" "$(verified tiny@1.0.0)" "[(3, True)]"
"$MHOST" verify tiny@1.0.0 | grep -q '^tiny@1.0.0 good, 3 golden cases ([a-z0-9-]*)$' || fail "not told who answered"
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" activate tiny@1.1.0 >/dev/null
gates() { "$MHOST" history tiny --json | json_lines 'sum(e["event"] == "gate" for e in all)'; }
has_gates() { [ "$(gates)" = "$1" ]; }
wait_for 5 has_gates 2
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" golden make tiny@1.1.0 >/dev/null
"$MHOST" activate tiny@1.1.0 >/dev/null
wait_for 5 has_gates 3
"$MHOST" unload tiny@1.0.0 >/dev/null
eq "verified by a host of its own" "$(verified tiny@1.0.0)" "[(3, True)]"
refuses 1 'tiny@1.2.0: golden gate: ' activate tiny@1.2.0
status=0
"$MHOST" verify tiny@1.2.0 >"$dir/out" 2>"$dir/err" || status=$?
eq "exit status of verify with cases that fail" "$status" 1
grep -q 'tiny@1.2.0 DAMAGED: golden case sky: the reply differs at token 0: expected token [0-9]*, got token [0-9]* ([a-z0-9-]*)' "$dir/out" ||
	fail "verify does not say which case: $(cat "$dir/out")"
eq "without cases" "$("$MHOST" verify tiny@1.2.0 --no-golden | head -1)" "tiny@1.2.0 good"
chmod u+w "$own/golden.jsonl"
sed -i '1d' "$own/golden.jsonl"
refuses 1 'golden.jsonl: is not what the manifest tells of' golden check tiny@1.0.0
refuses 1 'golden.jsonl: is not what the manifest tells of' activate tiny@1.0.0
"$MHOST" verify tiny@1.0.0 >"$dir/out" 2>/dev/null && fail "verify is content with cases that were changed"
grep -q 'DAMAGED: golden.jsonl: is not what' "$dir/out" || fail "not told: $(cat "$dir/out")"
"$MHOST" load tiny@1.0.0 >/dev/null
"$MHOST" golden make tiny@1.0.0 >/dev/null
eq "made anew after that" "$(verified tiny@1.0.0)" "[(8, True)]"

# Damaged files are refused with their line, by the check and by the import; then nothing is imported.
printf '%s\n{"prompt": "x", "expect": [1}\n' "$(head -1 "$dir/golden")" >"$dir/bad"
refuses 1 "$dir/bad: line 2: is no JSON object" golden check tiny@1.0.0 --file "$dir/bad"
refuses 1 "$dir/bad: line 2: is no JSON object" import tiny@1.3.0 "$model" --golden "$dir/bad"
refuses 1 'cannot be read: No such file' import tiny@1.3.0 "$model" --golden "$dir/nowhere"
refuses 1 'nothing to check' golden check tiny@1.0.0 --file "$dir/prompts"
echo >"$dir/empty"
refuses 1 'has no prompt' golden check tiny@1.0.0 --file "$dir/empty"
refuses 1 'is no regular file' golden check tiny@1.0.0 --file /dev/null
[ ! -e "$MHOST_STORE/models/tiny/1.3.0" ] || fail "a version with damaged cases was imported"
eq "temporaries in the store" "$(ls -A "$MHOST_STORE/tmp")" ""

# Told by a signal, and by the clock: clear and at once.
python3 -c 'for i in range(20000): print("{\"tokens\": [%d], \"expect\": [1]}" % (i % 700))' >"$dir/long"
refuses 1 'not done within 1 s' golden check tiny@1.0.0 --file "$dir/long" --json --limit 1
answered() { "$MHOST" workers --json | json 'sum(s["requests"] for s in o[0]["stats"].values())'; }
before=$(answered)
"$MHOST" golden check tiny@1.0.0 --file "$dir/long" --json >"$dir/out" 2>"$dir/err" &
pid=$!
has_begun() { [ "$(answered)" -gt "$before" ]; }
wait_for 30 has_begun
kill -TERM $pid
status=0
wait $pid || status=$?
eq "exit status after SIGTERM" "$status" 1
grep -q 'interrupted by signal 15' "$dir/err" || fail "no word of the signal: $(cat "$dir/err")"
host_stop

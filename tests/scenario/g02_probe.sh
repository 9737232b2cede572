#!/bin/sh
# SPDX-License-Identifier: MIT
# Probes: the same prompts to versions that are named, counted and timed for each; bad input; ends by signal, limit and death.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

refuses() {	# STATUS WORDS ARGUMENT...: one line on standard error, nothing on standard output
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" probe "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost probe $*" "$status" "$wanted"
	grep -qF -e "$words" "$dir/err" || fail "mhost probe $*: no '$words' in: $(cat "$dir/err")"
	[ ! -s "$dir/out" ] || fail "mhost probe $*: also printed: $(cat "$dir/out")"
}

printf '{"prompt": "A cow is", "max_tokens": 5}\nThe sky is\n{"tokens": [529]}\n' >"$dir/prompts"
refuses 2 'usage: mhost probe' tiny --file "$dir/prompts"
refuses 2 'usage: mhost probe' tiny 1.0.0
refuses 2 '"latest" is no version' tiny latest --file "$dir/prompts"
refuses 2 'model name: "Tiny"' Tiny 1.0.0 --file "$dir/prompts"
refuses 2 'named twice' tiny 1.0.0 1.1.0 1.0.0 --file "$dir/prompts"
refuses 2 '9 versions: limit 1..8' tiny 1.0.0 1.0.1 1.0.2 1.0.3 1.0.4 1.0.5 1.0.6 1.0.7 1.0.8 --file "$dir/prompts"
refuses 2 '--count 0: limit 1..1000000' tiny 1.0.0 --file "$dir/prompts" --count 0
refuses 2 '--concurrency 65: limit 1..64' tiny 1.0.0 --file "$dir/prompts" --concurrency 65
refuses 2 '--max-tokens x: limit' tiny 1.0.0 --file "$dir/prompts" --max-tokens x
refuses 2 '--limit 0: limit 1..86400' tiny 1.0.0 --file "$dir/prompts" --limit 0
refuses 2 '--seed -1: limit' tiny 1.0.0 --file "$dir/prompts" --seed -1
refuses 1 'cannot be read: No such file' tiny 1.0.0 --file "$dir/nowhere"
printf 'good\n{"prompt": 1}\n' >"$dir/bad"
refuses 1 "$dir/bad: line 2: prompt: is not a text" tiny 1.0.0 --file "$dir/bad"
refuses 1 "$MHOST_SOCKET" tiny 1.0.0 --file "$dir/prompts"

for v in 1.0.0 1.1.0 1.2.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
host_start --workers 1 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" load tiny@1.1.0 >/dev/null
refuses 1 'tiny@1.2.0 is not resident' tiny 1.0.0 1.2.0 --file "$dir/prompts"
refuses 1 'nosuch' nosuch 1.0.0 --file "$dir/prompts"

requests() { "$MHOST" workers --json | json "{k.split('@')[1]: v['requests'] for k, v in o[0]['stats'].items()}.get('$1', 0)"; }
one=$(requests 1.0.0) two=$(requests 1.1.0)
"$MHOST" probe tiny 1.0.0 1.1.0 --file "$dir/prompts" --count 30 --concurrency 4 --max-tokens 7 --json >"$dir/json" 2>"$dir/err"
[ ! -s "$dir/err" ] || fail "not quiet: $(cat "$dir/err")"
eq "keys" "$(json 'sorted(o)' <"$dir/json")" \
	"['concurrency', 'count', 'ended', 'message', 'model', 'prompts', 'seconds', 'versions']"
eq "the run" "$(json 'o["model"], o["ended"], o["message"], o["prompts"], o["count"], o["concurrency"]' <"$dir/json")" \
	"('tiny', 'done', None, 3, 30, 4)"
eq "counts" "$(json '[(v["version"], v["requests"], v["completed"], v["errors"], v["last_error"]) for v in o["versions"]]' <"$dir/json")" \
	"[('1.0.0', 30, 30, 0, None), ('1.1.0', 30, 30, 0, None)]"
eq "same weights, same tokens" "$(json 'o["versions"][0]["tokens"] == o["versions"][1]["tokens"] == 10 * (5 + 7 + 7)' <"$dir/json")" True
eq "times are ordered" "$(json 'all(0 < v["first_token_ms"]["p50"] <= v["first_token_ms"]["p95"] and v["first_token_ms"]["p50"] <= v["total_ms"]["p50"] <= v["total_ms"]["p95"] and v["tokens_per_s"] > 0 for v in o["versions"])' <"$dir/json")" True
# The host counted them for the versions that were named, whatever the route says.
eq "requests counted by the host" "$(($(requests 1.0.0) - one)) $(($(requests 1.1.0) - two))" "30 30"

# For people; every prompt once by default.
"$MHOST" probe tiny 1.1.0 --file "$dir/prompts" >"$dir/out" 2>"$dir/err"
grep -q '^1.1.0  *3  *0 ' "$dir/out" || fail "no row for the version: $(cat "$dir/out")"

# An error of one prompt is counted, and the rest is measured.
printf '{"tokens": [9999]}\nThe sky is\n' >"$dir/mixed"
"$MHOST" probe tiny 1.1.0 --file "$dir/mixed" --count 4 --json >"$dir/json" 2>"$dir/err"
eq "errors" "$(json 'o["ended"], [(v["requests"], v["completed"], v["errors"], "limit 0..767" in v["last_error"]) for v in o["versions"]]' <"$dir/json")" \
	"('done', [(4, 2, 2, True)])"

# Bounded in time: what was measured until then, both versions alike, and exit status 0.
"$MHOST" probe tiny 1.0.0 1.1.0 --file "$dir/prompts" --count 1000000 --limit 1 --json >"$dir/json"
eq "ended by the limit" "$(json 'o["ended"], all(v["completed"] > 0 for v in o["versions"]), abs(o["versions"][0]["completed"] - o["versions"][1]["completed"]) <= 1' <"$dir/json")" "('limit', True, True)"

# SIGTERM: cancelled at once, told, and nothing goes on running.
one=$(requests 1.1.0)
"$MHOST" probe tiny 1.1.0 --file "$dir/prompts" --count 1000000 --concurrency 8 --max-tokens 400 --json >"$dir/json" 2>"$dir/err" &
pid=$!
has_begun() { [ "$(requests 1.1.0)" -gt "$one" ]; }
wait_for 30 has_begun
kill -TERM $pid
status=0
wait $pid || status=$?
eq "exit status after SIGTERM" "$status" 1
eq "ended by the signal" "$(json 'o["ended"]' <"$dir/json")" signal
grep -q 'interrupted by signal 15' "$dir/err" || fail "no word of the signal: $(cat "$dir/err")"
is_quiet() { [ "$("$MHOST" workers --json | json 'o[0]["running"] + o[0]["queued"]')" = 0 ]; }
wait_for 30 is_quiet

# A version on which workers die is left alone after two.
"$MHOST" probe tiny 1.1.0 --file "$dir/prompts" --count 1000000 --concurrency 2 --max-tokens 400 --json >"$dir/json" 2>"$dir/err" &
pid=$!
killed=
for n in 1 2; do
	is_probed() {
		worker=$("$MHOST" workers --json | json 'next(w["pid"] for w in o if w["state"] == "ready" and w["running"])') && [ "$worker" != "$killed" ]
	}
	wait_for 30 is_probed
	kill -KILL "$worker"
	killed=$worker
done
status=0
wait $pid || status=$?
eq "exit status after two deaths" "$status" 1
eq "ended by an error" "$(json 'o["ended"], o["versions"][0]["errors"] >= 2' <"$dir/json")" "('error', True)"
grep -q '2 workers ended while they ran it' "$dir/err" || fail "no word of the workers: $(cat "$dir/err")"
host_stop

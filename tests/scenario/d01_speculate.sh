#!/bin/sh
# SPDX-License-Identifier: MIT
# Replies with speculation and without are the same to the bit: many seeds, samplers, stops, limits, cancels.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@2.0.0 "$model" --quantize q8_0 >/dev/null
printf '[limits]\nspeculate = always\n' >"$dir/ini"
host_start --config "$dir/ini" --workers 1 --threads 2
vocab=768

# counter NAME: summed over the workers and versions.
counter() {
	"$MHOST" workers --json |
		json "sum(s.get('$1', 0) for w in o for s in w['stats'].values())"
}

for version in 1.0.0 2.0.0; do
	"$MHOST" activate tiny@$version >/dev/null
	"$B/tests/scenario/speculate" "$MHOST_SOCKET" tiny $vocab "${CASES:-120}" 1
	"$B/tests/scenario/speculate" "$MHOST_SOCKET" tiny $vocab "${CASES:-120}" 6
done
drafted=$(counter drafted_tokens) accepted=$(counter accepted_tokens)
# Both kinds of guesses, or nothing was proved.
[ "$accepted" -gt 500 ] || fail "only $accepted guesses were right"
[ $((drafted - accepted)) -gt 500 ] || fail "only $((drafted - accepted)) guesses were wrong"

loop='1,5,9,7,1,5,9,7,1,5,9,7,1,5,9,7,1,5,9,7'
"$MHOST" run tiny --tokens $loop -n 120 --ignore-eos --json >"$dir/with"
"$MHOST" run tiny --tokens $loop -n 120 --ignore-eos --no-speculate --json >"$dir/without"
eq "tokens" "$(json 'len(o["tokens"]), o["tokens"]' <"$dir/with")" \
	"$(json '120, o["tokens"]' <"$dir/without")"
eq "drafted without" "$(json 'o["timings"]["drafted"]' <"$dir/without")" 0
[ "$(json 'o["timings"]["accepted"]' <"$dir/with")" -gt 0 ] || fail "nothing was accepted"

# A stop string in the middle of guesses that are right.
for at in 0 1 2 7 20 35 50 77 90 110 130 150; do
	stop=$(json "o['text'][$at:$at + 4]" <"$dir/with")
	[ -n "$stop" ] || continue
	for speculate in "" --no-speculate; do
		# shellcheck disable=SC2086
		"$MHOST" run tiny --tokens $loop -n 120 --ignore-eos --stop "$stop" $speculate --json |
			json '{k: o[k] for k in ("tokens", "text", "finish_reason")}' >"$dir/stop$speculate"
	done
	cmp -s "$dir/stop" "$dir/stop--no-speculate" || fail "stop \"$stop\" makes a difference"
done

# Off for the host: nothing is drafted, whatever is asked.
printf '[limits]\nspeculate = no\n' >"$dir/ini"
kill -HUP "$host_pid"
wait_for 10 sh -c "'$MHOST' run tiny --tokens $loop -n 60 --ignore-eos --json | grep -Eq '\"drafted\": *0[,}]'"
# As users have it: what pays by the clock, which here is anyone's guess, but the same replies.
printf '[limits]\nspeculate = yes\n' >"$dir/ini"
kill -HUP "$host_pid"
"$B/tests/scenario/speculate" "$MHOST_SOCKET" tiny $vocab "${CASES:-120}" 4

#!/bin/sh
# SPDX-License-Identifier: MIT
# The keys that scripts depend on, of every verb with --json.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

# keys WHAT EXPRESSION KEY...: exactly these, in what the expression makes of the object `o` on standard input
keys() {
	what=$1 expression=$2; shift 2
	eq "keys of $what" "$(json "' '.join(sorted($expression))")" "$(printf '%s\n' "$@" | sort | xargs)"
}

# has WHAT EXPRESSION KEY...: these keys at least, where more may come with time
has() {
	what=$1 expression=$2; shift 2
	eq "missing keys of $what" "$(json "sorted(set('$*'.split()) - set($expression))")" "[]"
}

"$MHOST" import tiny@1.0.0 "$model" --meta commit=1f3a9c --json | keys import o \
	model version image content_hash image_bytes stored_bytes source_bytes tensors parent quantize seconds incompatible
"$MHOST" import tiny@1.1.0 "$model" --quantize q8_0 >/dev/null
host_start --workers 2 --threads 1

"$MHOST" load tiny@1.0.0 --json | keys load o \
	model version already bytes read_bytes load_ns allocate_ns page_wait_ns attach_ns \
	worker_attach_ns worker_smoke_ns worker_attach_faults worker_smoke_faults method rung
flip="model from version epoch generation read_bytes load_ns flip_ns flip_wall_ns workers workers_pending"
# shellcheck disable=SC2086
{
	"$MHOST" activate tiny@1.0.0 --json | keys activate o $flip
	"$MHOST" activate tiny@1.1.0 --json | keys activate o $flip
	"$MHOST" rollback tiny --json | keys rollback o $flip
}
"$MHOST" unload tiny@1.1.0 --json | keys unload o model version freed_bytes wait_ns

"$MHOST" list --json >"$dir/list"
keys list o versions <"$dir/list"
keys "a version of list" 'o["versions"][0]' model version state bytes <"$dir/list"
"$MHOST" show tiny@1.0.0 --json >"$dir/show"
has show o model version state bytes content_hash path config manifest packs extents <"$dir/show"
eq "training metadata" "$(json 'o["manifest"]["meta"]["commit"]' <"$dir/show")" 1f3a9c

"$MHOST" status --json >"$dir/status"
has status o version pid uptime_s store socket epoch isa workers threads clients pages loader numa memory models adapters \
	<"$dir/status"
has "status pages" 'o["pages"]' wanted rung free note <"$dir/status"
has "status memory" 'o["memory"]' arena_bytes image_bytes control_bytes <"$dir/status"
has "status models" 'o["models"][0]' name active candidate weight resident history <"$dir/status"
eq "active" "$(json 'o["models"][0]["active"], o["models"][0]["resident"]' <"$dir/status")" "('1.0.0', ['1.0.0'])"

"$MHOST" workers --json >"$dir/workers"
eq "workers" "$(json 'len(o)' <"$dir/workers")" 2
has workers 'o[0]' pid state node running queued seen_epoch steps restarts pins stats <"$dir/workers"

"$MHOST" run tiny "A cow is" -n 4 --json >"$dir/run"
reply="model version content_hash adapters prompt_tokens tokens text finish_reason timings"
# shellcheck disable=SC2086
{
	keys run o $reply <"$dir/run"
	"$MHOST" run tiny "A cow is" -n 4 --logprobs 2 --json >"$dir/logprobs"
	keys "run with logprobs" o $reply logprobs <"$dir/logprobs"
}
has timings 'o["timings"]' queue_ms prefill_ms decode_ms tokens_per_s cached_tokens drafted accepted <"$dir/run"
keys "a logprob" 'o["logprobs"][0]' id logprob top <"$dir/logprobs"
keys "an alternative" 'o["logprobs"][0]["top"][0]' id logprob <"$dir/logprobs"
eq "hash of a reply" "$(json 'o["content_hash"]' <"$dir/run")" "$(json 'o["content_hash"]' <"$dir/show")"
eq "adapters" "$(json 'o["adapters"]' <"$dir/run")" "[]"

"$MHOST" score tiny "A cow is" --json | keys score o model version content_hash adapters tokens logprobs sum_logprob
"$MHOST" tokenize tiny "A cow is" --json | keys tokenize o model version tokens
"$MHOST" detokenize tiny --tokens 40,41 --json | keys detokenize o model version text
# The baseline of loading is io_uring past the page cache: only where the loader itself got that.
case $("$MHOST" load tiny@1.1.0 --json | json 'o["method"]') in
fixed | plain)
	"$MHOST" bench tiny --only load --repeat 1 --json | has "bench of load" 'o["load"]' image_mb raw_gb_per_s \
		load_gb_per_s load_without_pages_gb_per_s load_over_raw load_without_pages_over_raw allocate_pages_ms attach_ms_per_gib \
		attach_faults attach_first_token_ms first_request_faults load_includes raw_best method rung
	;;
esac
"$MHOST" bench tiny --only rtt,memory --repeat 1 --json | has bench o model isa pages workers threads rtt memory
host_stop

#!/bin/sh
# SPDX-License-Identifier: MIT
# quickstart.sh: one real model from import to rollback, in a private directory that is removed
# at the end.
#   tools/quickstart.sh [BUILD]      run by `make quickstart`; no trace is left but the cache
# REPEAT=N: rounds of each measurement (3).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
B=${1:-$here/build}
mhost=$B/mhost
dir=$(mktemp -d "${TMPDIR:-/tmp}/mhost-quickstart.XXXXXX")
export MHOST_SOCKET="$dir/mhost.sock" MHOST_STORE="$dir/store"
host=

finish() {
	status=$?
	if [ -n "$host" ]; then
		kill -TERM "$host" 2>/dev/null || true
		wait "$host" 2>/dev/null || true
	fi
	if [ "$status" -ne 0 ] && [ -e "$dir/log" ]; then
		echo "the host's log:" >&2
		tail -n 20 "$dir/log" >&2
	fi
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n== %s\n' "$*"; }
# chat QUESTION OPTIONS...: the reply to one question
chat() {
	question=$1; shift
	printf '<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n' "$question" | "$mhost" run smol "$@"
}
answer() { echo "> $1"; chat "$1" -n "$2" --repeat-penalty 1.15; }
versions() { grep -o '"version":"[^"]*"' "$1" | sort | uniq -c | awk -F '"' '{ printf "%s%s x %s", (NR > 1 ? ", " : ""), $1 + 0, $4 }'; }

# config WORKERS
config() {
	cat >"$dir/mhost.ini" <<-INI
		[mhostd]
		store = $MHOST_STORE
		socket = $MHOST_SOCKET
		workers = $1
		threads = $threads
		hugepages = prefer
		[model smol]
		active = 1.0.0
	INI
}

wait_for() { # SECONDS COMMAND...
	left=$(($1 * 20)); shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || { echo "quickstart: waited too long for: $*" >&2; return 1; }
		sleep 0.05
	done
}
workers_ready() { [ "$("$mhost" workers | grep -c ' ready ')" -eq "$1" ]; }

cpus=$(nproc)
threads=$((cpus > 8 ? 8 : cpus))

if model=$(sh "$here/tools/fetch-smollm2.sh"); then
	first="What is the capital of France, and what is it known for?"
	story="Write a short story about a lighthouse keeper and a storm."
	again="Name three colours."
	replies=1
	step "import: the file as it is, and once more with its weights requantised to Q8_0"
	second=$model
else
	echo "No network: using the tiny model of this repository instead. It knows very little."
	model=$here/tools/tiny/model
	first="What is the capital of France?"
	story="Tell me a story."
	replies=40	# one would be over before the flip
	again="What colour is the sky?"
	step "import: the model as it is, and its brother that talks like a sailor, in Q8_0"
	second=$here/tools/tiny/model-b
fi
"$mhost" import smol@1.0.0 "$model"
"$mhost" import smol@1.1.0 "$second" --quantize q8_0

step "start mhostd: one worker, smol@1.0.0 active"
config 1
"$B/mhostd" --config "$dir/mhost.ini" 2>"$dir/log" &
host=$!
wait_for 60 "$mhost" status
wait_for 60 workers_ready 1
active() { "$mhost" list | grep -q '@1.0.0 *active'; }
wait_for 60 active
"$mhost" status

step "a reply, streamed out of shared memory"
answer "$first" 80

step "a new version takes over while text streams"
echo "> $story"
for _ in $(seq "$replies"); do chat "$story" -n 160 --ignore-eos --json; done >"$dir/replies" &
streaming=$!
begun() { [ -s "$dir/replies" ] || "$mhost" workers | grep -q '@1.0.0:[1-9]'; }
wait_for 10 begun
"$mhost" activate smol@1.1.0
wait "$streaming"
echo "replies that streamed meanwhile, each by one version to its end: $(versions "$dir/replies")"
answer "$again" 40
chat "$again" -n 4 --json >"$dir/replies"
echo "a reply begun after the flip: $(versions "$dir/replies")"

step "roll back: no byte is read"
"$mhost" rollback smol

step "measured on this machine ($cpus CPUs)"
# figure FILE KEY [COLUMN]: a number (of several the median) that `mhost bench` printed,
# without an exponent
figure() {
	awk -v k="$2" -v c="${3:-0}" '$2 == k {
		v = $(c ? c : $3 == "p50" ? 4 : 3)
		print (v >= 1000 ? sprintf("%.0f", v) : v); exit }' "$dir/$1"
}
value() { figure bench "$1"; }
worst() { figure bench "$1" 8; }
"$mhost" bench smol --repeat "${REPEAT:-3}" --only load,flip,rtt,speed,memory >"$dir/bench"
private1=$(value private_sum_mb)
config 4
kill -HUP "$host"
wait_for 60 workers_ready 4
chat "$again" -n 4 >/dev/null
"$mhost" bench smol --only memory >"$dir/memory"
private4=$(figure memory private_sum_mb)
weights1=$(value weights_once_mb)
weights4=$(figure memory weights_once_mb)
row() { printf '  %-44s %s\n' "$1" "$2"; }
row "load, hash checked (raw O_DIRECT read)" "$(value load_gb_per_s) GB/s ($(value raw_gb_per_s) GB/s)"
row "flip, idle: median, p99" "$(value idle_flip_us) us, $(worst idle_flip_us) us"
row "flip under load: median, p99" "$(value loaded_flip_us) us, $(worst loaded_flip_us) us"
row "rollback under load: median, p99" "$(value loaded_rollback_us) us, $(worst loaded_rollback_us) us"
row "bytes read by all rollbacks and flips" "$(value loaded_read_bytes)"
row "null round trip (Unix socket)" "$(value lane_us) us ($(value unix_socket_us) us)"
row "decode, one stream" "$(value decode_tokens_per_s) tokens/s"
row "prompt" "$(value prompt_tokens_per_s) tokens/s"
row "16 streams together" "$(value streams_16_tokens_per_s) tokens/s"
row "memory, 1 worker: both versions + private" "$weights1 MB + $private1 MB"
row "memory, 4 workers: both versions + private" "$weights4 MB + $private4 MB"

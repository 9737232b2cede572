#!/bin/sh
# SPDX-License-Identifier: MIT
# The KV cache: replies have the same bits with the prefix cache on and off, with memory for all and for few.
# And the queue: full, it refuses by name who has more than a share, and nobody starves.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@1.1.0 "$model" --quantize q4_0 >/dev/null
ini=$dir/mhost.ini
# start PREFIX_CACHE KV_BYTES [QUEUE]
start() {
	printf '[mhostd]\nstore = %s\nsocket = %s\nworkers = 1\nthreads = 2\n[limits]\nprefix_cache = %s\nkv_bytes = %s\nqueue = %s\n' \
		"$MHOST_STORE" "$MHOST_SOCKET" "$1" "$2" "${3:-64}" >"$ini"
	"$MHOSTD" --config "$ini" 2>>"$dir/log" &
	host_pid=$!
	wait_for 30 "$MHOST" status
	"$MHOST" activate tiny@1.0.0 >/dev/null
	"$MHOST" load tiny@1.1.0 >/dev/null
	vocab=$("$MHOST" show tiny@1.0.0 --json | json 'o["config"]["vocab_count"]')
}
# total COUNTER: over workers and versions
total() { "$MHOST" workers --json | json 'sum(s["'"$1"'"] for w in o for s in w["stats"].values())'; }
crowd() { "$B/tests/scenario/crowd" "$MHOST_SOCKET" tiny 1.0.0 1.1.0 "$vocab" "$dir/replies" "$@"; }

start no 64M
crowd record || fail "no replies to compare with"
host_stop

for cache in yes no; do
	for kv in 64M 1M; do
		start $cache $kv
		crowd "${CLIENTS:-12}" "${REPLIES:-20}" || fail "prefix_cache = $cache, kv_bytes = $kv"
		cached=$(total cached_tokens) preempted=$(total preemptions)
		echo "# prefix_cache = $cache, kv_bytes = $kv: $cached of $(total prompt_tokens) prompt tokens cached, $preempted preemptions"
		[ $cache = yes ] && [ "$cached" = 0 ] && fail "nothing was found in the cache"
		[ $cache = no ] && [ "$cached" != 0 ] && fail "the cache is not off"
		[ $kv = 1M ] && [ "$preempted" = 0 ] && fail "memory was never short"
		[ $kv = 64M ] && [ "$preempted" != 0 ] && fail "a request was preempted without need"
		eq "pins left" "$("$MHOST" workers --json | json 'sum(sum(w["pins"].values()) for w in o)')" 0
		host_stop
	done
done

start yes 64M 8
crowd 4 10 8 || fail "a full queue: somebody starved, or was refused wrongly, late, or not at all"
host_stop

#!/bin/sh
# SPDX-License-Identifier: MIT
# bench_peer_models.sh: the files that `mhost bench --peer` compares on, in the cache; prints
# their paths.
#   bench_peer_models.sh LLAMA_CPP     as bench_peer_build.sh prints it, for its llama-quantize
# SmolLM2-135M-Instruct in Q4_0, Q4_1, Q8_0 and Q4_K_M (from the published Q4_1), and a random Llama
# of 1 B parameters in Q4_0, Q8_0 and Q4_K_M, which no cache holds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${MHOST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mhost}
bin=$1/native/bin
smol=$cache/SmolLM2-135M-Instruct
big=$cache/Random-1B

# requantize FROM TO TYPE. The values come from a quantised file: no matter for speed.
requantize() {
	[ -e "$2" ] && return
	echo "making $2" >&2
	LD_LIBRARY_PATH=$bin "$bin/llama-quantize" --allow-requantize "$1" "$2.part" "$3" >"$2.log" 2>&1 || {
		echo "llama-quantize failed; see $2.log" >&2
		exit 1
	}
	mv "$2.part" "$2"
	rm "$2.log"
}

random() {
	[ -e "$1" ] && return
	echo "making $1" >&2
	python3 "$here/bench_peer_random.py" "$1" --type "$2"
}

sh "$here/fetch-smollm2.sh" >/dev/null
for type in Q4_0 Q8_0 Q4_K_M; do requantize "$smol.Q4_1.gguf" "$smol.$type.gguf" "$type"; done
random "$big.Q4_0.gguf" q4_0
random "$big.Q8_0.gguf" q8_0
requantize "$big.Q8_0.gguf" "$big.Q4_K_M.gguf" Q4_K_M
for file in "$smol.Q4_0" "$smol.Q4_1" "$smol.Q8_0" "$smol.Q4_K_M" "$big.Q4_0" "$big.Q8_0" "$big.Q4_K_M"; do
	echo "$file.gguf"
done

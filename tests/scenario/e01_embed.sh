#!/bin/sh
# SPDX-License-Identifier: MIT
# Prompts as vectors: what transformers makes of them, the same bits in any company, the command line, refusals.
. "$(dirname "$0")/../lib/host.sh"
data="$here/tests/reference/data"
export MHOST_LIBRARY="$B/libmhost.so.2" PYTHONPATH="$here/client/python" PYTHONDONTWRITEBYTECODE=1

models="tied_f32 gpt2_f32 gemma3_f32 mistral_f32 smollm3_f32 qwen3_moe_f32"
for name in $models; do
	"$MHOST" import "$name@1.0.0" "$data/models/$name" >/dev/null
done
host_start --workers 1 --threads 2
for name in $models; do
	"$MHOST" activate "$name@1.0.0" >/dev/null
done
if readelf -d "$MHOST_LIBRARY" | grep -q 'NEEDED.*libasan'; then
	LD_PRELOAD=$(gcc -print-file-name=libasan.so)
	ASAN_OPTIONS=detect_leaks=0	# the interpreter leaks by itself
	export LD_PRELOAD ASAN_OPTIONS
fi
python3 "$here/tests/scenario/embed.py" "$MHOST_SOCKET" "$data" || fail "vectors"
unset LD_PRELOAD ASAN_OPTIONS

printf 'one\n\ntwo words\n' >"$dir/lines"
eq "lines" "$("$MHOST" embed tied_f32 --lines "$dir/lines" | wc -l)" 2
eq "a text" "$("$MHOST" embed tied_f32 one)" "$("$MHOST" embed tied_f32 --lines "$dir/lines" | head -1)"
eq "JSON" "$("$MHOST" embed tied_f32 one --raw --json | json 'len(o["embedding"]), o["version"]')" "(64, '1.0.0')"

refused() {
	wanted=$1; shift
	"$MHOST" embed "$@" >"$dir/out" 2>"$dir/err" && fail "accepted: $*"
	grep -q -- "$wanted" "$dir/err" || fail "$*: $(cat "$dir/err")"
	eq "one line" "$(wc -l <"$dir/err")" 1
}
refused "prompt is empty" gpt2_f32 ""
refused "the context holds" gpt2_f32 --tokens "$(yes 5 | head -500 | tr '\n' ',' | sed 's/,$//')"
refused "must be mean, last or cls" gpt2_f32 x --pooling max
refused "unknown" none x

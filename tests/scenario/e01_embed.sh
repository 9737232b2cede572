#!/bin/sh
# SPDX-License-Identifier: MIT
# Prompts as vectors: the same bits in any company; each of the version on its stamp, through flips and releases;
# deadlines; the command line. What the values are is checked in tests/reference.
. "$(dirname "$0")/../lib/host.sh"
. "$here/tests/lib/release.sh"
export MHOST_LIBRARY="$B/libmhost.so.2" PYTHONPATH="$here/client/python" PYTHONDONTWRITEBYTECODE=1

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$MHOST" import tiny@1.1.0 "$here/tools/tiny/model-b" >/dev/null
"$MHOST" import tied_f32@1.0.0 "$here/tests/reference/data/models/tied_f32" >/dev/null
WORKERS=2
release_host 'shadow_samples_min = 20' 'kl_max = 0' 'top1_min = 1'
"$MHOST" activate tiny@1.1.0 >/dev/null
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" activate tied_f32@1.0.0 >/dev/null
preload=
if readelf -d "$MHOST_LIBRARY" | grep -q 'NEEDED.*libasan'; then
	preload=$(gcc -print-file-name=libasan.so)
	export ASAN_OPTIONS=detect_leaks=0	# the interpreter leaks by itself
fi
vectors() { LD_PRELOAD=$preload python3 "$here/tests/scenario/embed.py" "$1" "$MHOST" || fail "$1"; }
vectors company
vectors flips
vectors ends

# A canary answers its share, session by session, and is weighed by what it does.
"$MHOST" release tiny@1.1.0 --canary --steps 50 --interval 1s >/dev/null
vectors canary
eq "no failure" "$(release_of 'r["verdict"] is None or r["verdict"]["kind"] != "fail"')" True
"$MHOST" abort tiny >/dev/null
# A shadow has nothing to compare in a vector, and would fail by its first reply.
"$MHOST" release tiny@1.1.0 --shadow 100 --interval 1s >/dev/null
vectors shadow
eq "nothing compared" "$(release_of 'r["mode"]'), $(route)" "shadow, ('1.0.0', '1.1.0', 100.0)"
"$MHOST" abort tiny >/dev/null

# The command line: many under way at once, in the order in which they were given.
seq 300 | sed 's/$/ cows live on a farm/' >"$dir/lines"
"$MHOST" embed tied_f32 --lines "$dir/lines" >"$dir/out"
eq "lines" "$(wc -l <"$dir/out")" 300
eq "the 257th" "$(sed -n 257p "$dir/out")" "$("$MHOST" embed tied_f32 '257 cows live on a farm')"
printf 'one\n\ntwo words' | "$MHOST" embed tied_f32 --lines - --pooling last >"$dir/out"
eq "two texts" "$(cat "$dir/out")" "$("$MHOST" embed tied_f32 one 'two words' --pooling last)"
eq "JSON" "$("$MHOST" embed tied_f32 one --raw --json | json 'len(o["embedding"]), o["version"], o["pooling"], o["normalized"]')" \
	"(64, '1.0.0', 'mean', False)"
eq "tokens" "$("$MHOST" embed tied_f32 --tokens "$("$MHOST" tokenize tied_f32 one)")" "$("$MHOST" embed tied_f32 one)"
printf '{"messages": [{"role": "user", "content": "one"}]}' >"$dir/chat.json"
"$MHOST" render tied_f32 "$dir/chat.json" >"$dir/text"
eq "messages" "$("$MHOST" embed tied_f32 --messages "$dir/chat.json")" "$("$MHOST" embed tied_f32 --no-special <"$dir/text")"

refused "embed tied_f32 --lines /dev/null" "it is empty"
refused "embed tied_f32 --lines $dir/none" "cannot be read"
refused "embed tied_f32 x --pooling max" "must be mean, last or cls"
refused "embed tied_f32 x --tokens 1" "usage"
refused "embed tied_f32 --tokens $(seq -s , 300)" "prompt has 300 tokens, the context holds 256"
refused "embed none x" "unknown"
if "$MHOST" embed tied_f32 one "" >"$dir/out" 2>"$dir/err"; then fail "an empty text was accepted"; fi
grep -q "text 2 of 2: prompt is empty" "$dir/err" || fail "of an empty text: $(cat "$dir/err")"
eq "the one before it" "$(wc -l <"$dir/out")" 1

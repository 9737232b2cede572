#!/bin/sh
# SPDX-License-Identifier: MIT
# Candidates that fail, each in its own way, under load: rolled back by themselves, and no user sees any of it.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0 1.3.0 1.5.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
"$MHOST" import tiny@1.4.0 "$model" --quantize q8_0 >/dev/null	# weights that no other has
export MHOST_REHEARSE="tiny@1.1.0:errors=40;tiny@1.2.0:nan=100;tiny@1.3.0:crash=100"
WORKERS=2 release_host 'hook = echo "$MHOST_EVENT $MHOST_VERSION" >>'"$dir/hooks"
"$MHOST" activate tiny@1.0.0 >/dev/null
# last_why: of the last failure in the history.
last_why() { "$MHOST" history tiny --json | grep '"event":"fail"' | tail -1 | json 'o["version"] + ": " + o["why"]'; }
says() { case $(last_why) in *"$1"*) true ;; *) false ;; esac; }

# Failed requests: caught at a weighing.
load_start
"$MHOST" release tiny@1.1.0 --steps 30,100 --interval 1s >/dev/null
wait_for 120 is_active 1.0.0
wait_for 5 says "1.1.0: failed requests"
# Not finite: at the first such reply, long before the interval is over.
"$MHOST" release tiny@1.2.0 --steps 30,100 --interval 3600s >/dev/null
wait_for 30 is_active 1.0.0
wait_for 5 says "1.2.0: not finite"
# A worker dies of it: the same.
"$MHOST" release tiny@1.3.0 --steps 30,100 --interval 3600s >/dev/null
wait_for 30 is_active 1.0.0
wait_for 5 says "died in a step of it"
load_stop

# Damaged tables or weights: refused while they load, before any traffic.
image=$MHOST_STORE/models/tiny/1.4.0/image.mhi
chmod u+w "$image" "$(dirname "$image")"
cp "$image" "$dir/image"
python3 - "$image" <<'X'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(-100, 2); b = f.read(1); f.seek(-100, 2); f.write(bytes([b[0] ^ 1]))
X
refused "release tiny@1.4.0" "file_hash: does not match"
eq "nothing moved" "$(route)" "('1.0.0', None, 0.0)"
cat "$dir/image" >"$image"
pack=$(find "$MHOST_STORE/models/tiny/1.4.0" -name 'pack-*' -links 1)
chmod u+w "$pack"
python3 - "$pack" <<'X'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(-100, 2); b = f.read(1); f.seek(-100, 2); f.write(bytes([b[0] ^ 1]))
X
refused "release tiny@1.4.0" "does not match its hash"
wait_for 5 says "1.4.0: tiny@1.4.0: chunk"
eq "nothing moved" "$(route)" "('1.0.0', None, 0.0)"

# A golden case that it does not meet: no traffic either, for a release or a flip.
"$MHOST" import tiny@1.6.0 "$model" --golden "$(printf '{"tokens": [1, 2, 3], "max_tokens": 2, "expect": [1, 1]}\n' >"$dir/golden"; echo "$dir/golden")" >/dev/null
refused "activate tiny@1.6.0" "golden gate"
refused "release tiny@1.6.0" "golden gate"
eq "nothing moved" "$(route)" "('1.0.0', None, 0.0)"
"$MHOST" golden make tiny@1.0.0 --print --prompts "$(echo "Once upon a time" >"$dir/prompts"; echo "$dir/prompts")" >"$dir/good"
"$MHOST" import tiny@1.7.0 "$model" --golden "$dir/good" >/dev/null
"$MHOST" activate tiny@1.7.0 >/dev/null
eq "through the gate" "$(route)" "('1.7.0', None, 0.0)"

# After a flip a guard stays: what no version may do takes it back, once.
wait_for 5 grep -q "fail 1.2.0" "$dir/hooks"
"$MHOST" activate tiny@1.2.0 >/dev/null
"$MHOST" run tiny "Once" -n 2 >/dev/null 2>&1 || true
wait_for 10 is_active 1.7.0

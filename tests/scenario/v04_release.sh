#!/bin/sh
# SPDX-License-Identifier: MIT
# A canary climbs its steps by itself; hold, resume, promote and abort; a quiet hour decides nothing; bad requests.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0 1.3.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
release_host
"$MHOST" activate tiny@1.0.0 >/dev/null

# Bad requests: each refused with what is wrong, nothing moved.
refused "release tiny@9.9.9" "not in the store"
refused "release tiny@1.0.0" "active already"
refused "release tiny@1.1.0 --steps 5,200" "weights are rising"
refused "release tiny@1.1.0 --steps 50,5" "weights are rising"
refused "release tiny@1.1.0 --shadow 0" "no share"
refused "release tiny@1.1.0 --interval 0s" "give 1s to"
refused "release none@1.0.0" "not in the store"
refused "promote tiny" "no release is in progress"
refused "abort tiny" "no release is in progress"
eq "nothing moved" "$(route)" "('1.0.0', None, 0.0)"

# Without traffic nothing is decided, whatever the time.
"$MHOST" release tiny@1.1.0 --steps 10,100 --interval 1s --why "night build" >/dev/null
eq "one step" "$(route)" "('1.0.0', '1.1.0', 10.0)"
refused "release tiny@1.2.0" "a release of 1.1.0 is in progress"
refused "activate tiny@1.2.0" "a release of 1.1.0 is in progress"
refused "unload tiny@1.1.0" "being released"
wait_for 20 verdict inconclusive
eq "still there" "$(route)" "('1.0.0', '1.1.0', 10.0)"

# With traffic it goes on to the end.
load_start
wait_for 120 is_active 1.1.0
load_stop
eq "after the promotion" "$(route)" "('1.1.0', None, 0.0)"

# Held, it stays; resumed, it goes on; rolled back, it is over.
"$MHOST" release tiny@1.2.0 --steps 20,50 --interval 1s >/dev/null
"$MHOST" hold tiny --why "a meeting" >/dev/null
load_start
wait_for 120 verdict pass
eq "held at its step" "$(route)" "('1.1.0', '1.2.0', 20.0)"
"$MHOST" resume tiny >/dev/null
wait_for 120 weight 50.0
# The last step is not 100: it waits for a person.
wait_for 120 state held
eq "the last step" "$(route)" "('1.1.0', '1.2.0', 50.0)"
eq "promoted" "$("$MHOST" promote tiny --json | json 'o["from"], o["version"], o["read_bytes"]')" "('1.1.0', '1.2.0', 0)"
"$MHOST" release tiny@1.3.0 --interval 60s >/dev/null
eq "rolled back" "$("$MHOST" rollback tiny --json | json 'o["from"], o["version"]')" "('1.3.0', '1.2.0')"
load_stop
eq "back" "$(route)" "('1.2.0', None, 0.0)"
eq "rollback goes on from there" "$("$MHOST" rollback tiny --json | json 'o["version"]')" 1.1.0

# The story, in order, with who and why.
story_is "flip release step promote flip release step hold resume step hold promote flip release step abort rollback"
eq "why" "$("$MHOST" history tiny --json | grep '"release"' | head -1 | json 'o["why"], o["uid"]')" "('night build', $(id -u))"

#!/bin/sh
# SPDX-License-Identifier: MIT
# Candidates and commands that come at a bad moment: each has one outcome, and nothing is left behind.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
export MHOST_REHEARSE="tiny@1.1.0:crash=100"
WORKERS=2 release_host
"$MHOST" activate tiny@1.0.0 >/dev/null
last_why() { "$MHOST" history tiny --json | grep '"event":"fail"' | tail -1 | json 'o["version"] + ": " + o["why"]'; }
says() { case $(last_why) in *"$1"*) true ;; *) false ;; esac; }

# A worker that dies of what a candidate says in shadow: the release is over, though no user ever met it.
"$MHOST" release tiny@1.1.0 --shadow 100 --interval 3600s >/dev/null
"$MHOST" run tiny "Once upon a time" -n 4 >/dev/null
wait_for 30 is_active 1.0.0
wait_for 5 says "died in a step of it"

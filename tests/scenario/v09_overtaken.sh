#!/bin/sh
# SPDX-License-Identifier: MIT
# A rollback in the middle of a release, to the candidate itself or to a version that memory has no more room for:
# the release is over, and no reply fails.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
host_start --keep-resident 0 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
load_start
"$MHOST" release tiny@1.1.0 --steps 20,100 --interval 1h >/dev/null
wait_for 20 release_at 0
eq "to the candidate" "$("$MHOST" rollback tiny --to 1.1.0 --json | json 'o["from"], o["version"]')" "('1.0.0', '1.1.0')"
eq "it has all of it" "$(route)" "('1.1.0', None, 0.0)"
"$MHOST" run tiny "Once" -n 2 >/dev/null
"$MHOST" release tiny@1.2.0 --steps 20,100 --interval 1h >/dev/null
eq "to one that is loaded first" "$("$MHOST" rollback tiny --to 1.0.0 --json | json 'o["version"]')" "1.0.0"
eq "it has all of it" "$(route)" "('1.0.0', None, 0.0)"
only() { [ "$(status_of 'o["models"][0]["resident"]')" = "['1.0.0']" ]; }
wait_for 10 only
load_stop
story_is "flip release step abort rollback release step abort rollback"

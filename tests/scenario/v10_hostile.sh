#!/bin/sh
# SPDX-License-Identifier: MIT
# Candidates and commands that come at a bad moment: each has one outcome, and nothing is left behind.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

for v in 1.0.0 1.1.0 1.2.0; do "$MHOST" import tiny@$v "$model" >/dev/null; done
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

# Flips on each other's heels stand in the history in the order in which they were done.
python3 - "$MHOST_SOCKET.ctl" <<'X'
import json, socket, sys
conns = []
for i in range(4):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); conns.append(s.makefile("rw"))
for turn in range(30):
    for i, c in enumerate(conns):
        c.write(json.dumps({"command": "activate", "model": "tiny", "version": ["1.0.0", "1.2.0"][(i + turn) % 2]}) + "\n")
        c.flush()
    for c in conns:
        while '"ok":true' not in c.readline(): pass
X
in_order() {
	"$MHOST" history tiny --json | python3 -c '
import json, sys
flips = [e for e in map(json.loads, sys.stdin) if e["event"] == "flip"]
sys.exit(len(flips) < 60 or any(b["from"] != a["version"] for a, b in zip(flips, flips[1:])))'
}
wait_for 5 in_order
"$MHOST" activate tiny@1.0.0 >/dev/null

# What does not pass its gate does not stay in memory, unless it was loaded by hand.
printf '{"tokens": [1, 2, 3], "max_tokens": 2, "expect": [1, 1]}\n' >"$dir/golden"
"$MHOST" import tiny@1.3.0 "$model" --golden "$dir/golden" >/dev/null
state_of() { "$MHOST" list --json | json "[v['state'] for v in o['versions'] if v['version'] == '$1'][0]"; }
is_state() { [ "$(state_of "$1")" = "$2" ]; }
refused "activate tiny@1.3.0" "golden gate"
wait_for 10 is_state 1.3.0 stored
refused "release tiny@1.3.0" "golden gate"
wait_for 10 is_state 1.3.0 stored
"$MHOST" load tiny@1.3.0 >/dev/null
refused "release tiny@1.3.0" "golden gate"
eq "loaded by hand" "$(state_of 1.3.0)" ready

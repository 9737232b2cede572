#!/bin/sh
# SPDX-License-Identifier: MIT
# 4 workers, 8 clients, FLIPS flips and rollbacks (default 20,000; the long campaign runs 1,000,000).
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@2.0.0 "$model" --quantize q4_0 >/dev/null
host_start --workers 4 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
vocab=$("$MHOST" show tiny@1.0.0 --json | json 'o["config"]["vocab_count"]')
"$B/tests/scenario/storm" "$MHOST_SOCKET" tiny 1.0.0 2.0.0 "$vocab" "${FLIPS:-20000}" 8
eq "restarts" "$("$MHOST" workers --json | json 'sum(w["restarts"] for w in o)')" 0
eq "pins left" "$("$MHOST" workers --json | json 'sum(sum(w["pins"].values()) for w in o)')" 0

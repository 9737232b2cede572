#!/bin/sh
# SPDX-License-Identifier: MIT
# 4 workers, 8 clients, SWAPS swaps of an adapter (default 200; the long campaign does 10,000; a multiple of 4), half of them from the
# store: every reply is that of the one adapter version it is stamped with, and all pages and descriptors come back.
. "$(dirname "$0")/../lib/host.sh"
peft=$here/tests/reference/data/peft

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$MHOST" import tiny/style@1.0.0 "$peft/r1_all" >/dev/null
"$MHOST" import tiny/style@2.0.0 "$peft/r4_all_linear" >/dev/null
host_start --workers 4 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" adapter swap tiny style@1.0.0 >/dev/null

# What is held: descriptors and arenas mapped, of the daemon and of each worker; bytes of arenas.
held() {
	for pid in $host_pid $("$MHOST" workers --json | json '" ".join(str(w["pid"]) for w in o)'); do
		echo "$pid $(ls "/proc/$pid/fd" | wc -l) $(grep -c mhost: "/proc/$pid/maps")"
	done
	"$MHOST" status --json | json '[o["memory"], o["adapters"]]'
}
# Once round, so that what is made at the first use of anything is there.
"$B/tests/scenario/storm" "$MHOST_SOCKET" tiny/style 1.0.0 2.0.0 768 4 8 >/dev/null
before=$(held)
"$B/tests/scenario/storm" "$MHOST_SOCKET" tiny/style 1.0.0 2.0.0 768 "${SWAPS:-200}" 8
eq "restarts" "$("$MHOST" workers --json | json 'sum(w["restarts"] for w in o)')" 0
eq "pins left" "$("$MHOST" workers --json | json 'sum(sum(w["pins"].values()) for w in o)')" 0
eq "held" "$(held)" "$before"

#!/bin/sh
# SPDX-License-Identifier: MIT
# Workers die by SIGKILL, KILLS times (default 200; the long campaign runs 2,000), while 6 clients stream.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
pages() { awk '/HugePages_Free|HugePages_Total/ { s = s $2 " " } END { print s }' /proc/meminfo; }
fds() { ls "/proc/$host_pid/fd" | wc -l; }

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@2.0.0 "$model" --quantize q4_0 >/dev/null
host_start --workers 3 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" load tiny@2.0.0 >/dev/null
vocab=$("$MHOST" show tiny@1.0.0 --json | json 'o["config"]["vocab_count"]')
arenas() { "$MHOST" status --json | json 'o["memory"]["arena_bytes"]'; }
arenas_before=$(arenas) pages_before=$(pages) fds_before=$(fds)
"$B/tests/fault/kill" "$MHOST_SOCKET" tiny 1.0.0 2.0.0 "$vocab" "${KILLS:-200}" 6
all_ready() { [ "$("$MHOST" workers | grep -c ' ready ')" = 3 ]; }
wait_for 20 all_ready
same_fds() { [ "$(fds)" = "$fds_before" ]; }
wait_for 10 same_fds
# Hugepages are counted for the whole machine: they say something only while no other host runs.
hosts() { grep -lsx mhostd /proc/[0-9]*/comm | wc -l; }
same_pages() { [ "$(pages)" = "$pages_before" ] || [ "$(hosts)" -gt 1 ]; }
wait_for 10 same_pages
eq "arena bytes" "$(arenas)" "$arenas_before"
"$MHOST" run tiny hi -n 4 >/dev/null

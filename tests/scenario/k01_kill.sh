#!/bin/sh
# SPDX-License-Identifier: MIT
# Workers die by SIGKILL, KILLS times (default 200; the long campaign runs 2,000), while 6 clients stream, a fifth of
# them while an adapter is in use.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
pages() { awk '/HugePages_Free|HugePages_Total/ { s = s $2 " " } END { print s }' /proc/meminfo; }
fds() { ls "/proc/$host_pid/fd" | wc -l; }

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@2.0.0 "$model" --quantize q4_0 >/dev/null
"$MHOST" import tiny/style@1.0.0 "$here/tests/reference/data/peft/r1_all" >/dev/null
"$MHOST" import tiny/style@2.0.0 "$here/tests/reference/data/peft/r4_all_linear" >/dev/null
host_start --workers 3 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" load tiny@2.0.0 >/dev/null
"$MHOST" adapter swap tiny style@1.0.0 >/dev/null
"$MHOST" adapter load tiny style@2.0.0 >/dev/null
vocab=$("$MHOST" show tiny@1.0.0 --json | json 'o["config"]["vocab_count"]')
arenas() { "$MHOST" status --json | json 'o["memory"]["arena_bytes"]'; }
arenas_before=$(arenas) pages_before=$(pages) fds_before=$(fds)
kills=${KILLS:-200}
"$B/tests/fault/kill" "$MHOST_SOCKET" tiny 1.0.0 2.0.0 "$vocab" $((kills * 4 / 5)) 6
"$B/tests/fault/kill" "$MHOST_SOCKET" tiny/style 1.0.0 2.0.0 "$vocab" $((kills / 5)) 6
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

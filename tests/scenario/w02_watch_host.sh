#!/bin/sh
# SPDX-License-Identifier: MIT
# A host that watches a directory by itself: what a trainer drops there is imported and released by the policy.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
. "$here/tests/lib/release.sh"

drop="$dir/checkpoints"
mkdir -p "$drop"
"$MHOST" import tiny@1.0.0 "$model" >/dev/null
release_host "steps = 50,100" "interval = 1s" "[model tiny]" "active = 1.0.0" "watch = $drop" "on_new = canary"
wait_for 10 is_active 1.0.0
load_start
# drop_checkpoint NAME: as a trainer does: written under another name, then renamed whole.
drop_checkpoint() { cp -r "$model" "$drop/.$1"; mv "$drop/.$1" "$drop/$1"; }
drop_checkpoint step-100
wait_for 120 is_active 1.0.1
# The policy changes on reload.
sed -i 's/^on_new = .*/on_new = activate/' "$dir/ini"
kill -HUP "$host_pid"
drop_checkpoint step-200
wait_for 120 is_active 1.0.2
load_stop
story_is "flip release step promote flip flip"
eq "why" "$("$MHOST" history tiny --json | grep '"event":"import"' | tail -1 | json 'o["why"]')" "mhost watch: step-200"
# Its end is ours: nobody is left behind.
watchers() {
	for line in /proc/[0-9]*/cmdline; do
		tr '\0' ' ' <"$line" 2>/dev/null | grep -c "mhost watch $drop " || true
	done | grep -c 1 || true
}
eq "one watch" "$(watchers)" 1
host_stop
eq "none after the end" "$(watchers)" 0

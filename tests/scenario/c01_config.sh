#!/bin/sh
# SPDX-License-Identifier: MIT
# mhostd with a configuration file: what it starts with, every way of loading, reload, and refusals to start.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@1.1.0 "$model" --quantize q4_0 >/dev/null
ini=$dir/mhost.ini
# config WORKERS LINE...: the file, with more lines at its end
config() {
	printf '[mhostd]\nstore = %s\nsocket = %s\nworkers = %s\nthreads = 1\n' "$MHOST_STORE" "$MHOST_SOCKET" "$1" >"$ini"
	shift
	for line; do echo "$line" >>"$ini"; done
}
# start_file [OPTIONS...]
start_file() {
	"$MHOSTD" --config "$ini" "$@" 2>>"$dir/log" &
	host_pid=$!
	wait_for 30 "$MHOST" status
}
answer() { "$MHOST" run tiny "Once upon a time" -n 12 --json | json 'o["version"], o["tokens"]'; }
active() { [ "$("$MHOST" status --json | json 'o["models"][0]["active"]')" = "$1" ]; }
ready() { [ "$("$MHOST" workers | grep -c ' ready ')" = "$1" ]; }

# Whatever the way into memory, the same bits come out.
config 1 '[model tiny]' 'active = 1.0.0'
first=
for method in fixed plain pread buffered; do
	for pages in prefer never; do
		export MHOST_LOAD_METHOD=$method
		start_file --hugepages "$pages"
		wait_for 30 active 1.0.0
		eq "method" "$("$MHOST" status --json | json 'o["loader"]["method"]')" "$method"
		now=$(answer)
		first=${first:-$now}
		eq "reply by $method on $pages pages" "$now" "$first"
		host_stop
	done
done
unset MHOST_LOAD_METHOD

# A reload changes the number of workers under a running reply; a bad file changes nothing.
start_file
wait_for 30 active 1.0.0
"$MHOST" run tiny "Once upon a time" -n 200 --ignore-eos --json >"$dir/reply" &
reply=$!
config 3 '[limits]' 'max_tokens = 300' '[model tiny]' 'active = 1.1.0'
kill -HUP "$host_pid"
wait_for 30 ready 3
active 1.0.0 || fail "a reload moved traffic"
config 2 'wrokers = 2'
kill -HUP "$host_pid"
told() { grep -q "$1" "$dir/log"; }
wait_for 10 told 'mhost.ini:6: \[mhostd\] wrokers: unknown key'
wait_for 10 told 'the old configuration stays in force'
ready 3 || fail "a bad file changed the workers"
wait "$reply"
eq "the reply that ran meanwhile" "$(json 'len(o["tokens"])' <"$dir/reply")" 200
if "$MHOST" run tiny hi -n 301 2>/dev/null; then fail "max_tokens of the reload is not in force"; fi
config 1
kill -HUP "$host_pid"
wait_for 30 ready 1
host_stop

# Refusals to start: exit status, one line, nothing left behind.
refuse() {
	wanted=$1 word=$2; shift 2
	status=0
	timeout 20 "$MHOSTD" "$@" 2>"$dir/err" || status=$?
	eq "exit status of mhostd $*" "$status" "$wanted"
	grep -q "$word" "$dir/err" || fail "mhostd $*: no '$word' in: $(cat "$dir/err")"
	[ ! -e "$MHOST_SOCKET" ] || fail "mhostd $*: left its socket"
}
refuse 2 'unknown option' --frobnicate
refuse 2 'needs a value' --workers
refuse 1 'no store' --socket "$MHOST_SOCKET"
refuse 1 'no such directory' --store "$dir/nowhere" --socket "$MHOST_SOCKET"
refuse 1 'No such file' --config "$dir/nowhere.ini"
config 0
refuse 1 'mhost.ini:4: \[mhostd\] workers: 0 is out of range' --config "$ini"
config 1 '[model tiny]' 'active = 9.9.9'
refuse 1 'tiny@9.9.9 is not in the store' --config "$ini"
config 1
chmod o+w "$ini"
refuse 1 'anybody may write it' --config "$ini"
"$MHOSTD" --help | grep -q -- --config || fail "no help"

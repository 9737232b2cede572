# SPDX-License-Identifier: MIT
# host.sh: sourced by scenario tests. A private directory, a store, a daemon that is always ended.
#   build folder in $B (default build); MHOST and MHOSTD name the binaries.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
MHOST=$B/mhost
MHOSTD=$B/mhostd
dir=$(mktemp -d "${TMPDIR:-/tmp}/mhost-scenario.XXXXXX")
export MHOST_SOCKET=$dir/s MHOST_STORE=$dir/store
host_pid=

# Ends the daemon (politely, then not) and removes the directory.
cleanup() {
	status=$?
	host_stop || true
	[ "$status" -eq 0 ] || { [ -e "$dir/log" ] && sed 's/^/# log: /' "$dir/log"; }
	rm -rf "$dir"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() { echo "# $*"; exit 1; }

# wait_for SECONDS COMMAND...: until it succeeds; fails loudly at the limit.
wait_for() {
	limit=$(($(date +%s) + $1)); shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$limit" ] || fail "waited too long for: $*"
		sleep 0.05
	done
}

# host_start [OPTIONS...]: mhostd on the private store and socket.
host_start() {
	"$MHOSTD" --store "$MHOST_STORE" --socket "$MHOST_SOCKET" "$@" 2>>"$dir/log" &
	host_pid=$!
	wait_for 30 "$MHOST" status
}

host_stop() {
	[ -n "$host_pid" ] || return 0
	kill -TERM "$host_pid" 2>/dev/null || true
	n=0
	while kill -0 "$host_pid" 2>/dev/null && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
	kill -KILL "$host_pid" 2>/dev/null || true
	wait "$host_pid" 2>/dev/null || true
	host_pid=
}

# json EXPRESSION: standard input is one JSON object `o`; prints the Python expression.
json() { python3 -c 'import json,sys; o=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
# eq WHAT GOT WANTED
eq() { [ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"; }

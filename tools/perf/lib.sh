# SPDX-License-Identifier: MIT
# lib.sh: sourced by the scripts here. B names the build folder.
set -eu
perf_dir=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$perf_dir/../.." && pwd)
B=${B:-$top/build}

# die TEXT: one line, exit 1.
die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# need TOOL PACKAGE: or say what to do.
need() {
	command -v "$1" >/dev/null 2>&1 || die "$1 is not here; install it (Debian package $2, or tools/deps.sh perf)"
}

# The one running worker, or the one asked for in $pid.
worker_pid() {
	if [ -n "${pid:-}" ]; then
		[ -r "/proc/$pid/stat" ] || die "there is no process $pid"
		return
	fi
	pid=
	for comm in /proc/[0-9]*/comm; do
		[ "$(cat "$comm" 2>/dev/null)" = mhost-worker ] || continue
		[ -z "$pid" ] || die "several workers are running; choose one with -p PID (mhost workers lists them)"
		pid=${comm#/proc/}
		pid=${pid%/comm}
	done
	[ -n "$pid" ] || die "no mhost-worker is running; start mhostd first"
}

# event_counts EVENT: whether perf can count it here.
event_counts() {
	perf stat -x, -e "$1" true 2>&1 | grep -Eq "^[0-9]+,[^,]*,$1"
}

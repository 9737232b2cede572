#!/bin/sh
# SPDX-License-Identifier: MIT
# trace.sh: run one of the bpftrace scripts here on the programs in $B (default build/).
#   tools/perf/trace.sh NAME [ARGUMENT of bpftrace]...      NAME: requests, tokens, releases
. "$(dirname "$0")/lib.sh"

names=$(cd "$perf_dir" && ls ./*.bt | sed 's|^\./||; s|\.bt$||' | tr '\n' ' ')
[ $# -ge 1 ] || die "usage: trace.sh NAME; there are $names"
script=$perf_dir/$1.bt
[ -r "$script" ] || die "there is no $1.bt; there are $names"
shift
for program in mhostd mhost-worker; do
	[ -x "$B/$program" ] || die "$B/$program is not built; run make, or name the folder in B"
done
need bpftrace bpftrace
[ "$(id -u)" = 0 ] || die "bpftrace needs root here; run it with sudo"
need readelf binutils
readelf -n "$B/mhost-worker" 2>/dev/null | grep -q 'Provider: mhost' ||
	die "$B/mhost-worker has no probes; install systemtap-sdt-dev and build again"
B=$(cd "$B" && pwd)
text=$(sed "s|MHOSTD|$B/mhostd|g; s|WORKER|$B/mhost-worker|g" "$script")
exec bpftrace "$@" -e "$text"

#!/bin/sh
# SPDX-License-Identifier: MIT
# day.sh: a day of releases on one host in some minutes, under constant load: six versions of SmolLM2
# imported; one made active blue-green, one released as a canary that reaches everybody by itself, one in
# shadow, and four that must not: slow, failing, damaged on disk, damaged in memory. No reply may fail
# and none may be of two versions. A rehearsal for people, and a test.
#   tools/ops/day.sh [BUILD]         in a private directory that is removed at the end
# CLIENTS=8, INTERVAL=20 (seconds of one step), MODEL=FILE (another GGUF file or folder), KEEP=1 (keep the directory).
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${1:-${B:-$here/build}}
case $B in /*) ;; *) B=$PWD/$B ;; esac
mhost=$B/mhost
dir=$(mktemp -d "${TMPDIR:-/tmp}/mhost-day.XXXXXX")
export MHOST_SOCKET="$dir/mhost.sock" MHOST_STORE="$dir/store"
interval=${INTERVAL:-20}
host= load=

finish() {
	status=$?
	for pid in $load $host; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[ "$status" -eq 0 ] || { echo "day: the host's last words:" >&2; tail -n 15 "$dir/log" >&2; }
	if [ -n "${KEEP:-}" ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

begin=$(date +%s)
step() { printf '\n[%4d s] %s\n' $(($(date +%s) - begin)) "$*"; }
die() { echo "day: $*" >&2; exit 1; }
json() { python3 -c 'import json,sys; o=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
now_ms() { date +%s%3N; }

wait_for() { # SECONDS COMMAND...
	left=$(($1 * 5)); shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || die "waited too long for: $*"
		kill -0 "$load" 2>/dev/null || [ -z "$load" ] || die "the load ended: $(cat "$dir/load")"
		sleep 0.2
	done
}
is_active() { [ "$("$mhost" status --json | json 'o["models"][0]["active"], o["models"][0]["candidate"]')" = "('$1', None)" ]; }

# last EVENT VERSION EXPRESSION: of the last such event in the history.
last() {
	"$mhost" history smol --json | python3 -c '
import json, sys
rows = [o for o in map(json.loads, sys.stdin) if o["event"] == sys.argv[1] and o.get("version") == sys.argv[2]]
if not rows: sys.exit("no event %s of %s" % (sys.argv[1], sys.argv[2]))
o = rows[-1]; print(eval(sys.argv[3]))' "$1" "$2" "$3"
}
# seconds_between EVENT1 EVENT2 VERSION: the last of each.
seconds_between() {
	"$mhost" history smol --json | python3 -c '
import datetime, json, sys
at = {}
for o in map(json.loads, sys.stdin):
    if o.get("version") == sys.argv[3]: at[o["event"]] = datetime.datetime.fromisoformat(o["time"].replace("Z", "+00:00"))
print(round((at[sys.argv[2]] - at[sys.argv[1]]).total_seconds(), 2))' "$1" "$2" "$3"
}
at_most() { python3 -c 'import sys; sys.exit(not float(sys.argv[1]) <= float(sys.argv[2]))' "$1" "$2"; }

# must_fail VERSION WORDS SECONDS: a canary that is rolled back by itself, with these words, in this time.
must_fail() {
	version=$1 words=$2 limit=$3
	"$mhost" release "smol@$version" --canary --steps 50,100 --why "the day's $version" >/dev/null
	wait_for $((interval * 10)) is_active "$good"
	wait_for 5 last fail "$version" 'o["why"]'
	why=$(last fail "$version" 'o["why"]')
	took=$(seconds_between release fail "$version")
	echo "rolled back by itself after $took s: $why"
	case $why in *"$words"*) ;; *) die "$version: another reason than \"$words\"" ;; esac
	at_most "$took" "$limit" || die "$version: it took $took s, not $limit s"
}

model=${MODEL:-$(sh "$here/tools/fetch-smollm2.sh")} || {
	echo "day: no model: without a network give MODEL=FILE" >&2
	exit 77
}

step "import six versions; four are rehearsed to go wrong"
mkdir -p "$MHOST_STORE"
for v in 1.0.0 1.1.0 1.2.0 1.3.0 1.4.0 1.5.0; do
	"$mhost" import "smol@$v" "$model" --meta commit="$(printf %s "$v" | cksum | cut -d ' ' -f 1)" \
		--meta dataset=day --why "nightly $v" >/dev/null
done
"$mhost" import smol@1.6.0 "$model" --quantize q4_0 --meta note="requantised" >/dev/null
echo "the same file six times is stored once: $(du -sm "$MHOST_STORE" | cut -f 1) MB for all seven," \
	"$(du -sm "$MHOST_STORE/models/smol/1.0.0" | cut -f 1) MB for one; in memory likewise"

cat >"$dir/mhost.ini" <<INI
[mhostd]
store = $MHOST_STORE
socket = $MHOST_SOCKET
keep_resident = 3
[release]
interval = $interval
steps = 25,50,100
# A day in minutes: less evidence than the defaults ask for, so coarser limits.
samples_min = 40
samples_full = 150
slowdown_tolerated = 1.1
slowdown_excluded = 1.25
first_token_p95_ms = 10000
shadow_samples_min = 20
kl_max = 2
top1_min = 0.3
perplexity_ratio_max = 4
hook = cat >>$dir/hooked; echo >>$dir/hooked
INI
export MHOST_REHEARSE="smol@1.3.0:slow=30;smol@1.4.0:errors=10;smol@1.5.0:nan=4"
"$B/mhostd" --config "$dir/mhost.ini" 2>>"$dir/log" &
host=$!
wait_for 30 "$mhost" status
"$mhost" list

step "blue: 1.0.0; then ${CLIENTS:-8} clients, until the evening"
"$mhost" activate smol@1.0.0
"$mhost" traffic smol --clients "${CLIENTS:-8}" --max-tokens 12 --think 250 --until "$dir/evening" >"$dir/load" 2>&1 &
load=$!

step "green: 1.1.0 loads beside it, then one store moves everybody"
"$mhost" activate smol@1.1.0
"$mhost" rollback smol
"$mhost" activate smol@1.1.0
good=1.1.0

step "canary: 1.2.0 climbs 25, 50, 100 % by itself"
"$mhost" release smol@1.2.0 --canary --why "better at names" >/dev/null
wait_for $((interval * 20)) is_active 1.2.0
good=1.2.0
echo "everybody has it after $(seconds_between release flip 1.2.0) s"

step "canary: 1.3.0 is 30 % slower"
must_fail 1.3.0 "slow" $((interval * 2))

step "canary: 1.4.0 fails one request in ten"
must_fail 1.4.0 "failed requests" $((interval * 2))

step "canary: 1.5.0 has weights that give no numbers: back at once"
must_fail 1.5.0 "not finite" "$interval"

step "canary: 1.6.0's weights are damaged on disk: refused before any traffic"
# The pack that no other version has: the largest file with one link.
damaged=$(find "$MHOST_STORE/models/smol/1.6.0" -type f -links 1 -printf '%s %p\n' | sort -n | tail -1 | cut -d ' ' -f 2-)
chmod u+w "$(dirname "$damaged")"; cp "$damaged" "$dir/whole"; mv "$damaged" "$dir/moved"; cp "$dir/whole" "$damaged"
python3 - "$damaged" <<'PY'
import os, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(os.path.getsize(sys.argv[1]) // 2); b = f.read(1); f.seek(-1, 1); f.write(bytes([b[0] ^ 16]))
PY
if "$mhost" release smol@1.6.0 2>"$dir/refused"; then die "a damaged version was released"; fi
cat "$dir/refused"
mv -f "$dir/moved" "$damaged"; chmod u-w "$(dirname "$damaged")"

step "shadow: 1.6.0, mended, is compared with what users had; none of them sees it"
"$mhost" release smol@1.6.0 --shadow 50 --interval "${interval}s" >/dev/null
passed() { last pass 1.6.0 'o["why"]'; }
wait_for $((interval * 20)) passed
last pass 1.6.0 '"\n".join(f["text"] for f in o["verdict"]["findings"])'

step "evening: back to the morning's version, without reading a byte"
"$mhost" rollback smol --to 1.1.0

: >"$dir/evening"
wait "$load" || { cat "$dir/load"; load=; die "a reply failed or was of two versions"; }
load=
cat "$dir/load"
if grep -q " 1.6.0 " "$dir/load"; then die "a user saw the shadow"; fi

step "the day, as the history tells it"
"$mhost" history smol
[ "$(wc -l <"$dir/hooked")" -gt 10 ] || die "the hook saw $(wc -l <"$dir/hooked") events"

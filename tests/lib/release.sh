# SPDX-License-Identifier: MIT
# release.sh: sourced after host.sh by scenarios that release. Thresholds for a few dozen requests.

# release_host [LINES...]: mhostd with quick judgements; further lines of [release] as arguments.
release_host() {
	{
		printf '[mhostd]\nstore = %s\nsocket = %s\nworkers = %s\nthreads = 1\nlog_level = debug\n' \
			"$MHOST_STORE" "$MHOST_SOCKET" "${WORKERS:-1}"
		# Times of a busy test machine say nothing: only gross slowness counts, unless a test asks.
		printf '[release]\nsamples_min = 20\nsamples_full = 20\nslowdown_tolerated = 3\nslowdown_excluded = 3\n'
		printf 'tail_tolerated = 1\nfirst_token_p95_ms = 0\n'
		case $* in *probe_count*) ;; *) echo 'probe_count = 0' ;; esac
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$dir/ini"
	"$MHOSTD" --config "$dir/ini" 2>>"$dir/log" &
	host_pid=$!
	wait_for 30 "$MHOST" status
}

# load_start [OPTIONS...]: clients that ask until load_stop, which fails when a reply failed or was mixed.
load_start() {
	rm -f "$dir/load.stop"
	"$MHOST" traffic tiny --clients 4 --max-tokens 6 --think 5 --until "$dir/load.stop" "$@" \
		>"$dir/load.out" 2>&1 &
	load_pid=$!
}

load_stop() {
	: >"$dir/load.stop"
	wait "$load_pid" || { cat "$dir/load.out"; fail "a reply failed under load"; }
}

status_of() { "$MHOST" status --json | json "$1"; }
route() { status_of '(lambda m: (m["active"], m["candidate"], m["weight"]))(o["models"][0])'; }
is_active() { [ "$(status_of 'o["models"][0]["active"], o["models"][0]["candidate"]')" = "('$1', None)" ]; }
release_of() { status_of "(lambda r: ($1))(o['models'][0]['release'])"; }
verdict() { [ "$(release_of 'r["verdict"] and r["verdict"]["kind"]')" = "$1" ]; }
weight() { [ "$(release_of 'r["weight"]')" = "$1" ]; }
weight_now() { status_of 'int(o["models"][0]["weight"]) if o["models"][0]["candidate"] else 100'; }
state() { [ "$(release_of 'r["state"]')" = "$1" ]; }

# refused "COMMAND ARGUMENTS" WORDS: status 1 or 2, and one line with the words.
refused() {
	# shellcheck disable=SC2086
	if "$MHOST" $1 >"$dir/out" 2>"$dir/err"; then fail "mhost $1 was not refused"; fi
	grep -q -- "$2" "$dir/err" || fail "mhost $1: '$(cat "$dir/err")' without '$2'"
	eq "lines about mhost $1" "$(wc -l <"$dir/err")" 1
}

# story "EVENT...": the events of the history but imports, loads and verdicts, in this order.
story() {
	"$MHOST" history tiny --json | python3 -c '
import json, re, sys
words = [json.loads(line)["event"] for line in sys.stdin]
words = [w for w in words if w not in ("import", "load", "unload", "verdict", "gate")]
print("#", " ".join(words)); sys.exit(" ".join(words) != sys.argv[1])' "$1"
}
# The same, waited for: the history is written a little later.
story_is() { (wait_for 5 story "$1") || { story "$1"; fail "another story"; }; }
release_at() { [ "$(release_of 'r["step"]')" -ge "$1" ] 2>/dev/null || is_active "${2:-1.1.0}"; }
kept() { [ "$(json '(o.get("release") or {"step": 99})["step"]' <"$MHOST_STORE/state/tiny.json")" -ge "$1" ]; }

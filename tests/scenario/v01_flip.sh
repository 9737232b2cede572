#!/bin/sh
# SPDX-License-Identifier: MIT
# A flip around a reply; the next reply is of the new version; rollback reads nothing; unload, and what is left.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@1.1.0 "$model" --quantize q4_0 >/dev/null
host_start --workers 2 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" load tiny@1.1.0 >/dev/null
"$MHOST" run tiny "Once upon a time" -n 200 --ignore-eos --json >"$dir/reply" &
reply=$!
eq "flip reads" "$("$MHOST" activate tiny@1.1.0 --json | json 'o["read_bytes"]')" 0
wait "$reply"
# It may have begun just before or just after; what it began on, it ended on (the storm proves that at scale).
eq "the reply meanwhile" "$(json 'o["version"] in ("1.0.0", "1.1.0"), len(o["tokens"])' <"$dir/reply")" "(True, 200)"
eq "version after" "$("$MHOST" run tiny hi -n 2 --json | json 'o["version"]')" 1.1.0
eq "rollback" "$("$MHOST" rollback tiny --json | json 'o["version"], o["read_bytes"]')" "('1.0.0', 0)"
eq "version after rollback" "$("$MHOST" run tiny hi -n 2 --json | json 'o["version"]')" 1.0.0
"$MHOST" unload tiny@1.1.0 >/dev/null
if "$MHOST" run tiny@1.1.0 hi -n 2 2>/dev/null; then fail "an unloaded version still answers"; fi
eq "resident" "$("$MHOST" status --json | json 'o["models"][0]["resident"]')" "['1.0.0']"
# A rollback to a stored version says that it loads.
"$MHOST" rollback tiny --to 1.1.0 --json >"$dir/back" || fail "rollback --to a stored version"
[ "$(json 'o["read_bytes"]' <"$dir/back")" -gt 0 ] || fail "rollback to a stored version read nothing"

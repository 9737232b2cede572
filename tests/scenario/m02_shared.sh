#!/bin/sh
# SPDX-License-Identifier: MIT
# Versions share what they have in common: ten that differ in 10 % of their bytes cost little more than two, on
# disk and in memory, and each replies with the bits that it has when it is alone.
. "$(dirname "$0")/../lib/host.sh"
tiny=$here/tools/tiny/model
ids=1,20,30,40,50

# make DIR OPTIONS...
make_model() { out=$1; shift; python3 "$here/tests/scenario/variants.py" "$dir/$out" "$tiny" "$@"; }
import() { "$MHOST" import "$1" "$dir/$2" --json; }
# sum PATTERN NAME: bytes on disk (or in memory) of what PATTERN finds, each file once whatever its names; NAME is
# part of where a link leads, or empty
sum() {
	python3 -c 'import glob, os, sys
seen = {}
for path in glob.glob(sys.argv[1], recursive=True):
    st = os.stat(path)
    if not os.path.isdir(path) and (not sys.argv[2] or sys.argv[2] in os.readlink(path)):
        seen[st.st_dev, st.st_ino] = st.st_blocks * 512
print(sum(seen.values()))' "$1" "$2"
}
disk() { sum "$1/**" ""; }
# as the kernel counts the sealed segments of the daemon
arenas() { sum "/proc/$host_pid/fd/*" memfd:mhost:big; }
memory() { "$MHOST" status --json | json 'o["memory"]["arena_bytes"]'; }
load() { "$MHOST" load "$1" --json; }
reply() { "$MHOST" run "$1" --tokens $ids -n 12 --temperature 0 --json | json '[o["content_hash"], o["tokens"]]'; }
score() { "$MHOST" score "$1" --tokens $ids --json | json 'o["logprobs"]'; }
bits() { reply "$1"; score "$1"; }
# at_most WHAT VALUE LIMIT
at_most() { python3 -c "import sys; sys.exit(not $2 <= $3)" || fail "$1: $2, limit $3"; }

# -- disk -------------------------------------------------------------------------------------------
make_model base
import big@1.0.0 base >"$dir/i0"
one_disk=$(disk "$MHOST_STORE")
for k in 1 2 3 4 5 6 7 8 9; do
	make_model v --variant $k
	import big@1.$k.0 v >"$dir/i$k"
	[ $k = 5 ] && mv "$dir/v" "$dir/v5" || rm -r "$dir/v"
done
ten_disk=$(disk "$MHOST_STORE")
echo "# ran: disk: one version $one_disk, ten $ten_disk: $(python3 -c "print(round($ten_disk / $one_disk, 3))") x"
at_most "disk of ten versions" "$ten_disk / $one_disk" 2.1
at_most "what differs" 0.08 "$(json 'o["stored_bytes"] / o["image_bytes"]' <"$dir/i5")"

# -- memory -----------------------------------------------------------------------------------------
host_start --workers 2 --threads 1
"$MHOST" activate big@1.0.0 >/dev/null
one_memory=$(memory)
for k in 1 2 3 4 5 6 7 8 9; do
	load big@1.$k.0 >"$dir/l$k"
	at_most "read_bytes of 1.$k.0" "$(json 'o["read_bytes"] / o["bytes"]' <"$dir/l$k")" 0.13
done
ten_memory=$(memory)
echo "# ran: memory: one version $one_memory, ten $ten_memory: $(python3 -c "print(round($ten_memory / $one_memory, 3))") x;" \
	"rungs $("$MHOST" show big@1.5.0 --json | json '[x["rung"] for x in o["extents"]]')"
at_most "memory of ten versions" "$ten_memory / $one_memory" 2.1
eq "memory by the kernel's count" "$(arenas)" "$ten_memory"
eq "versions that have the first pack" "$("$MHOST" show big@1.5.0 --json | json 'max(x["links"] for x in o["packs"])')" 10
eq "versions that use the first pack" "$("$MHOST" show big@1.5.0 --json | json 'max(x["versions"] for x in o["extents"])')" 10
for k in 0 1 2 3 4 5 6 7 8 9; do bits big@1.$k.0 >"$dir/r$k"; done
cmp -s "$dir/r4" "$dir/r5" && fail "two versions reply alike"

# -- the first one goes -----------------------------------------------------------------------------
"$MHOST" activate big@1.1.0 >/dev/null
freed=$("$MHOST" unload big@1.0.0 --json | json 'o["freed_bytes"]')
eq "memory freed with the first version" "$(($(memory) + freed))" "$ten_memory"
at_most "memory freed with the first version" "$freed / $one_memory" 0.01
freed=$("$MHOST" unload big@1.9.0 --json | json 'o["freed_bytes"]')
at_most "memory freed with a variant" 0.08 "$freed / $one_memory"
at_most "memory freed with a variant" "$freed / $one_memory" 0.13
rm -rf "$MHOST_STORE/models/big/1.0.0"
eq "versions that still have it" "$("$MHOST" show big@1.5.0 --json | json 'max(x["links"] for x in o["packs"])')" 9
"$MHOST" unload big@1.4.0 >/dev/null
load big@1.4.0 >/dev/null
load big@1.9.0 >/dev/null
for k in 1 2 3 4 5 6 7 8 9; do bits big@1.$k.0 | cmp -s - "$dir/r$k" || fail "1.$k.0 replies otherwise than before"; done
host_stop

# -- alone, the same bits ---------------------------------------------------------------------------
MHOST_STORE=$dir/alone import big@1.5.0 v5 | json 'o["content_hash"]' >"$dir/hash"
eq "content hash alone" "$(cat "$dir/hash")" "$(json 'o["content_hash"]' <"$dir/i5")"
MHOST_STORE=$dir/alone
host_start --workers 1 --threads 1
MHOST_STORE=$dir/store
"$MHOST" activate big@1.5.0 >/dev/null
bits big@1.5.0 | cmp -s - "$dir/r5" || fail "1.5.0 replies otherwise when it is alone"
host_stop

# -- two loads at a time bring a pack once ----------------------------------------------------------
host_start --workers 1 --threads 1
"$MHOST" load big@1.2.0 --json >"$dir/l2" & a=$!
"$MHOST" load big@1.3.0 --json >"$dir/l3" & b=$!
wait $a && wait $b || fail "a load beside another failed"
eq "memory of two loads at a time" "$(memory)" "$(arenas)"
at_most "bytes read by two loads at a time" \
	"($(json 'o["read_bytes"]' <"$dir/l2") + $(json 'o["read_bytes"]' <"$dir/l3")) / $one_disk" 1.3
for k in 2 3; do bits big@1.$k.0 | cmp -s - "$dir/r$k" || fail "1.$k.0 replies otherwise, loaded beside another"; done
host_stop

# -- a shared pack is damaged -----------------------------------------------------------------------
pack=$(find "$MHOST_STORE/models/big/1.5.0" -name 'pack-*.mhp' -size +16384k)
chmod 644 "$pack"
printf 'X' | dd of="$pack" bs=1 seek=$((9 * 1024 * 1024)) conv=notrunc 2>/dev/null
chmod 444 "$pack"
host_start --workers 1 --threads 1 --restore no
"$MHOST" load big@1.5.0 2>"$dir/err" && fail "a damaged pack was loaded"
grep -q "big@1.5.0: chunk 2 of .* of the $(basename "$pack")) does not match" "$dir/err" || fail "the error: $(cat "$dir/err")"
eq "memory after the refusal" "$(memory)" 0
host_stop

# -- more packs than a version may have -------------------------------------------------------------
rm -rf "$MHOST_STORE"
# each version draws one more layer anew
k=0
while [ $k -le 40 ]; do
	make_model c --layers 40 --hidden 64 --inter 64 --chain $k --variant 7
	import chain@2.$k.0 c >"$dir/last"
	k=$((k + 1))
done
packs=$(find "$MHOST_STORE/models/chain/2.40.0" -name 'pack-*.mhp' | wc -l)
echo "# ran: the last of a chain has $packs packs"
at_most "packs of one version" "$packs" 31
MHOST_STORE=$dir/alone import chain@2.40.0 c | json 'o["content_hash"]' >"$dir/hash"
eq "content hash of the chain's last" "$(cat "$dir/hash")" "$(json 'o["content_hash"]' <"$dir/last")"
host_start --workers 1 --threads 1
"$MHOST" activate chain@2.40.0 >/dev/null
bits chain@2.40.0 >"$dir/bits"
host_stop
MHOST_STORE=$dir/alone
host_start --workers 1 --threads 1
MHOST_STORE=$dir/store
"$MHOST" activate chain@2.40.0 >/dev/null
bits chain@2.40.0 | cmp -s - "$dir/bits" || fail "the chain's last replies otherwise when it is alone"

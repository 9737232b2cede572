#!/bin/sh
# SPDX-License-Identifier: MIT
# What a user sees who asks for something wrong: the exit status, and one line that names it.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

# says STATUS WORDS ARGUMENT...: exit status; one line on standard error, beginning with "mhost: ", with these words in it
says() {
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost $*" "$status" "$wanted"
	eq "lines on standard error of: mhost $*" "$(wc -l <"$dir/err")" 1
	grep -q '^mhost: ' "$dir/err" || fail "mhost $*: does not say who speaks: $(cat "$dir/err")"
	grep -qF -e "$words" "$dir/err" || fail "mhost $*: no '$words' in: $(cat "$dir/err")"
	[ ! -s "$dir/out" ] || fail "mhost $*: also printed: $(cat "$dir/out")"
}
repeat() { printf "$1%.0s" $(seq "$2"); }	# TEXT COUNT

# Bad usage: nobody is asked.
says 2 'unknown command frobnicate' frobnicate
says 2 '--socket: needs a value' status --socket
for verb in show load unload activate; do
	says 2 "usage: mhost $verb MODEL@VERSION" "$verb"
	says 2 "usage: mhost $verb MODEL@VERSION" "$verb" tiny
	says 2 '"tiny@": not MODEL or MODEL@VERSION' "$verb" tiny@
	says 2 '"@1.0.0": not MODEL or MODEL@VERSION' "$verb" @1.0.0
done
for verb in list status workers; do says 2 "usage: mhost $verb" "$verb" more; done
says 2 'usage: mhost run' run
says 2 'usage: mhost run' run tiny two prompts
says 2 'usage: mhost run' run tiny --tokens 1 prompt
says 2 '"": not MODEL' run "" prompt
says 2 '--frob: no such option' run tiny --frob
says 2 '-x: no such option' run tiny -x
says 2 '-n: needs a value' run tiny -n
says 2 '--seed: needs a value' run tiny --seed
says 2 '-n 0: limit 1..2147483647' run tiny x -n 0
says 2 '-n 5000000000: limit' run tiny x -n 5000000000
says 2 '-n 1x: limit' run tiny x -n 1x
says 2 '--temperature nan: limit 0..100' run tiny x --temperature nan
says 2 '--temperature -1: limit' run tiny x --temperature -1
says 2 '--top-k -1: limit' run tiny x --top-k -1
says 2 '--top-p 2: limit' run tiny x --top-p 2
says 2 '--top-p 0: limit' run tiny x --top-p 0
says 2 '--min-p 1: limit' run tiny x --min-p 1
says 2 '--repeat-penalty 0: limit' run tiny x --repeat-penalty 0
says 2 '--seed -1: limit' run tiny x --seed -1
says 2 '--logprobs 65: limit 0..64' run tiny x --logprobs 65
says 2 '--stop : limit 1..256 bytes' run tiny x --stop ''
says 2 '--deadline-ms 0: limit' run tiny x --deadline-ms 0
for ids in '' , 1, ,1 1,,2 -1 1.5 x 4294967295; do says 2 "--tokens $ids: " run tiny --tokens "$ids"; done
says 2 'usage: mhost score' score
says 2 'usage: mhost detokenize' detokenize tiny
says 2 '--tokens x: ids' detokenize tiny --tokens x
says 2 'usage: mhost rollback' rollback
says 2 '--to: needs a value' rollback tiny --to
says 2 '--only speed,frob: limit' bench --only speed,frob
says 2 '--repeat 0: limit 1..1000' bench --repeat 0
says 2 'usage: mhost import' import tiny@1.0.0
says 2 'is not a version' import tiny@1.0 "$model"
says 2 'model name: "Tiny" has a character' import Tiny@1.0.0 "$model"
says 2 '--quantize q3: limit q8_0, q4_0, q4_1' import tiny@1.0.0 "$model" --quantize q3
says 2 '--meta x: limit KEY=VALUE' import tiny@1.0.0 "$model" --meta x

# No daemon; a path that no socket can have.
for verb in list status workers "load tiny@1.0.0" "rollback tiny" bench "run tiny x" "score tiny x" "tokenize tiny x"; do
	# shellcheck disable=SC2086
	says 1 "$MHOST_SOCKET" $verb
	grep -q 'is mhostd running?' "$dir/err" || fail "does not ask for mhostd: $(cat "$dir/err")"
done
says 1 'limit 10' --socket "$(repeat x 120)" status
says 1 'limit 10' --socket "$(repeat x 120)" run tiny x

says 1 "$dir/nowhere: cannot be opened: No such file" import tiny@1.0.0 "$dir/nowhere"
says 1 'cannot be made' import tiny@1.0.0 "$model" --store /proc/nowhere
"$MHOST" import tiny@1.0.0 "$model" >/dev/null
says 1 'tiny@1.0.0: version: is in the store already' import tiny@1.0.0 "$model"

printf '[mhostd]\nworkers = 1\nthreads = 1\n[limits]\nmax_tokens = 100\n' >"$dir/mhost.ini"
chmod 644 "$dir/mhost.ini"
host_start --config "$dir/mhost.ini"
says 1 'model "tiny" is unknown or has no active version' run tiny x
says 1 'tiny@1.0.0 is not resident' run tiny@1.0.0 x
says 1 'tiny: no version is active' rollback tiny
says 1 'tiny@1.0.0 is not in memory' unload tiny@1.0.0
says 1 'has no active version; activate one first' bench
"$MHOST" activate tiny@1.0.0 >/dev/null
for verb in show load activate; do
	says 1 'tiny@9.9.9 is not in the store' "$verb" tiny@9.9.9
	says 1 'nosuch@1.0.0 is not in the store' "$verb" nosuch@1.0.0
	says 1 '"9" is no version; give MAJOR.MINOR.PATCH' "$verb" tiny@9
	says 1 'model name: "No+such"' "$verb" No+such@1.0.0
done
says 2 'model name: "No"' show No/such@1.0.0
says 2 'adapter: model name: "Such"' show no/Such@1.0.0
says 1 'tiny@1.0.0 is active' unload tiny@1.0.0
says 1 'no earlier version' rollback tiny
says 1 'tiny@1.0.0 is active already' rollback tiny --to 1.0.0
says 1 'tiny@9.9.9 is not in the store' rollback tiny --to 9.9.9
says 1 'nosuch: no version is active' rollback nosuch
says 1 'model "nosuch" is unknown' run nosuch x
says 1 'model: longer than 63 bytes' run "$(repeat m 64)" x
says 1 'tiny@9.9.9 is not resident' run tiny@9.9.9 x
says 1 'the host allows 100' run tiny x -n 101
says 1 'exceed the context of 512' run tiny "$(repeat 'a b c ' 150)" -n 99
says 1 'the context holds 512' run tiny "$(repeat 'a b c ' 2000)"
says 1 'the context holds 512' score tiny "$(repeat 'a b c ' 2000)"
for verb in run score; do
	says 1 'prompt is empty' "$verb" tiny ""
	says 1 'prompt is empty' "$verb" tiny
	says 1 'limit 0..767' "$verb" tiny --tokens 1,768
	says 1 'is not UTF-8' "$verb" tiny "$(printf 'a\377')"
done
says 1 'is not UTF-8' tokenize tiny "$(printf '\300\200')"
says 1 'limit 0..767' detokenize tiny --tokens 768
status=0
head -c 600000 /dev/zero | tr '\0' a | "$MHOST" run tiny 2>"$dir/err" >/dev/null || status=$?
eq "a long prompt" "$status $(cat "$dir/err")" "1 mhost: run: prompt has 600000 bytes and grammar 0, at most 523984 fit"
eq "after all this" "$("$MHOST" run tiny "A cow is" -n 4 --json | json 'o["finish_reason"]')" length

# A user who is not let in, where one can become another user.
chmod 755 "$dir"
cp "$MHOST" "$dir/mhost"
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if as_nobody "$dir/mhost" --version >/dev/null 2>&1; then
	MHOST=$dir/own
	printf '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "%s" "$@"\n' "$dir/mhost" >"$MHOST"
	chmod 755 "$MHOST"
	for verb in status "run tiny x"; do
		# shellcheck disable=SC2086
		says 1 'Permission denied; ask its owner' $verb
	done
	MHOST=$B/mhost
fi
host_stop

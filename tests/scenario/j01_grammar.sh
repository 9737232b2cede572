#!/bin/sh
# SPDX-License-Identifier: MIT
# Replies that follow a grammar: always whole, whatever the model would rather say, with guesses and without.
. "$(dirname "$0")/../lib/host.sh"

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
printf '[limits]\nspeculate = always\n' >"$dir/ini"
host_start --config "$dir/ini" --workers 1 --threads 2
"$MHOST" activate tiny@1.0.0 >/dev/null

cat >"$dir/person.json" <<-'END'
{"type": "object",
 "properties": {
  "name": {"type": "string", "minLength": 1},
  "age": {"type": "integer", "minimum": 0, "maximum": 130},
  "tags": {"type": "array", "items": {"enum": ["red", "green", "é\"\\"]}, "minItems": 1, "maxItems": 3},
  "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
 "required": ["name", "age", "tags", "boss"]}
END
person='
def person(p):
    return (list(p) == ["name", "age", "tags", "boss"] and len(p["name"]) > 0 and type(p["age"]) is int and
            0 <= p["age"] <= 130 and 1 <= len(p["tags"]) <= 3 and set(p["tags"]) <= {"red", "green", "é\"\\"} and
            (p["boss"] is None or person(p["boss"])))
'
shortest=$(printf '{"name":"x","age":0,"tags":["red"],"boss":null}' | wc -c)
for seed in $(seq 1 12); do
	n=$((shortest + seed * seed))
	for speculate in "" --no-speculate; do
		# shellcheck disable=SC2086
		"$MHOST" run tiny "A person:" --schema "$dir/person.json" -n $n --temperature 1.5 --seed "$seed" \
			$speculate --json >"$dir/reply$speculate"
	done
	eq "guesses make no difference" "$(json 'o["tokens"]' <"$dir/reply")" "$(json 'o["tokens"]' <"$dir/reply--no-speculate")"
	python3 - "$dir/reply" <<-END || fail "seed $seed, $n tokens: $(cat "$dir/reply")"
	import json, sys
	$person
	o = json.load(open(sys.argv[1]))
	assert person(json.loads(o["text"])), o["text"]
	assert o["finish_reason"] == "stop", o["finish_reason"]
	END
done

# The likeliest tokens of the model, and nothing else: greedy.
eq "regex" "$("$MHOST" run tiny "A cow is" --regex '[0-9]{3}-(yes|no)' -n 20 | grep -Ec '^[0-9]{3}-(yes|no)$')" 1
cat >"$dir/list.gbnf" <<-'END'
	root ::= item ("; " item){2} "."
	item ::= [a-z]{2,8} # small letters
END
eq "grammar" "$("$MHOST" run tiny "A cow is" --grammar "$dir/list.gbnf" -n 60 | grep -Ec '^[a-z]{2,8}(; [a-z]{2,8}){2}\.$')" 1
"$MHOST" run tiny "A cow is" --json-object -n 40 --temperature 1 | python3 -c 'import json, sys; assert type(json.load(sys.stdin)) is dict'

# Text that the model ends by itself where it may, and not before.
eq "open end" "$("$MHOST" run tiny "A cow is" --regex '[0-9]+' -n 9 --json | json 'o["finish_reason"], o["text"].isdigit()')" "('stop', True)"
eq "end not allowed" "$("$MHOST" run tiny "A cow is" --regex '[0-9]+' -n 9 --ignore-eos --json | json 'len(o["tokens"])')" 9

# Several at once, each by its own.
pids=
for i in 1 2 3 4 5 6; do
	"$MHOST" run tiny "A cow is" --regex "[a-f]{$((8 * i))}" -n 64 >"$dir/many$i" &
	pids="$pids $!"
done
# shellcheck disable=SC2086
wait $pids
for i in 1 2 3 4 5 6; do
	grep -Eq "^[a-f]{$((8 * i))}\$" "$dir/many$i" || fail "one of many: $(cat "$dir/many$i")"
done

refused() {
	wanted=$1; shift
	"$MHOST" run tiny "A cow is" -n 30 "$@" >"$dir/out" 2>"$dir/err" && fail "accepted: $*"
	grep -q "$wanted" "$dir/err" || fail "$*: $(cat "$dir/err")"
	eq "one line" "$(wc -l <"$dir/err")" 1
}
echo '{"type": "object", "properties": {"a": {"not": {}}}}' >"$dir/bad.json"
refused 'at /a: "not" is not supported' --schema "$dir/bad.json"
refused "the shortest reply by the grammar has $shortest bytes" --schema "$dir/person.json"
refused 'looks ahead' --regex '(?=x)'
refused 'No such file' --grammar "$dir/none"
echo 'root ::= root "a"' >"$dir/bad.gbnf"
refused 'never ends' --grammar "$dir/bad.gbnf"

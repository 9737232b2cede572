#!/bin/sh
# SPDX-License-Identifier: MIT
# Chat templates: rendered by hand, by the worker that answers, and in a conversation, also at a terminal.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model

# variant DIR TEMPLATE: the tiny model with another chat template
variant() {
	mkdir "$dir/$1"
	cp "$model"/* "$dir/$1"
	printf '%s' "$2" >"$dir/$1/chat_template.jinja"
}
variant loud '{% for m in messages %}{{ m.content | upper }}{% endfor %}{{ eos_token }}'
variant hostile '{% for i in range(999) %}{% for j in range(999) %}{% for k in range(999) %}{% endfor %}{% endfor %}{% endfor %}'
variant odd '{% for m in messages %}{{ m.content | nonesuch }}{% endfor %}'
variant broken '{% include "x" %}'
variant none ''
rm "$dir/none/chat_template.jinja"
python3 - "$dir/none/tokenizer_config.json" <<'END'
import json, sys
config = json.load(open(sys.argv[1]))
config.pop("chat_template", None)
json.dump(config, open(sys.argv[1], "w"))
END
"$MHOST" import tiny@1.0.0 "$model" >/dev/null
"$MHOST" import tiny@2.0.0 "$dir/loud" 2>"$dir/loud.log" >/dev/null
eq "warning of a good template" "$(grep -c warning "$dir/loud.log")" 0
for name in hostile odd broken none; do
	"$MHOST" import "$name@1.0.0" "$dir/$name" >/dev/null 2>"$dir/$name.log"
done
grep -q 'warning: .*the filter nonesuch is not supported' "$dir/odd.log" || fail "import did not warn of a filter"
grep -q 'warning: .*the statement {% include %} is not supported' "$dir/broken.log" || fail "import did not warn of a statement"

cat >"$dir/request" <<'EOF'
{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a fox?"}],
 "add_generation_prompt": true}
EOF
wanted='<|im_start|>system
Be brief.<|im_end|>
<|im_start|>user
What is a fox?<|im_end|>
<|im_start|>assistant'
eq "the template of a version" "$("$MHOST" render tiny@1.0.0 "$dir/request")" "$wanted"
eq "the newest version" "$("$MHOST" render tiny "$dir/request")" "BE BRIEF.WHAT IS A FOX?<|im_end|>"
printf '{{ bos_token }}{{ messages | length }}' >"$dir/t"
eq "a template from a file" "$("$MHOST" render tiny@1.0.0 "$dir/request" --template "$dir/t")" "<|im_start|>2"
eq "a template alone" "$("$MHOST" render --template "$dir/t" - <"$dir/request")" "2"
refused() {
	what=$1 status=$2; shift 2
	rc=0; "$@" >"$dir/out" 2>"$dir/err" || rc=$?
	eq "exit status: $what" "$rc" "$status"
	eq "lines of the error: $what" "$(wc -l <"$dir/err")" 1
	[ ! -s "$dir/out" ] || fail "$what: something was printed"
	grep -q "$what" "$dir/err" || fail "no \"$what\" in: $(cat "$dir/err")"
}
refused "the filter nonesuch is not supported" 1 "$MHOST" render odd "$dir/request"
refused "the statement {% include %} is not supported" 1 "$MHOST" render broken "$dir/request"
refused "than its limit" 1 "$MHOST" render hostile "$dir/request"
refused "has no chat template" 1 "$MHOST" render none "$dir/request"
refused "messages: is missing" 1 "$MHOST" render tiny /dev/stdin <<'EOF'
{}
EOF
refused "line 1, column" 1 "$MHOST" render tiny "$dir/t"
refused "has no version in the store" 1 "$MHOST" render nobody "$dir/request"

# The version that answers renders; its text is taken whole, no token is added.
host_start --workers 1 --threads 1
ask() { "$MHOST" run "$1" --messages "$dir/request" -n 12 --json; }
for version in 1.0.0 2.0.0; do
	"$MHOST" activate "tiny@$version" >/dev/null
	"$MHOST" render "tiny@$version" "$dir/request" >"$dir/text"
	ask tiny >"$dir/reply"
	eq "the version that answered" "$(json 'o["version"]' <"$dir/reply")" "$version"
	"$MHOST" run tiny -n 12 --no-special --json <"$dir/text" >"$dir/plain"
	eq "ids of the prompt, $version" "$(json 'o["prompt_tokens"]' <"$dir/reply")" "$(json 'o["prompt_tokens"]' <"$dir/plain")"
	eq "the reply, $version" "$(json 'o["tokens"]' <"$dir/reply")" "$(json 'o["tokens"]' <"$dir/plain")"
done
for name in hostile odd none; do "$MHOST" load "$name@1.0.0" >/dev/null; done
refused "than its limit" 1 "$MHOST" run hostile@1.0.0 --messages "$dir/request"
refused "the filter nonesuch is not supported" 1 "$MHOST" run odd@1.0.0 --messages "$dir/request"
refused "has no chat template" 1 "$MHOST" run none@1.0.0 --messages "$dir/request"
refused "messages: line 1" 1 "$MHOST" run tiny --messages "$dir/t"
ask tiny >/dev/null

# A conversation through a pipe: what is asked later depends on what was said.
"$MHOST" activate tiny@1.0.0 >/dev/null
printf '%s\n' '/system Be brief.' 'What is \' 'a fox?' '"""' 'And' 'a lighthouse?' '"""' '/quit' 'never' |
	"$MHOST" chat tiny -n 24 --json >"$dir/chat"
eq "replies" "$(wc -l <"$dir/chat")" 2
python3 - "$dir/chat" "$dir/next" <<'EOF'
import json, sys
first = json.loads(open(sys.argv[1]).readline())
messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is \na fox?"},
            {"role": "assistant", "content": first["text"]}, {"role": "user", "content": "And\na lighthouse?"}]
json.dump({"messages": messages, "add_generation_prompt": True}, open(sys.argv[2], "w"))
EOF
"$MHOST" run tiny --messages "$dir/next" -n 24 --json >"$dir/reply"
eq "the second reply" "$(tail -n 1 "$dir/chat" | json 'o["text"]')" "$(json 'o["text"]' <"$dir/reply")"
eq "a reply as text" "$(echo 'What is a fox?' | "$MHOST" chat tiny -n 24)" "$(echo 'What is a fox?' |
	"$MHOST" chat tiny -n 24 --json | json 'o["text"]')"
rc=0; echo hi | "$MHOST" chat nobody >/dev/null 2>&1 || rc=$?
eq "exit status of a chat with nobody" "$rc" 1

python3 "$here/tests/scenario/chat_terminal.py" "$MHOST" tiny || fail "the chat at a terminal"

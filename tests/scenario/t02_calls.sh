#!/bin/sh
# SPDX-License-Identifier: MIT
# Reasoning and tool calls out of replies: what a grammar makes the tiny model write comes back as a message.
. "$(dirname "$0")/../lib/host.sh"

cat >"$dir/hermes.jinja" <<'END'
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if x is defined %}<think>
{% endif %}{% endif %}{# replies: <think>..</think>, <tool_call>..</tool_call> #}
END
"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" --template "$dir/hermes.jinja" >/dev/null
host_start --workers 1 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
chat='{"messages": [{"role": "user", "content": "What time is it?"}], "add_generation_prompt": true'
printf '%s}' "$chat" >"$dir/plain"
printf '%s, "x": 1}' "$chat" >"$dir/thinking"
ask() { file=$1; shift; "$MHOST" run tiny --messages "$dir/$file" --json -n 120 "$@"; }
call='<tool_call>\n\{"name": "now", "arguments": \{"zone": "(UTC|CET)", "n": [0-9]\}\}\n</tool_call>'

said=$(ask plain --parse auto --regex "A look\\. $call")
eq "content" "$(printf '%s' "$said" | json 'o["message"]["content"], o["message"]["role"]')" "('A look.', 'assistant')"
eq "the call" "$(printf '%s' "$said" | json 'len(o["message"]["tool_calls"]), o["message"]["tool_calls"][0]["function"]["name"]')" "(1, 'now')"
eq "its arguments" "$(printf '%s' "$said" | json 'o["message"]["tool_calls"][0]["function"]["arguments"][:9]')" '{"zone": '

said=$(ask thinking --parse auto --regex 'Hm[a-z]{3}\.\n</think>\n\nNoon\.')
eq "reasoning that the prompt began" "$(printf '%s' "$said" | json 'o["message"]["reasoning_content"][:2], o["message"]["content"]')" "('Hm', 'Noon.')"
eq "none" "$(ask plain --parse none --regex '<think>a</think>b' | json 'o["message"]["content"]')" "<think>a</think>b"
eq "another form" "$(ask plain --parse llama3 --regex '\{"name": "a", "parameters": \{\}\}' | json 'o["message"]["tool_calls"][0]["function"]["arguments"]')" "{}"
eq "no call" "$(ask plain --parse auto --regex '<tool_call>\[1\]</tool_call>' | json 'sorted(o["message"].items())')" \
	"[('content', '<tool_call>[1]</tool_call>'), ('role', 'assistant')]"
eq "plain text is as before" "$(ask plain --regex '<think>a</think>b' | json '"message" in o, o["text"]')" "(False, '<think>a</think>b')"
eq "chat" "$(echo Hello | "$MHOST" chat tiny --json --regex '<think>a</think>b' | json 'sorted(o["message"].items())')" \
	"[('content', 'b'), ('reasoning_content', 'a'), ('role', 'assistant')]"
eq "no terminal: the content alone" "$(echo Hello | "$MHOST" chat tiny --regex '<think>a</think>b')" b
eq "a call" "$(echo Hello | "$MHOST" chat tiny --regex 'A:<tool_call>\n\{"name": "now", "arguments": \{"n": 1\}\}\n</tool_call>')" "A:
now({\"n\": 1})"
python3 "$here/tests/scenario/chat_terminal.py" "$MHOST" tiny reasons || fail "reasoning at a terminal"

"$MHOST" run tiny x --parse hermes >"$dir/out" 2>"$dir/err" && fail "--parse without --json"
eq "one line" "$(wc -l <"$dir/err")" 1
"$MHOST" run tiny x --json --parse nonesuch >"$dir/out" 2>"$dir/err" && fail "an unknown form"
grep -q 'limit auto, none, hermes' "$dir/err" || fail "$(cat "$dir/err")"

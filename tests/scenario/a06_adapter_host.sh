#!/bin/sh
# SPDX-License-Identifier: MIT
# A host's adapters by the command line: loaded, swapped, rolled back, unloaded, brought by a first use; kept across a restart; left
# behind by no base; pushed from memory; a thousand in the store.
. "$(dirname "$0")/../lib/host.sh"
peft=$here/tests/reference/data/peft

refuses() {	# WORDS ARGUMENT...
	words=$1; shift
	status=0
	"$MHOST" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	[ "$status" -ne 0 ] || fail "mhost $*: was not refused"
	eq "lines about: mhost $*" "$(wc -l <"$dir/err")" 1
	grep -qF -e "$words" "$dir/err" || fail "mhost $*: no '$words' in: $(cat "$dir/err")"
}
# row NAME VERSION: state and whether it is routed
row() {
	"$MHOST" adapter list tiny "$1" --json |
		json "[(a['state'], a['routed']) for a in o['adapters'] if a['version'] == '$2']"
}
# used NAME: version and content hash that a reply is made with
used() { "$MHOST" run tiny "A cow is" -n 3 --adapter "$1" --json | json '[(a["version"], a["content_hash"]) for a in o["adapters"]]'; }
hash() { "$MHOST" show "tiny/$1" --json | json 'o["image"]["content_hash"]'; }

"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$MHOST" import tiny@2.0.0 "$here/tests/reference/data/models/terse_f32" >/dev/null
"$MHOST" import tiny/tone@1.0.0 "$peft/r1_all" --base tiny@1.0.0 >/dev/null
"$MHOST" import tiny/tone@1.1.0 "$peft/r8_rslora" --base tiny@1.0.0 >/dev/null
"$MHOST" import tiny/other@1.0.0 "$peft/r64_q" --base tiny@1.0.0 >/dev/null
cat >"$dir/ini" <<EOF
[release]
hook = echo "\$MHOST_EVENT \$MHOST_MODEL/\$MHOST_ADAPTER@\$MHOST_VERSION" >>$dir/hooks
EOF
host_start --config "$dir/ini"
"$MHOST" activate tiny@1.0.0 >/dev/null

# By hand, in both spellings.
"$MHOST" adapter load tiny tone@1.0.0 | grep -q "is the active version" || fail "the first is not routed"
"$MHOST" adapter load tiny tone | grep -q "was in memory already" || fail "loaded twice"
"$MHOST" adapter swap tiny tone >/dev/null
eq "the latest" "$(row tone 1.1.0)" "[('active', True)]"
eq "used" "$(used tone)" "[('1.1.0', '$(hash tone@1.1.0)')]"
eq "used by number" "$(used tone@1.0.0)" "[('1.0.0', '$(hash tone@1.0.0)')]"
"$MHOST" adapter rollback tiny tone >/dev/null
eq "used after a rollback" "$(used tone)" "[('1.0.0', '$(hash tone@1.0.0)')]"
"$MHOST" activate tiny/tone@1.1.0 >/dev/null
"$MHOST" rollback tiny/tone --to 1.0.0 >/dev/null
eq "uses" "$("$MHOST" adapter list tiny tone --json | json '[a["uses"] for a in o["adapters"] if a["version"] == "1.0.0"]')" "[2]"
eq "ranks" "$("$MHOST" adapter list tiny --json | json 'sorted((a["adapter"], a["rank_max"]) for a in o["adapters"])')" \
	"[('other', 64), ('tone', 1), ('tone', 8)]"
"$MHOST" adapter list | grep -q "^tiny/tone@1.0.0  *active  *yes  *1 " || fail "the list: $("$MHOST" adapter list)"
"$MHOST" status | grep -q "^adapters 2 in memory, 1 routed" || fail "status"
refuses "not in memory" adapter unload tiny other
refuses "no version in the store" adapter load tiny none
refuses "is not in the store" adapter swap tiny tone@9.0.0
refuses "has a character that is not allowed" adapter load tiny ../tone
refuses "is no version" adapter load tiny tone@../1
refuses "no version in the store" run tiny hello --adapter none
"$MHOST" adapter unload tiny tone >/dev/null
eq "unloaded" "$(row tone 1.0.0)" "[('stored', False)]"

# A first use brings it; a restart remembers the route.
eq "first use" "$(used other)" "[('1.0.0', '$(hash other@1.0.0)')]"
"$MHOST" adapter swap tiny tone@1.0.0 >/dev/null
host_stop
host_start --config "$dir/ini"
eq "after a restart" "$(used tone)" "[('1.0.0', '$(hash tone@1.0.0)')]"
wait_for 10 grep -q "^flip tiny/tone@1.0.0" "$dir/hooks"
"$MHOST" history tiny/tone | grep -q "unload *tiny/tone@1.0.0" || fail "no unload in the history"

# A base that would leave routed ones behind.
refuses "does not fit it: layer_count differs (2 adapters in all)" activate tiny@2.0.0
refuses "is routed and does not fit it" release tiny@2.0.0
"$MHOST" activate tiny@2.0.0 --force | grep -q "left behind: tiny/tone@1.0.0" || fail "not told"
refuses "does not fit" run tiny hello -n 1 --adapter tone
refuses "does not fit tiny@2.0.0" adapter swap tiny tone@1.1.0
"$MHOST" rollback tiny >/dev/null
printf '[model tiny]\nstrand = tell\n' >>"$dir/ini"
kill -HUP "$host_pid"
wait_for 10 grep -q "reload: .* is in force" "$dir/log"
"$MHOST" activate tiny@2.0.0 --json | json 'sorted(o["stranded"])' >"$dir/stranded"
eq "told" "$(cat "$dir/stranded")" "['tiny/other@1.0.0', 'tiny/tone@1.0.0']"
"$MHOST" rollback tiny >/dev/null

# Out of memory, past the store.
"$MHOST" adapter push tiny tone "$peft/r64_q" --json >"$dir/push"
eq "pushed" "$(json 'o["version"]' <"$dir/push")" 1.1.1
eq "used" "$(used tone)" "[('1.1.1', '$(json 'o["content_hash"]' <"$dir/push")')]"
"$MHOST" adapter list tiny tone | grep -q "^tiny/tone@1.1.1 .*in memory alone" || fail "not said where it is"
refuses "use_dora" adapter push tiny tone "$(cp -r "$peft/r1_all" "$dir/dora" &&
	sed -i 's/"use_dora": false/"use_dora": true/' "$dir/dora/adapter_config.json" && echo "$dir/dora")"
"$MHOST" adapter push tiny kept "$peft/r4_all_linear" --keep >/dev/null
host_stop
host_start --config "$dir/ini"
eq "lost" "$("$MHOST" history tiny/tone --json | grep '"event":"lost"' | json 'o["version"]')" 1.0.0
eq "fell back" "$(used tone)" "[('1.0.0', '$(hash tone@1.0.0)')]"
eq "kept" "$(used kept)" "[('1.0.0', '$(hash kept@1.0.0)')]"
host_stop

# A thousand in the store, each routed once: the start does not wait for them.
python3 - "$MHOST_STORE" <<'EOF'
import os, shutil, sys
models, state = sys.argv[1] + "/models/tiny/adapters", sys.argv[1] + "/state/adapters/tiny"
for i in range(1000):
    shutil.copytree(models + "/other", models + "/n%d" % i, copy_function=os.link)
    shutil.copy(state + "/other.json", state + "/n%d.json" % i)
EOF
begin=$(date +%s%N)
host_start --config "$dir/ini"
spent=$((($(date +%s%N) - begin) / 1000000))
[ "$spent" -lt 5000 ] || fail "the start took $spent ms"
eq "routed" "$("$MHOST" adapter list tiny --json | json 'sum(a["routed"] for a in o["adapters"])')" 1003
refuses "move it back" run tiny hello -n 1 --adapter n7	# a copy of another's image
eq "used among many" "$(used tone)" "[('1.0.0', '$(hash tone@1.0.0)')]"

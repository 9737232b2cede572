#!/bin/sh
# SPDX-License-Identifier: MIT
# Every ISA level and every wish for pages, forced: the same reply, or a refusal that says what is missing.
. "$(dirname "$0")/../lib/host.sh"
. "$here/tests/lib/levels.sh"
model=$here/tools/tiny/model

"$MHOST" import tiny@1.0.0 "$model" --quantize q8_0 >/dev/null
prompt='Once upon a time'
wanted=
# reply_same WHAT: quantised weights give the same bits on every level
reply_same() {
	got=$("$MHOST" run tiny "$prompt" -n 60 --logprobs 2 --json | json 'o["tokens"], o["logprobs"]')
	wanted=${wanted:-$got}
	eq "reply with $1" "$got" "$wanted"
}

ran= absent=
for isa in $all_levels; do
	if cpu_has_level $isa; then
		host_start --workers 1 --threads 2 --isa $isa
		eq "isa" "$("$MHOST" status --json | json 'o["isa"]')" $isa
		"$MHOST" activate tiny@1.0.0 >/dev/null
		reply_same $isa
		host_stop
		ran="$ran $isa"
	else
		status=0
		timeout 20 "$MHOSTD" --store "$MHOST_STORE" --socket "$MHOST_SOCKET" --isa $isa 2>"$dir/err" || status=$?
		eq "exit status with $isa" $status 1
		grep -q "^mhostd: error: isa $isa: this CPU does not have it; choose auto, or " "$dir/err" ||
			fail "no reason: $(cat "$dir/err")"
		[ ! -e "$MHOST_SOCKET" ] || fail "left its socket"
		absent="$absent $isa"
	fi
done
echo "# ran: isa$ran${absent:+; not on this CPU:$absent}"

sysctl='as root do: sysctl -w vm\.'
rungs=
for wish in never prefer require; do
	host_start --workers 1 --threads 1 --hugepages $wish
	if "$MHOST" activate tiny@1.0.0 >/dev/null 2>"$dir/err"; then
		rung=$("$MHOST" status --json | json 'o["pages"]["rung"]')
		note=$("$MHOST" status --json | json 'o["pages"]["note"]')
		reply_same "hugepages $wish"
	else
		rung=refused note=$(cat "$dir/err")
	fi
	case $wish:$rung in
	never:4K | prefer:1G | prefer:2M | require:1G | require:2M) ;;
	prefer:THP | prefer:4K | require:refused)
		echo "$note" | grep -q "$sysctl\|this kernel has no pages\|would waste" || fail "$wish: no advice in: $note" ;;
	*) fail "hugepages $wish gave $rung: $note" ;;
	esac
	eq "wish" "$("$MHOST" status --json | json 'o["pages"]["wanted"]')" $wish
	rungs="$rungs $wish:$rung"
	host_stop
done
echo "# ran: pages$rungs"

#!/bin/sh
# SPDX-License-Identifier: MIT
# A directory into which a trainer drops checkpoints: each becomes a version once, whatever ends in between, and the newest is released.
. "$(dirname "$0")/../lib/host.sh"
model=$here/tools/tiny/model
other=$here/tools/tiny/model-b
drop=$dir/drop
mkdir "$drop"
watch_pid=
end_all() {
	status=$?
	[ -z "$watch_pid" ] || kill -KILL "$watch_pid" 2>/dev/null || true
	[ "$status" -eq 0 ] || sed 's/^/# events: /' "$dir/events" "$dir/watch.err" 2>/dev/null || true
	set +e
	(exit "$status")
	cleanup
}
trap end_all EXIT

refuses() {	# STATUS WORDS ARGUMENT...: one line on standard error
	wanted=$1 words=$2; shift 2
	status=0
	"$MHOST" watch "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	eq "exit status of: mhost watch $*" "$status" "$wanted"
	[ "$wanted" = 2 ] || eq "lines about: mhost watch $*" "$(wc -l <"$dir/err")" 1
	grep -qF -e "$words" "$dir/err" || fail "mhost watch $*: no '$words' in: $(cat "$dir/err")"
}
# once STATUS EVENTS ARGUMENT...: all that there is to do; events as CHECKPOINT:EVENT:VERSION
once() {
	wanted=$1 events=$2; shift 2
	status=0
	"$MHOST" watch "$drop" tiny --once --json "$@" >"$dir/events" 2>"$dir/err" || status=$?
	eq "exit status of watch --once $*" "$status $(cat "$dir/err")" "$wanted "
	eq "events of watch --once $*" "$(events)" "$events"
}
events() {
	python3 -c '
import json, sys
for e in map(json.loads, open(sys.argv[1])):
    print(":".join([e["checkpoint"], e["event"]] + ([e["version"]] if e["version"] else [])))' "$dir/events" | xargs
}
starts() {	# ARGUMENT...: a watch that goes on
	"$MHOST" watch "$drop" tiny --json "$@" >"$dir/events" 2>"$dir/watch.err" &
	watch_pid=$!
}
ends() {
	kill -TERM "$watch_pid"
	status=0
	wait "$watch_pid" || status=$?
	watch_pid=
	eq "exit status after SIGTERM" "$status $(cat "$dir/watch.err")" "0 "
}
comes() { wait_for 60 has_event "$1"; }
has_event() { events | grep -qwF -e "$1"; }
versions() { ls "$MHOST_STORE/models/tiny" | xargs; }
meta() { json "o['meta']['$2']" <"$MHOST_STORE/models/tiny/$1/manifest.json"; }
state() { json "{c['name']: c['fate'] for c in o['checkpoints']}.get('$1')" <"$MHOST_STORE/watch/tiny.json"; }

# moves FOLDER TO: as a whole, and later by the file system's clock than the last file was made in it
moves() {
	python3 -c '
import os, sys
made = os.stat(sys.argv[1]).st_mtime_ns
while True:
    os.close(os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)); os.utime(sys.argv[2])
    if os.stat(sys.argv[2]).st_mtime_ns > made: break' "$1" "$dir/clock"
	mv "$1" "$2"
}

# Bad input.
refuses 2 'usage: mhost watch DIR MODEL' "$drop"
refuses 2 'model name: "Tiny"' "$drop" Tiny
refuses 2 '--on-new frob: limit import, shadow, canary, activate' "$drop" tiny --on-new frob
refuses 2 '--bump x: limit major, minor, patch' "$drop" tiny --bump x
refuses 2 '--quantize q3: limit' "$drop" tiny --quantize q3
refuses 2 '--marker a/b: limit the name of a file' "$drop" tiny --marker a/b
refuses 2 '--meta x: limit KEY=VALUE' "$drop" tiny --meta x
refuses 2 'watch_ is our own' "$drop" tiny --meta watch_source=1
refuses 1 "$dir/nowhere: cannot be opened: No such file" "$dir/nowhere" tiny
refuses 1 'cannot be made' "$drop" tiny --store /proc/nowhere
refuses 1 'name a directory' "$model/config.json" tiny

# What is there at the start: complete with a marker, not complete without; hidden and temporary names do not count.
once 0 ""
cp -r "$model" "$drop/step-1"
cp -r "$model" "$drop/.step-9"
cp -r "$model" "$drop/step-9.tmp"
cp -r "$model" "$drop/step-9.part"
touch "$drop/.step-9/.complete" "$drop/step-9.tmp/.complete" "$drop/step-9.part/.complete" "$drop/notes.txt"
mkdir "$drop/logs"
once 0 "step-1:growing"
touch "$drop/step-1/.complete"
once 0 "step-1:importing step-1:imported:1.0.0" --meta run=7
eq "where it came from" "$(meta 1.0.0 watch_path) $(meta 1.0.0 run)" "$drop/step-1 7"
# Once: not again, not after a rename, not when the marker is written again, not when the state is lost.
once 0 ""
mv "$drop/step-1" "$drop/step-one"
touch "$drop/step-one/.complete"
once 0 ""
rm "$MHOST_STORE/watch/tiny.json"
once 0 ""
eq "versions" "$(versions)" "1.0.0"

# Changed, and told complete again: it is another checkpoint. A marker that is older than the weights is none.
cp "$other/model.safetensors" "$drop/step-one/model.safetensors"
once 0 "step-one:growing"
grep -q 'its marker is older than model.safetensors' "$dir/events" || fail "not told why: $(cat "$dir/events")"
touch "$drop/step-one/.complete"
once 0 "step-one:importing step-one:imported:1.1.0" --bump minor
# Renamed into place while nobody watched, and a marker of another name.
mv "$drop/.step-9" "$dir/aside"
rm "$dir/aside/.complete"
moves "$dir/aside" "$drop/step-2"
once 0 "step-2:importing step-2:imported:2.0.0" --bump major
cp -r "$model" "$drop/step-3"
touch "$drop/step-3/.complete"
once 0 "step-3:growing" --marker trainer_state.json
touch "$drop/step-3/trainer_state.json"
once 0 "step-3:importing step-3:imported:2.0.1" --marker trainer_state.json
# A GGUF file.
mkdir "$dir/files"
cp "$here/tests/reference/data/gguf/q4_0.gguf" "$dir/files/step-4.gguf"
"$MHOST" watch "$dir/files" other --once >"$dir/out" 2>"$dir/err" || fail "GGUF: $(cat "$dir/err")"
grep -q '^step-4.gguf: imported other@1.0.0$' "$dir/out" || fail "the file was not imported: $(cat "$dir/out")"
# One that is split over files: they need a folder.
cp "$here"/tests/reference/data/gguf/split-*.gguf "$dir/files"
mkdir "$dir/files/step-5"
cp "$here"/tests/reference/data/gguf/split-*.gguf "$dir/files/step-5"
touch "$dir/files/step-5/.complete"
"$MHOST" watch "$dir/files" other --once --bump major >"$dir/out" 2>"$dir/err" || fail "split: $(cat "$dir/err")"
grep -q '^step-5: imported other@2.0.0$' "$dir/out" || fail "the split model was not imported: $(cat "$dir/out")"
eq "parts told" "$(grep -c 'is part . of 3; put the parts into a folder of their own' "$dir/out")" 3
rm -r "$drop"/*

# A damaged one is told, leaves nothing, and is not tried again until it changes.
cp -r "$model" "$drop/bad"
head -c 1000 "$model/model.safetensors" >"$drop/bad/model.safetensors"
touch "$drop/bad/.complete"
once 1 "bad:importing bad:failed"
grep -q 'model.safetensors: ' "$dir/events" || fail "not told why: $(cat "$dir/events")"
once 0 ""
eq "fate" "$(state bad)" failed
cp "$model/model.safetensors" "$drop/bad/model.safetensors"
touch "$drop/bad/.complete"
once 0 "bad:importing bad:imported:2.0.2"
# Cases that must hold come along; damaged ones are a damaged checkpoint.
cp -r "$model" "$drop/golden"
echo '{"tokens": [1], "expect": 4}' >"$drop/golden/golden.jsonl"
touch "$drop/golden/.complete"
once 1 "golden:importing golden:failed"
echo '{"tokens": [1], "expect": [4]}' >"$drop/golden/golden.jsonl"
touch "$drop/golden/.complete"
once 0 "golden:importing golden:imported:2.0.3"
cmp "$drop/golden/golden.jsonl" "$MHOST_STORE/models/tiny/2.0.3/golden.jsonl"

# Cut off: an import that has no version yet is made again, one whose end was not noted is not.
python3 - "$MHOST_STORE/watch/tiny.json" <<'END'
import json, sys
state = json.load(open(sys.argv[1]))
for c in state["checkpoints"]:
    c.update(fate="importing", version=None)
state["checkpoints"].append({"id": "0" * 32, "name": "never", "fate": "importing"})
json.dump(state, open(sys.argv[1], "w"))
END
once 0 ""
eq "what was cut off" "$(state golden) $(state never)" "done None"
eq "versions" "$(versions)" "1.0.0 1.1.0 2.0.0 2.0.1 2.0.2 2.0.3"
cp "$MHOST_STORE/watch/tiny.json" "$dir/state"
for damage in '{' '[]' '{"format":2,"checkpoints":[]}' '{"format":1,"checkpoints":[{"id":"x"}]}'; do
	echo "$damage" >"$MHOST_STORE/watch/tiny.json"
	refuses 1 'tiny.json: is damaged; remove it' "$drop" tiny --once
done
cp "$dir/state" "$MHOST_STORE/watch/tiny.json"
mkdir "$MHOST_STORE/watch/tiny.json.tmp"
refuses 1 'tiny.json: cannot be written: Is a directory' "$drop" tiny --once
rmdir "$MHOST_STORE/watch/tiny.json.tmp"

# While it runs: a rename, a marker at the end of writing; one watch of a model at a time.
starts
comes_ready() { [ -e "$MHOST_STORE/watch/tiny.lock" ] && ! flock -n "$MHOST_STORE/watch/tiny.lock" true; }
wait_for 30 comes_ready
refuses 1 'another watch of this model has it' "$drop" tiny --once
cp -r "$model" "$drop/.live-1"
mv "$drop/.live-1" "$drop/live-1"
comes live-1:imported:2.0.4
mkdir "$drop/live-2"
cp "$model"/*.json "$model/model.safetensors" "$drop/live-2"
comes live-2:growing
eq "not before its marker" "$(versions | wc -w)" 7
touch "$drop/live-2/_SUCCESS"
comes live-2:imported:2.0.5
mv "$drop/step-9.tmp" "$drop/live-3" 2>/dev/null || { cp -r "$model" "$dir/live-3"; mv "$dir/live-3" "$drop/live-3"; }
comes live-3:imported:2.0.6
# A file that somebody still writes, where the kernel can tell.
cp -r "$other" "$drop/live-4"
if python3 -c '
import fcntl, sys
a = open(sys.argv[1], "ab"); b = open(sys.argv[1])
try: fcntl.fcntl(b, fcntl.F_SETLEASE, fcntl.F_RDLCK); sys.exit(1)
except BlockingIOError: sys.exit(0)
except OSError: sys.exit(1)' "$drop/live-4/model.safetensors"; then
	exec 9>>"$drop/live-4/model.safetensors"
	touch "$drop/live-4/.complete"
	wait_for 30 grep -q 'model.safetensors is being written' "$dir/events"
	exec 9>&-
else
	touch "$drop/live-4/.complete"
fi
comes live-4:imported:2.0.7
# More events than the kernel keeps.
if [ "$(cat /proc/sys/fs/inotify/max_queued_events)" -le 20000 ]; then
	kill -STOP "$watch_pid"
	python3 -c '
import os, sys
for i in range(7001):
    path = sys.argv[1] + "/.junk%d" % (i % 2)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY)); os.unlink(path)' "$drop"
	cp -r "$model" "$drop/.live-5"
	mv "$drop/.live-5" "$drop/live-5"
	kill -CONT "$watch_pid"
	comes live-5:imported:2.0.8
fi
ends
once 0 ""
# Ended in the middle of many: nothing is lost, nothing is made twice, nothing is left.
rm -r "$drop"/*
for i in 1 2 3 4 5 6; do cp -r "$model" "$drop/.k$i"; moves "$drop/.k$i" "$drop/k$i"; done
before=$(versions | wc -w)
for signal in KILL TERM KILL; do
	starts
	are_done() { json '1 / (sum(c["name"][0] == "k" and c["fate"] == "done" for c in o["checkpoints"]) == 6)' <"$MHOST_STORE/watch/tiny.json"; }
	comes_import() { grep -q '"importing"' "$dir/events" || are_done; }
	wait_for 30 comes_import
	kill -$signal "$watch_pid"
	wait "$watch_pid" 2>/dev/null || true
done
"$MHOST" watch "$drop" tiny --once >/dev/null
once 0 ""
eq "versions of six checkpoints" "$(($(versions | wc -w) - before))" 6
eq "sources" "$(for v in $(versions); do meta "$v" watch_source; done | sort | uniq -d)" ""
eq "temporaries in the store" "$(ls -A "$MHOST_STORE/tmp")" ""

# Released: of several that wait the newest; a host that is away is asked again.
rm -r "$drop"/*
for i in 1 2 3; do
	cp -r "$model" "$drop/.r$i"
	touch -d "2026-01-0$i" "$drop/.r$i"/*
	moves "$drop/.r$i" "$drop/r$i"
done
starts --on-new activate
last=$(versions | tr ' ' '\n' | sort -V | tail -1)
highest=${last##*.}
one=2.0.$((highest + 1)) two=2.0.$((highest + 2)) three=2.0.$((highest + 3))
comes "r3:waiting:$three"
grep -q 'is mhostd running?' "$dir/events" || fail "not told that the host is away: $(cat "$dir/events")"
host_start --workers 1 --threads 1
comes "r3:released:$three"
eq "those before it" "$(state r1) $(state r2) $(state r3)" "superseded superseded done"
eq "active" "$("$MHOST" status --json | json 'o["models"][0]["active"], o["models"][0]["resident"]')" "('$three', ['$three'])"
cp -r "$other" "$drop/.r4"
mv "$drop/.r4" "$drop/r4"
four=2.0.$((highest + 4))
comes "r4:released:$four"
eq "active" "$("$MHOST" status --json | json 'o["models"][0]["active"]')" "$four"
ends
# Cut off after the command went out: what was rolled back since does not come again, what never came does.
cut_off() {	# NAME SENT
	python3 - "$MHOST_STORE/watch/tiny.json" "$1" "$2" <<'END'
import json, sys
state = json.load(open(sys.argv[1]))
for c in state["checkpoints"]:
    if c["name"] == sys.argv[2]:
        c.update(fate="waiting", sent=sys.argv[3])
json.dump(state, open(sys.argv[1], "w"))
END
}
host_is() { "$MHOST" status --json | json '"%d %d" % (o["pid"], o["epoch"])'; }
active() { "$MHOST" status --json | json 'o["models"][0]["active"]'; }
cut_off r4 "$(host_is)"
once 0 "r4:released:$four" --on-new activate
before=$(host_is)
"$MHOST" rollback tiny >/dev/null
cut_off r4 "$before"
once 1 "r4:refused:$four" --on-new activate
eq "active after a rollback" "$(active)" "$three"
eq "those in order" "$(state r4)" refused
cut_off r4 "$(host_is)"
once 0 "r4:released:$four" --on-new activate
eq "active again" "$(active)" "$four"
# By a canary: one release at a time, the next begins when that one is over; one that was aborted does not come again.
state_of() { "$MHOST" status --json | json 'o["models"][0]["active"], o["models"][0]["candidate"]'; }
drops() { cp -r "$model" "$drop/.$1"; moves "$drop/.$1" "$drop/$1"; }
five=2.0.$((highest + 5)) six=2.0.$((highest + 6)) seven=2.0.$((highest + 7))
drops c1
once 0 "c1:importing c1:imported:$five c1:released:$five" --on-new canary
eq "the candidate" "$(state_of)" "('$four', '$five')"
drops c2
once 1 "c2:importing c2:imported:$six c2:waiting:$six" --on-new canary
grep -q 'is in progress' "$dir/events" || fail "not told what it waits for: $(cat "$dir/events")"
drops c3
starts --on-new canary
comes "c3:waiting:$seven"
"$MHOST" abort tiny >/dev/null
comes "c3:released:$seven"
ends
eq "the candidate after an abort" "$(state_of) $(state c1) $(state c2) $(state c3)" "('$four', '$seven') done superseded done"
"$MHOST" abort tiny >/dev/null
once 0 "" --on-new canary
eq "no candidate" "$(state_of)" "('$four', None)"

# The host's last word: it has another store.
MHOST_STORE=$dir/elsewhere "$MHOST" watch "$drop" tiny --once --on-new activate >"$dir/out" 2>"$dir/err" && fail "a release that was refused went well"
grep -q '^mhost: watch: .*: refused .*is not in the store' "$dir/err" || fail "no word of the refusal: $(cat "$dir/err")"

# The directory goes away.
starts
wait_for 30 comes_ready
rm -r "$drop"
status=0
wait "$watch_pid" || status=$?
watch_pid=
eq "exit status without a directory" "$status" 1
grep -q 'was removed or renamed' "$dir/watch.err" || fail "no word of the directory: $(cat "$dir/watch.err")"
host_stop

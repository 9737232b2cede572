#!/bin/sh
# SPDX-License-Identifier: MIT
# A user without privileges: everything works, on a lower rung of the page ladder where it must be, and says what
# root would add. Then the quick start as that user and without a network, with the tiny model.
. "$(dirname "$0")/../lib/host.sh"

# user COMMAND...: as the user; where the test is not run by root, that is who runs it.
if [ "$(id -u)" = 0 ]; then
	setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null || { echo "# skipped: no other user"; exit 77; }
	become="setpriv --reuid=65534 --regid=65534 --clear-groups"
else
	become=
fi
mkdir "$dir/bin" "$dir/tools" "$dir/tmp"
cp "$B/mhost" "$B/mhostd" "$B/mhost-worker" "$dir/bin"
cp -R "$here/tools/tiny" "$here/tools/quickstart.sh" "$here/tools/fetch-smollm2.sh" "$dir/tools"
for name in mhost mhostd; do
	printf '#!/bin/sh\nexec %s "%s/bin/%s" "$@"\n' "$become" "$dir" $name >"$dir/$name"
	chmod 755 "$dir/$name"
done
chmod -R go+rX "$dir"
[ -z "$become" ] || chown -R 65534:65534 "$dir"
MHOST=$dir/mhost MHOSTD=$dir/mhostd

"$MHOST" import tiny@1.0.0 "$dir/tools/tiny/model" >/dev/null
host_start --workers 2 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
"$MHOST" run tiny "A cow is" -n 40 | grep -q '^ a calm farm animal\. It lives on a farm' || fail "no reply in words"
[ -z "$become" ] || eq "owner of the host" "$(stat -c %u "/proc/$host_pid")" 65534
# one of a size for which pages of 2 MiB are worth it
python3 "$here/tests/scenario/variants.py" "$dir/wide" "$here/tools/tiny/model" --layers 4
chmod -R go+rX "$dir/wide"
"$MHOST" import wide@1.0.0 "$dir/wide" >/dev/null
"$MHOST" load wide@1.0.0 >/dev/null
pages=$("$MHOST" status | grep '^pages')
case $pages in
"pages   1G"* | "pages   2M"*) ;;
*) echo "$pages" | grep -q 'as root do: sysctl -w vm\.' || fail "does not say what root would add: $pages" ;;
esac
echo "# ran: as user ${become:+65534 }with $pages"
host_stop

cat >"$dir/quick" <<EOF2
#!/bin/sh
export TMPDIR="$dir/tmp" HOME="$dir" MHOST_CACHE="$dir/cache" PIP_NO_INDEX=1 REPEAT=1
exec $become sh "$dir/tools/quickstart.sh" "$dir/bin"
EOF2
sh "$dir/quick" >"$dir/quick.out" 2>&1 || fail "quick start: $(cat "$dir/quick.out")"
said() { grep -q "$1" "$dir/quick.out" || fail "quick start does not say '$1': $(cat "$dir/quick.out")"; }
said '^No network: using the tiny model'
said 'each by one version to its end: [1-9][0-9]* x 1\.0\.0'
said '^The capital of France is Paris\.$'
said '^Ahoy! The sky is blue, captain\.$'
said '^1\.1\.0 -> 1\.0\.0 .* 0 bytes read$'
said '  memory, 4 workers: both versions + private  *[0-9]'
[ -z "$(ls "$dir/tmp")" ] || fail "quick start left: $(ls "$dir/tmp")"

#!/bin/sh
# SPDX-License-Identifier: MIT
# `make install` into an empty root: what is there serves, and a program builds against it by pkg-config alone.
. "$(dirname "$0")/../lib/host.sh"
root=$dir/root

make -s -C "$here" B="${B#"$here"/}" DESTDIR="$root" PREFIX=/usr install >"$dir/make.log" 2>&1 || fail "make install: $(cat "$dir/make.log")"
eq "files" "$(cd "$root" && find usr ! -type d | sort | xargs)" \
	"usr/bin/mhost usr/include/mhost.h usr/lib/libmhost.so usr/lib/libmhost.so.2 usr/lib/pkgconfig/mhost.pc \
usr/sbin/mhost-worker usr/sbin/mhostd usr/share/man/man1/mhost.1 usr/share/man/man5/mhost.ini.5 usr/share/man/man8/mhostd.8 \
$(cd "$here/tools" && echo bench_peer_build.sh bench_peer_models.sh bench_peer_random.py deps.sh fetch-smollm2.sh tiny/model/* |
	tr ' ' '\n' | sort | sed 's|^|usr/share/mhost/|' | xargs)"

# Manual pages open, where there is something to open them with.
for page in man1/mhost.1 man5/mhost.ini.5 man8/mhostd.8; do
	page=$root/usr/share/man/$page
	if command -v man >/dev/null; then
		man -l "$page" >"$dir/page" 2>/dev/null || fail "man -l $page"
	elif command -v mandoc >/dev/null; then
		mandoc "$page" >"$dir/page" || fail "mandoc $page"
	else
		cp "$page" "$dir/page"
	fi
	grep -q mhost "$dir/page" || fail "$page is empty"
done

# Exactly the symbols of the map, all with its version.
lib=$root/usr/lib/libmhost.so.2
readelf -d "$lib" | grep -q 'SONAME.*\[libmhost\.so\.2\]' || fail "no soname libmhost.so.2"
eq "exported symbols" \
	"$(readelf -W --dyn-syms "$lib" | awk '$5 == "GLOBAL" && $7 != "UND" && $4 == "FUNC" { print $8 }' | sort | xargs)" \
	"$(awk '/^MHOST_/ { node = $1 } /^\tmhost_[a-z_]*;$/ { sub(/;/, ""); print $1 "@@" node }' "$here/client/libmhost.map" | sort | xargs)"

export PKG_CONFIG_LIBDIR="$root/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
flags=$(pkg-config --cflags --libs mhost)
readelf -d "$lib" | grep -q 'NEEDED.*libasan' && flags="$flags -fsanitize=address,undefined"
# shellcheck disable=SC2086
gcc -std=c99 -Wall -Wextra -Wpedantic -Werror "$here/client/example.c" -o "$dir/example" $flags || fail "example.c does not build"
cat >"$dir/plus.cc" <<'EOF2'
#include <mhost.h>
int main()
{
	mhost_request rq = MHOST_REQUEST_INIT;
	return mhost_abi_version() >> 16 == MHOST_ABI_MAJOR && rq.size == sizeof(rq) && rq.top_p == 1.0f &&
	       rq.repeat_penalty == 1.0f && rq.repeat_last == 64 ? 0 : 1;
}
EOF2
export LD_LIBRARY_PATH="$root/usr/lib"
for plus in g++ clang++; do
	command -v $plus >/dev/null || continue
	case $plus$flags in clang*-fsanitize*) continue ;; esac	# gcc's runtime is in the library
	# shellcheck disable=SC2086
	$plus -std=c++11 -Wall -Wextra -Wpedantic -Werror "$dir/plus.cc" -o "$dir/plus" $flags || fail "mhost.h with $plus"
	"$dir/plus" || fail "the program by $plus"
done

# The installed daemon finds its worker; the example speaks to it.
MHOST=$root/usr/bin/mhost MHOSTD=$root/usr/sbin/mhostd
"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
host_start --workers 1 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
eq "the example" "$("$dir/example" tiny 'A cow is' | head -c 60)" "[tiny@1.0.0]  a calm farm animal. It lives on a farm and eat"
status=0
"$dir/example" nosuch hi >"$dir/out" 2>"$dir/err" || status=$?
eq "an unknown model" "$status $(grep -c 'model "nosuch" is unknown' "$dir/err")" "1 1"
host_stop

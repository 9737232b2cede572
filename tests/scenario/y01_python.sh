#!/bin/sh
# SPDX-License-Identifier: MIT
# The Python package against real hosts: its declarations against the header, its types, and tests/python/test_*.py.
#   PYTHONS='python3.9 python3.13'   with these interpreters, one after the other (default: python3)
. "$(dirname "$0")/../lib/host.sh"
export MHOST_LIBRARY="$B/libmhost.so.2" PYTHONPATH="$here/client/python:$here/tests/python" PYTHONDONTWRITEBYTECODE=1 B
cd "$here"

preload=
if readelf -d "$MHOST_LIBRARY" | grep -q 'NEEDED.*libasan'; then
	preload=$(gcc -print-file-name=libasan.so)
	export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1	# the interpreter leaks by itself
fi

for python in ${PYTHONS:-python3}; do
	LD_PRELOAD=$preload "$python" tests/python/check_abi.py client "${CC:-cc}" || fail "the header and the package differ"
	for file in tests/python/test_*.py; do
		LD_PRELOAD=$preload "$python" -W error "$file" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$python $file"; }
		sed -n 's|^Ran \(.*\)|# \1 of '"$file"'|p' "$dir/out"
	done
done

# The example, and what it says of a host that is not there.
"$MHOST" import tiny@1.0.0 "$here/tools/tiny/model" >/dev/null
"$MHOST" import tiny/tone@1.0.0 "$here/tests/reference/data/peft/r1_all" >/dev/null
host_start --workers 1 --threads 1
"$MHOST" activate tiny@1.0.0 >/dev/null
example() { LD_PRELOAD=$preload python3 client/python/example.py "$@"; }
example tiny 'A cow is' >"$dir/out"
eq "the example" "$(head -c 50 "$dir/out")" " a calm farm animal. It lives on a farm and eats g"
example tiny 'A cow is' tone@1.0.0 | grep -q '^\[tiny@1.0.0 + tone@1.0.0, 64 tokens, length\]$' || fail "the example with an adapter"
host_stop
! example tiny 'A cow is' 2>"$dir/err" || fail "the example without a host"
eq "its words" "$(grep -c '^example.py: connect to .*mhostd' "$dir/err")" 1

# Since 1.7 it knows Unpack.
if python3 -c 'import mypy.version as m; raise SystemExit(tuple(map(int, m.__version__.split(".")[:2])) < (1, 7))' 2>/dev/null; then
	(cd client/python && python3 -m mypy --cache-dir "$dir/mypy") || fail "types of the package"
	python3 -m mypy --cache-dir "$dir/mypy" --strict tests/python/user.py client/python/example.py || fail "types of a user's program"
	echo "# ran: $(python3 -m mypy --version)"
else
	echo "# ran: no mypy 1.7 or later here, types are not checked"
fi

# As pip installs it, where setuptools is there for it.
if python3 -m pip --version >/dev/null 2>&1 && python3 -c 'import setuptools, wheel' 2>/dev/null; then
	cp -r client/python "$dir/source"
	python3 -m pip install -q --no-index --no-build-isolation --no-deps --target "$dir/site" "$dir/source" >"$dir/out" 2>&1 ||
		{ cat "$dir/out"; fail "pip install"; }
	(cd "$dir" && PYTHONPATH=$dir/site python3 -c 'import mhost; assert mhost.__file__.startswith("'"$dir"'/site"), mhost.__file__')
	[ -e "$dir/site/mhost/py.typed" ] || fail "py.typed is not installed"
else
	echo "# ran: no pip with setuptools and wheel here, installing is not tried"
fi

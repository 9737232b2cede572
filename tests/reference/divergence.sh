#!/bin/sh
# SPDX-License-Identifier: MIT
# divergence.sh: the divergence that a release in shadow reports, on SmolLM2, against the one that transformers computes.
# torch and transformers go into a venv of their own in the cache, once; REFERENCE_PYTHON=BIN names a Python that has them.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
cache=${MHOST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mhost}
list=$here/tests/reference/requirements.txt
venv=$cache/reference-$(cksum <"$list" | cut -d ' ' -f 1)

skip() { echo "# skipped: $1"; exit 77; }
complete() { "$1" -c 'import gguf, tokenizers, torch, transformers' 2>/dev/null; }
install() {
	timeout 900 "$venv/bin/python" -m pip install -q --no-input --disable-pip-version-check --retries 1 --timeout 60 \
		"$@" >>"$venv.log" 2>&1
}

# From whatever index pip is set up for; one with the CPU build of torch saves gigabytes.
make_venv() {
	echo "fetching torch and transformers, once, into $venv" >&2
	rm -rf "$venv"
	mkdir -p "$cache"
	python3 -m venv "$venv" >"$venv.log" 2>&1 || skip "python3 -m venv does not work; see $venv.log"
	install -r "$list" || skip "torch and transformers cannot be fetched; see $venv.log"
	complete "$venv/bin/python" || skip "torch and transformers do not work here; see $venv.log"
	touch "$venv/complete"
}

python=${REFERENCE_PYTHON:-$venv/bin/python}
if [ -n "${REFERENCE_PYTHON:-}" ]; then
	complete "$python" || skip "$python lacks what $list names"
elif [ ! -e "$venv/complete" ]; then
	make_venv
fi
model=$(sh "$here/tools/fetch-smollm2.sh") || skip "SmolLM2 cannot be fetched"
exec "$python" "$here/tests/reference/check_divergence.py" --mhost "$B/mhost" --mhostd "$B/mhostd" "$model"

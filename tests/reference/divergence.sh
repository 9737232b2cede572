#!/bin/sh
# SPDX-License-Identifier: MIT
# divergence.sh: the divergence that a release in shadow reports, on SmolLM2, against the one that transformers computes.
# torch and transformers go into a venv of their own in the cache, once; REFERENCE_PYTHON=BIN names a Python that has them.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
. "$here/tests/reference/venv.sh"

python_with "$here/tests/reference/requirements.txt" gguf tokenizers torch transformers
model=$(sh "$here/tools/fetch-smollm2.sh") || skip "SmolLM2 cannot be fetched"
exec "$python" "$here/tests/reference/check_divergence.py" --mhost "$B/mhost" --mhostd "$B/mhostd" "$model"

#!/bin/sh
# SPDX-License-Identifier: MIT
# peft.sh: adapters on SmolLM2 as PEFT has them: values, swaps, merges, what is refused, and the time that a swap takes.
# FIXTURES=DIR: a folder of reference fixtures, of whose adapters the good ones must be taken and the others refused.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
. "$here/tests/reference/venv.sh"

python_with "$here/tests/reference/requirements-peft.txt" gguf peft tokenizers torch transformers
model=$(sh "$here/tools/fetch-smollm2.sh") || skip "SmolLM2 cannot be fetched"
export PYTHONPATH="$here/client/python" MHOST_LIBRARY="${MHOST_LIBRARY:-$B/libmhost.so}"
exec "$python" "$here/tests/reference/check_peft.py" --mhost "$B/mhost" --mhostd "$B/mhostd" ${FIXTURES:+--fixtures "$FIXTURES"} \
	"$model" "$@"

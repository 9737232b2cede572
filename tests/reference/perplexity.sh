#!/bin/sh
# SPDX-License-Identifier: MIT
# perplexity.sh: over 10,000 tokens of plain English, against transformers on the dequantised weights: SmolLM2 from GGUF and
# from a Hugging Face folder made of it, Gemma 3 270M. And both of SmolLM2 chat through their template.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
. "$here/tests/reference/venv.sh"

python_with "$here/tests/reference/requirements.txt" accelerate gguf tokenizers torch transformers
smol=$(sh "$here/tools/fetch-smollm2.sh") || skip "SmolLM2 cannot be fetched"
gemma=$(sh "$here/tests/reference/fetch-gemma3.sh") || skip "Gemma 3 cannot be fetched"
exec "$python" "$here/tests/reference/check_perplexity.py" --mhost "$B/mhost" --mhostd "$B/mhostd" "$smol" "$gemma"

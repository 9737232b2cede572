#!/bin/sh
# SPDX-License-Identifier: MIT
# vocab.sh: the vocabularies of real models that llama.cpp carries, against the ids that it carries with them (which Hugging
# Face tokenizers made). Its sources are fetched once, as for `mhost bench --peer`; LLAMA_CPP=DIR names them where they lie.
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac

skip() { echo "# skipped: $1"; exit 77; }
source=${LLAMA_CPP:-$(sh "$here/tools/bench_peer_build.sh" --source)} || skip "the sources of llama.cpp cannot be fetched"
exec python3 "$here/tests/reference/check_vocab.py" "$B/tests/unit/tok_check" "$source/models"

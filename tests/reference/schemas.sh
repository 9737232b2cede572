#!/bin/sh
# SPDX-License-Identifier: MIT
# schemas.sh: 1,000 random schemas on SmolLM2 (COUNT=N for others), each reply judged by the jsonschema package.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
. "$here/tests/reference/venv.sh"

python_with "$here/tests/reference/requirements-schema.txt" jsonschema
model=$(sh "$here/tools/fetch-smollm2.sh") || skip "SmolLM2 cannot be fetched"
exec "$python" "$here/tests/reference/check_schema.py" --mhost "$B/mhost" --mhostd "$B/mhostd" --count "${COUNT:-1000}" "$model"

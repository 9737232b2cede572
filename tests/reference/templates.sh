#!/bin/sh
# SPDX-License-Identifier: MIT
# templates.sh: the chat templates that llama.cpp carries, as mhost and as jinja2 render them. They come with the source
# package llama-cpp-python, jinja2 into a venv, both into the cache, once. TEMPLATES=DIR names another folder of templates.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
. "$here/tests/reference/venv.sh"

python_with "$here/tests/reference/requirements-template.txt" jinja2
if [ -z "${TEMPLATES:-}" ]; then
	source=$(sh "$here/tools/bench_peer_build.sh" --source) || skip "llama-cpp-python cannot be fetched"
	TEMPLATES=$source/models/templates
fi
exec "$python" "$here/tests/reference/check_templates.py" --mhost "$B/mhost" "$TEMPLATES"

#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh: the committed reference data, and SmolLM2 when it can be had, against the build in $B.
here=$(cd "$(dirname "$0")/../.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$here/$B ;; esac
set -- --mhost "$B/mhost" --mhostd "$B/mhostd"
if model=$(sh "$here/tools/fetch-smollm2.sh"); then
	set -- "$@" --smollm2 "$model"
else
	echo "# SmolLM2 cannot be fetched: its part is left out"
fi
exec python3 "$here/tests/reference/check_reference.py" "$@" -q

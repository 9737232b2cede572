# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# venv.sh, to be sourced: a Python with packages from whatever index pip is set up for, in the cache, made once.
#   python_with LIST MODULE...   $python: REFERENCE_PYTHON if set, else a venv with what the file LIST names; MODULEs must load
# Ends the script with 77 and the reason where that cannot be had.
skip() { echo "# skipped: $1"; exit 77; }

loads() { "$python" -c "import $(echo "$*" | tr ' ' ,)" 2>/dev/null; }

python_with() {
	list=$1; shift
	venv=${MHOST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mhost}/reference-$(cksum <"$list" | cut -d ' ' -f 1)
	python=${REFERENCE_PYTHON:-$venv/bin/python}
	if [ -n "${REFERENCE_PYTHON:-}" ]; then
		loads "$@" || skip "$python lacks what $list names"
	elif [ ! -e "$venv/complete" ]; then
		echo "fetching what $list names, once, into $venv" >&2
		rm -rf "$venv"
		mkdir -p "${venv%/*}"
		python3 -m venv "$venv" >"$venv.log" 2>&1 || skip "python3 -m venv does not work; see $venv.log"
		timeout 900 "$python" -m pip install -q --no-input --disable-pip-version-check --retries 1 --timeout 60 \
			-r "$list" >>"$venv.log" 2>&1 || skip "what $list names cannot be fetched; see $venv.log"
		loads "$@" || skip "what $list names does not work here; see $venv.log"
		touch "$venv/complete"
	fi
}

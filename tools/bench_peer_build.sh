#!/bin/sh
# SPDX-License-Identifier: MIT
# bench_peer_build.sh: llama.cpp out of the source package llama-cpp-python on PyPI, built into
# a cache outside the tree: llama-bench, llama-server and llama-quantize for this CPU, and once more
# its CPU kernels for AVX2 alone. Prints the folder that holds them. A broken-off build goes on
# where it stopped. JOBS=N compiles N files at once. With --source it is only fetched, and the sources' folder printed.
#   FOLDER/native/bin   programs and libraries: every instruction set of this CPU but AMX
#   FOLDER/avx2/bin     libggml-cpu.so for LD_LIBRARY_PATH before it
set -eu
version=0.3.36
sha=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
here=$(cd "$(dirname "$0")" && pwd)
cache=${MHOST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mhost}
dir=$cache/llama.cpp-$version
jobs=${JOBS:-$(nproc)}

only_source=
[ "${1:-}" != --source ] || only_source=y
[ "$only_source" ] || [ ! -e "$dir/built" ] || { echo "$dir"; exit 0; }
[ "$only_source" ] || sh "$here/deps.sh" peer >&2
mkdir -p "$dir"

die() { echo "llama.cpp: $1; see $dir/log" >&2; exit 1; }

fetch() {
	tmp=$(mktemp -d "$dir/fetch.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	echo "fetching llama-cpp-python $version (77 MB, it carries llama.cpp) from PyPI, once" >&2
	timeout 900 python3 -m pip download -q --no-deps --no-binary llama-cpp-python --no-input --retries 1 \
		--timeout 60 -d "$tmp" "llama-cpp-python==$version" >"$dir/log" 2>&1 ||
		die "cannot fetch llama-cpp-python $version from PyPI"
	file=$tmp/llama_cpp_python-$version.tar.gz
	echo "$sha  $file" | sha256sum -c --status || die "llama-cpp-python $version has another SHA-256"
	tar -xzf "$file" -C "$tmp" "llama_cpp_python-$version/vendor/llama.cpp"
	mv "$tmp/llama_cpp_python-$version/vendor/llama.cpp" "$dir/source"
	rm -rf "$tmp"
	trap - EXIT
}

# configure FOLDER OPTION...: without what the measurements do not need (web pages, TLS, tests)
configure() {
	folder=$1; shift
	[ -e "$dir/$folder/configured" ] && return
	cmake -S "$dir/source" -B "$dir/$folder" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
		-DCMAKE_SKIP_RPATH=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
		-DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_COMMON=ON \
		-DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON "$@" >>"$dir/log" 2>&1 ||
		die "cmake cannot configure it"
	touch "$dir/$folder/configured"
}

compile() {
	folder=$1; shift
	cmake --build "$dir/$folder" -j "$jobs" --target "$@" >>"$dir/log" 2>&1 || die "does not build"
}

[ -d "$dir/source" ] || fetch
[ -z "$only_source" ] || { echo "$dir/source"; exit 0; }
echo "building llama.cpp for comparison, once (10 to 20 minutes on two cores; log: $dir/log)" >&2
# Its AMX path ends in a general protection fault on some machines: compiled without.
no_amx="-U__AMX_TILE__ -U__AMX_INT8__ -U__AMX_BF16__"
configure native -DGGML_NATIVE=ON "-DCMAKE_C_FLAGS=$no_amx" "-DCMAKE_CXX_FLAGS=$no_amx"
configure avx2 -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON
compile native llama-bench llama-quantize llama-server
compile avx2 ggml-cpu
touch "$dir/built"
echo "$dir"

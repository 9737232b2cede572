#!/bin/sh
# SPDX-License-Identifier: MIT
# check-layers.sh: who may include whom. Prints each offence; exit 1 when there is one.
set -u
cd "$(dirname "$0")/.." || exit 2
bad=0

# forbid FOLDER PATTERN REASON: no source below FOLDER includes what matches PATTERN.
forbid() {
	if grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]+\"($2)" $1; then
		echo "check-layers: $3"
		bad=1
	fi
}
# only ALLOWED PATTERN REASON: nothing outside the extended regex ALLOWED includes what matches PATTERN.
only() {
	if grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($2)" \
		shm client daemon tools | grep -vE "^($1)"; then
		echo "check-layers: $3"
		bad=1
	fi
}

forbid shm '(mhc|mhost|sup|wrk|eng|sto|import|cmd|heritage|log|t_)[_.a-z]*\.h' 'shm includes nothing of ours'
forbid daemon/engine '(mhs|mhc|mhost|sup|wrk|sto|import|cmd|heritage|log)[_.a-z]*\.h' 'the engine includes no one'
forbid daemon/grammar '(mhs|mhc|mhost|sup|wrk|eng|sto|import|cmd|heritage|log)[_.a-z]*\.h' 'grammars include no one'
forbid client '(sup|wrk|eng|gra|sto|import|cmd|heritage|log)[_.a-z]*\.h' 'the client includes shm only'
forbid daemon/supervisor '(wrk|eng)_[a-z_]*\.h' 'the supervisor includes neither worker nor engine'
forbid daemon/worker '(sup|sto|import)_[a-z_]*\.h' 'the worker includes neither supervisor nor store'
forbid daemon/store '(sup|wrk|mhc|mhost|cmd)[_.a-z]*\.h' 'the store includes shm and engine only'
forbid daemon/template '(mhs|mhc|mhost|sup|wrk|eng|sto|import|cmd|heritage|log)[_.a-z]*\.h' 'templates include no one'
forbid daemon/common '(sup|wrk|eng|sto)_[a-z_]*\.h' 'common includes no side'
forbid 'shm client daemon tools' 't(_[a-z]+)?\.h' 'nothing includes tests'
# The bench's raw read is what the loader is measured against, so it shares no code with it.
only 'daemon/supervisor/sup_uring\.[ch]|tools/bench_raw\.c' 'liburing' \
	'only the loader and the bench that it is measured against include liburing'
only 'daemon/supervisor/sup_conf[a-z_]*\.c|tools/meta_ini\.c' 'ini\.h' \
	'only the configuration and the reader of metadata files include inih'
only 'daemon/engine/kernels/' '(cblas|openblas|immintrin|x86intrin)' 'only kernels include BLAS or intrinsics'
only 'daemon/supervisor/sup_place\.c' 'numa' 'only placement includes libnuma'
# A private header stays in its folder.
for header in $(find shm client daemon tools -name '*_priv.h'); do
	name=$(basename "$header")
	if grep -rlE --include='*.[ch]' "include[[:space:]]+\"$name\"" shm client daemon tools |
		grep -v "^$(dirname "$header")/"; then
		echo "check-layers: $name is included from another folder"
		bad=1
	fi
done
exit $bad

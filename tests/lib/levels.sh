# SPDX-License-Identifier: MIT
# levels.sh: sourced by tests that force ISA levels one by one.
all_levels='generic avx2 avx512 amx'

# cpu_has_level LEVEL: as far as /proc/cpuinfo tells
cpu_has_level() {
	case $1 in
	generic) return 0 ;;
	avx512) grep -qw avx512_vnni /proc/cpuinfo ;;
	amx) grep -qw amx_int8 /proc/cpuinfo ;;
	*) grep -qw "$1" /proc/cpuinfo ;;
	esac
}

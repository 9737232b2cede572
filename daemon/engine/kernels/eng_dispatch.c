/* SPDX-License-Identifier: MIT */
/* eng_dispatch.c: what this CPU can run. */
#include <errno.h>
#include <string.h>

#include "eng_model.h"
#include "eng_tables.h"
#include "eng_trial.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REQUEST_PERMISSION	0x1023	/* ARCH_REQ_XCOMP_PERM */
#define TILE_DATA		18	/* XFEATURE_XTILEDATA */

/* __builtin_cpu_supports() also asks whether the kernel saves the registers. */
static bool has_avx2(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C))
		return false;
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

/* AMX-TILE and AMX-INT8 of leaf 7, and the kernel lets this process use the tiles. */
static bool may_use_tiles(void)
{
	unsigned int a, b, c, d;

	return has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) &&
	       (d >> 25 & 1) && !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
}

/* 17 rows, one more than a tile has: the bits of AVX-512? */
static bool tiles_are_right(void)
{
	_Alignas(64) uint8_t weights[64 + 512] = { 0 };
	_Alignas(64) struct eng_act_block block[17];
	const struct eng_matrix m = { ENG_Q8, 16, 32, weights };
	const struct eng_act act = { block, 32 };
	float want[17 * 16], got[17 * 16], x[17 * 32];

	for (uint32_t i = 0; i < 512; i++)
		weights[64 + i] = (uint8_t)(i * 37);
	for (uint32_t i = 0; i < 16; i++)
		weights[2 * i + 1] = (uint8_t)(0x2c + i);	/* f16 scales */
	for (uint32_t i = 0; i < 17 * 32; i++)
		x[i] = (float)(int)(i * 29 % 255) - 127;
	eng_kernels_avx512.quantize(&act, 0, 17, x, 32);
	eng_kernels_avx512.matmul_q(&m, 0, 1, &act, 17, want, 16);
	eng_amx_matmul_q(&m, 0, 1, &act, 17, got, 16);
	return !memcmp(want, got, sizeof(want));
}

static struct eng_kernels amx_table;
static bool amx_usable;

static void try_amx(void)
{
	amx_table = eng_kernels_avx512;
	amx_table.isa = ENG_ISA_AMX;
	amx_table.matmul_q = eng_amx_matmul_q;
	amx_usable = may_use_tiles() && eng_trial(tiles_are_right);
}

static const struct eng_kernels *amx_kernels(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, try_amx);
	return amx_usable ? &amx_table : NULL;
}

const struct eng_kernels *eng_kernels_get(uint32_t isa)
{
	switch (isa) {
	case ENG_ISA_GENERIC:
		return &eng_kernels_generic;
	case ENG_ISA_AVX2:
		return has_avx2() ? &eng_kernels_avx2 : NULL;
	case ENG_ISA_AVX512:
		return has_avx512() ? &eng_kernels_avx512 : NULL;
	case ENG_ISA_AMX:
		return amx_kernels();
	default:
		return NULL;
	}
}
#else
const struct eng_kernels *eng_kernels_get(uint32_t isa)
{
	return isa == ENG_ISA_GENERIC ? &eng_kernels_generic : NULL;
}
#endif

static const char *const names[ENG_ISA_COUNT] = { "auto", "generic", "avx2", "avx512", "amx" };

const char *eng_isa_name(uint32_t isa)
{
	return isa < ENG_ISA_COUNT ? names[isa] : "?";
}

int eng_isa_parse(const char *name)
{
	for (int isa = 0; isa < ENG_ISA_COUNT; isa++)
		if (!strcmp(name, names[isa]))
			return isa;
	return -EINVAL;
}

bool eng_isa_usable(uint32_t isa)
{
	return isa == ENG_ISA_AUTO || eng_kernels_get(isa);
}

uint32_t eng_isa_best(void)
{
	if (eng_kernels_get(ENG_ISA_AMX))
		return ENG_ISA_AMX;
	if (eng_kernels_get(ENG_ISA_AVX512))
		return ENG_ISA_AVX512;
	return eng_kernels_get(ENG_ISA_AVX2) ? ENG_ISA_AVX2 : ENG_ISA_GENERIC;
}

/* SPDX-License-Identifier: MIT */
/* eng_dispatch.c: what this CPU can run. */
#include <errno.h>
#include <string.h>

#include "eng_model.h"
#include "eng_tables.h"

#ifdef __x86_64__
#include <cpuid.h>

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

/* AMX-TILE and AMX-INT8 of leaf 7. */
static bool has_amx(void)
{
	unsigned int a, b, c, d;

	return has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) &&
	       (d >> 25 & 1);
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
		return has_amx() ? &eng_kernels_avx512 : NULL;
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
	if (eng_kernels_get(ENG_ISA_AVX512))
		return ENG_ISA_AVX512;
	return eng_kernels_get(ENG_ISA_AVX2) ? ENG_ISA_AVX2 : ENG_ISA_GENERIC;
}

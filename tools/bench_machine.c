/* SPDX-License-Identifier: MIT */
/* bench_machine.c: the CPU, its ISA levels, and how fast it reads memory. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define READ_BYTES	(256u << 20)
#define READ_TIMES	5
#define READ_THREADS	64u

/* The value of @key in /proc/cpuinfo with a space around it, or "". */
static void cpu_info(const char *key, char *value, size_t cap)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];

	snprintf(value, cap, "%s", "");
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) || !colon)
			continue;
		colon[1 + strcspn(colon + 1, "\n")] = 0;
		snprintf(value, cap, "%s ", colon + 1);
		break;
	}
	if (f)
		fclose(f);
}

int bench_isa_levels(const struct cmd *cmd, const char *list, const char **isas, uint32_t *count)
{
	static const struct {
		const char *name, *flag;
	} levels[BENCH_ISA_MAX] = { { "amx", " amx_int8 " },
				    { "avx512", " avx512_vnni " },
				    { "avx2", " avx2 " },
				    { "generic", " " } };
	char flags[8192];

	cpu_info("flags", flags, sizeof(flags));
	*count = 0;
	for (uint32_t i = 0; i < BENCH_ISA_MAX; i++)
		if (bench_is_wanted(list, levels[i].name) && strstr(flags, levels[i].flag))
			isas[(*count)++] = levels[i].name;
	return *count ? CMD_OK : cmd_fail(cmd, CMD_FAILED, "--isa %s: this CPU has none of these; "
					  "known are generic, avx2, avx512 and amx", list);
}

void bench_machine(json_t *out, uint32_t threads)
{
	char name[256];

	cpu_info("model name", name, sizeof(name));
	name[strlen(name) ? strlen(name) - 1 : 0] = 0;
	json_object_set_new(out, "cpu", json_string(name[0] ? name + 1 : "unknown"));
	json_object_set_new(out, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(out, "threads", json_integer(threads));
}

void bench_machine_print(const json_t *out)
{
	printf("%s, %lld CPUs, %lld threads used\n", json_string_value(json_object_get(out, "cpu")),
	       json_integer_value(json_object_get(out, "cpus")),
	       json_integer_value(json_object_get(out, "threads")));
}

struct reader {
	pthread_t thread;
	const uint64_t *from, *to;
	uint64_t sum;
};

static void *read_memory(void *arg)
{
	struct reader *r = arg;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (const uint64_t *p = r->from; p < r->to; p += 8) {	/* every line travels */
		a += p[0];
		b += p[2];
		c += p[4];
		d += p[6];
	}
	r->sum = a + b + c + d;
	__asm__ volatile("" : : "r"(r->sum));
	return NULL;
}

static double read_once(const uint64_t *memory, uint32_t threads)
{
	struct reader readers[READ_THREADS];
	uint64_t words = READ_BYTES / 8 / threads / 8 * 8;
	double start = bench_now_s();
	uint32_t n = 0;

	for (; n < threads; n++) {
		readers[n].from = memory + n * words;
		readers[n].to = readers[n].from + words;
		if (pthread_create(&readers[n].thread, NULL, read_memory, &readers[n]))
			break;
	}
	for (uint32_t i = 0; i < n; i++)
		pthread_join(readers[i].thread, NULL);
	return (double)(n * words * 8) / 1e9 / (bench_now_s() - start);
}

double bench_read_gb_per_s(uint32_t threads)
{
	uint64_t *memory =
		mmap(NULL, READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double best = 0;

	if (memory == MAP_FAILED)
		return 0;
	madvise(memory, READ_BYTES, MADV_HUGEPAGE);
	memset(memory, 1, READ_BYTES);
	for (int i = 0; i < READ_TIMES; i++) {
		double rate = read_once(memory, threads < READ_THREADS ? threads : READ_THREADS);

		best = rate > best ? rate : best;
	}
	munmap(memory, READ_BYTES);
	return best;
}

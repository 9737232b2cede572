/* SPDX-License-Identifier: MIT */
/*
 * amx_test.c: the source of the AMX kernel over tile registers in plain C, after their architectural
 * definition: the same bits as plain C products, on any CPU. Where the CPU has tiles, kernels_test
 * runs the instructions too.
 */
#include <math.h>
#include <signal.h>

#include "kernels_lib.h"

#include "eng_lanes_generic.h"
#include "eng_panel.h"
#include "eng_tmm.h"
#include "eng_trial.h"

static struct tmm_config config;
static bool configured;
static uint8_t tiles[8][16][64];
static uint32_t dots;

static void tmm_start(const struct tmm_config *c)
{
	t_ok(c->palette == 1 && !c->start_row);
	for (uint32_t i = 0; i < 16; i++)	/* #GP otherwise */
		t_ok(c->rows[i] <= 16 && c->row_bytes[i] <= 64 &&
		     (i < 8 || (!c->rows[i] && !c->row_bytes[i])) &&
		     (i >= 14 || !c->reserved0[i]) && !c->rows[i] == !c->row_bytes[i]);
	config = *c;
	configured = true;
	memset(tiles, 0, sizeof(tiles));
}

static void tmm_end(void)
{
	configured = false;
}

/* #UD otherwise. */
static void need_tile(uint32_t tile)
{
	if (!configured || tile >= 8 || !config.rows[tile])
		abort();
}

static void tmm_zero(uint32_t tile)
{
	need_tile(tile);
	memset(tiles[tile], 0, sizeof(tiles[tile]));
}

static void tmm_load(uint32_t tile, const void *base, size_t stride)
{
	tmm_zero(tile);
	for (uint32_t r = 0; r < config.rows[tile]; r++)
		memcpy(tiles[tile][r], (const uint8_t *)base + r * stride, config.row_bytes[tile]);
}

static void tmm_store(uint32_t tile, void *base, size_t stride)
{
	need_tile(tile);
	for (uint32_t r = 0; r < config.rows[tile]; r++)
		memcpy((uint8_t *)base + r * stride, tiles[tile][r], config.row_bytes[tile]);
}

/* One int32 of the sum: four products of signed bytes. */
static void dot_four(uint8_t *sum, const uint8_t *a, const uint8_t *b)
{
	int32_t s;

	memcpy(&s, sum, 4);
	for (uint32_t i = 0; i < 4; i++)
		s += (int8_t)a[i] * (int8_t)b[i];
	memcpy(sum, &s, 4);
}

/* TDPBSSD: sum[m][n] += a[m][k] * b[k / 4][4 n + k % 4]. */
static void tmm_dot(uint32_t sum, uint32_t a, uint32_t b)
{
	need_tile(sum);
	need_tile(a);
	need_tile(b);
	if (sum == a || sum == b || a == b || config.rows[sum] != config.rows[a] ||
	    config.row_bytes[sum] != config.row_bytes[b] ||
	    config.row_bytes[a] / 4 != config.rows[b])
		abort();
	dots++;
	for (uint32_t m = 0; m < config.rows[sum]; m++)
		for (uint32_t k = 0; k < config.rows[b]; k++)
			for (uint32_t n = 0; n < config.row_bytes[sum]; n += 4)
				dot_four(&tiles[sum][m][n], &tiles[a][m][4 * k], &tiles[b][k][n]);
}

static void unpack_weights(uint32_t type, const uint8_t *weights, int8_t *q)
{
	for (uint32_t col = 0; col < 32; col++)
		for (uint32_t row = 0; row < 16; row++)
			q[col / 4 * 64 + row * 4 + col % 4] =
				(int8_t)eng_quant_get(type, weights, row, col);
}

#include "eng_amx_impl.h"

static void check(uint32_t type, uint32_t rows, uint32_t outputs, uint32_t cols)
{
	const struct eng_kernels *generic = eng_kernels_get(ENG_ISA_GENERIC);
	struct eng_matrix m = klib_matrix(type, outputs, cols, type + cols);
	const uint32_t panels = (outputs + 15) / 16, row_tiles = (rows + 16 - AMX_ROWS_MIN) / 16;
	const uint32_t whole = row_tiles * 16 < rows ? row_tiles * 16 : rows;
	const size_t stride = outputs + 2, count = (size_t)rows * stride;
	float *x = klib_floats((size_t)rows * cols, cols), *want = klib_alloc(count * 4);
	float *got = klib_alloc(count * 4);
	struct eng_act act = klib_act(generic, x, rows, cols);

	memset(want, 0x5a, count * 4);
	memset(got, 0x5a, count * 4);
	dots = 0;
	generic->matmul_q(&m, 0, panels, &act, whole, want, stride);
	t_eq(amx_rows(&m, 0, panels / 2, &act, rows, got, stride), whole);
	amx_rows(&m, panels / 2, panels - panels / 2, &act, rows, got, stride);
	if (!t_mem_eq(got, want, count * 4))
		printf("# %s, %u rows, %u x %u\n", eng_type_name(type), rows, outputs, cols);
	t_eq(dots, (eng_type_has_halves(type) ? 2 : 1) * row_tiles * panels * (cols / 32));
	t_ok(!configured);
	free(act.block);
	free(got);
	free(want);
	free(x);
	klib_free(&m);
}

/* Q2K goes to the vector kernels whole. */
static bool is_left_out(uint32_t type)
{
	struct eng_matrix m = { type, 16, 256, NULL };
	const struct eng_act none = { NULL, 256 };

	return type == ENG_Q2K && amx_rows(&m, 0, 1, &none, 16, NULL, 16) == 0;
}

static void every_type(void)
{
	for (uint32_t type = ENG_Q8; type < ENG_TYPE_COUNT; type++) {
		if (is_left_out(type))
			continue;
		check(type, 16, 16, 256);
		check(type, 40, 40, 512);
		check(type, 15, 33, 256);
		check(type, 11, 16, 256);
		check(type, 16 * AMX_TILES + 28, 16, 256);
		check(type, 32, 17, 32 * (AMX_BLOCKS + 8));	/* more than is unpacked at a time */
		if (!eng_type_is_k(type)) {
			check(type, 33, 33, 32);
			check(type, 48, 20, 576);
		}
	}
}

/* Weights and activations at their least and greatest; a row that is not finite. */
static void extremes(void)
{
	const struct eng_kernels *generic = eng_kernels_get(ENG_ISA_GENERIC);

	for (uint32_t type = ENG_Q8; type < ENG_TYPE_COUNT; type++) {
		struct eng_matrix m = klib_matrix(type, 16, 256, 7);
		float x[16 * 256], want[256], got[256];
		struct eng_act act;

		for (uint32_t i = 0; i < 16 * 256; i++)
			x[i] = i % 5 ? 127 : -127;
		x[3 * 256 + 9] = NAN;
		act = klib_act(generic, x, 16, 256);
		generic->matmul_q(&m, 0, 1, &act, 16, want, 16);
		if (is_left_out(type))
			generic->matmul_q(&m, 0, 1, &act, 16, got, 16);
		else
			t_eq(amx_rows(&m, 0, 1, &act, 16, got, 16), 16);
		t_ok(isnan(got[3 * 16]) && !isnan(got[2 * 16 + 5]));
		for (uint32_t i = 0; i < 256; i++)
			t_ok(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])));
		free(act.block);
		klib_free(&m);
	}
}

static bool works(void)
{
	return true;
}

static bool wrong(void)
{
	return false;
}

static bool faults(void)
{
	signal(SIGSEGV, SIG_DFL);	/* past a sanitizer's report */
	raise(SIGSEGV);
	return true;
}

/* Tiles that the machine below does not keep cost us the tiles, not the process. */
static void a_fault_in_trial(void)
{
	t_ok(eng_trial(works));
	t_ok(!eng_trial(wrong));
	t_ok(!eng_trial(faults));
}

int main(void)
{
	printf("# the instructions: %s\n", eng_isa_usable(ENG_ISA_AMX) ? "here" : "not on this CPU");
	T_RUN(every_type);
	T_RUN(extremes);
	T_RUN(a_fault_in_trial);
	return t_done();
}

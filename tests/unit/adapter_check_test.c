/* SPDX-License-Identifier: MIT */
/* adapter_check_test.c: the image of an adapter: what is handed out, and every wrong field refused. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eng_pack.h"
#include "mhs_adapter.h"
#include "t.h"

#define IMAGE_BYTES	(6u * 4096u)
#define DATA		8192u
#define TARGETS		5u

static union {
	struct mhs_image_header image;
	uint8_t bytes[IMAGE_BYTES];
} file;
#define image	file.image

static const struct {
	uint32_t role, layer, rank, type;
} targets[TARGETS] = {
	{ MHS_ROLE_EMBED, 0, 2, ENG_F32 },
	{ MHS_ROLE_ATTN_Q, 0, 3, ENG_F16 },
	{ MHS_ROLE_FFN_DOWN, 0, 1, ENG_BF16 },
	{ MHS_ROLE_ATTN_K, 1, 16, ENG_F32 },
	{ MHS_ROLE_FFN_UP, 1, 1, ENG_F16 },
};

static struct mhs_image_tensor *tensors(void)
{
	return (void *)(file.bytes + image.tensor_table.offset_bytes);
}

static void place(struct mhs_image_tensor *t, uint32_t i, uint32_t bit, uint64_t rows, uint64_t cols,
		  uint64_t *at)
{
	snprintf(t->name, sizeof(t->name), "target.%u.%s", i, bit == MHS_ROLE_LORA_A ? "A" : "B");
	t->role = targets[i].role | bit;
	t->layer = targets[i].layer;
	t->type = targets[i].type;
	t->lora_scale = 0.5f + (float)i;
	t->rows = rows;
	t->cols = cols;
	t->offset_bytes = *at;
	t->length_bytes = (bit == MHS_ROLE_LORA_A ? rows : (rows + 15) / 16 * 16) * cols *
			  (t->type == ENG_F32 ? 4 : 2);
	*at += (t->length_bytes + 63) / 64 * 64;
}

static void build(void)
{
	uint64_t at = DATA + 2 * TARGETS * sizeof(struct mhs_image_tensor), rows, cols;

	memset(&file, 0, sizeof(file));
	image.magic = MHS_IMAGE_MAGIC;
	image.abi_major = MHS_IMAGE_ABI_MAJOR;
	image.abi_minor = MHS_IMAGE_ABI_MINOR;
	image.header_bytes = 4096;
	image.image_bytes = IMAGE_BYTES;
	image.kind = MHS_IMAGE_ADAPTER;
	image.chunk_bytes = MHS_IMAGE_CHUNK_BYTES;
	image.data_offset_bytes = DATA;
	image.chunk_count = 1;
	image.tensor_count = 2 * TARGETS;
	image.chunk_table = (struct mhs_image_span){ 4096, 16 };
	image.tensor_table = (struct mhs_image_span){ DATA, 2 * TARGETS * 128 };
	image.config = (struct mhs_image_config){
		.arch = MHS_ARCH_LLAMA, .layer_count = 2, .hidden = 16, .intermediate = 32,
		.head_count = 4, .kv_head_count = 2, .head_dim = 4, .vocab_count = 100,
		.context_max = 64, .rms_eps = 1e-5f, .rope_attn_scale = 1.0f,
	};
	image.bos_id = UINT32_MAX;
	strcpy(image.model, "smol");
	strcpy(image.adapter, "tone");
	strcpy(image.semver, "1.0.0");
	for (uint32_t i = 0; i < TARGETS; i++) {
		mhs_adapter_shape(&image.config, targets[i].role, &rows, &cols);
		place(&tensors()[2 * i], i, MHS_ROLE_LORA_A, targets[i].rank, cols, &at);
		place(&tensors()[2 * i + 1], i, MHS_ROLE_LORA_B, rows, targets[i].rank, &at);
	}
}

static void hands_out_targets(void)
{
	struct mhs_adapter_target t;
	const char *field = NULL;

	build();
	t_eq(mhs_image_check_header(&image, IMAGE_BYTES, NULL, &field), 0);
	t_need(mhs_adapter_check(&image, &file, &field) == 0);
	t_eq(mhs_adapter_count(&image), TARGETS);
	for (uint32_t i = 0; i < TARGETS; i++) {
		t_need(mhs_adapter_find(&image, &file, targets[i].role, targets[i].layer, &t) == 0);
		t_eq(t.role, targets[i].role);
		t_eq(t.rank, targets[i].rank);
		t_eq(t.type, targets[i].type);
		t_near(t.scale, 0.5 + i, 0);
		t_ok(t.a == file.bytes + tensors()[2 * i].offset_bytes);
		t_ok(t.b == file.bytes + tensors()[2 * i + 1].offset_bytes);
	}
	mhs_adapter_target(&image, &file, 0, &t);
	t_ok(t.rows == 16 && t.cols == 100);
	mhs_adapter_target(&image, &file, 2, &t);
	t_ok(t.rows == 16 && t.cols == 32);
	mhs_adapter_target(&image, &file, 3, &t);
	t_ok(t.rows == 8 && t.cols == 16);
	t_eq(mhs_adapter_find(&image, &file, MHS_ROLE_ATTN_Q, 1, &t), -ENOENT);
	t_eq(mhs_adapter_find(&image, &file, MHS_ROLE_OUTPUT, 0, &t), -ENOENT);
	t_eq(mhs_adapter_find(&image, &file, MHS_ROLE_FFN_DOWN, 7, &t), -ENOENT);
}

#define CASE(expr, want_field) do {							\
	const char *field_ = NULL;							\
	build();									\
	expr;										\
	t_eq(mhs_adapter_check(&image, &file, &field_), -EINVAL);			\
	if (!t_ok(field_ && strncmp(field_, want_field, strlen(want_field)) == 0))	\
		printf("# %s: \"%s\"\n", #expr, field_ ? field_ : "(null)");		\
} while (0)

static void swap_targets(uint32_t i, uint32_t j)
{
	struct mhs_image_tensor pair[2];

	memcpy(pair, &tensors()[2 * i], sizeof(pair));
	memcpy(&tensors()[2 * i], &tensors()[2 * j], sizeof(pair));
	memcpy(&tensors()[2 * j], pair, sizeof(pair));
}

static void refuses_wrong_tables(void)
{
	CASE(image.kind = MHS_IMAGE_MODEL, "kind");
	CASE(tensors()[0].role = MHS_ROLE_EMBED, "tensor.role");
	CASE(tensors()[1].role = tensors()[0].role, "tensor.role");
	CASE(tensors()[2].role = MHS_ROLE_FFN_NORM | MHS_ROLE_LORA_A, "tensor.role");
	CASE(tensors()[3].role = MHS_ROLE_ATTN_K | MHS_ROLE_LORA_B, "tensor.role");
	CASE(tensors()[3].layer = 1, "tensor.layer");
	CASE((tensors()[0].layer = 1, tensors()[1].layer = 1), "tensor.layer");
	CASE(tensors()[9].layer = 2, "tensor.layer");
	CASE(tensors()[2].rows = 2, "tensor.rows");
	CASE(tensors()[3].cols = 4, "tensor.rows");
	CASE((tensors()[2].rows = 65537, tensors()[3].cols = 65537), "tensor.rows");
	CASE(tensors()[2].cols = 17, "tensor.rows, tensor.cols");
	CASE(tensors()[3].rows = 15, "tensor.rows, tensor.cols");
	CASE(tensors()[2].lora_scale = 1, "tensor.lora_scale");
	CASE((tensors()[2].lora_scale = NAN, tensors()[3].lora_scale = NAN), "tensor.lora_scale");
	CASE((tensors()[2].lora_scale = INFINITY, tensors()[3].lora_scale = INFINITY),
	     "tensor.lora_scale");
	CASE(tensors()[2].type = ENG_Q8, "tensor.type");
	CASE(tensors()[3].type = ENG_VEC_F32, "tensor.type");
	CASE(tensors()[2].type = ENG_F32, "tensor.type");
	CASE((tensors()[2].type = ENG_F32, tensors()[3].type = ENG_F32), "tensor.length_bytes");
	CASE(tensors()[9].length_bytes -= 1, "tensor.length_bytes");
	CASE(tensors()[9].offset_bytes += 32, "tensor.offset_bytes");
	CASE(tensors()[9].offset_bytes = tensors()[8].offset_bytes, "tensor.offset_bytes");
	CASE(tensors()[9].offset_bytes = DATA, "tensor.offset_bytes");
	CASE(tensors()[9].offset_bytes = IMAGE_BYTES, "tensor.length_bytes");
	CASE(swap_targets(1, 2), "tensor.role");
	CASE(swap_targets(0, 4), "tensor.role");
	CASE((tensors()[2].role = tensors()[4].role, tensors()[3].role = tensors()[5].role),
	     "tensor.rows, tensor.cols");
}

#define HEAD(expr, want_field) do {							\
	const char *field_ = NULL;							\
	build();									\
	expr;										\
	t_eq(mhs_image_check_header(&image, IMAGE_BYTES, NULL, &field_), -EINVAL);	\
	if (!t_ok(field_ && strncmp(field_, want_field, strlen(want_field)) == 0))	\
		printf("# %s: \"%s\"\n", #expr, field_ ? field_ : "(null)");		\
} while (0)

static void refuses_wrong_headers(void)
{
	HEAD(memset(image.adapter, 0, 64), "adapter");
	HEAD(memset(image.adapter, 'x', 64), "adapter");
	HEAD(image.adapter[63] = 'x', "adapter");
	HEAD(image.bos_id = 1, "bos_id");
	HEAD(image.eos_count = 1, "bos_id");
	HEAD((image.tensor_count = 9, image.tensor_table.length_bytes = 9 * 128), "tensor_count");
	HEAD((image.tokenizer = (struct mhs_image_span){ 5 * 4096, 10 }), "tokenizer");
	HEAD((image.chat_template = (struct mhs_image_span){ 5 * 4096, 10 }), "tokenizer");
	HEAD(image.reserved0[0] = 1, "reserved0");
}

/* Whatever the bytes of the table are, no target reaches out of the image. */
static void survives_noise(void)
{
	uint64_t state = 7;
	uint32_t good = 0;

	for (uint32_t round = 0; round < 20000; round++) {
		const char *field = NULL;
		struct mhs_adapter_target t;
		uint64_t r = t_random(&state);

		build();
		file.bytes[DATA + r % (2 * TARGETS * 128)] ^= (uint8_t)(1u << (r >> 32) % 8);
		if (mhs_adapter_check(&image, &file, &field)) {
			t_need(field != NULL);
			continue;
		}
		good++;
		for (uint32_t i = 0; i < TARGETS; i++) {
			mhs_adapter_target(&image, &file, i, &t);
			t_need((const uint8_t *)t.b + (t.rows + 15) / 16 * 16 * t.rank * 2 <= file.bytes + IMAGE_BYTES);
		}
	}
	t_ok(good > 100 && good < 19000);	/* names and hashes may be anything */
}

static void tells_what_fits(void)
{
	struct mhs_image_config other;
	const char *field = NULL;

	build();
	other = image.config;
	other.context_max *= 2;
	other.tied = 1;
	t_eq(mhs_adapter_fits(&image.config, &other, &field), 0);
	other.kv_head_count = 4;
	t_eq(mhs_adapter_fits(&image.config, &other, &field), -EINVAL);
	t_str_eq(field, "kv_head_count");
	other = image.config;
	other.vocab_count++;
	t_eq(mhs_adapter_fits(&image.config, &other, &field), -EINVAL);
	t_str_eq(field, "vocab_count");
}

int main(void)
{
	T_RUN(hands_out_targets);
	T_RUN(refuses_wrong_tables);
	T_RUN(refuses_wrong_headers);
	T_RUN(survives_noise);
	T_RUN(tells_what_fits);
	return t_done();
}

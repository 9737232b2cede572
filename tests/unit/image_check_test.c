/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mhs_attach.h"
#include "t.h"

#define IMAGE_BYTES	(16u * 4096u)
#define TENSORS		6u

/* header | chunk table | tensor table | tokenizer | template | one page a tensor */
static union {
	struct mhs_image_header image;
	uint8_t bytes[IMAGE_BYTES];
} file;
#define image	file.image

/* Not a real hash: the check only has to be called on the right bytes. */
static void sum128(const void *data, size_t bytes, uint8_t out[16])
{
	const uint8_t *p = data;
	uint64_t sum[2] = { 1469598103934665603u, 42 };

	for (size_t i = 0; i < bytes; i++)
		sum[i % 2] = (sum[i % 2] ^ p[i]) * 1099511628211u;
	memcpy(out, sum, 16);
}

static struct mhs_image_tensor *tensors(void)
{
	return (void *)(file.bytes + image.tensor_table.offset_bytes);
}

static void rehash(void)
{
	memset(image.header_hash, 0, 16);
	sum128(&image, sizeof(image), image.header_hash);
}

static void build_tables(void)
{
	for (uint32_t i = 0; i < TENSORS; i++) {
		struct mhs_image_tensor *t = &tensors()[i];

		snprintf(t->name, sizeof(t->name), "tensor.%u", i);
		t->role = MHS_ROLE_EMBED + i;
		t->layer = i % 2;
		t->rows = 8;
		t->cols = 16;
		t->offset_bytes = (5 + i) * 4096;
		t->length_bytes = 512;
	}
	rehash();
}

static void build(void)
{
	memset(&file, 0, sizeof(file));
	image.magic = MHS_IMAGE_MAGIC;
	image.abi_major = MHS_IMAGE_ABI_MAJOR;
	image.abi_minor = MHS_IMAGE_ABI_MINOR;
	image.header_bytes = 4096;
	image.image_bytes = IMAGE_BYTES;
	image.kind = MHS_IMAGE_MODEL;
	image.chunk_bytes = MHS_IMAGE_CHUNK_BYTES;
	image.data_offset_bytes = 8192;
	image.chunk_count = 1;
	image.tensor_count = TENSORS;
	image.chunk_table = (struct mhs_image_span){ 4096, 16 };
	image.tensor_table = (struct mhs_image_span){ 8192, TENSORS * 128 };
	image.tokenizer = (struct mhs_image_span){ 3 * 4096, 1000 };
	image.chat_template = (struct mhs_image_span){ 4 * 4096, 77 };
	image.config = (struct mhs_image_config){
		.arch = MHS_ARCH_LLAMA, .layer_count = 2, .hidden = 16, .intermediate = 32,
		.head_count = 4, .kv_head_count = 2, .head_dim = 4, .vocab_count = 100,
		.context_max = 64, .rms_eps = 1e-5f, .rope_attn_scale = 1.0f,
	};
	image.bos_id = 1;
	image.eos_count = 2;
	image.eos_ids[0] = 2;
	image.eos_ids[1] = 99;
	strcpy(image.model, "smol");
	strcpy(image.semver, "1.0.0");
	build_tables();
}

static int check(const char **field)
{
	*field = NULL;
	return mhs_image_check_header(&image, IMAGE_BYTES, NULL, field);
}

/* One wrong value at a time: the error and the field it names. */
#define CASE(expr, want_err, want_field) do {						\
	const char *field_;								\
	build();									\
	expr;										\
	t_eq(check(&field_), want_err);							\
	if (!t_ok(field_ && strncmp(field_, want_field, strlen(want_field)) == 0))	\
		printf("# %s: \"%s\"\n", #expr, field_ ? field_ : "(null)");		\
} while (0)

static void sound(void)
{
	const char *field;

	build();
	t_eq(check(&field), 0);
	t_eq(mhs_image_check_header(&image, IMAGE_BYTES, sum128, &field), 0);
	t_eq(mhs_image_check_tensors(&image, &file, &field), 0);
	image.chat_template = (struct mhs_image_span){ 0, 0 };
	image.bos_id = UINT32_MAX;
	image.eos_count = 0;
	t_eq(check(&field), 0);
	image.kind = MHS_IMAGE_ADAPTER;
	image.tokenizer = (struct mhs_image_span){ 0, 0 };
	strcpy(image.adapter, "tone");
	t_eq(check(&field), 0);
}

static void identity(void)
{
	CASE(image.magic ^= 1, -EINVAL, "magic");
	CASE(image.abi_major = MHS_IMAGE_ABI_MAJOR + 1, -ENOTSUP, "abi_major");
	CASE(image.abi_major = MHS_IMAGE_ABI_MAJOR - 1, -ENOTSUP, "abi_major");
	CASE(image.features = 16, -ENOTSUP, "features");
	CASE(image.features = MHS_IMAGE_QUICK_HASH, -EINVAL, "features");	/* of adapters alone */
	CASE(image.features = UINT64_C(1) << 63, -ENOTSUP, "features");
	CASE(image.file_bytes = IMAGE_BYTES, -EINVAL, "file_bytes");
	CASE(image.pack_count = 1, -EINVAL, "file_bytes");
	CASE(image.file_hash[15] = 1, -EINVAL, "file_bytes");
	CASE(image.header_bytes = 0, -EINVAL, "header_bytes");
	CASE(image.kind = 0, -EINVAL, "kind");
	CASE(image.kind = 3, -EINVAL, "kind");
	CASE(memset(image.model, 0, 64), -EINVAL, "model");
	CASE(memset(image.model, 'x', 64), -EINVAL, "model");
	CASE(image.model[63] = 'x', -EINVAL, "model");
	CASE(memset(image.semver, 'x', 48), -EINVAL, "semver");
	CASE(image.semver[0] = 0, -EINVAL, "semver");
	CASE(image.adapter[0] = 'x', -EINVAL, "adapter");
	CASE(image.fits_hash[31] = 1, -EINVAL, "adapter, fits_hash");
	CASE(image.reserved0[0] = 1, -EINVAL, "reserved0");
	CASE(image.reserved0[sizeof(image.reserved0) - 1] = 1, -EINVAL, "reserved0");
}

static void lengths(void)
{
	CASE(image.image_bytes -= 4096, -EINVAL, "image_bytes");
	CASE(image.image_bytes = 0, -EINVAL, "image_bytes");
	CASE(image.image_bytes = UINT64_MAX, -EINVAL, "image_bytes");
	CASE(image.data_offset_bytes = 0, -EINVAL, "data_offset_bytes");
	CASE(image.data_offset_bytes = 8193, -EINVAL, "data_offset_bytes");
	CASE(image.data_offset_bytes = IMAGE_BYTES, -EINVAL, "data_offset_bytes");
	CASE(image.data_offset_bytes = UINT64_MAX - 4095, -EINVAL, "data_offset_bytes");
	CASE(image.chunk_bytes = 0, -EINVAL, "chunk_bytes");
	CASE(image.chunk_bytes = 4096, -EINVAL, "chunk_bytes");
	CASE(image.chunk_count = 0, -EINVAL, "chunk_count");
	CASE(image.chunk_count = 2, -EINVAL, "chunk_count");
	CASE(image.chunk_count = UINT32_MAX, -EINVAL, "chunk_count");
}

static void file_sizes(void)
{
	const char *field;

	build();
	image.image_bytes = IMAGE_BYTES + 1;
	t_eq(mhs_image_check_header(&image, IMAGE_BYTES + 1, NULL, &field), -EINVAL);
	image.image_bytes = MHS_IMAGE_BYTES_MAX + 4096;
	t_eq(mhs_image_check_header(&image, MHS_IMAGE_BYTES_MAX + 4096, NULL, &field), -EINVAL);
	image.image_bytes = 0;
	t_eq(mhs_image_check_header(&image, 0, NULL, &field), -EINVAL);
	image.image_bytes = 8192;	/* header and chunk table only */
	t_eq(mhs_image_check_header(&image, 8192, NULL, &field), -EINVAL);
}

static void spans(void)
{
	CASE(image.chunk_table.offset_bytes = 4080, -EINVAL, "chunk_table");
	CASE(image.chunk_table.offset_bytes = 8192 - 8, -EINVAL, "chunk_table");
	CASE(image.chunk_table.offset_bytes = 8192, -EINVAL, "chunk_table");
	CASE(image.chunk_table.offset_bytes = UINT64_MAX - 15, -EINVAL, "chunk_table");
	CASE(image.chunk_table.length_bytes = 32, -EINVAL, "chunk_table");
	CASE(image.chunk_table.length_bytes = UINT64_MAX, -EINVAL, "chunk_table");
	CASE(image.tensor_count = 0, -EINVAL, "tensor_count");
	CASE(image.tensor_count = UINT32_MAX, -EINVAL, "tensor_count");
	CASE(image.tensor_count++, -EINVAL, "tensor_table");
	CASE(image.tensor_table.offset_bytes += 8, -EINVAL, "tensor_table");
	CASE(image.tensor_table.offset_bytes = 4096, -EINVAL, "tensor_table");
	CASE(image.tensor_table.offset_bytes = IMAGE_BYTES - 64, -EINVAL, "tensor_table");
	CASE(image.tensor_table.offset_bytes = -(uint64_t)TENSORS * 128, -EINVAL, "tensor_table");
	CASE(image.tokenizer.offset_bytes = 0, -EINVAL, "tokenizer");
	CASE(image.tokenizer.offset_bytes += 64, -EINVAL, "tokenizer");
	CASE(image.tokenizer.length_bytes = 0, -EINVAL, "tokenizer");
	CASE(image.tokenizer.length_bytes = IMAGE_BYTES, -EINVAL, "tokenizer");
	CASE(image.tokenizer.length_bytes = UINT64_MAX - 8191, -EINVAL, "tokenizer");
	CASE(image.tokenizer = ((struct mhs_image_span){ 0, 0 }), -EINVAL, "tokenizer");
	CASE(image.chat_template.offset_bytes = IMAGE_BYTES, -EINVAL, "chat_template");
	CASE(image.chat_template.length_bytes = 0, -EINVAL, "chat_template");
	CASE(image.chat_template.length_bytes = UINT64_MAX, -EINVAL, "chat_template");
	CASE(image.chat_template.offset_bytes = 3 * 4096, -EINVAL, "tensor_table, tok");
	CASE(image.tokenizer.offset_bytes = 8192, -EINVAL, "tensor_table, tok");
	CASE(image.tokenizer.length_bytes = 4097, -EINVAL, "tensor_table, tok");
	CASE(image.chat_template.offset_bytes = 8192, -EINVAL, "tensor_table, tok");
}

static void config(void)
{
	CASE(image.config.arch = 0, -EINVAL, "config.arch");
	CASE(image.config.arch = 12, -EINVAL, "config.arch");
	CASE(image.config.arch = UINT32_MAX, -EINVAL, "config.arch");
	CASE(image.config.layer_count = 0, -EINVAL, "config.layer_count");
	CASE(image.config.layer_count = 513, -EINVAL, "config.layer_count");
	CASE(image.config.hidden = 0, -EINVAL, "config.hidden");
	CASE(image.config.hidden = UINT32_MAX, -EINVAL, "config.hidden");
	CASE(image.config.intermediate = 0, -EINVAL, "config.intermediate");
	CASE(image.config.head_count = 0, -EINVAL, "config.head_count");
	CASE(image.config.head_count = 4097, -EINVAL, "config.head_count");
	CASE(image.config.kv_head_count = 0, -EINVAL, "config.kv_head_count");
	CASE(image.config.kv_head_count = 3, -EINVAL, "config.kv_head_count");
	CASE(image.config.kv_head_count = 8, -EINVAL, "config.kv_head_count");
	CASE(image.config.head_dim = 0, -EINVAL, "config.head_dim");
	CASE(image.config.head_dim = 5, -EINVAL, "config.head_dim");
	CASE(image.config.vocab_count = 0, -EINVAL, "config.vocab_count");
	CASE(image.config.vocab_count = 50, -EINVAL, "eos_ids");
	CASE(image.config.context_max = 0, -EINVAL, "config.context_max");
	CASE(image.config.context_max = 0x80000000u, -EINVAL, "config.context_max");
	CASE(image.config.tied = 2, -EINVAL, "config.tied");
	CASE(image.config.float_weights = 2, -EINVAL, "config.tied");
	CASE(image.config.rms_eps = NAN, -EINVAL, "config.rms_eps");
	CASE(image.config.rms_eps = INFINITY, -EINVAL, "config.rms_eps");
	CASE(image.config.rms_eps = -1e-5f, -EINVAL, "config.rms_eps");
	CASE(image.config.rms_eps = 0, -EINVAL, "config.rms_eps");
	CASE(image.config.rope_attn_scale = NAN, -EINVAL, "config.rope_attn_scale");
	CASE(image.config.rope_attn_scale = INFINITY, -EINVAL, "config.rope_attn_scale");
	CASE(image.config.rope_attn_scale = 0, -EINVAL, "config.rope_attn_scale");
	CASE(image.config.reserved0[2] = 1, -EINVAL, "config.reserved0");
	CASE(image.bos_id = 100, -EINVAL, "bos_id");
	CASE(image.eos_count = 9, -EINVAL, "eos_count");
	CASE(image.eos_count = UINT32_MAX, -EINVAL, "eos_count");
	CASE(image.eos_ids[1] = 100, -EINVAL, "eos_ids");
}

#define SHAPED(expr, want_field) \
	CASE(image.features |= MHS_IMAGE_SHAPED; image.shape.flags |= MHS_SHAPE_GELU; expr, -EINVAL, want_field)

static void words(void)
{
	const char *field;
	uint32_t id;

	build();
	image.words.said = 1 << MHS_WORD_BOS | 1 << MHS_WORD_EOS;
	strcpy(image.words.text[MHS_WORD_EOS], "<e>");
	t_eq(check(&field), 0);
	t_ok(!mhs_image_word(&image, MHS_WORD_BOS, &id) && id == UINT32_MAX);
	t_str_eq(mhs_image_word(&image, MHS_WORD_EOS, &id), "<e>");
	build();
	t_ok(!mhs_image_word(&image, MHS_WORD_BOS, &id) && id == 1);
	t_ok(!mhs_image_word(&image, MHS_WORD_EOS, &id) && id == 2);
	t_ok(!mhs_image_word(&image, MHS_WORD_PAD, &id) && id == UINT32_MAX);
	CASE(image.words.said = 128, -EINVAL, "words.said");
	CASE(image.words.text[0][0] = 'x', -EINVAL, "words.text");
	CASE(image.words.said = 1; memset(image.words.text[0], 'x', 64), -EINVAL, "words.text");
	CASE(image.abi_minor = 5; image.words.said = 1, -EINVAL, "words: must be zero");
}

static void shape(void)
{
	const char *field;

	build();
	image.features |= MHS_IMAGE_SHAPED;
	image.shape.flags = MHS_SHAPE_FLAGS & ~MHS_SHAPE_POSITIONS;
	image.shape.window = 16;
	image.shape.window_layers[0] = 2;
	image.shape.rotary_dim = 2;
	t_eq(check(&field), 0);
	t_eq(mhs_shape_window(&image.shape, 0), 0);
	t_eq(mhs_shape_window(&image.shape, 1), 16);
	CASE(image.shape.flags = 1, -EINVAL, "shape: ");
	CASE(image.features |= MHS_IMAGE_SHAPED, -EINVAL, "shape: ");
	SHAPED(image.shape.flags = MHS_SHAPE_FLAGS + 1, "shape.flags");
	SHAPED(image.shape.flags = MHS_SHAPE_PLAIN_FFN, "shape.flags");
	SHAPED(image.shape.flags |= MHS_SHAPE_LOCAL_ROPE, "shape.flags");
	SHAPED(image.shape.flags |= MHS_SHAPE_POSITIONS; image.shape.rotary_dim = 2, "shape.flags");
	SHAPED(image.shape.rotary_dim = 3, "shape.rotary_dim");
	SHAPED(image.shape.rotary_dim = 6, "shape.rotary_dim");
	SHAPED(image.shape.embed_scale = NAN, "shape.embed_scale");
	SHAPED(image.shape.attn_scale = -1, "shape.embed_scale");
	SHAPED(image.shape.attn_cap = INFINITY, "shape.embed_scale");
	SHAPED(image.shape.logit_cap = 1e9f, "shape.embed_scale");
	SHAPED(image.shape.flags |= MHS_SHAPE_POSITIONS; image.shape.still_every = 4, "shape.still_every");
	SHAPED(image.shape.window = 4, "shape.window");
	SHAPED(image.shape.window_layers[0] = 1, "shape.window");
	SHAPED(image.shape.window = 4; image.shape.window_layers[0] = 4, "shape.window_layers");
	SHAPED(image.shape.window = 4; image.shape.window_layers[7] = UINT64_C(1) << 63, "shape.window_layers");
}

#define MIXED(expr, want_field)	CASE(experts_set(); expr, -EINVAL, want_field)

static void experts_set(void)
{
	image.features |= MHS_IMAGE_EXPERTS;
	image.experts = (struct mhs_image_experts){ .count = 4, .used = 2, .intermediate = 48,
						    .flags = MHS_EXPERTS_NORMED, .layers = { 2 } };
}

static void experts(void)
{
	const char *field;

	build();
	experts_set();
	t_eq(check(&field), 0);
	t_ok(!mhs_experts_in(&image.experts, 0) && mhs_experts_in(&image.experts, 1));
	CASE(image.experts.count = 1, -EINVAL, "experts: ");
	CASE(image.features |= MHS_IMAGE_EXPERTS, -EINVAL, "experts: ");
	MIXED(image.experts.count = 0, "experts.count");
	MIXED(image.experts.count = 1025, "experts.count");
	MIXED(image.experts.used = 0, "experts.used");
	MIXED(image.experts.used = 5, "experts.used");
	MIXED(image.experts.count = 100; image.experts.used = 65, "experts.used");
	MIXED(image.experts.intermediate = 0, "experts.intermediate");
	MIXED(image.experts.intermediate = 1u << 21, "experts.intermediate");
	MIXED(image.experts.intermediate = 40, "experts.intermediate");
	MIXED(image.config.hidden = 24, "experts.intermediate");
	MIXED(image.experts.flags = 2, "experts.flags");
	MIXED(image.experts.layers[0] = 0, "experts.layers");
	MIXED(image.experts.layers[0] = 4, "experts.layers");
	MIXED(image.experts.layers[7] = 1, "experts.layers");
	MIXED(image.features |= MHS_IMAGE_SHAPED; image.shape.flags = MHS_SHAPE_FFN_BIAS, "shape.flags");
}

/* Any single flipped bit of the page fails the hash (or a check before it). */
static void header_hash(void)
{
	const char *field;

	build();
	for (size_t bit = 0; bit < 8 * sizeof(image); bit++) {
		file.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		t_need(mhs_image_check_header(&image, IMAGE_BYTES, sum128, &field) < 0);
		file.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	image.header_hash[0] ^= 1;
	t_eq(mhs_image_check_header(&image, IMAGE_BYTES, sum128, &field), -EBADMSG);
}

#define TCASE(expr, want_field) do {							\
	const char *field_ = NULL;							\
	build();									\
	expr;										\
	t_eq(mhs_image_check_tensors(&image, &file, &field_), -EINVAL);			\
	if (!t_ok(field_ && strncmp(field_, want_field, strlen(want_field)) == 0))	\
		printf("# %s: \"%s\"\n", #expr, field_ ? field_ : "(null)");		\
} while (0)

static void tensor_table(void)
{
	TCASE(memset(tensors()[5].name, 'x', 64), "tensor.name");
	TCASE(tensors()[0].rows = 0, "tensor.rows");
	TCASE(tensors()[0].cols = 0, "tensor.rows");
	TCASE(tensors()[0].rows = UINT64_MAX, "tensor.rows");
	TCASE(tensors()[1].layer = 2, "tensor.layer");
	TCASE(tensors()[1].layer = UINT32_MAX, "tensor.layer");
	TCASE(tensors()[2].offset_bytes += 1, "tensor.offset_bytes");
	TCASE(tensors()[2].offset_bytes = 4096, "tensor.length_bytes");
	TCASE(tensors()[2].offset_bytes = 0, "tensor.length_bytes");
	TCASE(tensors()[2].offset_bytes = IMAGE_BYTES, "tensor.length_bytes");
	TCASE(tensors()[2].offset_bytes = UINT64_MAX - 4095, "tensor.length_bytes");
	TCASE(tensors()[2].length_bytes = 0, "tensor.length_bytes");
	TCASE(tensors()[5].length_bytes = IMAGE_BYTES - 10 * 4096 + 1, "tensor.length_bytes");
	TCASE(tensors()[5].length_bytes = UINT64_MAX, "tensor.length_bytes");
	TCASE(tensors()[5].length_bytes = UINT64_MAX - 10 * 4096 + 1, "tensor.length_bytes");
	TCASE(tensors()[3].lora_scale = 1, "tensor.lora_scale");
	TCASE(tensors()[3].offset_bytes = 8192, "tensor.offset_bytes: overlaps a table");
	TCASE(tensors()[3].offset_bytes = 3 * 4096, "tensor.offset_bytes: overlaps a table");
	TCASE(tensors()[3].offset_bytes = 4 * 4096, "tensor.offset_bytes: overlaps a table");
	TCASE(tensors()[3].offset_bytes = tensors()[1].offset_bytes,
	      "tensor.offset_bytes: overlaps another");
	TCASE(tensors()[1].length_bytes = 4097, "tensor.offset_bytes: overlaps another");
}

static void tensors_in_any_order(void)
{
	struct mhs_image_tensor swap;
	const char *field = NULL;

	build();
	swap = tensors()[0];
	tensors()[0] = tensors()[5];
	tensors()[5] = swap;
	t_eq(mhs_image_check_tensors(&image, &file, &field), 0);
	tensors()[5].length_bytes = 4097;	/* into the next one */
	t_eq(mhs_image_check_tensors(&image, &file, &field), -EINVAL);
}

static void find(void)
{
	build();
	t_ok(mhs_image_tensor_find(&image, &file, MHS_ROLE_EMBED + 3, 1) == &tensors()[3]);
	t_ok(mhs_image_tensor_find(&image, &file, MHS_ROLE_EMBED, 0) == &tensors()[0]);
	t_ok(!mhs_image_tensor_find(&image, &file, MHS_ROLE_EMBED, 1));
	t_ok(!mhs_image_tensor_find(&image, &file, 999, 0));
}

/* A hostile page: whatever passes keeps every span and every tensor inside of the image. */
static int spans_hold(void)
{
	const struct mhs_image_span *all[] = { &image.chunk_table, &image.tensor_table,
					       &image.tokenizer, &image.chat_template };

	for (int i = 0; i < 4; i++)
		if (all[i]->offset_bytes > IMAGE_BYTES ||
		    all[i]->length_bytes > IMAGE_BYTES - all[i]->offset_bytes)
			return 0;
	return image.config.layer_count - 1 < 512 && image.eos_count <= 8;
}

static void poke(uint64_t *seed)
{
	static const uint64_t odd[] = { 0, 1, 2, 63, 64, 4095, 4096, 8192, IMAGE_BYTES - 4096,
					IMAGE_BYTES, 1u << 31, UINT32_MAX, INT64_MAX, UINT64_MAX };
	uint64_t value = odd[t_random(seed) % (sizeof(odd) / sizeof(odd[0]))];
	size_t area = t_random(seed) % 3 ? 400 : TENSORS * sizeof(struct mhs_image_tensor);
	size_t at = area == 400 ? 0 : 8192;
	size_t width = t_random(seed) % 2 ? 4 : 8;

	if (t_random(seed) % 4 == 0) {
		value = t_random(seed);
		value >>= t_random(seed) % 64;
	}
	at += t_random(seed) % (area / width) * width;
	memcpy(file.bytes + at, &value, width);
}

static void hostile_pages(void)
{
	uint64_t seed = 20;
	int passed = 0, tables = 0;

	for (int i = 0; i < 300000; i++) {
		const char *field = NULL;
		uint64_t pokes = 1 + t_random(&seed) % 3;

		build();
		for (uint64_t k = 0; k < pokes; k++)
			poke(&seed);
		if (check(&field)) {
			t_need(field != NULL);
			continue;
		}
		passed++;
		t_need(spans_hold());
		if (mhs_image_check_tensors(&image, &file, &field))
			t_need(field != NULL);
		else
			tables++;
		mhs_image_tensor_find(&image, &file, MHS_ROLE_FFN_DOWN, 1);
	}
	printf("# %d pages passed the header check, %d of them the table's too\n", passed, tables);
	t_ok(passed > 1000 && tables > 100 && tables < passed);
}

int main(void)
{
	T_RUN(sound);
	T_RUN(identity);
	T_RUN(lengths);
	T_RUN(file_sizes);
	T_RUN(spans);
	T_RUN(config);
	T_RUN(shape);
	T_RUN(experts);
	T_RUN(words);
	T_RUN(header_hash);
	T_RUN(tensor_table);
	T_RUN(tensors_in_any_order);
	T_RUN(find);
	T_RUN(hostile_pages);
	return t_done();
}

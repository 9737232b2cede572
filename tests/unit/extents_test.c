/* SPDX-License-Identifier: MIT */
/* extents_test.c: the tables that say where a packed image lies; one wrong value at a time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mhs_attach.h"
#include "sto_store.h"
#include "t.h"

#define PAGE		4096u
#define IMAGE_PAGES	16u
#define FILE_PAGES	4u

/* header | chunk table | tensor table | extents, packs (from 256 bytes on) */
static union {
	struct mhs_image_header image;
	uint8_t bytes[FILE_PAGES * PAGE];
} file;
#define image	file.image

static struct mhs_image_tensor *tensors(void)
{
	return (void *)(file.bytes + image.tensor_table.offset_bytes);
}

static struct mhs_image_extent *extents(void)
{
	return (void *)(file.bytes + image.extent_table.offset_bytes);
}

static struct mhs_image_pack *packs(void)
{
	return (void *)(file.bytes + image.pack_table.offset_bytes);
}

static void build_header(void)
{
	image = (struct mhs_image_header){
		.magic = MHS_IMAGE_MAGIC, .abi_major = MHS_IMAGE_ABI_MAJOR,
		.abi_minor = MHS_IMAGE_ABI_MINOR, .header_bytes = PAGE,
		.image_bytes = IMAGE_PAGES * PAGE, .features = MHS_IMAGE_PACKED,
		.kind = MHS_IMAGE_MODEL, .chunk_bytes = MHS_IMAGE_CHUNK_BYTES,
		.data_offset_bytes = 2 * PAGE, .chunk_count = 1, .tensor_count = 3,
		.chunk_table = { PAGE, 16 }, .tensor_table = { 2 * PAGE, 3 * 128 },
		.tokenizer = { 10 * PAGE, 5000 }, .chat_template = { 15 * PAGE, 100 },
		.config = { .arch = MHS_ARCH_LLAMA, .layer_count = 1, .hidden = 32,
			    .intermediate = 32, .head_count = 1, .kv_head_count = 1, .head_dim = 32,
			    .vocab_count = 256, .context_max = 512, .rms_eps = 1e-5f,
			    .rope_attn_scale = 1.0f },
		.bos_id = UINT32_MAX, .model = "m", .semver = "1.0.0",
		.file_bytes = FILE_PAGES * PAGE, .extent_table = { 3 * PAGE, 4 * 32 },
		.pack_table = { 3 * PAGE + 256, 2 * 64 }, .extent_count = 4, .pack_count = 2,
	};
}

/* Tensors of 3, 2 and 2 pages; the second comes from another pack. */
static void build(void)
{
	static const uint64_t offsets[] = { 3 * PAGE, 6 * PAGE, 8 * PAGE };
	static const uint64_t lengths[] = { 3 * PAGE, PAGE + 1, 2 * PAGE };

	memset(&file, 0, sizeof(file));
	build_header();
	for (uint32_t i = 0; i < 3; i++)
		tensors()[i] = (struct mhs_image_tensor){ .name = "t", .role = i + 1, .rows = 1,
			.cols = 1, .offset_bytes = offsets[i], .length_bytes = lengths[i] };
	extents()[0] = (struct mhs_image_extent){ 0, 3 * PAGE, 0, 0, 0 };
	extents()[1] = (struct mhs_image_extent){ 3 * PAGE, 3 * PAGE, 2 * PAGE, 1, 0 };
	extents()[2] = (struct mhs_image_extent){ 6 * PAGE, 2 * PAGE, 9 * PAGE, 2, 0 };
	extents()[3] = (struct mhs_image_extent){ 8 * PAGE, 8 * PAGE, 5 * PAGE, 1, 0 };
	packs()[0] = (struct mhs_image_pack){ .content_hash = { 1 }, .pack_bytes = 13 * PAGE };
	packs()[1] = (struct mhs_image_pack){ .content_hash = { 2 }, .pack_bytes = 11 * PAGE };
}

static int check(const char **field)
{
	int err;

	*field = "";
	err = mhs_image_check_header(&image, sizeof(file), NULL, field);
	if (!err)
		err = mhs_image_check_tensors(&image, &file, field);
	return err ? err : mhs_image_check_extents(&image, &file, field);
}

#define CASE(expr, want) do {								\
	const char *field_;								\
	build();									\
	expr;										\
	t_eq(check(&field_), -EINVAL);							\
	if (!t_ok(strstr(field_, want)))						\
		printf("# %s: \"%s\"\n", #expr, field_);				\
} while (0)

static void sound(void)
{
	const char *field;
	uint32_t segment;
	uint64_t at;

	build();
	if (!t_eq(check(&field), 0))
		printf("# %s\n", field);
	t_eq(mhs_image_locate(&image, &file, 6 * PAGE, PAGE + 1, &segment, &at), 0);
	t_ok(segment == 2 && at == 9 * PAGE);
	t_eq(mhs_image_locate(&image, &file, 9 * PAGE + 7, PAGE, &segment, &at), 0);
	t_ok(segment == 1 && at == 6 * PAGE + 7);
	t_eq(mhs_image_locate(&image, &file, 0, 3 * PAGE, &segment, &at), 0);
	t_ok(segment == 0 && at == 0);
	t_eq(mhs_image_locate(&image, &file, 5 * PAGE, 2 * PAGE, &segment, &at), -ERANGE);
	t_eq(mhs_image_locate(&image, &file, 15 * PAGE, PAGE + 1, &segment, &at), -ERANGE);
	t_eq(mhs_image_locate(&image, &file, 16 * PAGE, 0, &segment, &at), -ERANGE);
	t_eq(mhs_image_locate(&image, &file, UINT64_MAX, 1, &segment, &at), -ERANGE);
	t_eq(mhs_image_locate(&image, &file, 3 * PAGE, UINT64_MAX, &segment, &at), -ERANGE);
	t_eq(mhs_image_piece(&image, &file, 7 * PAGE, &segment, &at), PAGE);
}

static void header_fields(void)
{
	CASE(image.file_bytes -= PAGE, "file_bytes: must equal the file size");
	CASE(image.extent_count = 0, "extent_count");
	CASE(image.extent_count = MHS_IMAGE_EXTENT_MAX + 1, "extent_count");
	CASE(image.extent_count = 5, "extent_table");
	CASE(image.pack_count = 0, "pack_count");
	CASE(image.pack_count = MHS_PACK_MAX + 1, "pack_count");
	CASE(image.pack_count = UINT32_MAX, "pack_count");
	CASE(image.pack_count = 3, "pack_table");
	CASE(image.extent_table.offset_bytes = 2 * PAGE, "extent_table");
	CASE(image.extent_table.offset_bytes += 32, "extent_table");
	CASE(image.extent_table.offset_bytes = 4 * PAGE, "extent_table");
	CASE(image.extent_table.offset_bytes = UINT64_MAX - 63, "extent_table");
	CASE(image.pack_table.offset_bytes -= 256, "pack_table");
	CASE(image.pack_table.offset_bytes = 4 * PAGE - 64, "pack_table");
	CASE(image.tensor_table.offset_bytes = 4 * PAGE, "extent_table");
}

static void extent_fields(void)
{
	CASE(extents()[1].image_offset_bytes += PAGE, "leaves a gap");
	CASE(extents()[1].image_offset_bytes -= PAGE, "overlaps");
	CASE(extents()[2].image_offset_bytes = UINT64_MAX - 4095, "leaves a gap");
	CASE(extents()[1].length_bytes += PAGE, "overlaps");
	CASE(extents()[1].length_bytes -= PAGE, "leaves a gap");
	CASE(extents()[1].length_bytes = 0, "whole pages");
	CASE(extents()[1].length_bytes -= 1, "whole pages");
	CASE(extents()[1].image_offset_bytes += 512, "whole pages");
	CASE(extents()[1].segment_offset_bytes += 64, "whole pages");
	CASE(extents()[1].segment_offset_bytes = PAGE, "pack's data");
	CASE(extents()[1].segment_offset_bytes = 0, "pack's data");
	CASE(extents()[1].segment_offset_bytes = 11 * PAGE, "pack's data");
	CASE(extents()[2].segment_offset_bytes = 10 * PAGE, "pack's data");
	CASE(extents()[2].segment_offset_bytes = UINT64_MAX - 4095, "pack's data");
	CASE(extents()[2].segment = 0, "extent.segment");
	CASE(extents()[2].segment = 3, "extent.segment");
	CASE(extents()[2].reserved0 = 1, "reserved0");
	CASE(extents()[3].length_bytes += PAGE, "beyond the end");
	CASE(extents()[3].length_bytes = UINT64_MAX - 4095, "beyond the end");
	CASE(extents()[3].length_bytes -= PAGE, "do not reach the end");
	CASE((image.extent_count = 3, image.extent_table.length_bytes = 96), "do not reach the end");
}

static void first_extent(void)
{
	CASE(extents()[0].segment = 1, "extent 0");
	CASE(extents()[0].image_offset_bytes = PAGE, "extent 0");
	CASE(extents()[0].segment_offset_bytes = PAGE, "extent 0");
	CASE(extents()[0].length_bytes = 2 * PAGE, "extent 0");
	CASE(extents()[0].length_bytes = 5 * PAGE, "extent 0");
	CASE(extents()[0].length_bytes -= 1, "extent 0");
}

static void what_they_cover(void)
{
	CASE((extents()[1].length_bytes -= PAGE, extents()[2].image_offset_bytes -= PAGE,
	      extents()[2].length_bytes = PAGE, extents()[3].image_offset_bytes -= 2 * PAGE,
	      extents()[3].length_bytes += 2 * PAGE, packs()[0].pack_bytes += 2 * PAGE),
	     "extents: a tensor");
	CASE((extents()[3].length_bytes = 3 * PAGE, image.extent_count = 5, image.extent_table.length_bytes = 160,
	      extents()[4] = (struct mhs_image_extent){ 11 * PAGE, 5 * PAGE, 5 * PAGE, 1, 0 }),
	     "extents: tokenizer");
	CASE(tensors()[1].length_bytes = 2 * PAGE + 1, "overlaps another tensor");
	CASE((tensors()[2].offset_bytes -= PAGE, tensors()[1].length_bytes = 1), "extents: a tensor");
	CASE((tensors()[2].offset_bytes = 3 * PAGE, tensors()[0].offset_bytes = 8 * PAGE,
	      tensors()[0].length_bytes = 1, tensors()[2].length_bytes = 4 * PAGE,
	      tensors()[1].offset_bytes = 9 * PAGE, tensors()[1].length_bytes = 1),
	     "extents: a tensor");
}

static void pack_fields(void)
{
	CASE(packs()[0].pack_bytes = 0, "pack.pack_bytes");
	CASE(packs()[0].pack_bytes += 1, "pack.pack_bytes");
	CASE(packs()[0].pack_bytes = MHS_IMAGE_BYTES_MAX + PAGE, "pack.pack_bytes");
	CASE(packs()[0].pack_bytes -= PAGE, "pack's data");
	CASE(packs()[1].content_hash[0] = 1, "twice");
	CASE(packs()[1].reserved0[23] = 1, "reserved0");
}

/* An image that holds its data itself has one piece. */
static void without_packs(void)
{
	const char *field;
	uint32_t segment;
	uint64_t at;

	build();
	image.features = 0;
	image.file_bytes = 0;
	image.extent_count = image.pack_count = 0;
	image.extent_table = image.pack_table = (struct mhs_image_span){ 0, 0 };
	t_eq(mhs_image_check_header(&image, IMAGE_PAGES * PAGE, NULL, &field), 0);
	t_eq(mhs_image_check_extents(&image, &file, &field), 0);
	t_eq(mhs_image_locate(&image, &file, 5 * PAGE, 2 * PAGE, &segment, &at), 0);
	t_ok(segment == 0 && at == 5 * PAGE);
}

/* Whatever stands in the tables: refused, or every tensor lies inside its segment. */
static void hostile_tables(void)
{
	static const uint64_t words[] = { 0, 1, PAGE, 2 * PAGE, 5 * PAGE, 16 * PAGE, UINT64_MAX,
					  UINT64_MAX - 4095, UINT64_C(1) << 63, UINT32_MAX };
	uint64_t seed = 11;
	uint32_t passed = 0;

	for (int round = 0; round < 200000; round++) {
		const char *field;

		build();
		for (uint64_t n = 1 + t_random(&seed) % 2; n; n--) {
			/* a word of the tensor, extent or pack table */
			uint64_t at = (t_random(&seed) % 3 ? 3 : 2) * PAGE + t_random(&seed) % 48 * 8;

			memcpy(file.bytes + at, &words[t_random(&seed) % 10], 8);
		}
		if (check(&field))
			continue;
		passed++;
		for (uint32_t i = 0; i < image.tensor_count; i++) {
			uint64_t at, end = sizeof(file), length = tensors()[i].length_bytes;
			uint32_t segment;

			t_need(!mhs_image_locate(&image, &file, tensors()[i].offset_bytes, length,
						 &segment, &at));
			t_need(segment <= image.pack_count);
			if (segment)
				end = packs()[segment - 1].pack_bytes;
			t_need(at <= end && length <= end - at);
		}
	}
	printf("# %u of 200000 passed\n", passed);
	t_ok(passed > 1000);
}

static struct mhs_pack_header pack;

static void pack_build(void)
{
	pack = (struct mhs_pack_header){
		.magic = MHS_PACK_MAGIC, .abi_major = MHS_IMAGE_ABI_MAJOR,
		.abi_minor = MHS_IMAGE_ABI_MINOR, .header_bytes = PAGE, .pack_bytes = 5 * PAGE,
		.chunk_bytes = MHS_IMAGE_CHUNK_BYTES, .chunk_count = 1, .data_offset_bytes = 2 * PAGE,
		.chunk_table = { PAGE, 16 },
	};
}

#define PACK(expr, want_err, want) do {							\
	const char *field_ = "";							\
	pack_build();									\
	expr;										\
	t_eq(mhs_pack_check_header(&pack, 5 * PAGE, NULL, &field_), want_err);		\
	if (!t_ok(strstr(field_, want)))						\
		printf("# %s: \"%s\"\n", #expr, field_);				\
} while (0)

static void pack_headers(void)
{
	const char *field = "";

	pack_build();
	t_eq(mhs_pack_check_header(&pack, 5 * PAGE, NULL, &field), 0);
	t_eq(mhs_pack_check_header(&pack, 5 * PAGE, sto_hash128, &field), -EBADMSG);
	PACK(pack.magic = MHS_IMAGE_MAGIC, -EINVAL, "not an mhost pack");
	PACK(pack.abi_major++, -ENOTSUP, "abi_major");
	PACK(pack.features = 1, -ENOTSUP, "features");
	PACK(pack.header_bytes = 0, -EINVAL, "header_bytes");
	PACK(pack.pack_bytes += PAGE, -EINVAL, "pack_bytes");
	PACK(pack.data_offset_bytes = PAGE, -EINVAL, "data_offset_bytes");
	PACK(pack.data_offset_bytes = 5 * PAGE, -EINVAL, "data_offset_bytes");
	PACK(pack.data_offset_bytes += 1, -EINVAL, "data_offset_bytes");
	PACK(pack.chunk_bytes = 4096, -EINVAL, "chunk_bytes");
	PACK(pack.chunk_count = 2, -EINVAL, "chunk_count");
	PACK(pack.chunk_table.offset_bytes = 0, -EINVAL, "chunk_table");
	PACK(pack.chunk_table.length_bytes = PAGE + 1, -EINVAL, "chunk_table");
	PACK(pack.reserved0[0] = 1, -EINVAL, "reserved0");
}

int main(void)
{
	T_RUN(sound);
	T_RUN(header_fields);
	T_RUN(extent_fields);
	T_RUN(first_extent);
	T_RUN(what_they_cover);
	T_RUN(pack_fields);
	T_RUN(without_packs);
	T_RUN(hostile_tables);
	T_RUN(pack_headers);
	return t_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * mhs_extent.c: where the pages of a packed image lie. The tables come from a file: nothing in them
 * is used before it was checked, and a length counts only when it fits in what is left.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "mhs_check_priv.h"

static bool is_aligned(uint64_t bytes)
{
	return bytes % MHS_IMAGE_ALIGN_BYTES == 0;
}

const struct mhs_image_extent *mhs_image_extents(const struct mhs_image_header *image,
						 const void *base)
{
	return (const void *)((const uint8_t *)base + image->extent_table.offset_bytes);
}

const struct mhs_image_pack *mhs_image_packs(const struct mhs_image_header *image, const void *base)
{
	return (const void *)((const uint8_t *)base + image->pack_table.offset_bytes);
}

static int check_packs(const struct mhs_image_header *image, const struct mhs_image_pack *packs,
		       const char **field)
{
	for (uint32_t i = 0; i < image->pack_count; i++) {
		/* header, chunk table and one page at least */
		if (packs[i].pack_bytes < 3 * MHS_PAGE_BYTES || !is_aligned(packs[i].pack_bytes) ||
		    packs[i].pack_bytes > MHS_IMAGE_BYTES_MAX)
			return mhs_refuse(field, "pack.pack_bytes: must be a multiple of 4096, "
				      "12288 to 4 TiB");
		if (!mhs_all_zero(packs[i].reserved0, sizeof(packs[i].reserved0)))
			return mhs_refuse(field, "pack.reserved0: must be zero");
		for (uint32_t k = 0; k < i; k++)
			if (!memcmp(packs[i].content_hash, packs[k].content_hash, MHS_HASH_BYTES))
				return mhs_refuse(field, "pack.content_hash: twice in the table");
	}
	return 0;
}

/* All up to the end of the tensor table, at the same place of the own file. */
static int check_first(const struct mhs_image_header *image, const struct mhs_image_extent *x,
		       const char **field)
{
	if (x->segment || x->image_offset_bytes || x->segment_offset_bytes ||
	    !is_aligned(x->length_bytes) || x->length_bytes > image->file_bytes ||
	    x->length_bytes < image->tensor_table.offset_bytes + image->tensor_table.length_bytes)
		return mhs_refuse(field, "extent 0: must hold the tables, at the beginning of the "
			      "image's own file");
	return 0;
}

static int check_extent(const struct mhs_image_header *image, const struct mhs_image_pack *packs,
			const struct mhs_image_extent *x, uint64_t end, const char **field)
{
	if (x->reserved0)
		return mhs_refuse(field, "extent.reserved0: must be zero");
	if (x->segment == 0 || x->segment > image->pack_count)
		return mhs_refuse(field, "extent.segment: must be 1..pack_count");
	if (!is_aligned(x->image_offset_bytes) || !is_aligned(x->length_bytes) ||
	    !is_aligned(x->segment_offset_bytes) || x->length_bytes == 0)
		return mhs_refuse(field, "extent: offsets and length must be whole pages");
	if (x->image_offset_bytes < end)
		return mhs_refuse(field, "extent.image_offset_bytes: overlaps the extent before");
	if (x->image_offset_bytes > end)
		return mhs_refuse(field, "extent.image_offset_bytes: leaves a gap after the extent before");
	if (x->length_bytes > image->image_bytes - end)
		return mhs_refuse(field, "extent.length_bytes: beyond the end of the image");
	/* what lies before is the pack's header and chunk table */
	if (x->segment_offset_bytes < 2 * MHS_PAGE_BYTES ||
	    x->segment_offset_bytes >= packs[x->segment - 1].pack_bytes ||
	    x->length_bytes > packs[x->segment - 1].pack_bytes - x->segment_offset_bytes)
		return mhs_refuse(field, "extent.segment_offset_bytes: must lie in the pack's data");
	return 0;
}

static bool is_whole(const struct mhs_image_header *image, const void *base, uint64_t offset_bytes,
		     uint64_t length_bytes)
{
	uint64_t at;
	uint32_t segment;

	return mhs_image_locate(image, base, offset_bytes, length_bytes, &segment, &at) == 0;
}

static int check_covered(const struct mhs_image_header *image, const void *base, const char **field)
{
	const struct mhs_image_tensor *tensors =
		(const void *)((const uint8_t *)base + image->tensor_table.offset_bytes);
	const struct mhs_image_span *spans[] = { &image->tokenizer, &image->chat_template };

	for (uint32_t i = 0; i < image->tensor_count; i++)
		if (!is_whole(image, base, tensors[i].offset_bytes, tensors[i].length_bytes))
			return mhs_refuse(field, "extents: a tensor lies in more than one");
	for (uint32_t i = 0; i < 2; i++)
		if (spans[i]->length_bytes &&
		    !is_whole(image, base, spans[i]->offset_bytes, spans[i]->length_bytes))
			return mhs_refuse(field, "extents: tokenizer or template lies in more than one");
	return 0;
}

int mhs_image_check_extents(const struct mhs_image_header *image, const void *base,
			    const char **field)
{
	const struct mhs_image_extent *extents = mhs_image_extents(image, base);
	const struct mhs_image_pack *packs = mhs_image_packs(image, base);
	uint64_t end;
	int err;

	if (!(image->features & MHS_IMAGE_PACKED))
		return 0;
	err = check_packs(image, packs, field);
	if (!err)
		err = check_first(image, &extents[0], field);
	if (err)
		return err;
	end = extents[0].length_bytes;
	for (uint32_t i = 1; i < image->extent_count; i++) {
		err = check_extent(image, packs, &extents[i], end, field);
		if (err)
			return err;
		end += extents[i].length_bytes;
	}
	if (end != image->image_bytes)
		return mhs_refuse(field, "extents: do not reach the end of the image");
	return check_covered(image, base, field);
}

/* The extent that holds @offset_bytes of the image. */
static const struct mhs_image_extent *extent_of(const struct mhs_image_header *image, const void *base,
						uint64_t offset_bytes)
{
	const struct mhs_image_extent *extents = mhs_image_extents(image, base);
	uint32_t low = 0, high = image->extent_count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (extents[middle].image_offset_bytes <= offset_bytes)
			low = middle;
		else
			high = middle;
	}
	return &extents[low];
}

uint64_t mhs_image_piece(const struct mhs_image_header *image, const void *base, uint64_t offset_bytes,
			 uint32_t *segment, uint64_t *segment_offset_bytes)
{
	const struct mhs_image_extent *x;
	uint64_t into;

	if (offset_bytes >= image->image_bytes)
		return 0;
	if (!(image->features & MHS_IMAGE_PACKED)) {
		*segment = 0;
		*segment_offset_bytes = offset_bytes;
		return image->image_bytes - offset_bytes;
	}
	x = extent_of(image, base, offset_bytes);
	into = offset_bytes - x->image_offset_bytes;
	if (into >= x->length_bytes)
		return 0;
	*segment = x->segment;
	*segment_offset_bytes = x->segment_offset_bytes + into;
	return x->length_bytes - into;
}

int mhs_image_locate(const struct mhs_image_header *image, const void *base, uint64_t offset_bytes,
		     uint64_t length_bytes, uint32_t *segment, uint64_t *segment_offset_bytes)
{
	uint64_t have = mhs_image_piece(image, base, offset_bytes, segment, segment_offset_bytes);

	return have && length_bytes <= have ? 0 : -ERANGE;
}

/* ---- packs ---------------------------------------------------------------------------------- */

static int check_pack_lengths(const struct mhs_pack_header *pack, uint64_t file_bytes,
			      const char **field)
{
	uint64_t data = pack->data_offset_bytes, table = pack->chunk_table.length_bytes;

	if (pack->pack_bytes != file_bytes)
		return mhs_refuse(field, "pack_bytes: must equal the file size, it is cut or padded");
	if (!is_aligned(file_bytes) || file_bytes > MHS_IMAGE_BYTES_MAX)
		return mhs_refuse(field, "pack_bytes: must be a multiple of 4096, at most 4 TiB");
	if (data < 2 * MHS_PAGE_BYTES || data >= file_bytes || !is_aligned(data))
		return mhs_refuse(field, "data_offset_bytes: must be a page boundary after the chunk "
			      "table, inside the file");
	if (pack->chunk_bytes != MHS_IMAGE_CHUNK_BYTES)
		return mhs_refuse(field, "chunk_bytes: must be 4194304");
	if (pack->chunk_count != (file_bytes - data + MHS_IMAGE_CHUNK_BYTES - 1) / MHS_IMAGE_CHUNK_BYTES)
		return mhs_refuse(field, "chunk_count: does not cover the data");
	if (pack->chunk_table.offset_bytes != MHS_PAGE_BYTES || table > data - MHS_PAGE_BYTES ||
	    table != (uint64_t)pack->chunk_count * MHS_CHUNK_HASH_BYTES)
		return mhs_refuse(field, "chunk_table: must follow the header, 16 bytes a chunk");
	return 0;
}

int mhs_pack_check_header(const struct mhs_pack_header *pack, uint64_t file_bytes,
			  mhs_hash128_fn check_hash, const char **field)
{
	int err;

	if (pack->magic != MHS_PACK_MAGIC)
		return mhs_refuse(field, "magic: this is not an mhost pack");
	if (pack->abi_major != MHS_IMAGE_ABI_MAJOR || pack->features) {
		*field = "abi_major, features: made by another mhost, import the version again";
		return -ENOTSUP;
	}
	if (pack->header_bytes != MHS_PAGE_BYTES)
		return mhs_refuse(field, "header_bytes: must be 4096");
	err = check_hash ? mhs_check_page(pack, pack->header_hash, check_hash, field) : 0;
	if (!err)
		err = check_pack_lengths(pack, file_bytes, field);
	if (err)
		return err;
	if (pack->abi_minor <= MHS_IMAGE_ABI_MINOR &&
	    !mhs_all_zero(pack->reserved0, sizeof(pack->reserved0)))
		return mhs_refuse(field, "reserved0: must be zero");
	return 0;
}

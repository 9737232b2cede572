/* SPDX-License-Identifier: MIT */
#include "mhs_check_priv.h"

#include <errno.h>
#include <string.h>

int mhs_refuse(const char **field, const char *text)
{
	*field = text;
	return -EINVAL;
}

bool mhs_all_zero(const void *bytes, size_t count)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < count; i++)
		if (p[i])
			return false;
	return true;
}

int mhs_check_page(const void *page, const uint8_t hash[MHS_CHUNK_HASH_BYTES], mhs_hash128_fn check_hash,
		   const char **field)
{
	uint8_t copy[MHS_PAGE_BYTES], found[MHS_CHUNK_HASH_BYTES];

	memcpy(copy, page, sizeof(copy));
	memset(copy + (hash - (const uint8_t *)page), 0, sizeof(found));
	check_hash(copy, sizeof(copy), found);
	if (memcmp(found, hash, sizeof(found)) == 0)
		return 0;
	*field = "header_hash: does not match, the header page is damaged";
	return -EBADMSG;
}

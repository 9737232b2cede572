/* SPDX-License-Identifier: MIT */
/*
 * sup_packs.c: the packs in memory. A load that needs one which another load is reading waits for
 * it. No load waits while others wait for it: it reads one pack at a time and holds those that it
 * has read as ready ones.
 */
#include "sup_packs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sto_version.h"
#include "sup_load.h"

static pthread_mutex_t packs_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t packs_moved = PTHREAD_COND_INITIALIZER;
static struct sup_pack *packs;

static struct sup_pack *find_locked(const struct mhs_image_pack *want)
{
	for (struct sup_pack *pack = packs; pack; pack = pack->next)
		if (pack->pack_bytes == want->pack_bytes &&
		    !memcmp(pack->content_hash, want->content_hash, MHS_HASH_BYTES))
			return pack;
	return NULL;
}

static void remove_locked(struct sup_pack *pack)
{
	struct sup_pack **at = &packs;

	while (*at != pack)
		at = &(*at)->next;
	*at = pack->next;
}

/* A pack that is being read is found by all, and ready later. */
static struct sup_pack *insert_locked(const struct mhs_image_pack *want)
{
	struct sup_pack *pack = calloc(1, sizeof(*pack));

	if (!pack)
		return NULL;
	memcpy(pack->content_hash, want->content_hash, MHS_HASH_BYTES);
	pack->pack_bytes = want->pack_bytes;
	pack->version_count = 1;
	pack->next = packs;
	packs = pack;
	return pack;
}

static int pack_read(struct sup_load *load, const struct mhs_image_pack *want,
		     struct sup_arenas *arenas)
{
	struct mhs_pack_header header;
	char name[STO_PACK_NAME_BYTES];
	struct sup_file file = {
		.what = name, .header = &header, .chunk_table_hash = header.chunk_table_hash,
		.fd = sto_pack_open(load->store, load->model, load->version, want, &header,
				    &load->error),
	};
	int err;

	if (file.fd < 0)
		return file.fd;
	sto_pack_name(want->content_hash, name);
	snprintf(file.name, sizeof(file.name), "mhost:%s:%.21s", load->model, name);
	file.file_bytes = header.pack_bytes;
	file.data_offset_bytes = header.data_offset_bytes;
	file.chunk_table = header.chunk_table;
	file.chunk_count = header.chunk_count;
	err = sup_arenas_read(load, &file, arenas);
	close(file.fd);
	return err;
}

/* Nobody else touches a pack that is not ready; waiters look again when it is, or is gone. */
static int pack_bring(struct sup_load *load, const struct mhs_image_pack *want, struct sup_pack *pack)
{
	int err = pack_read(load, want, &pack->arenas);

	pthread_mutex_lock(&packs_lock);
	if (err)
		remove_locked(pack);
	else
		pack->ready = true;
	pthread_cond_broadcast(&packs_moved);
	pthread_mutex_unlock(&packs_lock);
	if (err)
		free(pack);
	return err;
}

int sup_pack_get(struct sup_load *load, const struct mhs_image_pack *want, struct sup_pack **pack)
{
	struct sup_pack *found;
	bool is_new = false;
	int err = 0;

	pthread_mutex_lock(&packs_lock);
	while ((found = find_locked(want)) && !found->ready)
		pthread_cond_wait(&packs_moved, &packs_lock);
	if (found) {
		found->version_count++;
	} else {
		found = insert_locked(want);
		is_new = true;
	}
	pthread_mutex_unlock(&packs_lock);
	if (!found) {
		sto_fail(&load->error, "out of memory");
		return -ENOMEM;
	}
	if (is_new)
		err = pack_bring(load, want, found);
	*pack = err ? NULL : found;
	return err;
}

uint64_t sup_pack_put(struct sup_pack **pack)
{
	struct sup_pack *last = *pack;
	uint64_t bytes;

	*pack = NULL;
	pthread_mutex_lock(&packs_lock);
	if (--last->version_count)
		last = NULL;
	else
		remove_locked(last);
	pthread_mutex_unlock(&packs_lock);
	if (!last)
		return 0;
	bytes = sup_arenas_close(&last->arenas);
	free(last);
	return bytes;
}

bool sup_pack_has(const struct mhs_image_pack *want)
{
	bool has;

	pthread_mutex_lock(&packs_lock);
	has = find_locked(want) != NULL;
	pthread_mutex_unlock(&packs_lock);
	return has;
}

uint32_t sup_pack_versions(const struct sup_pack *pack)
{
	uint32_t count;

	pthread_mutex_lock(&packs_lock);
	count = pack->version_count;
	pthread_mutex_unlock(&packs_lock);
	return count;
}

uint64_t sup_packs_bytes(void)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&packs_lock);
	for (const struct sup_pack *pack = packs; pack; pack = pack->next)
		if (pack->ready)
			bytes += sup_arenas_bytes(&pack->arenas);
	pthread_mutex_unlock(&packs_lock);
	return bytes;
}

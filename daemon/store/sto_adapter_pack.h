/* SPDX-License-Identifier: MIT */
/*
 * sto_adapter_pack.h: an adapter into memory, without the store: from the two files of PEFT, or from
 * memory that holds what they would, to a sealed segment that a worker can attach. All is checked as
 * an import does, in the process of whoever calls.
 *
 * Its content_hash is the quick one (MHS_IMAGE_QUICK_HASH): SHA-256 over the chunk table alone,
 * whose XXH3-128 hashes cover every byte of the data. SHA-256 over the data would take longer than
 * all the rest. Contents that differ by training, accident or damage have different hashes; who
 * wants to build two that have the same can. So it is for those who may swap adapters anyway, and
 * never in the store.
 */
#ifndef STO_ADAPTER_PACK_H
#define STO_ADAPTER_PACK_H

#include "mhs_seg.h"
#include "sto_adapter.h"
#include "sto_version.h"

struct sto_adapter_pack {
	const char *model, *adapter, *version;	/* what the header is to say */
	const char *path;		/* PEFT folder; with descriptors: a word for messages */
	/*
	 * adapter_config.json and adapter_model.safetensors, files or memfds, borrowed and read by
	 * pread from byte 0; -1: those of the folder.
	 */
	int config_fd, weights_fd;
	struct sto_version *base;	/* open: the version whose shapes count */
	enum mhs_pages pages;		/* MHS_PAGES_2M: large pages where there are any; else MHS_PAGES_4K */
};

/*
 * The descriptor of a segment that holds the image, sealed for ever, and its header; or negative
 * errno with @error, as sto_adapter_import(). *@seg_bytes: its length: the image's, or with large
 * pages more, zeros.
 */
int sto_adapter_pack(const struct sto_adapter_pack *pack, struct mhs_image_header *header,
		     size_t *seg_bytes, struct sto_error *error);

#endif

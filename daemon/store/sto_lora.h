/* SPDX-License-Identifier: MIT */
/*
 * sto_lora.h: a PEFT folder as what the writer of adapter images wants: checked configuration, and
 * where A and B of each target lie in adapter_model.safetensors. No weights.
 */
#ifndef STO_LORA_H
#define STO_LORA_H

#include "sto_peft.h"
#include "sto_safetensors.h"
#include "sto_version.h"

struct sto_lora_half {
	uint32_t source;		/* ENG_SRC_F32, F16, BF16 */
	uint64_t offset_bytes;		/* in the file */
};

struct sto_lora_target {
	uint32_t role;			/* enum mhs_image_role of the matrix */
	uint32_t layer;
	uint32_t type;			/* enum eng_type of both halves in the image */
	uint64_t rows, cols;		/* as struct mhs_adapter_target has them */
	struct sto_peft_scale scale;
	struct sto_lora_half a, b;	/* plain rows: [rank x cols], [rows x rank] */
	char module[MHS_NAME_BYTES];	/* "model.layers.0.self_attn.q_proj" */
};

struct sto_lora {
	struct mhs_image_config config;	/* of the base */
	struct sto_peft peft;
	struct sto_file files[2];	/* adapter_config.json, adapter_model.safetensors */
	uint32_t file_count;		/* open ones */
	uint32_t target_count;		/* at least 1 */
	struct sto_lora_target *targets;	/* in rising order of (layer, role) */
};

/*
 * Read the PEFT folder @path for @base. Every target that the configuration names must have its A and
 * B in the shapes of @base, and every tensor must belong to a target; copies of the base's own
 * embeddings, which PEFT saves along, must be equal to them (within what @base's quantisation did).
 * 0 or negative errno with @error; sto_lora_fini() in every case.
 */
int sto_lora_read(struct sto_lora *lora, const char *path, struct sto_version *base,
		  struct sto_error *error);
/* The same of two open descriptors, which stay the caller's; @shown names where they come from. */
int sto_lora_read_fds(struct sto_lora *lora, int config_fd, int weights_fd, const char *shown,
		      struct sto_version *base, struct sto_error *error);
void sto_lora_fini(struct sto_lora *lora);

/* Rows as they stand in the file, at an address that fits their values (sto_lora_rows.c). */
/* Whether all of @rows x @cols are finite; if not, *@bad_row has one that is not. */
bool sto_lora_finite(uint32_t source, const void *in, uint64_t rows, uint64_t cols, uint64_t *bad_row);
/* @rows rows of @rank values to panels of @type: that of @source, or ENG_F32. */
void sto_lora_panels(uint32_t source, uint32_t type, const void *in, uint64_t rows, uint64_t rank,
		     void *out);

#endif

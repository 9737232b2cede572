/* SPDX-License-Identifier: MIT */
/* t_peft.h: PEFT folders for tools/tiny/model, sound or damaged. Sizes of it are in T_PEFT_*. */
#ifndef T_PEFT_H
#define T_PEFT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define T_TINY_MODEL	"tools/tiny/model"
#define T_TINY_HIDDEN	96u
#define T_TINY_KV	32u
#define T_TINY_VOCAB	768u
#define T_TINY_LAYERS	3u

struct t_peft_tensor {
	char name[160];
	char dtype[8];		/* "F32", "F16", "BF16", "I32" */
	uint32_t dim_count;
	uint64_t dims[3];
	uint8_t *data;
	size_t bytes;
};

struct t_peft {
	json_t *config;		/* adapter_config.json as PEFT writes it; change it at will */
	uint32_t count;
	struct t_peft_tensor *tensors;
	uint64_t seed;		/* of the next values */
};

/* A LoRA of rank @rank without tensors; target_modules is @targets, JSON text. */
void t_peft_init(struct t_peft *p, uint32_t rank, const char *targets);
void t_peft_fini(struct t_peft *p);
/* Append a tensor of random values of at most 1. @dtype of 4 or 2 bytes. */
struct t_peft_tensor *t_peft_add(struct t_peft *p, const char *name, const char *dtype, uint64_t rows,
				 uint64_t cols);
/* A and B of the module "layers.0.self_attn.q_proj", "embed_tokens" (without "model.") or "lm_head". */
void t_peft_pair(struct t_peft *p, const char *module, uint32_t rank, const char *dtype);
/* The same for @module ("q_proj") in all layers. */
void t_peft_pairs(struct t_peft *p, const char *module, uint32_t rank, const char *dtype);
struct t_peft_tensor *t_peft_find(const struct t_peft *p, const char *part);	/* name contains it */
void t_peft_drop(struct t_peft *p, const char *part);
/* Write both files into the folder @path, which is made. */
void t_peft_write(const struct t_peft *p, const char *path);
/* An adapter in the test's directory whose values are all finite while what comes of them is not. */
const char *t_peft_overflowing(void);

#endif

/* SPDX-License-Identifier: MIT */
/* import_hf_priv.h: the parts of reading a Hugging Face directory. */
#ifndef IMPORT_HF_PRIV_H
#define IMPORT_HF_PRIV_H

#include "sto_json.h"
#include "sto_model.h"

#define HF_PATH_BYTES	4352u

struct hf_dir {
	int fd;
	const char *path;	/* as the user gave it */
};

/* Append @name of the directory to the model's files. -ENOENT: it is not there. */
int hf_add_file(struct sto_model *model, const struct hf_dir *dir, const char *name,
		uint32_t *index, struct sto_error *error);
/*
 * Add a file of at most @limit_bytes and parse it, an object; *@shown is its path. *@root is NULL when it
 * does not exist and may be absent; released by json_decref.
 */
int hf_load_json(struct sto_model *model, const struct hf_dir *dir, const char *name, uint64_t limit_bytes,
		 bool optional, json_t **root, const char **shown, struct sto_error *error);
/* import_hf_chat.c: the chat template and the special tokens that it names. */
int hf_add_chat(struct sto_model *model, const struct hf_dir *dir, struct sto_error *error);
/* import_safetensors.c: place all tensors, from model.safetensors or the shards of its index. */
int hf_add_tensors(struct sto_model *model, const struct hf_dir *dir, struct sto_error *error);

#endif

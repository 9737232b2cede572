/* SPDX-License-Identifier: MIT */
/*
 * import_hf.c: a Hugging Face directory as a struct sto_model: config.json, generation_config.json,
 * tokenizer.json and the weights; import_hf_chat.c has what chats need.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import_hf_priv.h"
#include "sto_hf_config.h"
#include "sto_import.h"
#include "sto_json.h"
#include "sto_tok_json.h"

#define CONFIG_MAX	(UINT64_C(1) << 20)
#define TOKENIZER_MAX	(UINT64_C(64) << 20)

int hf_add_file(struct sto_model *model, const struct hf_dir *dir, const char *name,
		uint32_t *index, struct sto_error *error)
{
	char shown[HF_PATH_BYTES];
	size_t n = strlen(dir->path);

	snprintf(shown, sizeof(shown), "%s%s%s", dir->path, n && dir->path[n - 1] == '/' ? "" : "/",
		 name);
	return sto_model_add_file(model, dir->fd, name, shown, index, error);
}

int hf_load_json(struct sto_model *model, const struct hf_dir *dir, const char *name, uint64_t limit_bytes,
		 bool optional, json_t **root, const char **shown, struct sto_error *error)
{
	uint32_t index;
	int err = hf_add_file(model, dir, name, &index, error);

	*root = NULL;
	if (err == -ENOENT && optional)
		return 0;
	if (err)
		return err;
	*shown = model->files[index].path;
	return sto_json_load(&model->files[index], limit_bytes, root, error);
}

/* ---- configuration ----------------------------------------------------------------------- */

static int read_eos(struct sto_model *model, const struct hf_dir *dir, const char *config_shown,
		    const json_t *config, struct sto_error *error)
{
	const char *shown = NULL;
	bool found = false;
	json_t *root;
	int err = hf_load_json(model, dir, "generation_config.json", CONFIG_MAX, true, &root, &shown, error);

	if (!err && root)
		err = sto_hf_eos(model, shown, root, &found, error);
	json_decref(root);
	if (!err && !found)
		err = sto_hf_eos(model, config_shown, config, &found, error);
	return err;
}

static int read_config(struct sto_model *model, const struct hf_dir *dir, struct sto_error *error)
{
	const char *shown = NULL;
	json_t *root;
	int err = hf_load_json(model, dir, "config.json", CONFIG_MAX, false, &root, &shown, error);

	if (!err)
		err = sto_hf_config(model, shown, root, error);
	if (!err)
		err = read_eos(model, dir, shown, root, error);
	json_decref(root);
	return err;
}

/* ---- tokenizer --------------------------------------------------------------------------- */

static int read_tokenizer(struct sto_model *model, const struct hf_dir *dir,
			  struct sto_error *error)
{
	const struct sto_file *file;
	uint32_t index;
	char *text;
	int err = hf_add_file(model, dir, "tokenizer.json", &index, error);

	if (err)
		return err;
	file = &model->files[index];
	err = sto_file_load(file, TOKENIZER_MAX, &text, error);
	if (err)
		return err;
	err = sto_tok_json_compile(text, file->bytes, model->config.vocab_count, file->path,
				   &model->tokenizer, &model->tokenizer_bytes, error->text,
				   sizeof(error->text));
	if (err == -ENOMEM)
		sto_fail(error, "%s: out of memory; free some", file->path);
	free(text);
	return err;
}

int sto_import_hf(struct sto_model *model, const char *path, struct sto_error *error)
{
	struct hf_dir dir = { .path = path };
	int err;

	dir.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir.fd < 0) {
		err = -errno;
		sto_fail(error, "%s: cannot be opened: %s; check the path", path, strerror(-err));
		return err;
	}
	model->format = "huggingface";
	err = read_config(model, &dir, error);
	if (!err)
		err = hf_add_tensors(model, &dir, error);
	if (!err)
		err = hf_add_chat(model, &dir, error);
	if (!err)
		err = read_tokenizer(model, &dir, error);
	close(dir.fd);
	return err;
}

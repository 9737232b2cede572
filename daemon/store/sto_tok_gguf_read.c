/* SPDX-License-Identifier: MIT */
/* sto_tok_gguf_read.c: takes the vocabulary out of GGUF metadata. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "sto_gguf.h"
#include "sto_tok_gguf.h"

#define KEY(name)	"tokenizer.ggml." name

/* Everything of @v that is not borrowed from the file. */
struct owned {
	struct eng_tok_string *tokens, *merges;
	int32_t *types;
	float *scores;
	uint32_t type_count, score_count;
};

/* Absent keys are no error; -ENOENT ends here. */
static int optional(int err)
{
	return err == -ENOENT ? 0 : err;
}

static int read_flag(const struct sto_gguf *gguf, const char *key, int *flag,
		     struct sto_error *error)
{
	bool value;
	int err = sto_gguf_bool(gguf, key, &value, error);

	*flag = err ? -1 : value;
	return optional(err);
}

static int read_id(const struct sto_gguf *gguf, const char *key, uint32_t *id,
		   struct sto_error *error)
{
	*id = ENG_TOK_NONE;
	return optional(sto_gguf_u32(gguf, key, id, error));
}

static int read_scalars(const struct sto_gguf *gguf, struct sto_tok_gguf_vocab *v,
			struct sto_error *error)
{
	int err = optional(sto_gguf_string(gguf, KEY("model"), &v->model, error));

	err = err ? err : optional(sto_gguf_string(gguf, KEY("pre"), &v->pre, error));
	err = err ? err : read_id(gguf, KEY("bos_token_id"), &v->bos_id, error);
	err = err ? err : read_id(gguf, KEY("eos_token_id"), &v->eos_id, error);
	err = err ? err : read_id(gguf, KEY("unknown_token_id"), &v->unk_id, error);
	err = err ? err : read_flag(gguf, KEY("add_bos_token"), &v->add_bos, error);
	err = err ? err : read_flag(gguf, KEY("add_eos_token"), &v->add_eos, error);
	err = err ? err : read_flag(gguf, KEY("add_space_prefix"), &v->add_space_prefix, error);
	return err ? err
		   : read_flag(gguf, KEY("remove_extra_whitespaces"), &v->remove_extra_spaces,
			       error);
}

static int read_charsmap(const struct sto_gguf *gguf, struct sto_tok_gguf_vocab *v,
			 struct sto_error *error)
{
	const struct sto_gguf_pair *pair = sto_gguf_find(gguf, KEY("precompiled_charsmap"));

	if (!pair)
		return 0;
	if (!pair->is_array || pair->type > STO_GGUF_I8) {
		sto_fail(error, "%s: %s: has type %s, limit array of UINT8 or INT8; convert the "
			 "model again", gguf->file->path, pair->key,
			 sto_gguf_value_name(pair->type));
		return -EINVAL;
	}
	v->charsmap = pair->data;
	v->charsmap_bytes = pair->count;
	return 0;
}

/* The name is for people: of a wrong type it is not looked at. */
static void read_name(const struct sto_gguf *gguf, struct sto_tok_gguf_vocab *v)
{
	struct eng_tok_string name = {0};
	struct sto_error ignored;

	if (sto_gguf_string(gguf, "general.name", &name, &ignored))
		return;
	for (uint32_t i = 0; i + 4 <= name.bytes; i++)
		v->phi3 |= !strncasecmp(name.data + i, "phi3", 4) ||
			   (i + 5 <= name.bytes && !strncasecmp(name.data + i, "phi-3", 5));
}

static int check_count(const struct sto_gguf *gguf, const char *key, uint32_t count,
		       uint32_t tokens, struct sto_error *error)
{
	if (count == tokens)
		return 0;
	sto_fail(error, "%s: %s: has %u items, there are %u tokens; convert the model again",
		 gguf->file->path, key, count, tokens);
	return -EINVAL;
}

static int read_arrays(const struct sto_gguf *gguf, struct sto_tok_gguf_vocab *v, struct owned *o,
		       struct sto_error *error)
{
	int err = sto_gguf_strings(gguf, KEY("tokens"), &o->tokens, &v->token_count, error);

	if (err == -ENOENT) {
		sto_fail(error, "%s: %s: is missing; convert the model again", gguf->file->path,
			 KEY("tokens"));
		return -EINVAL;
	}
	err = err ? err
		  : optional(sto_gguf_strings(gguf, KEY("merges"), &o->merges, &v->merge_count,
					      error));
	err = err ? err
		  : optional(sto_gguf_i32s(gguf, KEY("token_type"), &o->types, &o->type_count,
					   error));
	err = err ? err
		  : optional(
			    sto_gguf_f32s(gguf, KEY("scores"), &o->scores, &o->score_count, error));
	if (!err && o->types)
		err = check_count(gguf, KEY("token_type"), o->type_count, v->token_count, error);
	if (!err && o->scores)
		err = check_count(gguf, KEY("scores"), o->score_count, v->token_count, error);
	v->tokens = o->tokens;
	v->merges = o->merges;
	v->types = o->types;
	v->scores = o->scores;
	return err;
}

int sto_tok_gguf(const struct sto_gguf *gguf, uint32_t rows, void **blob, size_t *blob_bytes,
		 struct sto_error *error)
{
	struct sto_tok_gguf_vocab v = {0};
	struct owned o = {0};
	int err = read_scalars(gguf, &v, error);

	*blob = NULL;
	*blob_bytes = 0;
	err = err ? err : read_charsmap(gguf, &v, error);
	err = err ? err : read_arrays(gguf, &v, &o, error);
	read_name(gguf, &v);
	if (!err)
		err = sto_tok_gguf_compile(&v, rows, gguf->file->path, blob, blob_bytes,
					   error->text, sizeof(error->text));
	free(o.tokens);
	free(o.merges);
	free(o.types);
	free(o.scores);
	return err;
}

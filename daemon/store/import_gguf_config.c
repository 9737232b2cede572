/* SPDX-License-Identifier: MIT */
/*
 * import_gguf_config.c: the numbers of a GGUF file whose architecture is a family's; what else it may
 * be is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "import_gguf_priv.h"

#define KEY_BYTES	96u
#define LIST_BYTES	384u

/* ---- keys -------------------------------------------------------------------------------- */

static const char *key_of(const struct gguf_config *g, const char *key, char whole[KEY_BYTES])
{
	snprintf(whole, KEY_BYTES, "%s.%s", g->arch, key);
	return whole;
}

static int need_u32(const struct gguf_config *g, const char *key, uint32_t *value)
{
	char whole[KEY_BYTES];
	int err = sto_gguf_u32(g->gguf, key_of(g, key, whole), value, g->error);

	if (err == -ENOENT)
		sto_fail(g->error, "%s: %s: is absent; " CONVERT, g->gguf->file->path, whole);
	return err ? -EINVAL : 0;
}

int gguf_maybe_u32(const struct gguf_config *g, const char *key, uint32_t *value)
{
	char whole[KEY_BYTES];
	int err = sto_gguf_u32(g->gguf, key_of(g, key, whole), value, g->error);

	return err == -ENOENT ? 0 : err;
}

int gguf_maybe_f32(const struct gguf_config *g, const char *key, float *value)
{
	char whole[KEY_BYTES];
	int err = sto_gguf_f32(g->gguf, key_of(g, key, whole), value, g->error);

	return err == -ENOENT ? 0 : err;
}

int gguf_unsupported(const struct gguf_config *g, const char *key, const char *is, const char *limit)
{
	char whole[KEY_BYTES];

	sto_fail(g->error, "%s: %s: is %s, limit %s; this kind of model is not supported",
		 g->gguf->file->path, key_of(g, key, whole), is, limit);
	return -ENOTSUP;
}

int gguf_demand_u32(const struct gguf_config *g, const char *key, uint32_t only)
{
	uint32_t value = only;
	char is[16], limit[16];

	if (gguf_maybe_u32(g, key, &value))
		return -EINVAL;
	snprintf(is, sizeof(is), "%u", value);
	snprintf(limit, sizeof(limit), "%u", only);
	return value == only ? 0 : gguf_unsupported(g, key, is, limit);
}

int gguf_demand_f32(const struct gguf_config *g, const char *key, float only)
{
	float value = only;
	char is[32], limit[32];

	if (gguf_maybe_f32(g, key, &value))
		return -EINVAL;
	snprintf(is, sizeof(is), "%g", (double)value);
	snprintf(limit, sizeof(limit), "%g", (double)only);
	return value == only ? 0 : gguf_unsupported(g, key, is, limit);
}

/* ---- experts ----------------------------------------------------------------------------- */

/* What would change the results. Softmax is 1. */
static int check_routing(const struct gguf_config *g)
{
	int err = gguf_demand_u32(g, "expert_shared_count", 0);

	if (!err)
		err = gguf_demand_u32(g, "expert_gating_func", 1);
	return err ? err : gguf_demand_f32(g, "expert_weights_scale", 1);
}

int gguf_experts(struct gguf_config *g)
{
	uint32_t count = 0, used = 0, intermediate = g->model->config.intermediate;
	char key[3][KEY_BYTES];
	int err = gguf_maybe_u32(g, "expert_count", &count);

	if (err || !count)
		return err;
	err = need_u32(g, "expert_used_count", &used);
	if (!err)
		err = gguf_maybe_u32(g, "expert_feed_forward_length", &intermediate);
	if (!err)
		err = check_routing(g);
	sto_model_set_experts(g->model, count, used, intermediate, MHS_EXPERTS_NORMED);
	return err ? err : sto_model_check_experts(g->model, g->gguf->file->path, key_of(g, "expert_count", key[0]),
						   key_of(g, "expert_used_count", key[1]),
						   key_of(g, "expert_feed_forward_length", key[2]), g->error);
}

/* ---- architecture ------------------------------------------------------------------------ */

static const struct sto_family *find_family(const struct eng_tok_string *arch)
{
	for (uint32_t i = 0; i < sto_family_count; i++) {
		const char *name = sto_families[i]->gguf;

		if (name && strlen(name) == arch->bytes && memcmp(name, arch->data, arch->bytes) == 0)
			return sto_families[i];
	}
	return NULL;
}

int import_gguf_architecture(const struct sto_gguf *gguf, struct sto_model *model,
			     struct sto_error *error)
{
	struct eng_tok_string arch;
	char known[LIST_BYTES];
	int err = sto_gguf_string(gguf, "general.architecture", &arch, error);

	sto_family_list(offsetof(struct sto_family, gguf), known, sizeof(known));
	if (err == -ENOENT)
		sto_fail(error, "%s: general.architecture: is absent, limit %s; " CONVERT,
			 gguf->file->path, known);
	if (err)
		return -EINVAL;
	model->family = find_family(&arch);
	if (model->family) {
		model->config.arch = model->family->arch;
		return 0;
	}
	sto_fail(error, "%s: general.architecture: is \"%.*s\", limit %s; give one of these",
		 gguf->file->path, (int)(arch.bytes < 64 ? arch.bytes : 64), arch.data, known);
	return -ENOTSUP;
}

/* ---- configuration ----------------------------------------------------------------------- */

static int read_sizes(const struct gguf_config *g, struct mhs_image_config *c)
{
	const struct sto_gguf_tensor *embed = sto_gguf_find_tensor(g->gguf, "token_embd.weight");

	if (!embed) {
		sto_fail(g->error, "%s: tensor token_embd.weight: is absent; " CONVERT,
			 g->gguf->file->path);
		return -EINVAL;
	}
	c->vocab_count = (uint32_t)embed->dims[1];	/* a dimension fits 32 bits */
	if (need_u32(g, "block_count", &c->layer_count) ||
	    need_u32(g, "context_length", &c->context_max) ||
	    need_u32(g, "embedding_length", &c->hidden) ||
	    need_u32(g, "feed_forward_length", &c->intermediate) ||
	    need_u32(g, "attention.head_count", &c->head_count))
		return -EINVAL;
	if (embed->dims[0] != c->hidden) {
		sto_fail(g->error,
			 "%s: %s.embedding_length: is %u, limit %llu (the rows of token_embd.weight); "
			 CONVERT,
			 g->gguf->file->path, g->arch, c->hidden, (unsigned long long)embed->dims[0]);
		return -EINVAL;
	}
	c->kv_head_count = c->head_count;
	if (gguf_maybe_u32(g, "attention.head_count_kv", &c->kv_head_count))
		return -EINVAL;
	return gguf_demand_u32(g, "vocab_size", c->vocab_count);
}

static int read_head_dim(const struct gguf_config *g, struct mhs_image_config *c)
{
	char whole[KEY_BYTES];
	int err = sto_gguf_u32(g->gguf, key_of(g, "attention.key_length", whole), &c->head_dim, g->error);

	if (err && err != -ENOENT)
		return err;
	if (err && (c->head_count == 0 || c->hidden % c->head_count)) {
		sto_fail(g->error,
			 "%s: %s.attention.head_count: is %u, limit a divisor of "
			 "%s.embedding_length = %u; " CONVERT,
			 g->gguf->file->path, g->arch, c->head_count, g->arch, c->hidden);
		return -EINVAL;
	}
	if (err)
		c->head_dim = c->hidden / c->head_count;
	return gguf_demand_u32(g, "attention.value_length", c->head_dim);
}

/* How much of each head rotates: all of it, but in some families. */
static int read_rotary(const struct gguf_config *g)
{
	struct sto_model *model = g->model;
	uint32_t dims = model->config.head_dim;

	if (!model->family->partial_rope)
		return gguf_demand_u32(g, "rope.dimension_count", dims);
	if (gguf_maybe_u32(g, "rope.dimension_count", &dims))
		return -EINVAL;
	if (dims < 2 || dims % 2 || dims > model->config.head_dim)
		return gguf_unsupported(g, "rope.dimension_count", "out of range",
					"an even number of each head's dims");
	model->shape.rotary_dim = dims == model->config.head_dim ? 0 : dims;
	return 0;
}

static int read_rms_eps(const struct gguf_config *g)
{
	const char *name = g->model->family->gguf_eps;
	char whole[KEY_BYTES];
	int err;

	key_of(g, name ? name : "attention.layer_norm_rms_epsilon", whole);
	err = sto_gguf_f32(g->gguf, whole, &g->model->config.rms_eps, g->error);
	if (err == -ENOENT)
		sto_fail(g->error, "%s: %s: is absent; " CONVERT, g->gguf->file->path, whole);
	return err ? -EINVAL : 0;
}

static int check_variants(const struct gguf_config *g)
{
	int err = g->model->family->gguf_experts ? 0 : gguf_demand_u32(g, "expert_count", 0);

	if (!err)
		err = gguf_demand_f32(g, "attention.scale", 0.0f);
	return err ? err : gguf_demand_f32(g, "logit_scale", 0.0f);
}

static int read_all(struct gguf_config *g)
{
	struct sto_model *model = g->model;
	int err = read_sizes(g, &model->config);

	if (!err)
		err = read_head_dim(g, &model->config);
	if (!err)
		err = read_rms_eps(g);
	if (!err)
		err = check_variants(g);
	model->rope_base = model->local_rope_base = 10000.0f;
	if (!err)
		err = model->family->gguf_read(g);
	if (err || model->shape.flags & MHS_SHAPE_POSITIONS)
		return err;
	err = read_rotary(g);
	return err ? err : gguf_maybe_f32(g, "rope.freq_base", &model->rope_base);
}

/* Names of the keys for messages. */
struct keys {
	char text[9][KEY_BYTES];
	struct sto_config_names names;
};

static void name_keys(const struct gguf_config *g, struct keys *k)
{
	k->names = (struct sto_config_names){
		.layer_count = key_of(g, "block_count", k->text[0]),
		.hidden = key_of(g, "embedding_length", k->text[1]),
		.intermediate = key_of(g, "feed_forward_length", k->text[2]),
		.head_count = key_of(g, "attention.head_count", k->text[3]),
		.kv_head_count = key_of(g, "attention.head_count_kv", k->text[4]),
		.head_dim = key_of(g, "attention.key_length", k->text[5]),
		.vocab_count = "tensor token_embd.weight, rows",
		.context_max = key_of(g, "context_length", k->text[6]),
		.rms_eps = key_of(g, g->model->family->gguf_eps ? g->model->family->gguf_eps :
				  "attention.layer_norm_rms_epsilon", k->text[7]),
		.rope_base = key_of(g, "rope.freq_base", k->text[8]),
	};
}

int import_gguf_config(const struct sto_gguf *gguf, struct sto_model *model, struct sto_error *error)
{
	struct gguf_config g = { .gguf = gguf, .arch = model->family->gguf, .model = model,
				 .error = error };
	const char *path = gguf->file->path;
	struct keys keys;
	int err = read_all(&g);

	name_keys(&g, &keys);
	if (!err)
		err = sto_model_check_config(model, path, &keys.names, error);
	if (!err && !(model->shape.flags & MHS_SHAPE_POSITIONS))
		err = import_gguf_rope(&g);
	if (!err)
		err = sto_model_set_rope(model, path, &g.rope, &g.local, error);
	sto_rope_fini(&g.rope);
	sto_rope_fini(&g.local);
	return err;
}

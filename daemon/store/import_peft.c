/* SPDX-License-Identifier: MIT */
/* import_peft.c: a PEFT folder: its configuration, and A and B of each target in its weights. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import_peft_priv.h"
#include "mhs_adapter.h"
#include "sto_family.h"

#define CONFIG_NAME	"adapter_config.json"
#define WEIGHTS_NAME	"adapter_model.safetensors"
#define PICKLE_NAME	"adapter_model.bin"
#define PREFIX		"base_model.model."
#define EXPERTS		".experts."
#define PATH_BYTES	4096u
#define NAME_BYTES	160u

struct reader {
	struct sto_lora *lora;
	struct sto_version *base;
	const struct sto_family *family;	/* of the base */
	struct sto_safetensors st;
	bool *used;			/* one for each tensor */
	struct sto_error *error;
};

/* ---- files ----------------------------------------------------------------------------------- */

static int add_file(struct sto_lora *lora, int dir_fd, const char *path, const char *name,
		    struct sto_error *error)
{
	char shown[PATH_BYTES];
	size_t n = strlen(path);
	int err;

	snprintf(shown, sizeof(shown), "%s%s%s", path, n && path[n - 1] == '/' ? "" : "/", name);
	err = sto_file_open(&lora->files[lora->file_count], dir_fd, name, shown, error);
	if (!err)
		lora->file_count++;
	return err;
}

static int open_files(struct sto_lora *lora, const char *path, struct sto_error *error)
{
	int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (dir_fd < 0) {
		err = -errno;
		sto_fail(error, "%s: cannot be opened as a folder: %s; give a PEFT folder with "
			 CONFIG_NAME, path, strerror(-err));
		return err;
	}
	err = add_file(lora, dir_fd, path, CONFIG_NAME, error);
	if (!err)
		err = add_file(lora, dir_fd, path, WEIGHTS_NAME, error);
	if (err == -ENOENT && lora->file_count && faccessat(dir_fd, PICKLE_NAME, F_OK, 0) == 0)
		sto_fail(error, "%s: " WEIGHTS_NAME ": is absent, and " PICKLE_NAME " is a pickle, which "
			 "is not read, limit safetensors; save it with safe_serialization=True", path);
	close(dir_fd);
	return err;
}

/* ---- one half of a target --------------------------------------------------------------------- */

static int check_half(const struct reader *r, const struct sto_st_tensor *t, uint64_t rows,
		      uint64_t cols, const char *limit)
{
	const char *path = r->st.file->path;

	if (t->source == STO_ST_NOT_FLOAT) {
		sto_fail(r->error, "%s: tensor %s: dtype is %s, limit F32, F16, BF16; convert the "
			 "weights", path, t->name, t->dtype);
		return -EINVAL;
	}
	if (t->dim_count == 2 && t->dims[0] == rows && t->dims[1] == cols)
		return 0;
	sto_fail(r->error,
		 "%s: tensor %s: shape has %u dimensions, %llu x %llu, limit 2, %llu x %llu (%s); "
		 "correct " CONFIG_NAME " or give the base that it was trained on",
		 path, t->name, t->dim_count, (unsigned long long)(t->dim_count ? t->dims[0] : 0),
		 (unsigned long long)(t->dim_count > 1 ? t->dims[1] : 1), (unsigned long long)rows,
		 (unsigned long long)cols, limit);
	return -EINVAL;
}

static const struct sto_st_tensor *find_half(const struct reader *r, const struct sto_lora_target *t,
					     char half, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, t->role == MHS_ROLE_EMBED ? PREFIX "%s.lora_embedding_%c" :
		 PREFIX "%s.lora_%c.weight", t->module, half);
	return sto_st_find(&r->st, name);
}

static int fail_absent(const struct reader *r, const char *name, bool other)
{
	sto_fail(r->error, "%s: tensor %s: is absent, %s; save the adapter again", r->st.file->path, name,
		 other ? "limit A and B of each target, and its other half is there" :
		 "limit A and B of each module that target_modules names");
	return -EINVAL;
}

static void use_half(const struct reader *r, const struct sto_st_tensor *t,
		     struct sto_lora_half *half)
{
	half->source = t->source;
	half->offset_bytes = t->offset_bytes;
	r->used[t - r->st.tensors] = true;
}

/* Halves of two types become F32, which holds both. */
static uint32_t type_of(uint32_t a, uint32_t b)
{
	return a == b ? eng_type_of_source(a) : ENG_F32;
}

/* @first, @total: the target's rows in B, which may be that of a fused matrix. */
static int add_halves(const struct reader *r, struct sto_lora_target *t, uint64_t first, uint64_t total)
{
	char a_name[NAME_BYTES], b_name[NAME_BYTES];
	const struct sto_st_tensor *a = find_half(r, t, 'A', a_name);
	const struct sto_st_tensor *b = find_half(r, t, 'B', b_name);
	int err;

	if (!a || !b)
		return fail_absent(r, a ? b_name : a_name, a || b);
	err = check_half(r, a, t->scale.rank, t->cols, "rank of " CONFIG_NAME " x inputs of the base");
	if (!err)
		err = check_half(r, b, total, t->scale.rank,
				 "outputs of the base x rank of " CONFIG_NAME);
	if (err)
		return err;
	use_half(r, a, &t->a);
	use_half(r, b, &t->b);
	t->b.offset_bytes += first * t->scale.rank * eng_source_block_bytes(b->source);
	t->type = type_of(a->source, b->source);
	return 0;
}

/* ---- targets ---------------------------------------------------------------------------------- */

/* "model.layers.%u.mlp.up_proj.weight" without its end. */
static void module_name(const struct sto_name *names, uint32_t layer, char module[MHS_NAME_BYTES])
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), names->hf, layer);
	snprintf(module, MHS_NAME_BYTES, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
}

static int add_target(const struct reader *r, const struct sto_slot *slot, uint32_t layer)
{
	const struct sto_name names = sto_slot_name(slot, r->family);
	struct sto_lora *lora = r->lora;
	struct sto_lora_target *t = &lora->targets[lora->target_count];
	uint64_t first = 0, total;
	int found, err;

	memset(t, 0, sizeof(*t));
	module_name(&names, layer, t->module);
	found = sto_peft_is_target(&lora->peft, t->module, slot->per_layer ? (int)layer : -1, r->error);
	if (found <= 0)
		return found;
	t->role = slot->role;
	t->layer = layer;
	err = mhs_adapter_shape(&lora->config, t->role, &t->rows, &t->cols);
	total = t->rows;
	if (names.how & STO_FUSED)
		sto_slot_fused(slot, &lora->config, &first, &total);
	if (!err)
		err = sto_peft_scale(&lora->peft, t->module, &t->scale, r->error);
	if (!err)
		err = add_halves(r, t, first, total);
	if (!err)
		lora->target_count++;
	return err;
}

static int by_place(const void *a, const void *b)
{
	const struct sto_lora_target *x = a, *y = b;

	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->role < y->role ? -1 : x->role > y->role;
}

static bool may_be_target(const struct reader *r, const struct sto_slot *slot)
{
	return !slot->vector && slot->role != MHS_ROLE_POSITIONS && slot->in != STO_EXPERT_LAYER &&
	       sto_slot_present(slot, &r->base->header.shape);
}

/* The last words of the modules that may be targets, each once. */
static void list_modules(const struct reader *r, char *list, size_t bytes)
{
	size_t n = 0;

	list[0] = '\0';
	for (uint32_t i = 0; i < sto_slot_count && n < bytes; i++) {
		struct sto_name names = sto_slot_name(&sto_slots[i], r->family);
		char module[MHS_NAME_BYTES];
		const char *dot;

		if (!may_be_target(r, &sto_slots[i]))
			continue;
		module_name(&names, 0, module);
		dot = strrchr(module, '.');
		dot = dot ? dot + 1 : module;
		if (!strstr(list, dot))
			n += (size_t)snprintf(list + n, bytes - n, "%s%s", n ? ", " : "", dot);
	}
}

static int no_targets(const struct reader *r)
{
	char modules[256];

	list_modules(r, modules, sizeof(modules));
	sto_fail(r->error, "%s: target_modules: names no module of the base, limit %s; give the base that it was "
		 "trained on", r->lora->peft.shown, modules);
	return -EINVAL;
}

/* With tied weights one LoRA would act in two places. */
static int check_tying(const struct reader *r)
{
	const struct sto_lora *lora = r->lora;

	for (uint32_t i = 0; i < lora->target_count; i++) {
		if (!lora->peft.ensure_tying || lora->targets[i].role > MHS_ROLE_OUTPUT)
			continue;
		sto_fail(r->error, "%s: ensure_weight_tying: is true and %s is a target, limit false; train "
			 "without it", lora->peft.shown, lora->targets[i].module);
		return -ENOTSUP;
	}
	return 0;
}

static int add_targets(const struct reader *r)
{
	struct sto_lora *lora = r->lora;
	uint32_t layers = lora->config.layer_count;
	int err = 0;

	lora->targets = calloc((size_t)sto_slot_count * layers, sizeof(*lora->targets));
	if (!lora->targets) {
		sto_fail(r->error, "%s: out of memory; free some", lora->peft.shown);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < sto_slot_count && !err; i++) {
		if (!may_be_target(r, &sto_slots[i]))
			continue;
		for (uint32_t l = 0; l < (sto_slots[i].per_layer ? layers : 1) && !err; l++)
			if (sto_slot_in_layer(&sto_slots[i], &r->base->header.experts, l))
				err = add_target(r, &sto_slots[i], l);
	}
	if (!err && !lora->target_count)
		err = no_targets(r);
	if (err)
		return err;
	qsort(lora->targets, lora->target_count, sizeof(*lora->targets), by_place);
	return check_tying(r);
}

/* ---- what is left over ------------------------------------------------------------------------ */

static int refuse_tensor(const struct reader *r, const struct sto_st_tensor *t)
{
	static const struct { const char *part, *why; } kinds[] = {
		{ ".lora_magnitude_vector", "belongs to DoRA (use_dora), which is not supported" },
		{ ".lora_B.bias", "belongs to lora_bias, which is not supported" },
		{ ".modules_to_save.", "belongs to modules_to_save, which is not supported" },
		{ ".token_adapter.", "belongs to trainable_token_indices, which is not supported" },
		{ EXPERTS, "adapts experts, which is not supported" },
		{ ".mlp.gate.", "adapts a router, which is not supported" },
		{ ".block_sparse_moe.", "adapts a router, which is not supported" },
		{ ".lora_", "is of no module that target_modules names and the base has" },
	};
	const char *why = "is no part of a LoRA";

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strstr(t->name, kinds[i].part))
			continue;
		why = kinds[i].why;
		break;
	}
	sto_fail(r->error, "%s: tensor %.120s: %s, limit A and B of each target; give the base that it was "
		 "trained on, or save the adapter again", r->st.file->path, t->name, why);
	return -EINVAL;
}

/* Said first: their modules may have the names of others, which would be said to be absent. */
static int check_no_experts(const struct reader *r)
{
	for (uint32_t i = 0; i < r->st.tensor_count; i++)
		if (strstr(r->st.tensors[i].name, EXPERTS))
			return refuse_tensor(r, &r->st.tensors[i]);
	return 0;
}

static int check_rest(const struct reader *r)
{
	for (uint32_t i = 0; i < r->st.tensor_count; i++) {
		const struct sto_st_tensor *t = &r->st.tensors[i];
		int err = -ENOENT;

		if (r->used[i])
			continue;
		if (!strncmp(t->name, PREFIX, strlen(PREFIX)))
			err = peft_check_copy(r->st.file, t, t->name + strlen(PREFIX), r->base, r->error);
		if (err)
			return err == -ENOENT ? refuse_tensor(r, t) : err;
	}
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static int read_weights(struct reader *r)
{
	struct sto_lora *lora = r->lora;
	int err = sto_st_open(&r->st, &lora->files[1], r->error);

	if (err)
		return err;
	r->used = calloc(r->st.tensor_count, sizeof(*r->used));
	if (r->used) {
		err = check_no_experts(r);
		err = err ? err : add_targets(r);
	} else {
		err = -ENOMEM;
		sto_fail(r->error, "%s: out of memory; free some", lora->files[1].path);
	}
	if (!err)
		err = check_rest(r);
	free(r->used);
	sto_st_close(&r->st);
	return err;
}

static int read_opened(struct sto_lora *lora, struct sto_version *base, struct sto_error *error)
{
	struct reader r = { .lora = lora, .base = base, .error = error };
	int err;

	lora->config = base->header.config;
	r.family = sto_family_of_arch(lora->config.arch);
	if (!r.family) {
		sto_fail(error, "base: %s@%s: adapters of architecture %u are not supported; give another base",
			 base->model, base->version, lora->config.arch);
		return -ENOTSUP;
	}
	err = sto_peft_read(&lora->peft, &lora->files[0], r.family, error);
	return err ? err : read_weights(&r);
}

int sto_lora_read(struct sto_lora *lora, const char *path, struct sto_version *base,
		  struct sto_error *error)
{
	int err;

	memset(lora, 0, sizeof(*lora));
	err = open_files(lora, path, error);
	return err ? err : read_opened(lora, base, error);
}

int sto_lora_read_fds(struct sto_lora *lora, int config_fd, int weights_fd, const char *shown,
		      struct sto_version *base, struct sto_error *error)
{
	const int fds[] = { config_fd, weights_fd };
	int err = 0;

	memset(lora, 0, sizeof(*lora));
	for (uint32_t i = 0; i < 2 && !err; i++) {
		char name[PATH_BYTES];

		snprintf(name, sizeof(name), "%s/%s", shown, i ? WEIGHTS_NAME : CONFIG_NAME);
		err = sto_file_adopt(&lora->files[i], fds[i], name, error);
		lora->file_count += !err;
	}
	return err ? err : read_opened(lora, base, error);
}

void sto_lora_fini(struct sto_lora *lora)
{
	sto_peft_fini(&lora->peft);
	for (uint32_t i = 0; i < lora->file_count; i++)
		sto_file_close(&lora->files[i]);
	free(lora->targets);
	memset(lora, 0, sizeof(*lora));
}

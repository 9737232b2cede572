/* SPDX-License-Identifier: MIT */
/*
 * sup_strand.c: a version that becomes active takes its model's adapters along. One that it does not
 * fit would fail every request that names it: the operator says beforehand whether that is refused or
 * told. Going back is never refused: the version in use is worse.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "mhs_adapter.h"
#include "sup_op_priv.h"

/* Shapes of the routed version; false: not known, it is not in memory and cannot be read. */
static bool shapes_get(struct sup_model *model)
{
	const struct sup_version *version = sup_version_find(model->sup, model->name, model->chosen);
	char base[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];
	struct mhs_image_header header;
	struct sto_error ignored;
	int fd;

	if (model->shapes_known)
		return true;
	if (version && version->phase >= SUP_ATTACHING) {
		model->shapes = version->load->header.config;
		return model->shapes_known = true;
	}
	sup_target_split(model->name, base, adapter);
	fd = sto_adapter_open(model->sup->conf.store, base, adapter, model->chosen, &header, &ignored);
	if (fd < 0)
		return false;
	close(fd);
	model->shapes = header.config;
	return model->shapes_known = true;
}

static bool lies_on(const struct sup_model *model, const char *base)
{
	size_t n = strlen(base);

	return model->is_adapter && strncmp(model->name, base, n) == 0 && model->name[n] == '/';
}

json_t *sup_stranded(struct sup_version *version, struct sto_error *first)
{
	struct sup *sup = version->sup;
	json_t *list = json_array();
	const char *field;
	char name[SUP_NAME_BYTES + MHS_SEMVER_BYTES + 1];

	for (uint32_t i = 0; i < sup->model_count; i++) {
		struct sup_model *model = &sup->models[i];

		if (!model->chosen[0] || !lies_on(model, version->model->name) || !shapes_get(model) ||
		    mhs_adapter_fits(&model->shapes, &version->load->header.config, &field) == 0)
			continue;
		snprintf(name, sizeof(name), "%s@%s", model->name, model->chosen);
		if (json_array_size(list) == 0)
			sto_fail(first, "%s is routed and does not fit it: %s differs", name, field);
		json_array_append_new(list, json_string(name));
	}
	return list;
}

/* The operator's word, of the model. */
static bool may_strand(const struct sup_op *op)
{
	const struct sup_model_conf *conf = sup_conf_model_find(&op->sup->conf, op->model);

	return op->forced || op->at_start || op->kind == OP_ROLLBACK || op->plan.resumed ||
	       (conf && conf->strand == SUP_STRAND_TELL);
}

bool sup_op_strands(struct sup_op *op)
{
	struct sto_error first;
	size_t count;

	if (op->version->model->is_adapter || op->stranded || op->version->model->active == op->version)
		return false;
	op->stranded = sup_stranded(op->version, &first);
	count = json_array_size(op->stranded);
	if (!count)
		return false;
	if (may_strand(op)) {
		log_warning("%s@%s: %s (%zu adapters in all)", op->model, op->semver, first.text, count);
		return false;
	}
	sup_op_fail(op, "%s@%s: %.200s (%zu adapters in all); unload it, swap in a version made for it, or say "
		    "--force; see strand in mhost.ini(5)", op->model, op->semver, first.text, count);
	return true;
}

/* SPDX-License-Identifier: MIT */
/* cmd_adapter.c: import, show and list adapters of the store. Needs no daemon. */
#include "cmd_adapter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- import ------------------------------------------------------------------------------------ */

static void print_imported(const struct sto_adapter_import *import, const struct sto_adapter_result *r,
			   bool json)
{
	char hash[2 * MHS_HASH_BYTES + 1], fits[2 * MHS_HASH_BYTES + 1], ranks[32];

	cmd_hex(r->content_hash, MHS_HASH_BYTES, hash);
	cmd_hex(r->fits_hash, MHS_HASH_BYTES, fits);
	if (json) {
		cmd_json_print(json_pack(
			"{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:s?, s:f}", "model",
			import->model, "adapter", import->adapter, "version", r->version, "base", r->base,
			"image", r->image_path, "content_hash", hash, "fits_hash", fits, "image_bytes",
			(json_int_t)r->image_bytes, "source_bytes", (json_int_t)r->source_bytes, "targets",
			r->target_count, "rank_min", r->rank_min, "rank_max", r->rank_max, "parent",
			r->parent[0] ? r->parent : NULL, "seconds", r->seconds));
		return;
	}
	snprintf(ranks, sizeof(ranks), r->rank_min == r->rank_max ? "%u" : "%u to %u", r->rank_min,
		 r->rank_max);
	printf("imported %s/%s@%s for %s@%s: %u targets, rank %s, %.2f MB, content %.16s..., %.2f s\n",
	       import->model, import->adapter, r->version, import->model, r->base, r->target_count, ranks,
	       (double)r->image_bytes / 1e6, hash, r->seconds);
}

int cmd_adapter_import(const struct cmd *cmd, struct sto_adapter_import *import, bool json)
{
	static struct sto_adapter_result result;
	struct sto_error error = { "" };

	import->stop = cmd_catch_signals();
	if (sto_adapter_import(import, &result, &error))
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	if (sto_adapter_log(import, &result, &error))
		cmd_fail(cmd, 0, "warning: imported, but not in the history: %s", error.text);
	print_imported(import, &result, json);
	return CMD_OK;
}

/* ---- show -------------------------------------------------------------------------------------- */

/* The store of the verb; *@adapters: --adapters was given. NULL: CMD_USAGE is due. */
static const char *parse_store(const struct cmd *cmd, int argc, char **argv, bool *adapters)
{
	static const struct option longs[] = { { "store", required_argument, NULL, 's' },
					       { "adapters", no_argument, NULL, 'a' }, { 0 } };
	const char *store = NULL;
	int opt;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 's')
			store = optarg;
		else if (opt == 'a' && adapters)
			*adapters = true;
		else
			return NULL;
	}
	return cmd_store(cmd, store);
}

static json_t *target_object(const struct mhs_image_header *h, const void *base, uint32_t index)
{
	static const char *const types[] = { [2] = "F32", [3] = "F16", [4] = "BF16" };
	const struct mhs_image_tensor *table = (const void *)((const char *)base +
							      h->tensor_table.offset_bytes);
	struct mhs_adapter_target t;
	char name[MHS_NAME_BYTES];
	char *end;

	mhs_adapter_target(h, base, index, &t);
	memcpy(name, table[2 * index].name, sizeof(name));
	end = strstr(name, ".lora_");
	if (end)
		*end = 0;
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:s}", "module", name, "layer", t.layer, "rank",
			 t.rank, "rows", t.rows, "cols", t.cols, "scale", (double)t.scale, "type",
			 types[t.type]);
}

/* The manifest, and what the image itself says of its targets. */
static json_t *show_object(const char *store, const char *model, const char *adapter,
			   const char *version, struct sto_error *error)
{
	struct mhs_image_header header;
	json_t *manifest = NULL, *targets;
	void *base = NULL;

	if (sto_adapter_read(store, model, adapter, version, &header, &base, error) ||
	    sto_adapter_manifest(store, model, adapter, version, &manifest, error)) {
		free(base);
		return NULL;
	}
	targets = json_array();
	for (uint32_t i = 0; i < mhs_adapter_count(&header); i++)
		json_array_append_new(targets, target_object(&header, base, i));
	free(base);
	json_object_set_new(manifest, "targets", targets);
	return manifest;
}

static void print_shown(json_t *manifest)
{
	json_t *targets = json_incref(json_object_get(manifest, "targets")), *t;
	char *text;
	size_t i;

	json_object_del(manifest, "targets");
	text = json_dumps(manifest, JSON_INDENT(2));
	printf("%s\n%-44s %6s %14s %10s %s\n", text ? text : "", "target", "rank", "rows x cols", "scale",
	       "type");
	free(text);
	json_array_foreach(targets, i, t) {
		char shape[48];

		snprintf(shape, sizeof(shape), "%lld x %lld",
			 (long long)json_integer_value(json_object_get(t, "rows")),
			 (long long)json_integer_value(json_object_get(t, "cols")));
		printf("%-44s %6lld %14s %10.6g %s\n", json_string_value(json_object_get(t, "module")),
		       (long long)json_integer_value(json_object_get(t, "rank")), shape,
		       json_number_value(json_object_get(t, "scale")),
		       json_string_value(json_object_get(t, "type")));
	}
	json_decref(targets);
}

int cmd_adapter_show(const struct cmd *cmd, int argc, char **argv)
{
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	const char *store = parse_store(cmd, argc, argv, NULL);
	struct sto_error error;
	json_t *manifest;

	if (!store)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(cmd, "MODEL/ADAPTER@VERSION [--store DIR] [--json]");
	if (sto_adapter_ref_parse(argv[optind], 0, model, adapter, version, &error))
		return cmd_fail(cmd, CMD_USAGE, "%s", error.text);
	manifest = show_object(store, model, adapter, version, &error);
	if (!manifest)
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	if (cmd->json)
		cmd_json_print(json_incref(manifest));
	else
		print_shown(manifest);
	json_decref(manifest);
	return CMD_OK;
}

/* ---- list -------------------------------------------------------------------------------------- */

struct list {
	const char *store;
	json_t *rows;
	int err;
	struct sto_error error;
};

/* One whose manifest cannot be read is listed with its problem: `mhost verify` tells more. */
static int add_row(void *arg, const char *model, const char *adapter, const char *version)
{
	struct list *list = arg;
	struct sto_error error;
	json_t *manifest = NULL, *lora, *base, *image, *row;

	row = json_pack("{s:s, s:s, s:s}", "model", model, "adapter", adapter, "version", version);
	if (sto_adapter_manifest(list->store, model, adapter, version, &manifest, &error))
		json_object_set_new(row, "problem", json_string(error.text));
	lora = json_object_get(manifest, "lora");
	base = json_object_get(manifest, "base");
	image = json_object_get(manifest, "image");
	json_object_update_new(row, json_pack("{s:O*, s:O*, s:O*, s:O*, s:O*, s:O*, s:O*}", "base",
		json_object_get(base, "version"), "fits_hash", json_object_get(base, "fits_hash"), "ranks",
		json_object_get(lora, "ranks"), "targets", json_object_get(lora, "target_count"), "bytes",
		json_object_get(image, "bytes"), "content_hash", json_object_get(image, "content_hash"),
		"created", json_object_get(manifest, "created")));
	json_decref(manifest);
	return json_array_append_new(list->rows, row);
}

static int each_model(void *arg, const char *model)
{
	struct list *list = arg;

	list->err = sto_adapters_each(list->store, model, add_row, list, &list->error);
	return list->err;
}

int cmd_adapter_rows(const char *store, const char *model, json_t *rows, struct sto_error *error)
{
	struct list list = { .store = store, .rows = rows };

	if (!model)
		list.err = sto_models_each(store, each_model, &list, &list.error);
	else if (sto_name_check(model, &list.error))
		list.err = -EINVAL;
	else
		each_model(&list, model);
	*error = list.error;
	return list.err;
}

static void print_rows(const json_t *rows)
{
	const json_t *row;
	size_t i;

	if (json_array_size(rows))
		printf("%-44s %-10s %8s %10s %s\n", "adapter", "base", "targets", "MB", "content");
	json_array_foreach(rows, i, row) {
		const char *hash = json_string_value(json_object_get(row, "content_hash"));
		const char *base = json_string_value(json_object_get(row, "base"));
		const char *problem = json_string_value(json_object_get(row, "problem"));
		char name[256];

		snprintf(name, sizeof(name), "%s/%s@%s", json_string_value(json_object_get(row, "model")),
			 json_string_value(json_object_get(row, "adapter")),
			 json_string_value(json_object_get(row, "version")));
		if (problem)
			printf("%-44s DAMAGED: %s\n", name, problem);
		else
			printf("%-44s %-10s %8lld %10.2f %.16s\n", name, base ? base : "-",
			       (long long)json_integer_value(json_object_get(row, "targets")),
			       json_number_value(json_object_get(row, "bytes")) / 1e6, hash ? hash : "-");
	}
}

int cmd_adapter_list(const struct cmd *cmd, int argc, char **argv)
{
	bool adapters = false;
	const char *store = parse_store(cmd, argc, argv, &adapters);
	struct sto_error error;
	int status = CMD_OK;
	json_t *rows;

	if (!store)
		return CMD_USAGE;
	if (!adapters || argc - optind > 1)
		return cmd_usage(cmd, "--adapters [MODEL] [--store DIR] [--json]");
	rows = json_array();
	if (cmd_adapter_rows(store, argv[optind], rows, &error))
		status = cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	else if (cmd->json)
		cmd_json_print(json_pack("{s:O}", "adapters", rows));
	else
		print_rows(rows);
	json_decref(rows);
	return status;
}

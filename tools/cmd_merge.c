/* SPDX-License-Identifier: MIT */
/* cmd_merge.c: `mhost adapter merge`: a version out of a base and adapters. Needs no daemon. */
#include <float.h>
#include <string.h>

#include "cmd_adapter.h"
#include "import_opts.h"
#include "meta.h"
#include "sto_merge.h"

static const char synopsis[] =
	"merge MODEL@VERSION ADAPTER@VERSION[:SCALE]... --as MODEL@VERSION | --bump major|minor|patch "
	"[--type f32|f16|bf16|q8_0|q4_0|q4_1] [--meta KEY=VALUE]... [--meta-file FILE]... "
	"[--allow-incompatible] [--golden FILE] [--why TEXT] [--store DIR] [--json]";

static const struct {
	const char *name;
	uint32_t source;
} types[] = {
	{ "f32", ENG_SRC_F32 }, { "f16", ENG_SRC_F16 }, { "bf16", ENG_SRC_BF16 },
	{ "q8_0", ENG_SRC_Q8_0 }, { "q4_0", ENG_SRC_Q4_0 }, { "q4_1", ENG_SRC_Q4_1 },
};

struct options {
	const struct cmd *cmd;
	struct sto_import import;
	struct sto_merge merge;
	const char *as, *golden;	/* or NULL */
	char what[256];			/* "smol@1.0.0 + tone@1.0.0:0.5": the import's path */
};

/* ---- arguments ------------------------------------------------------------------------------- */

static int parse_type(struct options *o, const char *text)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(text, types[i].name))
			continue;
		o->merge.type = types[i].source;
		return CMD_OK;
	}
	return cmd_fail(o->cmd, CMD_USAGE, "--type %.40s: limit f32, f16, bf16, q8_0, q4_0, q4_1; choose one "
			"of them", text);
}

/* "tone@1.0.0:0.5", with or without "smol/" in front; taken apart in place. */
static int parse_part(struct options *o, char *text)
{
	struct sto_merge_part *part = &o->merge.parts[o->merge.part_count];
	char model[MHS_NAME_BYTES], *colon = strrchr(text, ':');
	struct sto_error error;
	int err;

	part->scale = 1.0f;
	if (colon) {
		*colon = '\0';
		if (!cmd_parse_float(colon + 1, (double)-FLT_MAX, (double)FLT_MAX, &part->scale))
			return cmd_fail(o->cmd, CMD_USAGE, "%.120s:%.40s: scale: limit a finite number; write for "
					"example %.120s:0.5", text, colon + 1, text);
	}
	memcpy(model, o->import.model, sizeof(model));
	err = sto_ref_is_adapter(text) ?
		      sto_adapter_ref_parse(text, 0, model, part->adapter, part->version, &error) :
		      sto_ref_parse(text, 0, part->adapter, part->version, &error);
	if (err)
		return cmd_fail(o->cmd, CMD_USAGE, "adapter: %s", error.text);
	if (strcmp(model, o->import.model))
		return cmd_fail(o->cmd, CMD_USAGE, "%.160s: limit adapters of %s; import it there", text,
				o->import.model);
	for (uint32_t i = 0; i < o->merge.part_count; i++)
		if (!strcmp(o->merge.parts[i].adapter, part->adapter) &&
		    !strcmp(o->merge.parts[i].version, part->version))
			return cmd_fail(o->cmd, CMD_USAGE, "%.160s: is named twice, limit once; give it the sum of "
					"both scales", text);
	o->merge.part_count++;
	return CMD_OK;
}

static int parse_parts(struct options *o, int argc, char **argv)
{
	int status = CMD_OK;

	if (argc > (int)STO_MERGE_MAX)
		return cmd_fail(o->cmd, CMD_USAGE, "%d adapters: limit %u; merge some first, and then the rest",
				argc, STO_MERGE_MAX);
	for (int i = 0; i < argc && !status; i++)
		status = parse_part(o, argv[i]);
	return status;
}

static int parse_as(struct options *o)
{
	struct sto_error error;
	char model[MHS_NAME_BYTES];

	if (!o->as == !o->import.bump)
		return cmd_fail(o->cmd, CMD_USAGE, "--as, --bump: limit one of them; say what the version is to "
				"be called");
	if (!o->as)
		return CMD_OK;
	if (sto_ref_parse(o->as, 0, model, o->import.version, &error))
		return cmd_fail(o->cmd, CMD_USAGE, "--as: %s", error.text);
	if (strcmp(model, o->import.model))
		return cmd_fail(o->cmd, CMD_USAGE, "--as %.120s: limit a version of %s, with which it shares what no "
				"adapter changes; name the same model", o->as, o->import.model);
	return CMD_OK;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "as", required_argument, NULL, 'A' },	  { "bump", required_argument, NULL, 'b' },
		{ "type", required_argument, NULL, 't' },  { "meta", required_argument, NULL, 'm' },
		{ "meta-file", required_argument, NULL, 'f' }, { "allow-incompatible", no_argument, NULL, 'a' },
		{ "golden", required_argument, NULL, 'g' }, { "why", required_argument, NULL, 'w' },
		{ "store", required_argument, NULL, 's' }, { 0 },
	};
	int opt, status = CMD_OK;

	while (!status && (opt = cmd_getopt(o->cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 'A')
			o->as = optarg;
		else if (opt == 'b')
			status = import_parse_bump(o->cmd, optarg, &o->import.bump);
		else if (opt == 't')
			status = parse_type(o, optarg);
		else if (opt == 'm')
			status = meta_add_pair(o->cmd, o->import.meta, optarg);
		else if (opt == 'f')
			status = meta_add_file(o->cmd, o->import.meta, optarg);
		else if (opt == 'a')
			o->import.allow_incompatible = true;
		else if (opt == 'g')
			o->golden = optarg;
		else if (opt == 'w')
			status = import_parse_why(o->cmd, optarg, &o->import.why);
		else if (opt == 's')
			o->import.store = optarg;
		else
			status = CMD_USAGE;
	}
	return status ? status : meta_check(o->cmd, o->import.meta);
}

static void describe(struct options *o)
{
	int n = snprintf(o->what, sizeof(o->what), "%s@%s", o->import.model, o->merge.base);

	for (uint32_t i = 0; i < o->merge.part_count && n < (int)sizeof(o->what); i++) {
		const struct sto_merge_part *part = &o->merge.parts[i];

		n += snprintf(o->what + n, sizeof(o->what) - (size_t)n, " + %s@%s:%g", part->adapter,
			      part->version, (double)part->scale);
	}
	o->import.path = o->what;
	o->import.parent = o->merge.base;
	o->import.merge = &o->merge;
}

static int parse(struct options *o, int argc, char **argv)
{
	struct sto_error error;
	int status = parse_options(o, argc, argv);

	if (status)
		return status;
	if (argc - optind < 2)
		return cmd_usage(o->cmd, synopsis);
	o->import.store = cmd_store(o->cmd, o->import.store);
	if (!o->import.store)
		return CMD_USAGE;
	if (sto_ref_parse(argv[optind], 0, o->import.model, o->merge.base, &error))
		return cmd_fail(o->cmd, CMD_USAGE, "base: %s", error.text);
	status = parse_parts(o, argc - optind - 1, argv + optind + 1);
	if (!status)
		status = parse_as(o);
	describe(o);
	return status;
}

/* ---- result ---------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* "Q4M to F16": how many. No type changes without a word. */
static json_t *count_types(const json_t *tensors)
{
	json_t *counts = json_object();
	const json_t *t;
	char key[64];
	size_t i;

	json_array_foreach(tensors, i, t) {
		const char *from = text_of(t, "from"), *to = text_of(t, "to");

		snprintf(key, sizeof(key), strcmp(from, to) ? "from %s to %s" : "%s as before", from, to);
		json_object_set_new(counts, key, json_integer(
			json_integer_value(json_object_get(counts, key)) + 1));
	}
	return counts;
}

static void print_text(const struct options *o, const struct sto_import_result *r)
{
	json_t *tensors = json_object_get(r->merge, "tensors"), *counts = count_types(tensors), *count;
	char hash[2 * MHS_HASH_BYTES + 1] = "";
	const char *key;

	cmd_hex(r->content_hash, 8, hash);
	printf("merged %s@%s = %s: %zu of %u tensors changed, %.1f MB (%.1f MB of it new), content %s..., "
	       "%.2f s\n", o->import.model, r->version, o->what, json_array_size(tensors), r->tensor_count,
	       (double)r->image_bytes / 1e6, (double)r->stored_bytes / 1e6, hash, r->seconds);
	json_object_foreach(counts, key, count)
		printf("%lld of them %s\n", (long long)json_integer_value(count), key);
	if (json_is_true(json_object_get(r->merge, "untied")))
		printf("the output, tied to the embedding before, has a matrix of its own\n");
	json_decref(counts);
}

static void print_json(const struct options *o, const struct sto_import_result *r)
{
	char hash[2 * MHS_HASH_BYTES + 1] = "";

	cmd_hex(r->content_hash, MHS_HASH_BYTES, hash);
	cmd_json_print(json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:O, s:f}", "model",
				 o->import.model, "version", r->version, "parent", r->parent, "image",
				 r->image_path, "content_hash", hash, "image_bytes",
				 (json_int_t)r->image_bytes, "stored_bytes", (json_int_t)r->stored_bytes,
				 "tensors", r->tensor_count, "merge", r->merge, "seconds", r->seconds));
}

int cmd_adapter_merge(const struct cmd *cmd, int argc, char **argv)
{
	static struct options o = { .merge = { .type = STO_MERGE_TYPE_NONE } };
	static struct sto_import_result result;
	int status;

	o.cmd = cmd;
	o.import.meta = json_object();
	status = parse(&o, argc, argv);
	if (!status)
		status = import_load_golden(cmd, o.golden, &o.import);
	if (!status)
		status = import_run(cmd, &o.import, &result);
	if (!status && cmd->json)
		print_json(&o, &result);
	else if (!status)
		print_text(&o, &result);
	json_decref(result.merge);
	json_decref(result.incompatible);
	json_decref(o.import.meta);
	return status;
}

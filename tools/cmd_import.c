/* SPDX-License-Identifier: MIT */
/* cmd_import.c: `mhost import`: a model or adapter from outside into the store. Needs no daemon. */
#include <stdio.h>
#include <string.h>

#include "cmd_adapter.h"
#include "import_opts.h"
#include "meta.h"

static const char synopsis[] =
	"MODEL@VERSION PATH | MODEL PATH --bump major|minor|patch [--store DIR] "
	"[--quantize q8_0|q4_0|q4_1] [--context TOKENS] [--meta KEY=VALUE]... [--meta-file FILE]... [--parent VERSION] "
	"[--allow-incompatible] [--golden FILE] [--template FILE] [--why TEXT] [--json] | MODEL/ADAPTER[@VERSION] FOLDER "
	"[--base MODEL@VERSION] [--bump ...] [--store ...] [--meta ...] [--parent ...] [--why ...] [--json]";

static const struct cmd me = { .verb = "import" };

static const struct {
	const char *name;
	uint32_t source;
} quantizations[] = {
	{ "q8_0", ENG_SRC_Q8_0 }, { "q4_0", ENG_SRC_Q4_0 }, { "q4_1", ENG_SRC_Q4_1 },
};

struct options {
	struct sto_import import;
	const char *quantize;	/* its name; NULL: keep */
	const char *golden;	/* --golden, or NULL */
	const char *base;	/* --base, or NULL */
	struct sto_adapter_import adapter;	/* when its store is set: import that */
	char parent[256];	/* when the metadata names it */
	bool json;
};

/* ---- arguments --------------------------------------------------------------------------- */

static int parse_quantize(struct options *o, const char *text)
{
	for (size_t i = 0; i < sizeof(quantizations) / sizeof(quantizations[0]); i++) {
		if (strcmp(text, quantizations[i].name))
			continue;
		o->import.quantize = quantizations[i].source;
		o->quantize = quantizations[i].name;
		return CMD_OK;
	}
	return cmd_fail(&me, CMD_USAGE,
			"--quantize %.40s: limit q8_0, q4_0, q4_1; choose one of them", text);
}

/* MODEL@VERSION, or with --bump MODEL alone. */
static int parse_ref(struct options *o, const char *ref)
{
	struct sto_error error;

	if (o->base)
		return cmd_fail(&me, CMD_USAGE, "--base: limit adapters, MODEL/ADAPTER; leave it out");
	if (o->import.bump && strchr(ref, '@'))
		return cmd_fail(&me, CMD_USAGE, "%.120s: with --bump: limit MODEL without a version; leave "
				"one out", ref);
	if (sto_ref_parse(ref, o->import.bump != STO_BUMP_NONE, o->import.model, o->import.version, &error))
		return cmd_fail(&me, CMD_USAGE, "%s", error.text);
	return CMD_OK;
}

/* The version of the model that an adapter is checked against. */
static int parse_base(struct options *o)
{
	struct sto_error error;
	char model[MHS_NAME_BYTES];

	if (!o->base)
		return CMD_OK;
	if (sto_ref_parse(o->base, 0, model, o->adapter.base, &error))
		return cmd_fail(&me, CMD_USAGE, "--base: %s", error.text);
	if (strcmp(model, o->adapter.model))
		return cmd_fail(&me, CMD_USAGE, "--base %.120s: limit a version of %s, whose adapter this is; "
				"name the same model", o->base, o->adapter.model);
	return CMD_OK;
}

/* MODEL/ADAPTER@VERSION, or with --bump MODEL/ADAPTER alone; what else was given goes along. */
static int parse_adapter(struct options *o, const char *ref, const char *path)
{
	struct sto_adapter_import *a = &o->adapter;
	const struct sto_import *m = &o->import;
	struct sto_error error;

	if (m->bump && strchr(ref, '@'))
		return cmd_fail(&me, CMD_USAGE, "%.160s: with --bump: limit MODEL/ADAPTER without a version; "
				"leave one out", ref);
	if (o->quantize || o->golden || m->chat_template || m->allow_incompatible || m->context)
		return cmd_fail(&me, CMD_USAGE, "--quantize, --context, --golden, --template, --allow-incompatible: "
				"limit models, MODEL without /ADAPTER; leave them out");
	if (sto_adapter_ref_parse(ref, m->bump != STO_BUMP_NONE, a->model, a->adapter, a->version, &error))
		return cmd_fail(&me, CMD_USAGE, "%s", error.text);
	a->path = path;
	a->store = m->store;
	a->bump = m->bump;
	a->meta = m->meta;
	a->parent = m->parent;
	a->why = m->why;
	return parse_base(o);
}

/* A version of the model that is being imported. */
static int parse_parent(struct options *o, const char *text)
{
	uint32_t parts[3];

	if (sto_semver_parse(text, parts, NULL))
		return cmd_fail(&me, CMD_USAGE, "parent %.64s: limit MAJOR.MINOR.PATCH[-PRERELEASE], a "
				"version of the same model; correct it", text);
	o->import.parent = text;
	return CMD_OK;
}

/* "parent" among the metadata means the same as --parent. */
static int take_parent(struct options *o)
{
	json_t *parent = json_object_get(o->import.meta, "parent");

	if (!parent)
		return CMD_OK;
	if (o->import.parent || !json_is_string(parent))
		return cmd_fail(&me, CMD_USAGE, "parent in the metadata: limit one version as text, and not "
				"with --parent; remove one");
	snprintf(o->parent, sizeof(o->parent), "%s", json_string_value(parent));
	json_object_del(o->import.meta, "parent");
	return parse_parent(o, o->parent);
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "store", required_argument, NULL, 's' },
		{ "golden", required_argument, NULL, 'g' },
		{ "template", required_argument, NULL, 't' },
		{ "quantize", required_argument, NULL, 'q' },
		{ "context", required_argument, NULL, 'c' },
		{ "meta", required_argument, NULL, 'm' },
		{ "meta-file", required_argument, NULL, 'f' },
		{ "parent", required_argument, NULL, 'p' },
		{ "bump", required_argument, NULL, 'b' },
		{ "base", required_argument, NULL, 'B' },
		{ "allow-incompatible", no_argument, NULL, 'a' },
		{ "why", required_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int opt, status = CMD_OK;

	while (!status && (opt = cmd_getopt(&me, argc, argv, ":", longs)) != -1) {
		if (opt == 's')
			o->import.store = optarg;
		else if (opt == 'g')
			o->golden = optarg;
		else if (opt == 't')
			o->import.chat_template = optarg;
		else if (opt == 'q')
			status = parse_quantize(o, optarg);
		else if (opt == 'c')
			status = cmd_take_u32(&me, "--context", 1, IMPORT_CONTEXT_MAX, &o->import.context);
		else if (opt == 'm')
			status = meta_add_pair(&me, o->import.meta, optarg);
		else if (opt == 'f')
			status = meta_add_file(&me, o->import.meta, optarg);
		else if (opt == 'p')
			status = parse_parent(o, optarg);
		else if (opt == 'b')
			status = import_parse_bump(&me, optarg, &o->import.bump);
		else if (opt == 'w')
			status = import_parse_why(&me, optarg, &o->import.why);
		else if (opt == 'B')
			o->base = optarg;
		else if (opt == 'a')
			o->import.allow_incompatible = true;
		else if (opt == 'j')
			o->json = true;
		else
			status = CMD_USAGE;
	}
	return status;
}

static int parse(struct options *o, int argc, char **argv)
{
	int status;

	o->import.meta = json_object();
	status = parse_options(o, argc, argv);
	if (!status)
		status = take_parent(o);
	if (!status)
		status = meta_check(&me, o->import.meta);
	if (status)
		return status;
	if (argc - optind != 2)
		return cmd_usage(&me, synopsis);
	o->import.store = cmd_store(&me, o->import.store);
	if (!o->import.store)
		return CMD_USAGE;
	o->import.path = argv[optind + 1];
	return sto_ref_is_adapter(argv[optind]) ? parse_adapter(o, argv[optind], o->import.path) :
						  parse_ref(o, argv[optind]);
}

/* ---- result ------------------------------------------------------------------------------ */

static void print_json(const struct options *o, const struct sto_import_result *r)
{
	char hash[2 * MHS_HASH_BYTES + 1] = "";

	cmd_hex(r->content_hash, MHS_HASH_BYTES, hash);
	cmd_json_print(json_pack(
		"{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:s?, s:s?, s:f, s:o}", "model",
		o->import.model, "version", r->version, "image", r->image_path, "content_hash", hash,
		"image_bytes", (json_int_t)r->image_bytes, "stored_bytes",
		(json_int_t)r->stored_bytes, "source_bytes", (json_int_t)r->source_bytes, "tensors",
		r->tensor_count, "parent", r->parent[0] ? r->parent : NULL, "quantize", o->quantize,
		"seconds", r->seconds, "incompatible",
		r->incompatible ? json_incref(r->incompatible) : json_array()));
}

static void print_text(const struct options *o, const struct sto_import_result *r)
{
	char hash[2 * MHS_HASH_BYTES + 1] = "";
	const json_t *text;
	size_t i;

	cmd_hex(r->content_hash, 8, hash);
	printf("imported %s@%s: %u tensors, %.1f MB (%.1f MB of it new) from %.1f MB, content %s..., "
	       "%.2f s (%.0f MB/s)\n",
	       o->import.model, r->version, r->tensor_count, (double)r->image_bytes / 1e6,
	       (double)r->stored_bytes / 1e6,
	       (double)r->source_bytes / 1e6, hash, r->seconds,
	       r->seconds > 0 ? (double)r->source_bytes / 1e6 / r->seconds : 0.0);
	json_array_foreach(r->incompatible, i, text)
		printf("allowed though incompatible: %s\n", json_string_value(text));
}

static int run(struct options *o)
{
	static struct sto_import_result result;

	if (import_run(&me, &o->import, &result))
		return CMD_FAILED;
	if (o->json)
		print_json(o, &result);
	else
		print_text(o, &result);
	json_decref(result.incompatible);
	return CMD_OK;
}

int cmd_import(int argc, char **argv)
{
	static struct options o;
	int status = parse(&o, argc, argv);

	if (status == CMD_OK && o.adapter.store)
		status = cmd_adapter_import(&me, &o.adapter, o.json);
	else if (status == CMD_OK)
		status = import_load_golden(&me, o.golden, &o.import);
	if (status == CMD_OK && !o.adapter.store)
		status = run(&o);
	json_decref(o.import.meta);
	return status;
}

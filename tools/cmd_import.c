/* SPDX-License-Identifier: MIT */
/* cmd_import.c: `mhost import`: a model from outside into the store. Needs no daemon. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "sto_import.h"

#define BAR_WIDTH	30

static const char synopsis[] = "MODEL@VERSION PATH [--store DIR] [--quantize q8_0|q4_0|q4_1] "
			       "[--meta KEY=VALUE]... [--json]";

static const struct cmd me = { .verb = "import" };
static _Atomic int stop;

static const struct {
	const char *name;
	uint32_t source;
} quantizations[] = {
	{ "q8_0", ENG_SRC_Q8_0 }, { "q4_0", ENG_SRC_Q4_0 }, { "q4_1", ENG_SRC_Q4_1 },
};

struct options {
	struct sto_import import;
	const char *quantize;	/* its name; NULL: keep */
	struct sto_meta meta[STO_META_MAX];
	char store[4096];
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

static bool meta_key_good(const char *key, size_t bytes)
{
	if (bytes == 0 || bytes > STO_META_KEY_MAX)
		return false;
	for (size_t i = 0; i < bytes; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    key[i]))
			return false;
	return true;
}

/* KEY=VALUE in place. */
static int parse_meta(struct options *o, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || !meta_key_good(text, (size_t)(equals - text)))
		return cmd_fail(&me, CMD_USAGE,
				"--meta %.80s: limit KEY=VALUE with a key of 1..%u characters a-z "
				"A-Z 0-9 . _ -; correct it",
				text, STO_META_KEY_MAX);
	*equals++ = '\0';
	if (strlen(equals) > STO_META_VALUE_MAX || !sto_utf8_valid(equals, strlen(equals), true))
		return cmd_fail(&me, CMD_USAGE,
				"--meta %s: value: limit %u bytes of UTF-8 text; shorten it", text,
				STO_META_VALUE_MAX);
	for (uint32_t i = 0; i < o->import.meta_count; i++)
		if (!strcmp(o->meta[i].key, text))
			return cmd_fail(&me, CMD_USAGE,
					"--meta %s: given twice, limit once; remove one", text);
	if (o->import.meta_count == STO_META_MAX)
		return cmd_fail(&me, CMD_USAGE, "--meta: too many, limit %u; put several into one",
				STO_META_MAX);
	o->meta[o->import.meta_count++] = (struct sto_meta){ text, equals };
	return CMD_OK;
}

static int default_store(struct options *o)
{
	const char *env = getenv("MHOST_STORE"), *home = getenv("HOME");
	int n;

	if (env && env[0])
		n = snprintf(o->store, sizeof(o->store), "%s", env);
	else if (geteuid() == 0)
		n = snprintf(o->store, sizeof(o->store), "/var/lib/mhost");
	else if (home && home[0])
		n = snprintf(o->store, sizeof(o->store), "%s/.local/share/mhost", home);
	else
		return cmd_fail(&me, CMD_USAGE,
				"store: HOME and MHOST_STORE are not set; give --store DIR");
	if (n >= (int)sizeof(o->store))
		return cmd_fail(&me, CMD_USAGE,
				"store: path too long, limit %zu bytes; give --store DIR",
				sizeof(o->store) - 1);
	o->import.store = o->store;
	return CMD_OK;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "store", required_argument, NULL, 's' },
		{ "quantize", required_argument, NULL, 'q' },
		{ "meta", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int opt, status = CMD_OK;

	while (!status && (opt = cmd_getopt(&me, argc, argv, ":", longs)) != -1) {
		if (opt == 's')
			o->import.store = optarg;
		else if (opt == 'q')
			status = parse_quantize(o, optarg);
		else if (opt == 'm')
			status = parse_meta(o, optarg);
		else if (opt == 'j')
			o->json = true;
		else
			status = CMD_USAGE;
	}
	return status;
}

static int parse(struct options *o, int argc, char **argv)
{
	struct sto_error error;
	int status = parse_options(o, argc, argv);

	if (status)
		return status;
	if (argc - optind != 2)
		return cmd_usage(&me, synopsis);
	if (sto_ref_parse(argv[optind], 0, o->import.model, o->import.version, &error))
		return cmd_fail(&me, CMD_USAGE, "%s", error.text);
	o->import.path = argv[optind + 1];
	o->import.meta = o->meta;
	if (o->import.store && o->import.store[0])
		return CMD_OK;
	return default_store(o);
}

/* ---- progress and signals ---------------------------------------------------------------- */

static void on_signal(int number)
{
	(void)number;
	/* relaxed: a request to give up; nothing is published by it */
	atomic_store_explicit(&stop, 1, memory_order_relaxed);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static void draw_bar(void *arg, const char *step, uint64_t done, uint64_t all)
{
	int *shown = arg, per_mille = all ? (int)(done * 1000 / all) : 1000;
	char bar[BAR_WIDTH + 1];

	if (per_mille == *shown)
		return;
	*shown = per_mille;
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < per_mille * BAR_WIDTH / 1000 ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %3d %%  %.1f GB", step, bar, per_mille / 10, (double)done / 1e9);
	fflush(stderr);
}

/* ---- result ------------------------------------------------------------------------------ */

static void print_json(const struct options *o, const struct sto_import_result *r)
{
	char hash[2 * MHS_HASH_BYTES + 1] = "";

	cmd_hex(r->content_hash, MHS_HASH_BYTES, hash);
	cmd_json_print(json_pack(
		"{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:s?, s:s?, s:f}", "model", o->import.model,
		"version", o->import.version, "image", r->image_path, "content_hash", hash,
		"image_bytes", (json_int_t)r->image_bytes, "stored_bytes",
		(json_int_t)r->stored_bytes, "source_bytes", (json_int_t)r->source_bytes, "tensors", r->tensor_count, "parent",
		r->parent[0] ? r->parent : NULL, "quantize", o->quantize, "seconds", r->seconds));
}

static void print_text(const struct options *o, const struct sto_import_result *r)
{
	char hash[2 * MHS_HASH_BYTES + 1] = "";

	cmd_hex(r->content_hash, 8, hash);
	printf("imported %s@%s: %u tensors, %.1f MB (%.1f MB of it new) from %.1f MB, content %s..., "
	       "%.2f s (%.0f MB/s)\n",
	       o->import.model, o->import.version, r->tensor_count, (double)r->image_bytes / 1e6,
	       (double)r->stored_bytes / 1e6,
	       (double)r->source_bytes / 1e6, hash, r->seconds,
	       r->seconds > 0 ? (double)r->source_bytes / 1e6 / r->seconds : 0.0);
}

int cmd_import(int argc, char **argv)
{
	static struct options o;
	static struct sto_import_result result;
	struct sto_error error = { "" };
	int err, shown = -1, status = parse(&o, argc, argv);

	if (status)
		return status;
	catch_signals();
	o.import.stop = &stop;
	if (isatty(STDERR_FILENO)) {
		o.import.progress = draw_bar;
		o.import.progress_arg = &shown;
	}
	err = sto_import(&o.import, &result, &error);
	if (shown >= 0)
		fprintf(stderr, "\r\033[K");
	if (err)
		return cmd_fail(&me, CMD_FAILED, "%s", error.text);
	if (o.json)
		print_json(&o, &result);
	else
		print_text(&o, &result);
	return CMD_OK;
}

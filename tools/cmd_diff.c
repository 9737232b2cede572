/* SPDX-License-Identifier: MIT */
/* cmd_diff.c: `mhost diff`: what differs between two versions of the store. Needs no daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "sto_adapter.h"
#include "sto_diff.h"

static const char synopsis[] = "MODEL@VERSION MODEL@VERSION|VERSION | MODEL/ADAPTER@VERSION "
	"MODEL/ADAPTER@VERSION|VERSION [--store DIR] [--json]";

struct run {
	const struct cmd *cmd;
	const char *store;
	struct sto_adapter_ref a, b;	/* adapter empty: versions of models */
	int shown;		/* of the bar */
};

static void draw(void *arg, uint64_t done, uint64_t all)
{
	cmd_bar(arg, "comparing", done, all);
}

/* Control characters of a text from outside could drive the terminal. */
static void put_clean(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_value(const json_t *value)
{
	char *text;

	if (!value || json_is_null(value)) {
		fputs("-", stdout);
		return;
	}
	text = json_is_string(value) ? strdup(json_string_value(value)) :
	       json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	put_clean(text ? text : "?");
	free(text);
}

static void print_list(const char *title, const json_t *list)
{
	const json_t *difference;
	size_t i;

	if (json_array_size(list) == 0) {
		printf("%-10s the same\n", title);
		return;
	}
	json_array_foreach(list, i, difference) {
		printf("%-10s ", i ? "" : title);
		put_clean(json_string_value(json_object_get(difference, "field")) ?: "?");
		fputs(": ", stdout);
		put_value(json_object_get(difference, "a"));
		fputs(" -> ", stdout);
		put_value(json_object_get(difference, "b"));
		putchar('\n');
	}
}

static void print_number(const json_t *value)
{
	if (json_is_null(value))
		printf(" %11s", "-");
	else
		printf(" %11.4g", json_number_value(value));
}

static void print_changed(const json_t *changed)
{
	const json_t *t;
	size_t i;

	if (json_array_size(changed))
		printf("\n%-48s %-11s %11s %11s\n", "TENSOR", "TYPE", "RELATIVE", "MAX ABS");
	json_array_foreach(changed, i, t) {
		const char *a = json_string_value(json_object_get(t, "type_a"));
		const char *b = json_string_value(json_object_get(t, "type_b"));
		json_int_t wild = json_integer_value(json_object_get(t, "not_finite"));
		char type[32];

		snprintf(type, sizeof(type), strcmp(a, b) ? "%s -> %s" : "%s", a, b);
		printf("%-48s %-11s", json_string_value(json_object_get(t, "tensor")), type);
		print_number(json_object_get(t, "relative"));
		print_number(json_object_get(t, "max_abs"));
		if (wild)
			printf("  %lld values NaN or infinite", (long long)wild);
		putchar('\n');
	}
}

static void print_names(const char *title, const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
		printf("%-10s %s\n", i ? "" : title, json_string_value(name));
}

static void print_tensors(const json_t *tensors)
{
	double bytes = json_number_value(json_object_get(tensors, "bytes"));
	double same = json_number_value(json_object_get(tensors, "unchanged_bytes"));
	const json_t *changed = json_object_get(tensors, "changed"), *t;
	size_t i;

	printf("%-10s %zu changed, %lld unchanged (%.1f %% of the bytes)", "tensors",
	       json_array_size(changed),
	       (long long)json_integer_value(json_object_get(tensors, "unchanged")),
	       bytes > 0 ? 100 * same / bytes : 100);
	if (json_array_size(changed) && !json_is_null(json_object_get(tensors, "relative")))
		printf(", relative %.4g over the changed", json_number_value(json_object_get(tensors, "relative")));
	putchar('\n');
	print_names("only in A", json_object_get(tensors, "only_a"));
	print_names("only in B", json_object_get(tensors, "only_b"));
	json_array_foreach(json_object_get(tensors, "reshaped"), i, t)
		printf("%-10s %s: %s -> %s\n", i ? "" : "reshaped",
		       json_string_value(json_object_get(t, "tensor")),
		       json_string_value(json_object_get(t, "a")), json_string_value(json_object_get(t, "b")));
	print_changed(changed);
}

static void print_text(const json_t *result)
{
	printf("%s -> %s\n", json_string_value(json_object_get(result, "a")),
	       json_string_value(json_object_get(result, "b")));
	print_list("metadata", json_object_get(result, "metadata"));
	print_list("config", json_object_get(result, "config"));
	print_list("tokenizer", json_object_get(result, "tokenizer"));
	print_list("template", json_object_get(result, "template"));
	print_list("sources", json_object_get(result, "sources"));
	print_tensors(json_object_get(result, "tensors"));
}

static void print_adapter(const json_t *result)
{
	const json_t *targets = json_object_get(result, "targets"), *changed = json_object_get(targets, "changed"), *t;
	size_t i;

	printf("%s -> %s\n", json_string_value(json_object_get(result, "a")),
	       json_string_value(json_object_get(result, "b")));
	print_list("metadata", json_object_get(result, "metadata"));
	print_list("lora", json_object_get(result, "lora"));
	print_list("sources", json_object_get(result, "sources"));
	printf("%-10s %zu changed, %lld unchanged", "targets", json_array_size(changed),
	       (long long)json_integer_value(json_object_get(targets, "unchanged")));
	if (json_array_size(changed) && !json_is_null(json_object_get(targets, "relative")))
		printf(", relative %.4g over the changed", json_number_value(json_object_get(targets, "relative")));
	putchar('\n');
	print_names("only in A", json_object_get(targets, "only_a"));
	print_names("only in B", json_object_get(targets, "only_b"));
	if (json_array_size(changed))
		printf("\n%-44s %-15s %11s %11s\n", "TARGET", "RANK", "RELATIVE", "MAX ABS");
	json_array_foreach(changed, i, t) {
		char rank[32];

		snprintf(rank, sizeof(rank), "%lld -> %lld", (long long)json_integer_value(json_object_get(t, "rank_a")),
			 (long long)json_integer_value(json_object_get(t, "rank_b")));
		printf("%-44s %-15s", json_string_value(json_object_get(t, "target")), rank);
		print_number(json_object_get(t, "relative"));
		print_number(json_object_get(t, "max_abs"));
		putchar('\n');
	}
}

/* *@result as JSON, or as text by @print. */
static int show(struct run *run, json_t *result, void (*print)(const json_t *))
{
	if (run->cmd->json)
		cmd_json_print(json_incref(result));
	else
		print(result);
	json_decref(result);
	return CMD_OK;
}

static int compare_adapters(struct run *run)
{
	struct sto_adapter_diff diff = { .store = run->store, .a = run->a, .b = run->b,
					 .stop = cmd_catch_signals() };
	struct sto_error error;
	json_t *result;

	if (sto_adapter_diff(&diff, &result, &error))
		return cmd_fail(run->cmd, CMD_FAILED, "%s", error.text);
	return show(run, result, print_adapter);
}

static int compare(struct run *run, struct sto_version *a, struct sto_version *b)
{
	struct sto_diff diff = { .a = a, .b = b, .stop = cmd_catch_signals(), .arg = &run->shown };
	struct sto_error error;
	json_t *result;
	int err;

	if (isatty(STDERR_FILENO))
		diff.progress = draw;
	err = sto_diff(&diff, &result, &error);
	cmd_bar_clear(&run->shown);
	if (err)
		return cmd_fail(run->cmd, CMD_FAILED, "%s", error.text);
	return show(run, result, print_text);
}

static int parse_ref(const struct run *run, const char *text, struct sto_adapter_ref *ref)
{
	struct sto_error error;

	if (sto_ref_is_adapter(text) ?
	    sto_adapter_ref_parse(text, 0, ref->model, ref->adapter, ref->version, &error) :
	    sto_ref_parse(text, 0, ref->model, ref->version, &error))
		return cmd_fail(run->cmd, CMD_USAGE, "%s", error.text);
	return CMD_OK;
}

static int parse(struct run *run, int argc, char **argv)
{
	static const struct option longs[] = { { "store", required_argument, NULL, 's' }, { 0 } };
	char ref[2 * MHS_NAME_BYTES + 256];
	int opt;

	while ((opt = cmd_getopt(run->cmd, argc, argv, ":", longs)) != -1) {
		if (opt != 's')
			return CMD_USAGE;
		run->store = optarg;
	}
	if (argc - optind != 2)
		return cmd_usage(run->cmd, synopsis);
	if (parse_ref(run, argv[optind], &run->a))
		return CMD_USAGE;
	/* The second may be a version alone, of the same model or adapter. */
	if (strchr(argv[optind + 1], '@'))
		snprintf(ref, sizeof(ref), "%.300s", argv[optind + 1]);
	else
		snprintf(ref, sizeof(ref), "%s%s%s@%.100s", run->a.model, run->a.adapter[0] ? "/" : "",
			 run->a.adapter, argv[optind + 1]);
	if (parse_ref(run, ref, &run->b))
		return CMD_USAGE;
	if (!run->a.adapter[0] != !run->b.adapter[0])
		return cmd_fail(run->cmd, CMD_USAGE, "%s: is %s adapter, limit two versions of models or two of "
				"adapters; compare like with like", ref, run->b.adapter[0] ? "an" : "no");
	run->store = cmd_store(run->cmd, run->store);
	return run->store ? CMD_OK : CMD_USAGE;
}

int cmd_diff(struct cmd *cmd, int argc, char **argv)
{
	struct run run = { .cmd = cmd, .shown = -1 };
	struct sto_version a, b;
	struct sto_error error;
	int status = parse(&run, argc, argv);

	if (status)
		return status;
	if (run.a.adapter[0])
		return compare_adapters(&run);
	if (sto_version_open(&a, run.store, run.a.model, run.a.version, &error))
		return cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	if (sto_version_open(&b, run.store, run.b.model, run.b.version, &error)) {
		status = cmd_fail(cmd, CMD_FAILED, "%s", error.text);
	} else {
		status = compare(&run, &a, &b);
		sto_version_close(&b);
	}
	sto_version_close(&a);
	return status;
}

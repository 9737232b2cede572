/* SPDX-License-Identifier: MIT */
/* cmd_history.c: `mhost history`: the store's log of what happened to its versions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "sto_history.h"

#define LAST_MAX	1000000u
#define WINDOW_BYTES	(64u << 10)	/* of the end, at first */
#define POLL_MS		200u	/* --follow: not every file system tells of what others write */

static const char synopsis[] = "[MODEL[/ADAPTER]] [-n N] [--follow] [--store DIR] [--json]";

struct view {
	const struct cmd *cmd;
	const char *store, *model;	/* model NULL: all */
	char adapter[MHS_NAME_BYTES];	/* of it; empty: the model with all its adapters */
	bool follow;
	json_t *kept;			/* the last ones, in turn, until they are printed; or NULL */
	uint64_t last, seen;		/* places in kept; events that were put there */
};

static const char *text_of(const json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	return text ? text : "";
}

/* The keys that have no column, in the order of the line. */
static void write_rest(FILE *to, json_t *event)
{
	static const char *const columns[] = { "time", "event", "model", "adapter", "version", "uid",
						"user", "by", "why" };
	const char *key;
	json_t *value;

	json_object_foreach(event, key, value) {
		bool shown = json_is_null(value);

		for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
			shown |= strcmp(key, columns[i]) == 0;
		if (shown)
			continue;
		fprintf(to, " %s=", key);
		if (strcmp(key, "verdict") == 0)	/* with all its figures: --json */
			fputs(text_of(value, "kind"), to);
		else if (strcmp(key, "content_hash") == 0)
			fprintf(to, "%.16s...", text_of(event, key));
		else if (json_is_string(value))
			fputs(json_string_value(value), to);
		else
			json_dumpf(value, to, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	}
}

static void write_event(FILE *to, json_t *event)
{
	const char *by = text_of(event, "by");
	const char *user = *by ? by : text_of(event, "user");	/* the host by itself */
	char subject[CMD_SUBJECT_BYTES], who[32];

	snprintf(who, sizeof(who), "uid %lld",
		 (long long)json_integer_value(json_object_get(event, "uid")));
	fprintf(to, "%-24s  %-9s %-20s  %-8s", text_of(event, "time"), text_of(event, "event"),
		cmd_subject(event, subject),
		*user ? user : who);
	if (*text_of(event, "why"))
		fprintf(to, " %s", text_of(event, "why"));
	write_rest(to, event);
}

/* One line whatever a text contains: control characters could drive the terminal. */
static void print_event(const struct view *view, json_t *event)
{
	char *line = NULL;
	size_t bytes;
	FILE *to;

	if (view->cmd->json) {
		cmd_json_print(json_incref(event));
		return;
	}
	to = open_memstream(&line, &bytes);
	if (!to)
		return;
	write_event(to, event);
	fclose(to);
	for (size_t i = 0; line && i < bytes; i++)
		putchar((unsigned char)line[i] < 0x20 || line[i] == 0x7f ? '?' : line[i]);
	putchar('\n');
	free(line);
}

static int take(void *arg, json_t *event)
{
	struct view *view = arg;
	uint64_t place;

	if (view->model && strcmp(text_of(event, "model"), view->model))
		return 0;
	if (view->adapter[0] && strcmp(text_of(event, "adapter"), view->adapter))
		return 0;
	if (!view->kept) {
		print_event(view, event);
		return 0;
	}
	if (view->last == 0)
		return 0;
	place = view->seen++ % view->last;
	if (place < json_array_size(view->kept) ? json_array_set(view->kept, place, event) :
						  json_array_append(view->kept, event))
		return -ENOMEM;
	return 0;
}

static void print_kept(struct view *view)
{
	size_t count = json_array_size(view->kept);

	for (size_t i = 0; i < count; i++)
		print_event(view, json_array_get(view->kept, (view->seen + i) % count));
	json_decref(view->kept);
	view->kept = NULL;
}

/*
 * The last ones, from the end: a window that grows until it has enough of the model's. Then or when
 * it is all of the file, they are kept and *@offset is behind them.
 */
static int find_last(struct view *view, uint64_t *offset, uint32_t *damaged, struct sto_error *error)
{
	uint64_t begin;
	int err;

	for (uint64_t back = WINDOW_BYTES;; back *= 8) {
		view->seen = *damaged = 0;
		json_array_clear(view->kept);
		err = sto_history_back(view->store, back, &begin, error);
		*offset = begin;
		if (!err)
			err = sto_history_from(view->store, offset, take, view, damaged, error);
		if (err || begin == 0 || view->seen >= view->last)
			return err;
	}
}

static int show(struct view *view)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	uint32_t damaged = 0;
	uint64_t offset = 0;
	struct sto_error error;

	if (view->kept && find_last(view, &offset, &damaged, &error))
		return cmd_fail(view->cmd, CMD_FAILED, "%s", error.text);
	print_kept(view);
	for (;;) {
		if (sto_history_from(view->store, &offset, take, view, &damaged, &error))
			return cmd_fail(view->cmd, CMD_FAILED, "%s", error.text);
		if (fflush(stdout))
			return cmd_fail(view->cmd, CMD_FAILED, "standard output: %s", strerror(errno));
		if (!view->follow)
			break;
		nanosleep(&pause, NULL);
	}
	if (damaged)
		cmd_fail(view->cmd, 0, "warning: %u damaged lines of %s/%s were skipped", damaged,
			 view->store, STO_HISTORY_NAME);
	return CMD_OK;
}

static int parse(struct view *view, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "store", required_argument, NULL, 's' },
		{ 0 },
	};
	const char *store = NULL;
	char *slash;
	struct sto_error error;
	int opt;

	while ((opt = cmd_getopt(view->cmd, argc, argv, ":n:", longs)) != -1) {
		if (opt == 'f')
			view->follow = true;
		else if (opt == 's')
			store = optarg;
		else if (opt != 'n')
			return CMD_USAGE;
		else if (!cmd_parse_u64(optarg, 0, LAST_MAX, &view->last))
			return cmd_fail(view->cmd, CMD_USAGE, "-n %.40s: limit 0..%u; give a number",
					optarg, LAST_MAX);
		else if (!view->kept)
			view->kept = json_array();
	}
	if (argc - optind > 1)
		return cmd_usage(view->cmd, synopsis);
	view->model = argv[optind];
	slash = view->model ? strchr(view->model, '/') : NULL;
	if (slash) {
		*slash++ = '\0';
		snprintf(view->adapter, sizeof(view->adapter), "%s", slash);
	}
	if ((view->model && sto_name_check(view->model, &error)) || (slash && sto_name_check(slash, &error)))
		return cmd_fail(view->cmd, CMD_USAGE, "%s", error.text);
	view->store = cmd_store(view->cmd, store);
	return view->store ? CMD_OK : CMD_USAGE;
}

int cmd_history(struct cmd *cmd, int argc, char **argv)
{
	struct view view = { .cmd = cmd };
	int status = parse(&view, argc, argv);

	if (status == CMD_OK)
		status = show(&view);
	json_decref(view.kept);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* cmd_bench.c: `mhost bench`: which parts, on which versions; text for people, JSON for scripts. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define PARTS		"load,flip,rtt,storm,speed,mixed,memory"
#define PEER_PARTS	"speed,streams"
#define SWEEPS		"streams,context,threads,versions,latency"
#define ISAS		"generic,avx2,avx512,amx"
#define SYNOPSIS "[MODEL] [--only " PARTS "] [--repeat N]\n" \
	"       mhost bench --peer [FILE]... [--only " PEER_PARTS "] [--isa LIST] [--threads N]\n" \
	"                   [--repeat N] [--seconds N]\n" \
	"       mhost bench --sweep " SWEEPS " [FILE] [--svg DIR] [--isa LEVEL]\n" \
	"                   [--threads N] [--repeat N] [--seconds N]"

static const struct {
	const char *name;
	int (*run)(struct bench *b);
} parts[] = {
	{ "load", bench_part_load },   { "flip", bench_part_flip },   { "rtt", bench_part_rtt },
	{ "storm", bench_part_storm }, { "speed", bench_part_speed }, { "mixed", bench_part_mixed },
	{ "memory", bench_part_memory },
};

static void print_value(const char *part, const char *key, const json_t *value)
{
	const json_t *p50 = json_object_get(value, "p50");

	if (json_is_object(value) && p50)
		printf("%-7s %-30s p50 %.4g  p90 %.4g  p99 %.4g  max %.4g  (n %lld, min %.4g)\n",
		       part, key, json_number_value(p50),
		       json_number_value(json_object_get(value, "p90")),
		       json_number_value(json_object_get(value, "p99")),
		       json_number_value(json_object_get(value, "max")),
		       json_integer_value(json_object_get(value, "n")),
		       json_number_value(json_object_get(value, "min")));
	else if (json_is_number(value))
		printf("%-7s %-30s %.4g\n", part, key, json_number_value(value));
	else if (json_is_string(value))
		printf("%-7s %-30s %s\n", part, key, json_string_value(value));
}

static void print_people(json_t *out)
{
	const char *part, *key;
	json_t *results, *value;

	json_object_foreach(out, part, results) {
		if (!json_is_object(results))
			print_value("", part, results);
		else
			json_object_foreach(results, key, value)
				print_value(part, key, value);
	}
}

static int run_parts(struct bench *b, const char *only)
{
	int err = CMD_OK;

	for (size_t i = 0; !err && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (bench_is_wanted(only, parts[i].name))
			err = parts[i].run(b);
	return err;
}

/* Each word of @list is one of @known. */
static int check_list(const struct cmd *cmd, const char *option, const char *list,
		      const char *known)
{
	const char *word = list;

	while (word) {
		size_t n = strcspn(word, ",");
		char one[16] = "";

		snprintf(one, sizeof(one), "%.*s", (int)n, word);
		if (!n || n >= sizeof(one) || !bench_is_wanted(known, one))
			return cmd_fail(cmd, CMD_USAGE,
					"--%s %.60s: limit %s with commas between them; "
					"correct it",
					option, list, known);
		word = word[n] ? word + n + 1 : NULL;
	}
	return CMD_OK;
}

/* Which options go with which of the three ways to measure. */
static int check(const struct cmd *cmd, const struct bench_options *o)
{
	bool fits = o->peer || o->sweep || (!o->isa && !o->threads && !o->seconds);
	int err;

	fits = fits && !(o->peer && o->sweep) && !(o->svg && !o->sweep) && !(o->only && o->sweep);
	fits = fits && (o->peer || o->file_count <= 1);
	err = fits ? CMD_OK : cmd_usage(cmd, SYNOPSIS);

	if (!err)
		err = check_list(cmd, "only", o->only, o->peer ? PEER_PARTS : PARTS);
	if (!err)
		err = check_list(cmd, "sweep", o->sweep, SWEEPS);
	return err ? err : check_list(cmd, "isa", o->isa, ISAS);
}

static int parse_number(const struct cmd *cmd, const char *option, const char *text, uint32_t high,
			uint32_t *number)
{
	uint64_t value;

	if (!cmd_parse_u64(text, 1, high, &value))
		return cmd_fail(cmd, CMD_USAGE, "--%s %.40s: limit 1..%u; correct it", option, text,
				high);
	*number = (uint32_t)value;
	return CMD_OK;
}

static int take(const struct cmd *cmd, int opt, struct bench_options *o)
{
	switch (opt) {
	case 'g':
		o->svg = optarg;
		return CMD_OK;
	case 'i':
		o->isa = optarg;
		return CMD_OK;
	case 'o':
		o->only = optarg;
		return CMD_OK;
	case 'p':
		o->peer = true;
		return CMD_OK;
	case 'r':
		return parse_number(cmd, "repeat", optarg, BENCH_REPEAT_MAX, &o->repeat);
	case 'S':
		return parse_number(cmd, "seconds", optarg, 3600, &o->seconds);
	case 's':
		o->sweep = optarg;
		return CMD_OK;
	case 't':
		return parse_number(cmd, "threads", optarg, 64, &o->threads);
	default:
		return CMD_USAGE;
	}
}

static int parse(const struct cmd *cmd, int argc, char **argv, struct bench_options *o)
{
	static const struct option options[] = {
		{ "isa", required_argument, NULL, 'i' },
		{ "only", required_argument, NULL, 'o' },
		{ "peer", no_argument, NULL, 'p' },
		{ "repeat", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 'S' },
		{ "svg", required_argument, NULL, 'g' },
		{ "sweep", required_argument, NULL, 's' },
		{ "threads", required_argument, NULL, 't' },
		{ 0 },
	};
	int opt, err;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", options)) != -1) {
		err = take(cmd, opt, o);
		if (err)
			return err;
	}
	o->files = argv + optind;
	o->file_count = argc - optind;
	return check(cmd, o);
}

static int bench_running_host(struct cmd *cmd, const struct bench_options *o, json_t *out)
{
	struct bench b = { .cmd = cmd, .repeat = o->repeat, .out = out, .model = o->files[0] };
	int err = bench_prepare(&b);

	if (!err)
		err = run_parts(&b, o->only);
	if (!err && !cmd->json)
		print_people(out);
	return err;
}

int cmd_bench(struct cmd *cmd, int argc, char **argv)
{
	struct bench_options o = { .repeat = 5 };
	int err = parse(cmd, argc, argv, &o);
	json_t *out;

	if (err)
		return err;
	if (!o.threads)
		o.threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	out = json_object();
	err = o.peer ? bench_peer(cmd, &o, out) : o.sweep ? bench_sweep(cmd, &o, out) :
	      bench_running_host(cmd, &o, out);
	if (cmd->json && !err) {
		json_dumpf(out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
	json_decref(out);
	return err;
}

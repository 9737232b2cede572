/* SPDX-License-Identifier: MIT */
/*
 * cmd_probe.c: `mhost probe`: the same prompts to several versions of a model, each version named,
 * so that all of them are measured under the same conditions when live traffic is too low to tell.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bench.h"
#include "probe.h"
#include "sto_store.h"

#define SYNOPSIS "MODEL[/ADAPTER] VERSION... --file FILE [--count N] [--concurrency C]\n" \
	"                   [--max-tokens M] [--seed S] [--limit SECONDS]\n" \
	"                   [--adapter NAME[@V][:SCALE]]... [--json]"

#define COUNT_MAX		1000000u
#define MAX_TOKENS_DEFAULT	32u

/* ---- result --------------------------------------------------------------------------------- */

static json_t *spread_object(double *values, size_t count)
{
	struct spread s = bench_spread(values, count);

	return count ? json_pack("{s:f, s:f}", "p50", s.p50, "p95", s.p95) : json_null();
}

static double token_rate(const struct probe_side *side)
{
	return side->decode_s > 0 ? (double)side->later_tokens / side->decode_s : 0;
}

static json_t *side_object(struct probe_side *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:s?, s:I, s:f, s:o, s:o}", "version", s->version,
			 "requests", (json_int_t)s->requests, "completed", (json_int_t)s->completed,
			 "errors", (json_int_t)s->errors, "last_error", s->error[0] ? s->error : NULL,
			 "tokens", (json_int_t)s->tokens, "tokens_per_s", token_rate(s),
			 "first_token_ms", spread_object(s->first_ms, s->completed), "total_ms",
			 spread_object(s->total_ms, s->completed));
}

static void print_json(struct probe *p, double seconds)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < p->side_count; i++)
		json_array_append_new(list, side_object(&p->sides[i]));
	cmd_json_print(json_pack("{s:s, s:s*, s:s, s:s?, s:I, s:I, s:I, s:f, s:o}", "model", p->model,
				 "adapter", p->adapter, "ended", p->ended, "message", p->message[0] ? p->message : NULL,
				 "prompts", (json_int_t)p->prompts.count, "count",
				 (json_int_t)p->count, "concurrency", (json_int_t)p->concurrency,
				 "seconds", seconds, "versions", list));
}

static void print_text(struct probe *p)
{
	printf("%-16s %9s %7s %9s %10s %10s %10s %10s\n", "VERSION", "COMPLETED", "ERRORS",
	       "TOKENS/S", "FIRST p50", "p95 ms", "ALL p50", "p95 ms");
	for (uint32_t i = 0; i < p->side_count; i++) {
		struct probe_side *s = &p->sides[i];
		struct spread first = bench_spread(s->first_ms, s->completed);
		struct spread total = bench_spread(s->total_ms, s->completed);

		printf("%-16s %9llu %7llu %9.1f %10.2f %10.2f %10.2f %10.2f\n", s->version,
		       (unsigned long long)s->completed, (unsigned long long)s->errors,
		       token_rate(s), first.p50, first.p95, total.p50, total.p95);
		if (s->error[0])
			printf("%16s %s\n", "", s->error);
	}
}

/* ---- arguments ------------------------------------------------------------------------------ */

static int take_option(struct probe *p, int opt)
{
	switch (opt) {
	case 'a':
		return cmd_take_adapter(p->cmd, optarg, &p->adapters);
	case 'c':
		return cmd_take_u32(p->cmd, "--concurrency", 1, PROBE_CONCURRENCY_MAX, &p->concurrency);
	case 'f':
		p->file = optarg;
		return CMD_OK;
	case 'l':
		return stop_parse_limit(p->cmd, optarg, &p->limit_s);
	case 'm':
		return cmd_take_u32(p->cmd, "--max-tokens", 1, INT32_MAX, &p->max_tokens);
	case 'n':
		return cmd_take_u32(p->cmd, "--count", 1, COUNT_MAX, &p->count);
	case 's':
		if (cmd_parse_u64(optarg, 0, UINT64_MAX, &p->seed))
			return CMD_OK;
		return cmd_fail(p->cmd, CMD_USAGE, "--seed %.40s: limit 0..18446744073709551615; "
				"correct it", optarg);
	default:
		return CMD_USAGE;
	}
}

static int take_versions(struct probe *p, int count, char **versions)
{
	if (count > PROBE_VERSIONS_MAX)
		return cmd_fail(p->cmd, CMD_USAGE, "%d versions: limit 1..%d; name fewer", count,
				PROBE_VERSIONS_MAX);
	for (int i = 0; i < count; i++) {
		uint32_t parts[3];

		if (sto_semver_parse(versions[i], parts, NULL))
			return cmd_fail(p->cmd, CMD_USAGE, "\"%.60s\" is no version; give "
					"MAJOR.MINOR.PATCH", versions[i]);
		for (int j = 0; j < i; j++)
			if (!strcmp(versions[i], versions[j]))
				return cmd_fail(p->cmd, CMD_USAGE, "version %s: named twice, limit "
						"once; remove one", versions[i]);
		snprintf(p->sides[i].version, sizeof(p->sides[i].version), "%s", versions[i]);
		p->order[i] = (uint32_t)i;
	}
	p->side_count = (uint32_t)count;
	return CMD_OK;
}

static int parse(struct probe *p, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "adapter", required_argument, NULL, 'a' },
		{ "concurrency", required_argument, NULL, 'c' },
		{ "count", required_argument, NULL, 'n' },
		{ "file", required_argument, NULL, 'f' },
		{ "limit", required_argument, NULL, 'l' },
		{ "max-tokens", required_argument, NULL, 'm' },
		{ "seed", required_argument, NULL, 's' },
		{ 0 },
	};
	struct sto_error error;
	int opt, err;

	while ((opt = cmd_getopt(p->cmd, argc, argv, ":", longs)) != -1) {
		err = take_option(p, opt);
		if (err)
			return err;
	}
	if (argc - optind < 2 || !p->file)
		return cmd_usage(p->cmd, SYNOPSIS);
	p->adapter = cmd_cut_adapter(argv[optind]);
	if (sto_name_check(argv[optind], &error) || (p->adapter && sto_name_check(p->adapter, &error)))
		return cmd_fail(p->cmd, CMD_USAGE, "%s", error.text);
	if (p->adapter && cmd_take_adapter(p->cmd, argv[optind] + strlen(argv[optind]) + 1, &p->adapters))
		return CMD_USAGE;
	snprintf(p->model, sizeof(p->model), "%s", argv[optind]);
	return take_versions(p, argc - optind - 1, argv + optind + 1);
}

static int prepare(struct probe *p)
{
	char error[PROMPTS_ERROR_BYTES];

	if (prompts_read(p->file, PROMPTS_ANY, &p->prompts, error))
		return cmd_fail(p->cmd, CMD_FAILED, "%s", error);
	if (!p->count)
		p->count = p->prompts.count;
	for (uint32_t i = 0; i < p->side_count; i++) {
		p->sides[i].first_ms = calloc(p->count, sizeof(double));
		p->sides[i].total_ms = calloc(p->count, sizeof(double));
		if (!p->sides[i].first_ms || !p->sides[i].total_ms)
			return cmd_fail(p->cmd, CMD_FAILED, "out of memory; free some");
	}
	return CMD_OK;
}

static void clear(struct probe *p)
{
	for (uint32_t i = 0; i < p->side_count; i++) {
		free(p->sides[i].first_ms);
		free(p->sides[i].total_ms);
	}
	prompts_free(&p->prompts);
}

static int probe(struct probe *p)
{
	double start_s = bench_now_s();

	stop_begin(p->limit_s);
	probe_run(p);
	if (p->cmd->json)
		print_json(p, bench_now_s() - start_s);
	else if (strcmp(p->ended, "error"))
		print_text(p);
	if (!strcmp(p->ended, "signal"))
		return stop_fail(p->cmd);
	if (!strcmp(p->ended, "error"))
		return cmd_fail(p->cmd, CMD_FAILED, "%s", p->message);
	return CMD_OK;
}

int cmd_probe(struct cmd *cmd, int argc, char **argv)
{
	static struct probe p;
	int err;

	p.cmd = cmd;
	p.concurrency = 1;
	p.max_tokens = MAX_TOKENS_DEFAULT;
	p.limit_s = STOP_LIMIT_DEFAULT_S;
	if (getrandom(&p.seed, sizeof(p.seed), 0) != sizeof(p.seed))
		p.seed = (uint64_t)(bench_now_s() * 1e9);
	err = parse(&p, argc, argv);
	if (!err)
		err = prepare(&p);
	if (!err)
		err = probe(&p);
	clear(&p);
	return err;
}

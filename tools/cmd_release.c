/* SPDX-License-Identifier: MIT */
/* cmd_release.c: begin, steer and watch a release. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define WATCH_US	1000000u

static const char synopsis[] =
	"MODEL@VERSION [--canary] [--shadow PER_CENT] [--steps 1,5,25,50,100] [--interval 60s] [--why TEXT] "
	"[--force] [--watch], or MODEL [--watch]";

static atomic_int stop;

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* ---- show ----------------------------------------------------------------------------------- */

static void print_row(const char *name, const json_t *stable, const json_t *candidate, const char *key)
{
	printf("  %-20s %14.6g %14.6g\n", name, number_of(stable, key), number_of(candidate, key));
}

static void print_verdict(const json_t *verdict)
{
	const json_t *finding;
	size_t i;

	if (!json_is_object(verdict)) {
		printf("  not weighed yet\n");
		return;
	}
	printf("  verdict: %s (%.0f and %.0f requests)\n", text_of(verdict, "kind"),
	       number_of(verdict, "stable_count"), number_of(verdict, "candidate_count"));
	json_array_foreach(json_object_get(verdict, "findings"), i, finding)
		printf("  %-12s  %s\n", text_of(finding, "verdict"), text_of(finding, "text"));
}

static void print_release(const json_t *release)
{
	const json_t *stable = json_object_get(release, "stable_cohort");
	const json_t *candidate = json_object_get(release, "candidate_cohort");
	const json_t *steps = json_object_get(release, "steps"), *step;
	char subject[CMD_SUBJECT_BYTES];
	size_t i;

	printf("%s beside %s: %s at %g %%, %s, %.0f s of %.0f s; steps", cmd_subject(release, subject),
	       text_of(release, "stable"), text_of(release, "mode"),
	       number_of(release, "weight"), text_of(release, "state"), number_of(release, "spent_s"),
	       number_of(release, "interval_s"));
	json_array_foreach(steps, i, step)
		printf(i == (size_t)number_of(release, "step") ? " [%g]" : " %g",
		       json_number_value(step));
	printf("\n  %-20s %14s %14s\n", "", "stable", "candidate");
	print_row("requests", stable, candidate, "requests");
	print_row("failed", stable, candidate, "failed");
	print_row("empty", stable, candidate, "empty");
	print_row("repeating", stable, candidate, "repeating");
	print_row("first token p50 ms", stable, candidate, "first_token_p50_ms");
	print_row("first token p95 ms", stable, candidate, "first_token_p95_ms");
	print_row("total p50 ms", stable, candidate, "total_p50_ms");
	print_row("total p95 ms", stable, candidate, "total_p95_ms");
	print_row("tokens/s", stable, candidate, "tokens_per_s");
	if (number_of(release, "compared"))
		printf("  compared in shadow: %.0f replies\n", number_of(release, "compared"));
	print_verdict(json_object_get(release, "verdict"));
}

/* The release of @model; NULL: none (and *@failed: it could not be asked). */
static json_t *release_get(const struct cmd *cmd, const char *model, bool *failed)
{
	json_t *answer = ctl_call(cmd, json_pack("{s:s, s:s}", "command", "releases", "model", model));
	json_t *release = json_incref(json_array_get(json_object_get(answer, "releases"), 0));

	*failed = !answer;
	json_decref(answer);
	return release;
}

static void print_active(const struct cmd *cmd, const char *model)
{
	json_t *status = ctl_call(cmd, json_pack("{s:s}", "command", "status")), *row;
	size_t i;

	json_array_foreach(json_object_get(status, "models"), i, row)
		if (strcmp(text_of(row, "name"), model) == 0)
			printf("%s: no release in progress, %s is active; mhost history %s tells more\n",
			       model, text_of(row, "active"), model);
	json_decref(status);
}

static int show_once(const struct cmd *cmd, const char *model)
{
	bool failed;
	json_t *release = release_get(cmd, model, &failed);

	if (failed)
		return CMD_FAILED;
	if (cmd->json)
		cmd_json_print(json_pack("{s:O?}", "release", release));
	else if (release)
		print_release(release);
	else
		print_active(cmd, model);
	json_decref(release);
	return CMD_OK;
}

static void on_signal(int number)
{
	(void)number;
	atomic_store_explicit(&stop, 1, memory_order_relaxed);	/* only asks for the end */
}

/* Again and again until the release is over. */
static int watch(const struct cmd *cmd, const char *model)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	bool failed = false, terminal = isatty(STDOUT_FILENO) && !cmd->json;
	json_t *release;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	while (!atomic_load_explicit(&stop, memory_order_relaxed) &&
	       (release = release_get(cmd, model, &failed))) {
		if (terminal)
			printf("\033[H\033[J");
		if (cmd->json)
			cmd_json_print(json_incref(release));
		else
			print_release(release);
		fflush(stdout);
		json_decref(release);
		usleep(WATCH_US);
	}
	if (failed)
		return CMD_FAILED;
	if (!cmd->json)
		print_active(cmd, model);
	return CMD_OK;
}

/* ---- begin ---------------------------------------------------------------------------------- */

struct options {
	const char *shadow, *steps, *interval, *why;
	bool canary, watch, force;
};

static int parse(struct cmd *cmd, int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "canary", no_argument, NULL, 'c' }, { "shadow", required_argument, NULL, 's' },
		{ "steps", required_argument, NULL, 't' }, { "interval", required_argument, NULL, 'i' },
		{ "why", required_argument, NULL, 'y' }, { "watch", no_argument, NULL, 'w' },
		{ "force", no_argument, NULL, 'f' }, { 0 },
	};
	int opt;

	while ((opt = cmd_getopt(cmd, argc, argv, ":", longs)) != -1) {
		if (opt == 'c')
			o->canary = true;
		else if (opt == 's')
			o->shadow = optarg;
		else if (opt == 't')
			o->steps = optarg;
		else if (opt == 'i')
			o->interval = optarg;
		else if (opt == 'y')
			o->why = optarg;
		else if (opt == 'w')
			o->watch = true;
		else if (opt == 'f')
			o->force = true;
		else
			return CMD_USAGE;
	}
	return argc - optind == 1 ? CMD_OK : cmd_usage(cmd, synopsis);
}

static void set_text(json_t *request, const char *key, const char *value)
{
	if (value)
		json_object_set_new(request, key, json_string(value));
}

static int begin(const struct cmd *cmd, const char *model, const char *version,
		 const struct options *o)
{
	json_t *request = json_pack("{s:s, s:s, s:s, s:s}", "command", "release", "model", model,
				    "version", version, "mode", !o->shadow ? "canary" :
				    o->canary ? "shadow,canary" : "shadow");

	set_text(request, "steps", o->steps);
	set_text(request, "interval", o->interval);
	set_text(request, "shadow", o->shadow);
	set_text(request, "why", o->why);
	set_text(request, "force", o->force ? "yes" : NULL);
	if (ctl_show(cmd, request, print_release))
		return CMD_FAILED;
	return o->watch ? watch(cmd, model) : CMD_OK;
}

int cmd_release(struct cmd *cmd, int argc, char **argv)
{
	const char *model, *version;
	struct options o = { .canary = false };
	int status = parse(cmd, argc, argv, &o);

	if (status || cmd_split_ref(cmd, argv[optind], &model, &version))
		return status ? status : CMD_USAGE;
	if (version)
		return begin(cmd, model, version, &o);
	if (o.canary || o.shadow || o.steps || o.interval || o.why || o.force)
		return cmd_usage(cmd, synopsis);
	return o.watch ? watch(cmd, model) : show_once(cmd, model);
}

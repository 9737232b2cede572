/* SPDX-License-Identifier: MIT */
/* sup_trial_help.c: commands that bring evidence of their own. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sup_trial.h"

/* ---- the operator's metric ------------------------------------------------------------------ */

static double number_of(const struct sup_child *child)
{
	char *end;
	double value = strtod(child->out, &end);

	end += strspn(end, " \t\r\n");
	return child->status || end == child->out || *end ? NAN : value;
}

static void metric_over(struct sup_child *child)
{
	struct sup_trial *trial = child->owner;
	const struct sup_release_conf *conf = &trial->sup->conf.release;
	struct sup_judge_limits limits = { conf->metric_min, conf->metric_max };
	double value = number_of(child);
	char line[120];

	trial->metric = NULL;
	if (isnan(value)) {
		sup_child_line(child, line, sizeof(line));
		log_warning("metric_command: %s (%s)", child->timed_out ? "took too long" :
			    "gave no number", line);
	}
	sup_judge_metric(&trial->judge, conf->metric, value, limits);
}

void sup_trial_measure(struct sup_trial *trial)
{
	const struct sup_release_conf *conf = &trial->sup->conf.release;
	const char *argv[] = { "/bin/sh", "-c", conf->metric_command, NULL };
	char name[MHS_NAME_BYTES], of[MHS_NAME_BYTES];
	char model[96], adapter[96], stable[80], candidate[80], socket[128];
	const char *env[] = { model, adapter, stable, candidate, socket, NULL };
	struct sup_child_plan plan = { .kind = SUP_CHILD_METRIC, .argv = argv, .env = env, .over = metric_over, .owner = trial,
				       .limit_ms = conf->metric_timeout_s * 1000 };
	struct sto_error error;

	if (!conf->metric_command[0] || trial->metric)
		return;
	sup_target_split(trial->model->name, name, of);
	snprintf(model, sizeof(model), "MHOST_MODEL=%s", name);
	snprintf(adapter, sizeof(adapter), "MHOST_ADAPTER=%s", of);
	snprintf(stable, sizeof(stable), "MHOST_STABLE=%s", trial->model->active->semver);
	snprintf(candidate, sizeof(candidate), "MHOST_CANDIDATE=%s", trial->version->semver);
	snprintf(socket, sizeof(socket), "MHOST_SOCKET=%s", trial->sup->conf.socket);
	trial->metric = sup_child_start(trial->sup, &plan, &error);
	if (!trial->metric)
		log_warning("metric_command: %s", error.text);
}

/*
 * Values of another step or command are gone, with a command that still measures there. Until there
 * is one of this step, nothing is decided.
 */
void sup_trial_measure_anew(struct sup_trial *trial)
{
	const struct sup_release_conf *conf = &trial->sup->conf.release;
	struct sup_judge_limits limits = { conf->metric_min, conf->metric_max };

	sup_child_drop(&trial->metric);
	sup_judge_metrics_clear(&trial->judge);
	if (conf->metric_command[0])
		sup_judge_metric(&trial->judge, conf->metric, NAN, limits);
	sup_trial_measure(trial);
}

/* ---- probes --------------------------------------------------------------------------------- */

static void probe_over(struct sup_child *child)
{
	struct sup_trial *trial = child->owner;
	char line[200];

	trial->probe = NULL;
	if (!child->status)
		return;
	sup_child_line(child, line, sizeof(line));
	log_warning("%s: probes: %s", trial->model->name, line);
}

/* Prompts of the configuration, else the candidate's golden cases, else the model's, also for its adapters. */
static bool probe_file(const struct sup_trial *trial, char *path, uint32_t bytes)
{
	const struct sup *sup = trial->sup;
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];
	const struct sup_model_conf *conf;

	sup_target_split(trial->model->name, model, adapter);
	conf = sup_conf_model_find(&sup->conf, model);
	path[0] = '\0';
	if (conf && conf->probes[0])
		snprintf(path, bytes, "%s", conf->probes);
	else if (sup_target_path(sup, trial->model->name, trial->version->semver, "golden.jsonl", path,
				 bytes) || access(path, R_OK))
		snprintf(path, bytes, "%s", conf ? conf->golden : "");
	return path[0];
}

/* The same prompts to both versions, so that a quiet hour does not leave a release undecided. */
void sup_trial_probe(struct sup_trial *trial)
{
	const struct sup_release_conf *conf = &trial->sup->conf.release;
	char path[SUP_PATH_BYTES], count[16], limit[16], socket[128];
	const char *argv[] = { "mhost", "probe", trial->model->name, trial->model->active->semver,
			       trial->version->semver, "--file", path, "--count", count, "--limit",
			       limit, "--json", NULL };
	const char *env[] = { socket, NULL };
	struct sup_child_plan plan = { .kind = SUP_CHILD_PROBE, .argv = argv, .env = env, .over = probe_over, .owner = trial,
				       .limit_ms = trial->plan.interval_s * 1000 + 5000 };
	struct sto_error error;

	if (!conf->probe_count || trial->probe || !probe_file(trial, path, sizeof(path)))
		return;
	snprintf(count, sizeof(count), "%u", conf->probe_count);
	snprintf(limit, sizeof(limit), "%u", trial->plan.interval_s);
	snprintf(socket, sizeof(socket), "MHOST_SOCKET=%s", trial->sup->conf.socket);
	trial->probe = sup_child_start(trial->sup, &plan, &error);
	if (!trial->probe)
		log_warning("%s: probes: %s", trial->model->name, error.text);
}

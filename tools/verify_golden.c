/* SPDX-License-Identifier: MIT */
/* verify_golden.c: golden cases of what lies in the store, on the kernels of this machine. */
#include "verify_golden.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden.h"
#include "sto_golden.h"
#include "sto_temp.h"

/* ---- whom to ask ---------------------------------------------------------------------------- */

/* Whether the host at the socket, if there is one, has the same store. */
static bool is_served(const struct verify_golden *v)
{
	char why[CTL_WHY_BYTES], store[4096];
	struct stat ours, theirs;
	FILE *f = ctl_connect(v->cmd, why);

	if (!f)
		return false;
	fclose(f);
	return !golden_store(v->cmd, store, sizeof(store)) && !stat(v->store, &ours) &&
	       !stat(store, &theirs) && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static bool lists(const json_t *versions, const char *version)
{
	const json_t *one;
	size_t i;

	json_array_foreach(versions, i, one)
		if (!strcmp(json_string_value(one) ?: "", version))
			return true;
	return false;
}

/* Whether the host of @cmd has it in memory; @isa: its kernels. */
static bool is_resident(const struct cmd *cmd, const char *model, const char *version, char isa[32])
{
	json_t *status = ctl_call(cmd, json_pack("{s:s}", "command", "status"));
	const json_t *one;
	bool found = false;
	size_t i;

	snprintf(isa, 32, "%s", json_string_value(json_object_get(status, "isa")) ?: "?");
	json_array_foreach(json_object_get(status, "models"), i, one)
		if (!strcmp(json_string_value(json_object_get(one, "name")) ?: "", model))
			found = lists(json_object_get(one, "resident"), version);
	json_decref(status);
	return found;
}

/* Its store shows the version as ours does. */
static int show_version(const struct verify_golden *v, const char *model, const char *version)
{
	char path[4096], link[4096], store[2100], below[MHS_NAME_BYTES + 8], *real = NULL;
	struct sto_error error;
	int err = CMD_OK;

	snprintf(store, sizeof(store), "%s/store", v->dir);
	snprintf(below, sizeof(below), "models/%s", model);
	if (sto_store_dir_make(store, below, &error))
		return cmd_fail(v->cmd, CMD_FAILED, "%s", error.text);
	if (!sto_version_path(v->store, model, version, NULL, path, sizeof(path)))
		real = realpath(path, NULL);
	if (!real || sto_version_path(store, model, version, NULL, link, sizeof(link)) || symlink(real, link))
		err = cmd_fail(v->cmd, CMD_FAILED, "%s@%s: %s: %s", model, version, link, strerror(errno));
	free(real);
	return err;
}

static int own_dir(struct verify_golden *v)
{
	return v->dir[0] ? CMD_OK : bench_dir_make(v->cmd, v->dir, sizeof(v->dir));
}

static int start_host(struct verify_golden *v)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (v->host.pid > 0)
		return CMD_OK;
	v->host = (struct bench_host){ .isa = "auto", .threads = cpus > 0 && cpus < 64 ? (uint32_t)cpus : 1 };
	return bench_host_start(&v->host, v->cmd, v->dir);
}

static int host_call(const struct verify_golden *v, const char *command, const char *model, const char *version)
{
	json_t *done = ctl_call(&v->host.cmd, json_pack("{s:s, s:s, s:s}", "command", command, "model", model,
							"version", version));

	json_decref(done);
	return done ? CMD_OK : CMD_FAILED;
}

/* ---- asking --------------------------------------------------------------------------------- */

static int ask(const struct verify_golden *v, struct golden *g, const struct prompts *prompts,
	       void (*problem)(void *arg, const char *text), void *arg)
{
	char label[80], text[800];
	struct golden_failure failure;
	int err = golden_open(g);

	for (uint32_t i = 0; !err && i < prompts->count; i++) {
		/* relaxed: a request to give up; nothing is published by it */
		if (v->stop && atomic_load_explicit(v->stop, memory_order_relaxed))
			err = CMD_FAILED;
		else
			err = golden_check_case(g, &prompts->list[i], &failure);
		if (err || !failure.check)
			continue;
		snprintf(text, sizeof(text), "golden case %s: %s (%s)", prompt_label(&prompts->list[i], label),
			 failure.message, v->isa);
		problem(arg, text);
	}
	golden_close(g);
	return err;
}

static int ask_own_host(struct verify_golden *v, struct golden *g, const struct prompts *prompts,
			void (*problem)(void *arg, const char *text), void *arg)
{
	int err = own_dir(v);

	if (!err)
		err = show_version(v, g->model, g->version);
	if (!err)
		err = start_host(v);
	if (!err)
		err = host_call(v, "load", g->model, g->version);
	if (err)
		return err;
	is_resident(&v->host.cmd, g->model, g->version, v->isa);
	g->cmd = &v->host.cmd;
	err = ask(v, g, prompts, problem, arg);
	return host_call(v, "unload", g->model, g->version) || err ? CMD_FAILED : CMD_OK;
}

int verify_golden(struct verify_golden *v, const char *model, const char *version, uint32_t *cases,
		  void (*problem)(void *arg, const char *text), void *arg)
{
	struct golden g = { .cmd = v->cmd, .model = model, .version = version };
	char path[4096], why[PROMPTS_ERROR_BYTES];
	struct prompts prompts = { 0 };
	struct sto_error error;
	int err = CMD_OK;

	*cases = 0;
	/* that it is not whole was told */
	if (sto_golden_find(v->store, model, version, path, sizeof(path), &error) || !path[0])
		return CMD_OK;
	if (prompts_read(path, PROMPTS_GOLDEN, &prompts, why)) {
		problem(arg, why);
	} else {
		if (!v->has_looked)
			v->is_served = is_served(v);
		v->has_looked = true;
		if (v->is_served && is_resident(v->cmd, model, version, v->isa))
			err = ask(v, &g, &prompts, problem, arg);
		else
			err = ask_own_host(v, &g, &prompts, problem, arg);
	}
	*cases = err ? 0 : prompts.count;
	prompts_free(&prompts);
	return err;
}

void verify_golden_end(struct verify_golden *v)
{
	bench_host_stop(&v->host);
}

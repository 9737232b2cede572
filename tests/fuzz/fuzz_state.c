/* SPDX-License-Identifier: MIT */
/*
 * fuzz_state.c: the input is STORE/state/m.json, what a restart goes on with, in a supervisor whose store is
 * empty. It is left aside, or what is taken of it is within the limits of a release; either way it starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "sup_op_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define check(cond)	((cond) ? (void)0 : abort())

static struct sup sup;
static char dir[] = "/tmp/mhost-fuzz-XXXXXX", path[64];

static void remove_dir(void)
{
	sup_finish(&sup);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	rmdir(dir);
}

static void world_make(void)
{
	struct sto_error error;

	check(mkdtemp(dir) != NULL);
	sup.board_fd = -1;
	sup.signals.fd = sup.loads.fd = sup.client_socket.fd = sup.control_socket.fd = -1;
	sup_conf_defaults(&sup.conf);
	snprintf(sup.conf.store, sizeof(sup.conf.store), "%s", dir);
	snprintf(path, sizeof(path), "%s/state", dir);
	check(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/state/m.json", dir);
	log_init("fuzz", LOG_LVL_ERROR - 1);	/* refusals are what most inputs lead to */
	check(sup_loop_open(&sup.loop) == 0);
	check(sup_board_open(&sup, &error) == 0);
	check(sup_model_get(&sup, "m", &error) != NULL);
	atexit(remove_dir);
}

static void plan_check(const struct sup_trial_plan *plan)
{
	check(plan->resumed && (plan->in_shadow ? plan->shadow : plan->canary));
	check(plan->steps.count >= 1 && plan->steps.count <= SUP_STEPS_MAX);
	check(plan->step < plan->steps.count);
	check(plan->shadow_weight >= 1 && plan->shadow_weight <= MHS_ROUTE_WEIGHT_MAX);
	check(plan->interval_s >= 1 && plan->interval_s <= SUP_INTERVAL_MAX_S);
	for (uint32_t i = 0; i < plan->steps.count; i++)
		check(plan->steps.weights[i] > (i ? plan->steps.weights[i - 1] : 0) &&
		      plan->steps.weights[i] <= MHS_ROUTE_WEIGHT_MAX);
	check(memchr(plan->why, 0, sizeof(plan->why)) != NULL);
}

static void ops_end(void)
{
	while (sup.ops)
		check(sup_loop_turn(&sup.loop) == 0);
	check(sup.start_ops == 0 && !sup.versions && !sup.ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sup_model *model;
	FILE *f;

	if (!sup.board)
		world_make();
	f = fopen(path, "wb");
	check(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
	model = sup_model_find(&sup, "m");
	sup_keep_restore(&sup);
	ops_end();			/* the version is not there */
	sup_keep_apply(&sup, "m");	/* as if it were */
	if (sup.ops)
		plan_check(&sup.ops->plan);
	check(model->history_count <= SUP_HISTORY_MAX);
	for (uint32_t i = 0; i < model->history_count; i++)
		check(model->history[i][0] && memchr(model->history[i], 0, MHS_SEMVER_BYTES));
	ops_end();
	model->history_count = 0;
	json_decref(sup.kept);
	sup.kept = NULL;
	return 0;
}

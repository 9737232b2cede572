/* SPDX-License-Identifier: MIT */
/*
 * fuzz_conf.c: the input is a configuration file. It is refused with one line that names it, or every value taken
 * is within its limits.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "sup_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define check(cond)	((cond) ? (void)0 : abort())

/* Comparisons that NaN fails too. */
static void release_check(const struct sup_release_conf *r)
{
	check(r->steps.count >= 1 && r->steps.count <= SUP_STEPS_MAX);
	for (uint32_t i = 0; i < r->steps.count; i++)
		check(r->steps.weights[i] > (i ? r->steps.weights[i - 1] : 0) &&
		      r->steps.weights[i] <= MHS_ROUTE_WEIGHT_MAX);
	check(r->shadow_weight >= 1 && r->shadow_weight <= MHS_ROUTE_WEIGHT_MAX);
	check(r->interval_s >= 1 && r->interval_s <= SUP_INTERVAL_MAX_S);
	check(r->golden_timeout_s >= 1 && r->hook_timeout_s >= 1 && r->metric_timeout_s >= 1);
	check(memchr(r->hook, 0, sizeof(r->hook)) && memchr(r->metric_command, 0, SUP_COMMAND_BYTES));
	check(r->metric[0] && memchr(r->metric, 0, sizeof(r->metric)));
	check(r->metric_min <= r->metric_max);
	check(r->judge.alpha > 0 && r->judge.alpha <= 0.5 && r->judge.samples_full >= r->judge.samples_min);
	check(r->judge.slowdown_excluded >= r->judge.slowdown_tolerated && r->judge.kl_max >= 0);
}

static void values_check(const struct sup_conf *conf)
{
	check(conf->store[0] && memchr(conf->store, 0, sizeof(conf->store)));
	check(conf->socket[0] && memchr(conf->socket, 0, sizeof(conf->socket)));
	check(memchr(conf->worker_path, 0, sizeof(conf->worker_path)) != NULL);
	check(conf->workers >= 1 && conf->workers <= MHS_WORKER_MAX && conf->threads <= 64);
	check(conf->keep_resident <= 64 && conf->numa_node < 1024);
	check(sup_isa_name(conf->isa) && sup_hugepages_name(conf->hugepages));
	check(conf->log_level >= LOG_LVL_ERROR && conf->log_level <= LOG_LVL_DEBUG);
	check(conf->limits.context >= 16 && conf->limits.max_tokens <= conf->limits.context);
	check(conf->limits.queue >= 1 && conf->limits.kv_bytes >= 1u << 20);
	check(conf->clients_per_uid >= 1);
	check(conf->use.users.count <= SUP_IDS_MAX && conf->control.groups.count <= SUP_IDS_MAX);
	release_check(&conf->release);
	check(conf->model_count <= MHS_MODEL_MAX);
	for (uint32_t i = 0; i < conf->model_count; i++)
		check(conf->models[i].name[0] && memchr(conf->models[i].name, 0, MHS_NAME_BYTES) &&
		      memchr(conf->models[i].active, 0, MHS_SEMVER_BYTES) &&
		      sup_on_new_name(conf->models[i].on_new));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sup_conf conf;
	static char path[32];
	static int fd = -1;
	struct sup_options options = { .config = path };
	struct sto_error error = { "" };
	int err;

	if (fd < 0) {
		fd = memfd_create("mhost.ini", MFD_CLOEXEC);
		check(fd >= 0 && fchmod(fd, 0600) == 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	err = sup_conf_read(&options, &conf, &error);
	if (!err)
		values_check(&conf);
	else
		check(error.text[0] && !strchr(error.text, '\n'));
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "sup_conf.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },
	{ "hugepages", required_argument, NULL, 'o' },
	{ "isa", required_argument, NULL, 'o' },
	{ "keep-resident", required_argument, NULL, 'o' },
	{ "log-level", required_argument, NULL, 'o' },
	{ "numa", required_argument, NULL, 'o' },
	{ "restore", required_argument, NULL, 'o' },
	{ "socket", required_argument, NULL, 'o' },
	{ "store", required_argument, NULL, 'o' },
	{ "threads", required_argument, NULL, 'o' },
	{ "version", no_argument, NULL, 'v' },
	{ "worker-path", required_argument, NULL, 'o' },
	{ "workers", required_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
"usage: mhostd --config FILE [OPTION]...\n"
"       mhostd --store DIR --socket PATH [OPTION]...\n"
"Host models in shared memory. Runs in the foreground; options win over the file.\n"
"  --config FILE      mhost.ini(5)\n"
"  --store DIR        directory of the imported models\n"
"  --socket PATH      client socket; PATH.ctl is the control socket\n"
"  --workers N        worker processes (1)\n"
"  --threads N        threads of each worker (0: CPUs shared out evenly)\n"
"  --hugepages MODE   prefer, require or never (prefer)\n"
"  --numa MODE        interleave, bind:NODE or replicate (interleave)\n"
"  --isa LEVEL        auto, generic, avx2, avx512 or amx (auto)\n"
"  --keep-resident N  versions per model kept in memory for rollback (2)\n"
"  --restore yes|no   begin with what was routed when the last one ended (yes)\n"
"  --log-level LEVEL  error, warning, notice, info or debug (info)\n"
"  --worker-path FILE the program mhost-worker (beside mhostd)\n"
"  --help, --version\n";

/* The key that an option sets: the same name, with underscores. All are static texts. */
static const char *option_key(const char *name)
{
	if (strcmp(name, "keep-resident") == 0)
		return "keep_resident";
	if (strcmp(name, "log-level") == 0)
		return "log_level";
	if (strcmp(name, "worker-path") == 0)
		return "worker_path";
	return name;
}

static int option_add(struct sup_options *options, const char *name, const char *value,
		      struct sto_error *error)
{
	const char *key = option_key(name);

	for (uint32_t i = 0; i < options->count; i++) {
		if (strcmp(options->list[i].key, key) == 0) {
			sto_fail(error, "--%s is given twice", name);
			return -EINVAL;
		}
	}
	options->list[options->count++] = (struct sup_option){ key, value };
	return 0;
}

int sup_options_parse(int argc, char **argv, struct sup_options *options, struct sto_error *error)
{
	int c, index = 0;

	*options = (struct sup_options){ 0 };
	opterr = 0;
	optind = 0;	/* start over: tests call this more than once */
	while ((c = getopt_long(argc, argv, ":", long_options, &index)) != -1) {
		if (c == 'h')
			return fputs(usage, stdout), 1;
		if (c == 'v')
			return puts("mhostd " MHOST_VERSION), 1;
		if (c == 'c' && !options->config) {
			options->config = optarg;
		} else if (c == 'o') {
			if (option_add(options, long_options[index].name, optarg, error))
				return -EINVAL;
		} else {
			sto_fail(error, c == ':' ? "%s needs a value; see mhostd --help" :
				 c == 'c' ? "%s: --config is given twice" :
				 "unknown option %s; see mhostd --help", argv[optind - 1]);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		sto_fail(error, "\"%s\" is not an option; see mhostd --help", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

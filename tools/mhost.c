/* SPDX-License-Identifier: MIT */
/*
 * mhost.c: the command line. Uses libmhost and the control socket, nothing else; import works
 * alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static int import_verb(struct cmd *cmd, int argc, char **argv);

static const struct {
	const char *name;
	cmd_fn fn;
	const char *help;
} verbs[] = {
	{ "abort", cmd_abort, "MODEL [--why TEXT]: end a release, all traffic on the active version" },
	{ "activate", cmd_activate, "MODEL@VERSION: load if needed, then route traffic to it" },
	{ "adapter", cmd_adapter, "list | load | merge | push | rollback | swap | unload MODEL NAME[@VERSION]" },
	{ "bench", cmd_bench, "[MODEL]: measure load, flip, round trip, speed, memory" },
	{ "chat", cmd_chat, "MODEL[@VERSION]: talk to it; /help says how" },
	{ "detokenize", cmd_detokenize, "MODEL --tokens 1,2,3" },
	{ "diff", cmd_diff, "MODEL[/ADAPTER]@VERSION VERSION: what differs, weights included" },
	{ "embed", cmd_embed, "MODEL[@VERSION] [TEXT]...: one vector for each text" },
	{ "golden", cmd_golden, "check MODEL@VERSION | make MODEL@VERSION --prompts FILE" },
	{ "history", cmd_history, "[MODEL] [--follow]: what happened to the versions, who did it and why" },
	{ "hold", cmd_hold, "MODEL [--why TEXT]: a release stays at its step" },
	{ "import", import_verb, "MODEL@VERSION PATH: GGUF file or Hugging Face folder into the store; or PEFT adapter" },
	{ "list", cmd_list, "all versions in the store and their state; --adapters: the adapters" },
	{ "load", cmd_load, "MODEL@VERSION: into memory, without traffic" },
	{ "probe", cmd_probe, "MODEL[/ADAPTER] VERSION... --file FILE: the same prompts to each, measured" },
	{ "promote", cmd_promote, "MODEL [--why TEXT]: a release's candidate becomes the active version" },
	{ "prune", cmd_prune, "MODEL[/ADAPTER] --keep N: remove old versions that no route and no rollback needs" },
	{ "release", cmd_release, "MODEL@VERSION [--canary] [--shadow 10] [--watch]: traffic in steps, judged" },
	{ "render", cmd_render, "MODEL[@VERSION] REQUEST.json: a chat request through its template" },
	{ "resume", cmd_resume, "MODEL [--why TEXT]: a release that was held goes on" },
	{ "rollback", cmd_rollback, "MODEL [--to VERSION]: back to the version before" },
	{ "run", cmd_run, "MODEL[@VERSION] [PROMPT]: stream a reply" },
	{ "score", cmd_score, "MODEL[@VERSION] [TEXT]: log-probability of each token" },
	{ "shadow", cmd_shadow, "MODEL[/ADAPTER] --prompts FILE: replies of the active version and the candidate, side by side" },
	{ "show", cmd_show, "MODEL@VERSION: manifest, configuration, state; or MODEL/ADAPTER@VERSION" },
	{ "status", cmd_status, "the host: pages, memory, models, routes" },
	{ "tokenize", cmd_tokenize, "MODEL [TEXT]" },
	{ "traffic", cmd_traffic, "MODEL [--clients 8]: ask again and again, check every reply" },
	{ "unload", cmd_unload, "MODEL@VERSION: give its memory back" },
	{ "verify", cmd_verify, "[MODEL[@VERSION]]: hash the store again and name what is damaged" },
	{ "watch", cmd_watch, "DIR MODEL: checkpoints that appear there become versions" },
	{ "workers", cmd_workers, "worker processes, their load and pins" },
};

#define VERB_COUNT	(sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *to)
{
	fprintf(to, "usage: mhost [--socket S] COMMAND ... [--json]\n\n");
	for (size_t i = 0; i < VERB_COUNT; i++)
		fprintf(to, "  %-11s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to, "\nSee mhost(1).\n");
}

static int import_verb(struct cmd *cmd, int argc, char **argv)
{
	static char json[] = "--json";

	/* The slot is there: --json was taken out of argv. */
	if (cmd->json) {
		argv[argc++] = json;
		argv[argc] = NULL;
	}
	return cmd_import(argc, argv);
}

/* Takes the arguments that every verb has out of argv, wherever they stand. */
static int take_common(struct cmd *cmd, int argc, char **argv)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--")) {
			while (i < argc)
				argv[kept++] = argv[i++];
			break;
		}
		if (!strcmp(argv[i], "--json"))
			cmd->json = true;
		else if (!strcmp(argv[i], "--socket") && i + 1 < argc)
			cmd->socket = argv[++i];
		else if (!strncmp(argv[i], "--socket=", 9))
			cmd->socket = argv[i] + 9;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

static const char *verb_of(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--socket"))
			i++;
		else if (argv[i][0] != '-')
			return argv[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *env = getenv("MHOST_SOCKET");
	struct cmd cmd = { .socket = env && env[0] ? env : MHOST_DEFAULT_SOCKET };

	cmd.verb = verb_of(argc, argv);
	argc = take_common(&cmd, argc, argv);
	if (!strcmp(argv[argc - 1], "--socket") && argc > 1) {
		fprintf(stderr, "mhost: --socket: needs a value; see mhost(1)\n");
		return CMD_USAGE;
	}
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help") ||
			 (argc == 3 && !strcmp(argv[2], "--help")))) {
		help(stdout);
		return CMD_OK;
	}
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("mhost %s\n", MHOST_VERSION);
		return CMD_OK;
	}
	for (size_t i = 0; argc > 1 && i < VERB_COUNT; i++) {
		if (strcmp(argv[1], verbs[i].name))
			continue;
		cmd.verb = verbs[i].name;
		return verbs[i].fn(&cmd, argc - 1, argv + 1);
	}
	if (argc > 1)
		fprintf(stderr, "mhost: unknown command %s; see mhost --help\n", argv[1]);
	else
		help(stderr);
	return CMD_USAGE;
}

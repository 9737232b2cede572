/* SPDX-License-Identifier: MIT */
/* golden.h: what golden cases ask of a version. cmd_golden.c checks them, golden_make.c makes them. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "cmd.h"
#include "prompts.h"

#define GOLDEN_SYNOPSIS "check MODEL@VERSION [--file FILE] [--limit SECONDS] [--json]\n" \
	"       mhost golden make MODEL@VERSION [--prompts FILE] [--print] [--max-tokens N]\n" \
	"                         [--tolerance X] [--no-expect [--margin X]] [--limit SECONDS]"

/* A session with one version, which is named in each request: it need not be routed. */
struct golden {
	const struct cmd *cmd;
	struct mhost *session;
	const char *model, *version;
	char hash[65];		/* of the version, once it has answered */
};

/* Connect. CMD_OK, or CMD_FAILED with the reason printed. golden_close() in every case. */
int golden_open(struct golden *g);
void golden_close(struct golden *g);

/*
 * Each asks one thing, and again while the host is busy. CMD_OK: answered; reply->error and
 * reply->message say what the version made of it. CMD_FAILED: nobody answers, or the time is over;
 * told. reply_free(), or golden_clear() to use @reply again, in every case.
 */
int golden_generate(struct golden *g, const struct prompt_part *prompt, uint32_t max_tokens,
		    struct reply *reply);	/* greedy */
int golden_score(struct golden *g, const uint32_t *ids, uint32_t count, struct reply *reply);
/* Into reply->prompt. @is_start: special tokens as at the start of a prompt. */
int golden_tokenize(struct golden *g, const struct prompt_part *part, bool is_start,
		    struct reply *reply);
void golden_clear(struct reply *reply);

/* Scores of the tokens of @reply behind its prompt, into @scored. */
int golden_score_reply(struct golden *g, const struct reply *reply, struct reply *scored);

/* The last @count scores of @reply; NULL: they are not there. */
const float *golden_scores(const struct reply *reply, uint32_t count);
/* Their mean; NAN when one of them is not there. */
double golden_mean(const struct reply *reply, uint32_t count);

/* MODEL@VERSION, both. CMD_OK, or CMD_USAGE with the reason printed. */
int golden_parse_ref(const struct cmd *cmd, const char *ref, char model[64], char version[48]);
/* Where the host that answers has its store. CMD_OK, or CMD_FAILED with the reason printed. */
int golden_store(const struct cmd *cmd, char *store, size_t bytes);
/* golden_make.c: `mhost golden make` */
int golden_make(const struct cmd *cmd, int argc, char **argv);

/* What is wrong with a case. */
struct golden_failure {
	const char *check;	/* NULL: nothing; "expect", "logprobs", "min_logprob" or "error" */
	uint32_t at;		/* expect, logprobs: index of the first token that differs */
	int64_t expected, got;	/* there; -1: the end of the reply */
	double logprob;		/* min_logprob: the mean that came; logprobs: what came there */
	char message[600];	/* one line, without the name of the case */
};

/* Ask all that the case says. CMD_OK with @failure, or CMD_FAILED: give up; told. */
int golden_check_case(struct golden *g, const struct prompt *prompt, struct golden_failure *failure);

#endif

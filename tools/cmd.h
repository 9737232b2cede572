/* SPDX-License-Identifier: MIT */
/* cmd.h: what the verbs of `mhost` share. Exit status: 0 done, 1 refused or failed, 2 bad usage. */
#ifndef CMD_H
#define CMD_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "mhost.h"

#define CMD_OK		0
#define CMD_FAILED	1
#define CMD_USAGE	2

struct cmd {
	const char *verb;
	const char *socket;	/* --socket, $MHOST_SOCKET or the default; never NULL */
	bool json;		/* --json */
};

typedef int (*cmd_fn)(struct cmd *cmd, int argc, char **argv);

/* One per verb: argv[0] is the verb. */
int cmd_adapter(struct cmd *cmd, int argc, char **argv);
int cmd_diff(struct cmd *cmd, int argc, char **argv);
int cmd_history(struct cmd *cmd, int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_prune(struct cmd *cmd, int argc, char **argv);
int cmd_run(struct cmd *cmd, int argc, char **argv);
int cmd_score(struct cmd *cmd, int argc, char **argv);
int cmd_tokenize(struct cmd *cmd, int argc, char **argv);
int cmd_detokenize(struct cmd *cmd, int argc, char **argv);
int cmd_list(struct cmd *cmd, int argc, char **argv);
int cmd_show(struct cmd *cmd, int argc, char **argv);
int cmd_load(struct cmd *cmd, int argc, char **argv);
int cmd_unload(struct cmd *cmd, int argc, char **argv);
int cmd_abort(struct cmd *cmd, int argc, char **argv);
int cmd_hold(struct cmd *cmd, int argc, char **argv);
int cmd_promote(struct cmd *cmd, int argc, char **argv);
int cmd_release(struct cmd *cmd, int argc, char **argv);
int cmd_render(struct cmd *cmd, int argc, char **argv);
int cmd_resume(struct cmd *cmd, int argc, char **argv);
int cmd_activate(struct cmd *cmd, int argc, char **argv);
int cmd_rollback(struct cmd *cmd, int argc, char **argv);
int cmd_status(struct cmd *cmd, int argc, char **argv);
int cmd_embed(struct cmd *cmd, int argc, char **argv);
int cmd_golden(struct cmd *cmd, int argc, char **argv);
int cmd_probe(struct cmd *cmd, int argc, char **argv);
int cmd_shadow(struct cmd *cmd, int argc, char **argv);
int cmd_verify(struct cmd *cmd, int argc, char **argv);
int cmd_traffic(struct cmd *cmd, int argc, char **argv);
int cmd_workers(struct cmd *cmd, int argc, char **argv);
int cmd_bench(struct cmd *cmd, int argc, char **argv);
int cmd_chat(struct cmd *cmd, int argc, char **argv);
int cmd_watch(struct cmd *cmd, int argc, char **argv);

/* One line on standard error, "mhost: VERB: ..."; the value is returned. */
int cmd_fail(const struct cmd *cmd, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int cmd_usage(const struct cmd *cmd, const char *synopsis);
/*
 * getopt_long() that says what is wrong: -1 at the end, '?' for CMD_USAGE. @shorts begins with a
 * colon.
 */
int cmd_getopt(const struct cmd *cmd, int argc, char **argv, const char *shorts,
	       const struct option *longs);

/*
 * The store of a verb that works without a daemon: @given (--store; may be NULL), else $MHOST_STORE
 * or the default. Static memory. NULL: the reason has been printed, CMD_USAGE is due.
 */
const char *cmd_store(const struct cmd *cmd, const char *given);

/* Progress on standard error. *@shown: -1 before the first call. Clear it before other output. */
void cmd_bar(int *shown, const char *step, uint64_t done_bytes, uint64_t all_bytes);
void cmd_bar_clear(int *shown);
/* SIGINT, SIGTERM and SIGHUP make the answer true, once; the second one kills. */
const _Atomic int *cmd_catch_signals(void);

/* Whole-string numbers within limits; false when they are not. */
bool cmd_parse_u64(const char *text, uint64_t low, uint64_t high, uint64_t *value);
/* The same of optarg, for @option; CMD_OK, or CMD_USAGE with the reason printed. */
int cmd_take_u32(const struct cmd *cmd, const char *option, uint32_t low, uint32_t high, uint32_t *to);
bool cmd_parse_float(const char *text, double low, double high, float *value);
/*
 * "1,2,3" to ids; *ids (NULL or an earlier answer) is the caller's to free. False on anything else.
 */
bool cmd_parse_ids(const char *text, uint32_t **ids, uint32_t *count);
/*
 * "MODEL[@VERSION]" in place: *version is NULL without one. CMD_OK, or CMD_USAGE with the reason
 * printed.
 */
int cmd_split_ref(const struct cmd *cmd, char *ref, const char **model, const char **version);
/*
 * UTF-8 given as argument, else standard input as a whole; malloc'd, NUL-terminated. NULL: reason
 * printed.
 */
char *cmd_text(const struct cmd *cmd, int argc, char **argv, size_t *bytes);
/* The whole of the file @path, at most @limit bytes; malloc'd. NULL: the reason has been printed. */
char *cmd_read_file(const struct cmd *cmd, const char *path, size_t limit, size_t *bytes);

/* ---- adapters.c ------------------------------------------------------------------------------- */

struct cmd_adapters {
	struct mhost_adapter list[MHOST_ADAPTERS_MAX];
	uint32_t count;
};
/* One more from "NAME[@VERSION][:SCALE]", cut in place. CMD_OK, or CMD_USAGE with the reason printed. */
int cmd_take_adapter(const struct cmd *cmd, char *text, struct cmd_adapters *to);
void cmd_adapters_set(const struct cmd_adapters *list, struct mhost_request *rq);
/* "MODEL/ADAPTER" in place: the adapter, or NULL: it is a model. */
const char *cmd_cut_adapter(char *target);

json_t *cmd_json_ids(const uint32_t *ids, uint32_t count);
json_t *cmd_json_text(const char *text, size_t bytes);	/* ill-formed UTF-8 becomes U+FFFD */
void cmd_json_print(json_t *object);			/* one line on standard output; frees it */
void cmd_hex(const uint8_t *bytes, size_t count, char *out);

/* "MODEL[/ADAPTER][@VERSION]" of what an answer or event is about; @out is returned. */
#define CMD_SUBJECT_BYTES	224u
const char *cmd_subject(const json_t *about, char out[CMD_SUBJECT_BYTES]);
/* cmd_control.c: answers of activate and unload */
void cmd_print_flip(const json_t *answer);
void cmd_print_unload(const json_t *answer);

/* ---- ctl.c: the control socket (daemon/supervisor/CONTROL.md) ------------------------------- */

/*
 * Send @request (reference taken) and read the final line; progress is shown on a terminal. NULL
 * when the host cannot be reached or refuses: the reason has been printed. The caller frees the
 * object.
 */
json_t *ctl_call(const struct cmd *cmd, json_t *request);
/* Whether no host listens there. False also when that cannot be known: ctl_call() will tell. */
bool ctl_absent(const struct cmd *cmd);
typedef void (*ctl_print_fn)(const json_t *answer);
/* The same, and show the answer: as JSON with --json, else by @print. CMD_OK or CMD_FAILED. */
int ctl_show(const struct cmd *cmd, json_t *request, ctl_print_fn print);
/* A connection to it, the caller's to close. NULL: the reason has been printed. */
FILE *ctl_open(const struct cmd *cmd);
/* The same, but the reason goes into @why. */
#define CTL_WHY_BYTES	512u
FILE *ctl_connect(const struct cmd *cmd, char why[CTL_WHY_BYTES]);

/* ---- stop.c: verbs that others start, and that end in time ------------------------------------- */

#define STOP_LIMIT_DEFAULT_S	600u
#define STOP_LIMIT_MAX_S	86400u

/* From now on SIGINT, SIGTERM and the passing of @limit_s seconds (0: no limit) ask for an end. */
void stop_begin(uint32_t limit_s);
bool stop_is_signalled(void);
bool stop_is_over(void);	/* signalled, or out of time */
/* Says which of the two it was; CMD_FAILED. */
int stop_fail(const struct cmd *cmd);
/* --limit SECONDS in 1..STOP_LIMIT_MAX_S. CMD_OK, or CMD_USAGE with the reason printed. */
int stop_parse_limit(const struct cmd *cmd, const char *text, uint32_t *limit_s);

/* ---- reply.c: run one request to its end ----------------------------------------------------- */

struct reply_adapter {
	char name[64], version[48], hash[65];
	float scale;
};

struct reply {
	uint32_t *prompt, *tokens;
	uint32_t prompt_count, token_count, token_cap;
	float *scores;
	uint32_t form, form_flags;	/* of a chat */
	float *vector;
	uint32_t vector_count;
	char *text;
	size_t text_bytes, text_cap;
	json_t *logprobs;		/* NULL unless asked for */
	char model[64], version[48], hash[65];
	struct reply_adapter adapters[MHOST_ADAPTERS_MAX];
	uint32_t adapter_count;
	bool begun;
	uint32_t finish;
	int error, retriable;
	char message[512];
	double queue_ms, prefill_ms, decode_ms;
	uint32_t cached_count;
	double logprob_sum;		/* of its tokens, with MHOST_LOGPROBS */
	uint32_t drafted, accepted;	/* tokens guessed ahead; those that were right */
};

/* Sees text of @reply as it streams. */
typedef void (*reply_text_fn)(void *arg, const struct reply *reply, const char *text, size_t bytes);
/* From now on SIGINT asks for the end of what runs; again: of the program. */
void reply_catch_interrupt(void);
bool reply_is_interrupted(void);
/*
 * Connect, submit, collect. @on_text may be NULL, and gets no argument. Interrupt (SIGINT) cancels. 0, or CMD_FAILED with the reason printed. reply_free() in every case.
 */
int reply_run(const struct cmd *cmd, const struct mhost_request *rq, reply_text_fn on_text,
	      struct reply *reply);
/*
 * The same on a session that is open: submit once, read to the end into a zeroed @reply; @is_over is
 * asked now and then, and once it is true the request is cancelled. 0 with an end, which may be an
 * error; a negative code when the session failed; -ETIMEDOUT: no end within seconds of a cancel.
 */
typedef bool (*reply_over_fn)(void);
int reply_collect(struct mhost *s, const struct mhost_request *rq, reply_over_fn is_over,
		  reply_text_fn on_text, void *arg, struct reply *reply);
/* One event of the request into its reply. */
void reply_take(struct reply *r, const struct mhost_event *ev, reply_text_fn on_text, void *arg);
json_t *cmd_json_adapters(const struct reply *reply);	/* that it was made with */
void reply_free(struct reply *reply);
const char *reply_finish_name(uint32_t finish);	/* enum mhost_finish, as in JSON */

#endif

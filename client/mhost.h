/* SPDX-License-Identifier: MIT */
/*
 * mhost.h: talk to a local mhost through shared memory.
 *
 * A session is one connection: mhost gives it rings of its own in shared memory, to every worker.
 * Requests are submitted without blocking; their events (begin, tokens, end) are read one by one.
 * Each accepted request ends exactly once, also when its worker dies.
 *
 * Threads: a session is used by one thread at a time, whichever; different sessions are independent.
 * Fork: a child must not use a parent's session; it may mhost_close() its copy, the parent's goes on.
 * Signals: no function is async-signal-safe, none returns early because of one; SIGPIPE is never
 * raised. Reading: events lie in rings (256 KB a worker) until mhost_next() takes them; a request
 * whose events find no room for 10 s ends with MHOST_E_SLOW_READER.
 *
 *	struct mhost *s;
 *	struct mhost_request rq = MHOST_REQUEST_INIT;
 *	const struct mhost_event *ev;
 *	uint64_t id;
 *
 *	if (mhost_connect(&s, NULL) < 0) ...
 *	rq.model = "smol"; rq.text = "Once upon a time"; rq.max_tokens = 64;
 *	mhost_submit(s, &rq, &id);
 *	while (mhost_next(s, -1, &ev) == 0 && ev->type != MHOST_EVENT_END)
 *		if (ev->type == MHOST_EVENT_TOKEN)
 *			fwrite(ev->text, 1, ev->text_bytes, stdout);
 *	mhost_close(&s);
 */
#ifndef MHOST_H
#define MHOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MHOST_ABI_MAJOR	2
#define MHOST_ABI_MINOR	1
#define MHOST_DEFAULT_SOCKET	"/run/mhost/mhost.sock"

/* (major << 16) | minor of the library in use. Since 1.0. */
uint32_t mhost_abi_version(void);

/*
 * Functions return 0 (or a count) or a negative code: -errno, or one of these, which lie below
 * -4095. mhost_strerror() knows both; mhost_errmsg() says what was tried, on what, with which
 * numbers.
 */
enum mhost_error {
	MHOST_E_INVALID = -5001,	/* the request breaks a limit; nothing was sent */
	MHOST_E_NO_MODEL = -5002,
	MHOST_E_NO_VERSION = -5003,	/* that version is not resident */
	MHOST_E_TOO_LONG = -5004,	/* prompt and max_tokens against the context */
	MHOST_E_BUSY = -5005,		/* queue or rings full: try again later */
	MHOST_E_DEADLINE = -5006,
	MHOST_E_NAN = -5007,		/* the model produced numbers that are not finite */
	MHOST_E_STOPPING = -5008,	/* the host is shutting down */
	MHOST_E_WORKER_LOST = -5009,	/* its worker died: safe to retry */
	MHOST_E_SLOW_READER = -5010,	/* events were not read in time */
	MHOST_E_PROTOCOL = -5011,	/* host and library do not understand each other */
	MHOST_E_INTERNAL = -5012,
	MHOST_E_REFUSED = -5013,	/* the host does not let this user in, or quota */
	MHOST_E_GONE = -5014,		/* the host is gone; the session is dead */
	MHOST_E_NO_ADAPTER = -5015,	/* not in the store, not loadable, or not for this version */
};

const char *mhost_strerror(int code);	/* static text, never NULL */

struct mhost;	/* a session */

/*
 * Connect to the host at @socket (NULL: $MHOST_SOCKET, else MHOST_DEFAULT_SOCKET). Blocks up
 * to 5 s. 0; -ENOENT, -ECONNREFUSED, -EACCES, -ENAMETOOLONG, -EMFILE, -ETIMEDOUT; MHOST_E_REFUSED;
 * MHOST_E_GONE (it ended amid the greeting); MHOST_E_PROTOCOL. On failure *@session is still set when
 * memory allows, for mhost_errmsg() only; close it.
 */
int mhost_connect(struct mhost **session, const char *socket);
/* Cancels what runs, frees all, clears *@session. NULL is fine. */
void mhost_close(struct mhost **session);
/* Text of the last failure on this session; never NULL; valid until the next call on it. */
const char *mhost_errmsg(const struct mhost *session);

enum mhost_kind {
	MHOST_GENERATE = 0,
	MHOST_SCORE = 1,	/* log-probability of each token of the prompt */
	MHOST_TOKENIZE = 2,
	MHOST_DETOKENIZE = 3,
	MHOST_PING = 4,		/* a round trip through one worker; one END event */
	/*
	 * The prompt as a vector of the model's hidden size, out of the hidden states after the final norm
	 * (last_hidden_state in transformers), pooled and of length 1. Since 2.1; MHOST_E_PROTOCOL: the
	 * host is older
	 */
	MHOST_EMBED = 5,
};

/* Which hidden states make the vector of MHOST_EMBED. */
enum mhost_pooling {
	MHOST_POOL_MEAN = 0,	/* the mean of all */
	MHOST_POOL_LAST = 1,	/* the last token's */
	MHOST_POOL_FIRST = 2,	/* the first token's, "cls" */
};

#define MHOST_IGNORE_EOS	(1u << 0)
#define MHOST_NO_SPECIAL	(1u << 1)	/* add no special token around the text */
#define MHOST_LOGPROBS		(1u << 2)	/* ask for logprob and top_count alternatives */
/* do not resubmit by itself when a worker dies early */
#define MHOST_NO_REPLAY		(1u << 3)
/* one token a step; the reply is the same. Since 1.2 */
#define MHOST_NO_SPECULATE	(1u << 4)
/* special tokens of the reply are in its text, all but those that end it. Since 2.1 */
#define MHOST_SHOW_SPECIAL	(1u << 6)
#define MHOST_RAW	(1u << 5)	/* MHOST_EMBED: the vector as it is, not of length 1. Since 2.1 */

/* How a grammar is written that the reply must follow; daemon/grammar/README.md says what each may hold. */
enum mhost_grammar {
	MHOST_GRAMMAR_NONE = 0,
	MHOST_GRAMMAR_GBNF = 1,
	MHOST_GRAMMAR_REGEX = 2,	/* the whole reply matches it */
	MHOST_GRAMMAR_SCHEMA = 3,	/* JSON Schema: the reply is a document that is valid under it */
	MHOST_GRAMMAR_JSON = 4,		/* any JSON object; no text */
};

#define MHOST_ADAPTERS_MAX	8	/* of one request */

/* A LoRA adapter on top of the request's version. Loaded from the store when it is not in memory. */
struct mhost_adapter {
	const char *name;	/* of the request's model; none twice in one request */
	const char *version;	/* "1.0.0"; NULL: as routed */
	float scale;		/* finite; 1: as trained. Multiplies the adapter's own */
};

/* Added to a token's logit before anything else; -INFINITY: never. */
struct mhost_bias {
	uint32_t token;
	float bias;
};

/*
 * What to do. Start from MHOST_REQUEST_INIT; borrowed pointers, read before submit returns. Later
 * minors append fields in whole 8 bytes; a program that knows fewer gets INIT's for the others.
 */
struct mhost_request {
	size_t size;		/* sizeof(struct mhost_request) */
	uint32_t kind;		/* enum mhost_kind */
	uint32_t flags;
	const char *model;	/* not NULL, except for PING */
	const char *version;	/* "1.0.0"; NULL: as routed */
	const char *text;	/* UTF-8 prompt, or NULL with tokens */
	size_t text_bytes;	/* 0: strlen(text) */
	const uint32_t *tokens;	/* prompt as ids, or NULL */
	uint32_t token_count;
	uint32_t max_tokens;	/* 0: as many as the context allows */
	float temperature;	/* 0: greedy */
	uint32_t top_k;		/* 0: off */
	float top_p;		/* (0, 1] */
	float min_p;		/* [0, 1) */
	float repeat_penalty;	/* > 0; 1: off */
	uint32_t repeat_last;	/* tokens; UINT32_MAX: all */
	uint64_t seed;
	uint32_t top_count;	/* 0..64, with MHOST_LOGPROBS */
	const char *const *stops;	/* [stop_count] UTF-8 */
	uint32_t stop_count;	/* 0..16 */
	uint32_t deadline_ms;	/* from its arrival at a worker to its end; 0: the host's limit */
	uint64_t session_key;	/* requests with one key stay on one side of a split; 0: none */
	const struct mhost_adapter *adapters;	/* [adapter_count], added in this order */
	uint32_t adapter_count;	/* 0..MHOST_ADAPTERS_MAX */
	/*
	 * Refused when max_tokens may not hold the shortest reply; else the reply is always whole, for
	 * what is missing is kept in mind. It ends as soon as nothing may follow.
	 */
	uint32_t grammar_kind;	/* enum mhost_grammar */
	const char *grammar;	/* UTF-8 */
	size_t grammar_bytes;	/* 0: strlen(grammar) */
	/*
	 * Further ways to choose tokens, all off as initialised; in the order in which they act. Penalties
	 * look at the last repeat_last tokens, prompt included.
	 */
	const struct mhost_bias *bias;	/* [bias_count] */
	uint32_t bias_count;	/* 0..1024 */
	float frequency_penalty;	/* times each occurrence, subtracted; -100..100 */
	float presence_penalty;	/* subtracted once */
	float dry_multiplier;	/* DRY: > 0 makes what would continue a repetition less likely */
	float dry_base;		/* >= 1: more for longer ones */
	uint32_t dry_allowed;	/* tokens that may repeat freely */
	uint32_t dry_last;	/* tokens looked back at; UINT32_MAX: all */
	float dynatemp_range;	/* temperature +- this, by entropy */
	float dynatemp_exponent;
	float top_n_sigma;	/* > 0: logits so many standard deviations below the best go */
	float typical_p;	/* (0, 1) */
	float xtc_probability, xtc_threshold;	/* XTC: the best go, but one, so often */
	float mirostat_tau, mirostat_eta;	/* tau > 0: mirostat 2 in place of all cuts */
	const uint32_t *stop_tokens;	/* [stop_token_count] each ends the reply */
	uint32_t stop_token_count;	/* 0..64 */
	uint32_t min_tokens;	/* nothing ends the reply before, but stop strings */
	/*
	 * A chat instead of text and tokens: a JSON object with "messages" and what else the chat
	 * template of the version takes ("tools", "add_generation_prompt", ...; mhost(1), render). The
	 * version that answers renders it. NULL: none.
	 */
	const char *messages;
	size_t messages_bytes;	/* 0: strlen(messages) */
	/* since 2.1 */
	uint32_t pooling;	/* MHOST_EMBED: enum mhost_pooling */
	uint32_t reserved0;	/* 0 */
};

/* In the order of the fields, for C++ too: top_p and repeat_penalty are off, repeat_last is 64. */
#define MHOST_REQUEST_INIT { sizeof(struct mhost_request), MHOST_GENERATE, 0, NULL, NULL, NULL, 0, NULL, 0, \
	0, 0.0f, 0, 1.0f, 0.0f, 1.0f, 64, 0, 0, NULL, 0, 0, 0, NULL, 0, MHOST_GRAMMAR_NONE, NULL, 0, NULL, 0, \
	0.0f, 0.0f, 0.0f, 1.75f, 2, UINT32_MAX, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.1f, 0.0f, 0.1f, NULL, 0, 0, \
	NULL, 0, MHOST_POOL_MEAN, 0 }

/*
 * Queue a request on the least loaded worker. *@id gets its number, from 1 on, unique in the session.
 * Does not block. 0; MHOST_E_INVALID; MHOST_E_TOO_LONG (more than a record holds, 512 KiB);
 * MHOST_E_BUSY (the ring is full, or no worker is ready: read events, then retry); MHOST_E_GONE;
 * -ENOMEM. What only the host can tell, a model that does not exist, comes with the END event.
 */
int mhost_submit(struct mhost *session, const struct mhost_request *request, uint64_t *id);
#define MHOST_MANY_MAX	64

/*
 * Queue @count replies to one prompt, 1..MHOST_MANY_MAX: request i has the seed @request->seed + i and is else the
 * same, so reply i is the one that mhost_submit() with that seed gives. One worker takes all; it computes the prompt
 * once, and they share its KV (with the host's prefix_cache). They are requests of their own: events, cancel and end
 * are each one's. How many were queued, the first ones, with their numbers in @ids[]: fewer than @count when the ring
 * is full, then read events and ask for the others. MHOST_GENERATE alone. Errors as mhost_submit(). Since 2.1.
 */
int mhost_submit_many(struct mhost *session, const struct mhost_request *request, uint32_t count, uint64_t *ids);
/*
 * Ask for an end; its END event still comes (finish CANCELLED unless it had ended). 0; -ENOENT: it is
 * not open; MHOST_E_BUSY: the ring is full, ask again.
 */
int mhost_cancel(struct mhost *session, uint64_t id);

enum mhost_event_type {
	MHOST_EVENT_BEGIN = 1,	/* admitted: version stamp */
	MHOST_EVENT_PROMPT = 2,	/* tokens [first..first+count) of the prompt */
	MHOST_EVENT_SCORES = 3,	/* logprobs of prompt tokens; the first of all is NaN */
	MHOST_EVENT_TOKEN = 4,
	MHOST_EVENT_TEXT = 5,	/* detokenized text, in pieces */
	MHOST_EVENT_VECTOR = 7,	/* values [first..first+count) of MHOST_EMBED's. Since 2.1 */
	MHOST_EVENT_END = 6,	/* exactly once per accepted request, always last */
};

enum mhost_finish { MHOST_FINISH_STOP = 1, MHOST_FINISH_LENGTH = 2, MHOST_FINISH_CANCELLED = 3,
		    MHOST_FINISH_ERROR = 4 };

struct mhost_top {
	uint32_t token;
	float logprob;
};

/* An adapter that a reply is made with, from its BEGIN to its END. */
struct mhost_adapter_used {
	const char *name, *version;
	const uint8_t *content_hash;	/* 32 bytes */
	float scale;			/* as asked */
};

/*
 * Memory is the session's, valid until the next call on it. Fields not named for a type are zero.
 */
struct mhost_event {
	uint64_t id;
	uint32_t type;			/* enum mhost_event_type */
	/* BEGIN (kept for all later events of the request) */
	uint64_t epoch;
	const char *model, *version;
	const uint8_t *content_hash;	/* 32 bytes */
	const struct mhost_adapter_used *adapters;	/* [adapter_count], in the request's order */
	uint32_t adapter_count;
	uint32_t prompt_count;
	/* PROMPT, SCORES */
	uint32_t first, count;
	const uint32_t *tokens;		/* PROMPT */
	const float *logprobs;		/* SCORES, natural logarithm */
	/* TOKEN */
	uint32_t index, token;
	float logprob;
	const struct mhost_top *top;
	uint32_t top_count;
	/* TOKEN, TEXT */
	const char *text;		/* whole UTF-8 sequences, not terminated */
	uint32_t text_bytes;
	/* END */
	uint32_t finish;		/* enum mhost_finish */
	int error;			/* 0 or enum mhost_error */
	int retriable;			/* 1: the same request may succeed elsewhere or later */
	const char *message;		/* "" or what went wrong */
	uint32_t output_count;
	uint64_t queue_ns, prefill_ns, decode_ns;
	uint32_t cached_count;		/* prompt tokens found in the prefix cache. Since 1.1 */
	/* TOKEN, since 1.2. Tokens guessed ahead in the step that gave this one; 1: this one was */
	uint32_t drafted_count, ahead;
	const float *values;		/* VECTOR, since 2.1 */
	/* BEGIN of a chat (and later), since 2.1: for mhost_parser_new() */
	uint32_t form, form_flags;
};

/*
 * The next event of any request. @timeout_ms: 0 look only, -1 for ever. Spins briefly before it
 * sleeps. 0 with *@event; -EAGAIN: nothing in time; -ENODATA: no request is open, none can come;
 * MHOST_E_GONE.
 */
int mhost_next(struct mhost *session, int timeout_ms, const struct mhost_event **event);
/*
 * A descriptor for poll(), select() or epoll: readable when mhost_next(session, 0) may have something,
 * the end of the host included. Before each poll call mhost_next until it has nothing (-EAGAIN or
 * -ENODATA), also after a submit that returned MHOST_E_BUSY. The session's, the same each time; do not
 * read or close it. Negative errno: no descriptor left.
 */
int mhost_fd(struct mhost *session);
/* Open requests. */
uint32_t mhost_open_count(const struct mhost *session);
/* Workers this session has lanes to now. */
uint32_t mhost_worker_count(const struct mhost *session);

/* ---- chat replies in parts --------------------------------------------------------------------- */

/* The prompt of a chat ended where reasoning had begun: the reply goes on with it. */
#define MHOST_FORM_IN_REASONING	(1u << 0)

enum mhost_part_kind {
	MHOST_PART_CONTENT = 0,		/* a piece of what the reader is to see */
	MHOST_PART_REASONING = 1,	/* a piece of what came before it */
	MHOST_PART_CALL = 2,		/* a whole tool call */
};

struct mhost_part {
	uint32_t kind;			/* enum mhost_part_kind */
	const char *text;		/* CALL: its arguments, a JSON object as the model wrote it */
	size_t bytes;
	const char *name;		/* CALL: of the function; not terminated */
	size_t name_bytes;
};

/* Gets the parts in order; its memory is the parser's. Other than 0 ends the parsing with that. */
typedef int (*mhost_part_fn)(void *arg, const struct mhost_part *part);

struct mhost_parser;

/*
 * A parser of one reply, whose form and flags its BEGIN tells (a chat's; ask with MHOST_SHOW_SPECIAL, since the marks
 * may be special tokens), or mhost_form(). Text is fed as it comes, in any pieces, with the same parts at the end but for
 * where pieces of content and reasoning are cut. A call that is not well-formed is content as it stands: nothing is lost
 * but marks, and blanks beside them. Needs no session. 0; MHOST_E_INVALID: no such form or flag; -ENOMEM; what @fn gave.
 * Since 2.1.
 */
int mhost_parser_new(struct mhost_parser **parser, uint32_t form, uint32_t flags, mhost_part_fn fn, void *arg);
int mhost_parser_feed(struct mhost_parser *parser, const char *text, size_t bytes);
int mhost_parser_end(struct mhost_parser *parser);	/* the reply is over: gives what was held back */
void mhost_parser_free(struct mhost_parser **parser);
/* A form by its name: none, hermes, llama3, mistral, deepseek, function, list, command. MHOST_E_INVALID: none such. */
int mhost_form(const char *name);
/* The form that a chat template's text tells of. */
uint32_t mhost_form_of_template(const char *text, size_t bytes);

/* ---- adapters out of memory ------------------------------------------------------------------- */

#define MHOST_PUSH_LOAD_ONLY	(1u << 0)	/* into memory, without traffic; a swap routes it */
#define MHOST_PUSH_KEEP		(1u << 1)	/* into the store too: it outlives a restart; slower */

/*
 * A LoRA adapter as PEFT has it, to be served without a file. Start from MHOST_PUSH_INIT; borrowed
 * pointers. The user needs control access to the host (mhost.ini(5)).
 */
struct mhost_push {
	size_t size;		/* sizeof(struct mhost_push) */
	const char *socket;	/* as in mhost_connect(); the control socket beside it is used */
	const char *model, *adapter;
	const char *version;	/* NULL: the next patch */
	const char *config;	/* adapter_config.json, the text; at most 60 KiB */
	/*
	 * The bytes of adapter_model.safetensors: in a file that is open for reading, which the host
	 * reads itself and refuses when it changes meanwhile; in a memfd, which is sealed against changes
	 * if it is not yet (nothing may map it for writing); or -1: at weights, copied.
	 */
	int weights_fd;
	const void *weights;
	size_t weights_bytes;
	uint32_t flags;		/* MHOST_PUSH_... */
	int timeout_ms;		/* -1: for ever */
};

#define MHOST_PUSH_INIT { sizeof(struct mhost_push), NULL, NULL, NULL, NULL, NULL, -1, NULL, 0, 0, -1 }

struct mhost_pushed {
	char version[48];
	uint8_t content_hash[32];	/* as in the stamp of replies that are made with it */
	uint64_t epoch;			/* of its flip; 0 with MHOST_PUSH_LOAD_ONLY */
	uint64_t load_ns;		/* from the bytes to sealed memory */
	char message[512];		/* what went wrong, else "" */
};

/*
 * Make an adapter's next version out of @push and, unless MHOST_PUSH_LOAD_ONLY, route to it: when this
 * returns, each request that begins gets the new weights, and those that run keep theirs. Needs no
 * session; any thread. 0; MHOST_E_INVALID; MHOST_E_REFUSED: the host's word is in message; -ENOENT,
 * -ECONNREFUSED, -EACCES, -ETIMEDOUT (the host may still do it), -ENOMEM; MHOST_E_GONE;
 * MHOST_E_PROTOCOL. Since 2.0.
 */
int mhost_adapter_push(const struct mhost_push *push, struct mhost_pushed *pushed);

#ifdef __cplusplus
}
#endif

#endif

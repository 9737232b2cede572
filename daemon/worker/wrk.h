/* SPDX-License-Identifier: MIT */
/*
 * wrk.h: the worker's own structures. One thread owns all of them; only the engine has more
 * threads.
 *
 * A turn: adopt the epoch, hear the supervisor, take records from the lanes, admit, run one engine
 * step for one version, send what came out; if no request is left, compare a piece of an old one
 * (wrk_shadow.h). Without work: spin briefly, go offline, sleep on the bells.
 */
#ifndef WRK_H
#define WRK_H

#include <stdbool.h>
#include <time.h>

#include "eng_model.h"
#include "eng_sample.h"
#include "eng_tok.h"
#include "tpl.h"
#include "heritage.h"
#include "mhs_attach.h"
#include "mhs_bell.h"
#include "mhs_epoch.h"
#include "mhs_ring.h"
#include "mhs_spin.h"
#include "mhs_stat.h"
#include "wrk_adapter.h"
#include "wrk_draft.h"
#include "wrk_grammar.h"
#include "wrk_kv.h"
#include "wrk_pace.h"
#include "wrk_sampling.h"
#include "wrk_shadow.h"

#define WRK_RECORD_BYTES	(512u << 10)	/* largest record taken from a client */
#define WRK_LANE_RECORDS	32u		/* records taken from one lane in one turn */
#define WRK_LANE_REQUESTS	1024u		/* open requests on one lane */
#define WRK_BATCH_MAX		64u		/* running requests */
/* rows of logits in one step; one more as scratch */
#define WRK_LOGITS_ROWS		WRK_BATCH_MAX
#define WRK_SLOW_READER_NS	UINT64_C(10000000000)
#define WRK_NS_PER_MS		UINT64_C(1000000)

/* A pack that is mapped, once for all versions that use it. */
struct wrk_pack {
	struct wrk_pack *next;
	uint8_t content_hash[MHS_HASH_BYTES];
	uint64_t pack_bytes;
	uint32_t version_count;
	struct mhs_map map;
};

/* Faults that an operator rehearses a release with, in per cent (wrk_rehearse.c). */
struct wrk_rehearsal {
	uint32_t slow, errors, nan, crash;
	uint64_t replies;			/* begun so far */
};

#define WRK_SPEED_STEPS	32u	/* of a request; a power of two */

/* How long steps take now, and how that grows with their rows (wrk_speed.c). */
struct wrk_speed {
	float level;				/* ns; 0: nothing measured */
	float shape[WRK_COST_ROWS + 1];		/* of level */
	uint32_t count[WRK_COST_ROWS + 1];	/* measurements */
};

/* One attached version. */
struct wrk_version {
	uint32_t index;
	int model_index;			/* on the board; negative: not looked up yet */
	uint64_t serial;
	struct mhs_map map;			/* of the image's own segment */
	const struct mhs_image_header *image;	/* it begins with the header */
	struct wrk_pack *packs[MHS_PACK_MAX];	/* segments 1.. */
	uint32_t pack_count;
	struct eng_model model;
	struct eng_tok *tok;
	struct tpl *template;			/* compiled; NULL until messages are sent to it */
	struct eng_sampler *sampler;
	uint64_t *breakers;			/* [vocab / 64] for DRY; NULL: nobody asked yet */
	struct gra_vocab *vocab;		/* for grammars; NULL: none came yet */
	uint32_t token_bytes_max;		/* longest token */
	/* rows of prompts go through BLAS: bits of their own */
	bool float_rows;
	struct wrk_pool *pool;			/* KV pages of this size */
	struct wrk_costs costs;
	/* of steps without and with adapters; after its own, after another version's */
	struct wrk_speed speed[2][2];
	struct wrk_pace pace;
	struct mhs_stats_row *row;		/* where it was last */
	struct wrk_rehearsal rehearsal;
	uint64_t paired_with;			/* as a candidate: serial of the active version, 0: none yet */
	bool pair_fits;				/* they have the same tokens */
	struct wrk_version *next;
};

struct wrk_lane {
	uint32_t id;
	uint32_t uid;
	struct mhs_bell submit_bell;
	int event_bell;				/* the client's, to ring */
	struct mhs_map map;
	struct mhs_ring_end submit, event;
	uint32_t request_count;
	struct wrk_request *queue;		/* QUEUED, oldest first */
	uint32_t queued_count;
	bool ring_bell;				/* events were put in this turn */
	/* the client's words in the event ring are nonsense */
	bool damaged;
	bool bad;				/* rejected: nothing is read or written any more */
	struct wrk_lane *next;
};

enum wrk_state {
	WRK_QUEUED,	/* copied and checked, nothing held */
	WRK_WAITING,	/* the same, beside the queue: an adapter is not in memory yet */
	WRK_PREFILL,	/* pinned; its tokens are not wholly computed */
	WRK_DECODE,
	WRK_PREEMPTED,	/* pinned; its KV pages were taken away, it goes on as PREFILL */
	WRK_ENDED,	/* nothing held; END waits for room in the ring */
};

/* Of an EMBED. */
struct wrk_vector {
	uint32_t pooled;			/* positions that are in it, or have no part */
	uint32_t rows;				/* hidden states in sum */
	uint32_t count, sent;			/* values; count 0: not finished */
	double sum[];				/* [hidden]; finished: floats from its first byte on */
};

struct wrk_request {
	enum wrk_state state;
	uint32_t kind;				/* enum mhs_record_type */
	struct wrk_lane *lane;
	struct wrk_request *next;
	struct wrk_request *queue_next;		/* of the lane */
	struct mhs_request rq;
	uint8_t *payload;			/* stops, prompt, adapters; private copy */

	struct wrk_version *version;		/* pinned while running */
	struct wrk_set *set;			/* its adapters; NULL: none */
	struct wrk_want *want;			/* WAITING: for it */
	uint32_t want_tries;
	uint64_t begin_epoch;
	uint32_t *tokens;			/* prompt, then output */
	uint64_t tokens_of;			/* serial of the version that made them */
	uint32_t token_count, prompt_count, max_tokens;
	uint32_t computed;			/* tokens whose KV is in the pages */
	uint32_t prompt_sent;			/* prompt tokens told to the client */
	float *scores;				/* SCORE: [prompt_count] */
	uint32_t scores_done, scores_sent;
	struct wrk_vector *vector;		/* EMBED */
	void **pages;				/* memory of held[], for the engine */
	struct wrk_page **held;
	uint32_t page_count, page_cap;
	uint32_t published;			/* pages that the prefix cache knows */
	uint32_t cached_count;			/* prompt tokens that were found there */
	uint32_t preempted;			/* times */
	uint32_t row_count;			/* rows of the step being built */
	struct wrk_space *space;
	struct eng_rng rng;
	struct eng_bias *bias;			/* [rq.bias_count] */
	uint32_t *stop_tokens;			/* [rq.stop_token_count] */
	struct wrk_grammar *grammar;		/* that its reply follows; NULL: none */
	struct wrk_draft draft;
	struct eng_tok_stream stream;
	char *text;				/* text held back: may become a stop string */
	uint32_t text_sent;			/* DETOKENIZE: of text_bytes */
	/* text_cap also bounds the text of one token event */
	uint32_t text_bytes, text_cap;

	uint32_t form, form_flags;		/* of a chat: how its reply is written (mhs_form.h) */
	struct mhs_begin begin;
	bool begun;				/* BEGIN was sent */
	bool on_trial;				/* it waits for the first token of a candidate */
	bool moved;				/* it failed on one before, unseen */
	bool served;				/* its END was sent */
	struct wrk_place place;			/* in the split of its model */
	/* its last steps that could be compared: their time by the active version's for as many rows */
	float slower[WRK_SPEED_STEPS];
	uint32_t compared;			/* in all */
	uint64_t usual_ns;			/* the active version's for all of them */
	uint64_t arrived_ns, admitted_ns, first_ns, last_ns, deadline_ns, stalled_ns;
	uint32_t reason, error;			/* once ENDED */
	char message[MHS_MESSAGE_BYTES];
};

struct wrk {
	int control;				/* HERITAGE_FD */
	int epoll;
	struct mhs_bell bell;			/* the supervisor rings */
	uint32_t index;
	const struct mhs_board *board;
	struct mhs_slot *slot;
	struct mhs_stats *stats;
	struct mhs_replies *replies;
	struct mhs_map board_map, slot_map, stats_map, replies_map;
	struct hrt_limits limits;
	struct eng *eng;
	struct wrk_version *versions;
	struct wrk_pack *packs;			/* what the versions share */
	struct wrk_lane *lanes;
	struct wrk_request *requests;		/* oldest first */
	struct wrk_request **requests_end;
	struct wrk_request *running[WRK_BATCH_MAX];	/* oldest admission first */
	uint32_t queued_count, running_count;
	struct wrk_lane *admit_lane;		/* whose turn it is to be admitted */
	uint64_t epoch;
	uint64_t prefix_salt;			/* of hashes in the prefix cache */
	/* requests without a session key so far, by entry of the board: their place in a split */
	uint64_t route_turns[MHS_MODEL_MAX];
	uint64_t idle_since_ns;			/* 0: busy */
	uint64_t control_ns;			/* last look at the control socket; 0: look now */
	struct mhs_spin spin;
	uint32_t spin_ns;			/* of the present wait */
	uint64_t moved_ns;			/* to another CPU, last */
	uint64_t stepped;			/* serial of the last step's version */
	uint32_t turn;				/* rotates versions and prompts */
	bool initialised, stopping, orphan;
	float *logits;				/* [WRK_LOGITS_ROWS + 1][logits_vocab] */
	uint32_t logits_vocab;
	float *hidden;				/* [ENG_ROWS_MAX][hidden_cap], by row of the step; NULL: never asked for */
	uint32_t hidden_cap;
	struct eng_row rows[ENG_ROWS_MAX];	/* the step being built */
	struct wrk_request *row_owner[ENG_ROWS_MAX];
	bool row_ahead[ENG_ROWS_MAX];		/* computed from a guess */
	uint32_t row_count, logits_count;
	uint8_t *record;			/* [WRK_RECORD_BYTES] */
	uint64_t kv_bytes_used;
	struct wrk_pool *pools;
	struct wrk_prefix *prefix;
	struct wrk_shadow shadow;
	struct wrk_adapters adapters;
	struct wrk_want *wants;
};

uint64_t wrk_now_ns(void);

/* wrk_control.c: the supervisor's messages */
int wrk_control_poll(struct wrk *w);		/* 0; -EPIPE: supervisor gone */
int wrk_control_send(struct wrk *w, const struct hrt_msg *msg);	/* 0 or negative errno */
void wrk_control_say(struct wrk *w, uint32_t type, uint32_t index, uint64_t serial, int status,
		     const char *text);

/* wrk_version.c: attach and detach, of versions and adapters */
int wrk_version_attach(struct wrk *w, const struct hrt_msg *msg, const int *fds,
		       struct hrt_attached *took, char text[HERITAGE_TEXT_BYTES]);
void wrk_version_detach(struct wrk *w, uint32_t index, uint64_t serial);
void wrk_version_free(struct wrk *w, struct wrk_version **version);
/* @bytes of the image at @offset; NULL when they are not all in one segment. */
const void *wrk_image_at(const struct wrk_version *v, uint64_t offset, uint64_t bytes);
/* v->model out of the mapped image. 0, or negative with *@field naming what does not fit (static). */
int wrk_bind_model(struct wrk_version *v, const char **field);
struct wrk_version *wrk_version_by_index(struct wrk *w, uint32_t index);
bool wrk_version_ends(const struct wrk_version *v, uint32_t token);	/* it ends a text */
struct wrk_version *wrk_version_by_name(struct wrk *w, const char *model, const char *semver);

/* wrk_lane.c */
#define WRK_BELL_EVENTS	(EPOLLIN | EPOLLET)
int wrk_lane_open(struct wrk *w, const struct hrt_lane *lane, const int fds[3]);
void wrk_lane_close(struct wrk *w, uint32_t id);
void wrk_lane_reject(struct wrk *w, struct wrk_lane *lane, const char *why);
uint32_t wrk_lanes_take(struct wrk *w);		/* records taken */
bool wrk_lanes_pending(struct wrk *w);		/* a record waits in some ring */
void wrk_lanes_arm(struct wrk *w);
void wrk_lanes_disarm(struct wrk *w);
void wrk_lanes_ring(struct wrk *w);		/* bells of clients that sleep */
bool wrk_lane_put(struct wrk_lane *lane, uint32_t type, const struct mhs_piece *pieces,
		  uint32_t count);

/* wrk_request.c: from a record to an END */
void wrk_request_take(struct wrk *w, struct wrk_lane *lane, uint32_t type, uint32_t bytes);
void wrk_request_cancel(struct wrk *w, struct wrk_lane *lane, uint64_t id);
void wrk_request_end(struct wrk *w, struct wrk_request *r, uint32_t reason, uint32_t error,
		     const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The version failed at it: the active one answers, if this was a trial, or the request ends. */
void wrk_request_fail(struct wrk *w, struct wrk_request *r, uint32_t error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void wrk_request_flush(struct wrk *w, struct wrk_request *r);
void wrk_requests_flush(struct wrk *w);		/* prompts, scores and ENDs that waited for room */
void wrk_requests_expire(struct wrk *w, uint64_t now_ns);
void wrk_requests_drop_lane(struct wrk *w, struct wrk_lane *lane);
void wrk_requests_reap(struct wrk *w);

/*
 * wrk_trial.c: requests that a split sent to a candidate. Nothing of them is shown before the first
 * token is there, so that one at which the candidate fails is answered by the active version instead.
 */
/* Its place in the split of @model, and of its @i-th adapter, entry @entry; the same at every try. */
uint32_t wrk_trial_point(struct wrk *w, struct wrk_request *r, uint32_t model);
uint32_t wrk_trial_adapter_point(struct wrk *w, struct wrk_request *r, uint32_t i, uint32_t entry);
bool wrk_trial_may_hold(const struct wrk_request *r);
uint32_t wrk_trial_held_bytes(const struct wrk_request *r);	/* room that the show needs */
void wrk_trial_show(struct wrk *w, struct wrk_request *r);
/* Released already: away from the candidates, to what is active. */
void wrk_trial_move(struct wrk_request *r);

/* wrk_speed.c: a step of @v without prompts took @ns, beside another version's */
void wrk_speed_note(struct wrk *w, struct wrk_version *v, uint64_t ns);
/* Engine time of @r's steps, had all been as slow as its median one; 0: none could be compared. */
uint64_t wrk_speed_own_ns(const struct wrk_request *r);

/* wrk_reply.c: the records of an end, for release decisions */
void wrk_reply_note(struct wrk *w, const struct wrk_request *r, uint64_t now);

/* wrk_rehearse.c */
void wrk_rehearse_read(const char *model, const char *semver, struct wrk_rehearsal *rehearsal);
void wrk_rehearse_step(const struct wrk_rehearsal *rehearsal, uint64_t step_ns);
/* Before the first token. NULL, or why the request is to fail. */
const char *wrk_rehearse_token(struct wrk_rehearsal *rehearsal, float *logits);

/* wrk_check.c: every rule of a request's fields; NULL or what is wrong (static or in @text) */
const char *wrk_request_check(const struct mhs_request *rq, uint32_t kind, uint32_t payload_bytes,
			      const uint8_t *payload, char text[MHS_MESSAGE_BYTES]);
bool wrk_name_ok(const char *name, size_t cap);	/* it ends, and nothing comes behind */

/* wrk_queue.c: who is admitted next: one request of each client in turn */
bool wrk_queue_is_full(const struct wrk *w, const struct wrk_lane *lane);
void wrk_queue_add(struct wrk *w, struct wrk_request *r);
void wrk_queue_remove(struct wrk *w, struct wrk_request *r);
void wrk_queue_park(struct wrk_request *r);	/* stands aside, still counted: WAITING */
void wrk_queue_return(struct wrk_request *r);
void wrk_queue_drop_lane(struct wrk *w, const struct wrk_lane *lane);
void wrk_admit(struct wrk *w);

/*
 * wrk_messages.c: the text of a chat request; malloc'd. 0; -EINVAL or -ENOMEM with @message, which
 * names what is wrong.
 */
int wrk_messages_render(struct wrk_version *v, const char *json, size_t json_bytes, char **text,
			size_t *bytes, char message[MHS_MESSAGE_BYTES]);
uint32_t wrk_messages_form(const struct wrk_version *v);	/* enum mhs_form of its template */

/* wrk_admit.c: pin, tokenize, make room. False: no memory now, nothing behind it may go either. */
bool wrk_admit_one(struct wrk *w, struct wrk_request *r);

/* wrk_batch.c: one engine step; wrk_emit.c: what came out of it */
bool wrk_batch_step(struct wrk *w);		/* false: nothing to run */
void wrk_step_mark(struct wrk *w, uint32_t version);	/* whose step runs, for whoever finds us dead */
bool wrk_emit_has_room(const struct wrk_request *r);
/* @ahead: the row was drafted. */
void wrk_emit_token(struct wrk *w, struct wrk_request *r, float *logits, bool ahead);
void wrk_emit_score(struct wrk *w, struct wrk_request *r, uint32_t position, const float *logits);
/* wrk_embed.c: 0 or -1 without memory; where a row of the next step leaves its state, or NULL; a row is done. */
int wrk_embed_begin(struct wrk *w, struct wrk_request *r, const struct wrk_version *v);
uint32_t wrk_embed_rows(const struct wrk_request *r);	/* of the prompt, to be computed */
float *wrk_embed_slot(const struct wrk *w, const struct wrk_request *r, uint32_t position);
void wrk_embed_row(struct wrk *w, struct wrk_request *r, const struct eng_row *row);

/* Whether it is answered out of its prompt, and needs engine steps for that. */
static inline bool wrk_only_reads(uint32_t kind)
{
	return kind == MHS_REC_SCORE || kind == MHS_REC_EMBED;
}

static inline bool wrk_takes_steps(uint32_t kind)
{
	return kind == MHS_REC_GENERATE || wrk_only_reads(kind);
}

/* wrk_stop.c: stop strings over streamed text */
/*
 * Looks at @text[0..bytes). Returns how many bytes may be released now; *@stopped: a stop string
 * begins right behind them. The rest is kept until it is decided.
 */
uint32_t wrk_stop_scan(const struct mhs_request *rq, const uint8_t *stops, const char *text,
		       uint32_t bytes, bool *stopped);

/* wrk_loop.c */
int wrk_init(struct wrk *w, const struct hrt_msg *msg, const int fds[5],
	     char text[HERITAGE_TEXT_BYTES]);
int wrk_run(struct wrk *w);
void wrk_fini(struct wrk *w);

#endif

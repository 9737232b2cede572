/* SPDX-License-Identifier: MIT */
/*
 * mhs_wire.h: records in the rings of a lane, and messages on the client socket.
 *
 * A record is copied once into private memory, then checked, then used. Every reserved field
 * must be zero; a record that breaks a rule ends the lane with MHS_END_BAD_MESSAGE. Strings are
 * NUL-padded in their fields; payload lengths are in bytes.
 */
#ifndef MHS_WIRE_H
#define MHS_WIRE_H

#include "mhs_layout.h"

/* ---- records ------------------------------------------------------------------------------ */

/* Each record in a ring: this head, body, zero padding to 8 bytes. */
struct mhs_record {
	uint32_t bytes;			/* head and body, without padding; >= 8 */
	uint32_t type;			/* enum mhs_record_type */
};

enum mhs_record_type {
	/* client -> worker */
	MHS_REC_GENERATE = 1,		/* struct mhs_request + stops + prompt + struct mhs_adapter_ref[]
					   + grammar + struct mhs_bias[] + uint32_t stop tokens[] */
	MHS_REC_SCORE = 2,		/* the same; logprob of each prompt token, no output */
	MHS_REC_TOKENIZE = 3,		/* the same; prompt is text */
	MHS_REC_DETOKENIZE = 4,		/* the same; prompt is tokens */
	MHS_REC_PING = 5,		/* struct mhs_ref */
	MHS_REC_CANCEL = 6,		/* struct mhs_ref */
	MHS_REC_EMBED = 7,		/* as GENERATE; one vector of the prompt, no output (since 2.1) */
	/* worker -> client */
	MHS_REC_BEGIN = 64,		/* struct mhs_begin + struct mhs_adapter_used[] */
	MHS_REC_PROMPT = 65,		/* struct mhs_chunk + uint32_t prompt tokens */
	MHS_REC_SCORES = 66,		/* struct mhs_chunk + float logprobs (first of all: NaN) */
	MHS_REC_TOKEN = 67,		/* struct mhs_token + struct mhs_top[] + text */
	MHS_REC_TEXT = 68,		/* struct mhs_chunk + text (detokenize) */
	MHS_REC_END = 69,		/* struct mhs_end + message */
	MHS_REC_PONG = 70,		/* struct mhs_ref */
	MHS_REC_VECTOR = 71,		/* struct mhs_chunk + float values (since 2.1) */
};

#define MHS_CHUNK_BYTES		16384u	/* largest payload of PROMPT, SCORES, VECTOR and TEXT */
#define MHS_STOP_MAX		16u	/* stop strings per request */
#define MHS_STOP_BYTES		256u	/* one stop string */
#define MHS_TOP_MAX		64u	/* alternatives per token in logprobs */
#define MHS_BIAS_MAX		1024u	/* tokens with a bias per request */
#define MHS_STOP_TOKENS_MAX	64u
#define MHS_ADAPTERS_MAX	8u	/* adapters per request */
#define MHS_MESSAGE_BYTES	512u	/* error text of an END */

enum mhs_request_flag {
	MHS_REQ_TOKENS		= 1u << 0,	/* prompt is uint32_t token ids, not UTF-8 text */
	MHS_REQ_IGNORE_EOS	= 1u << 1,
	MHS_REQ_NO_SPECIAL	= 1u << 2,	/* add no BOS or EOS around a text prompt */
	MHS_REQ_LOGPROBS	= 1u << 3,	/* send logprob (and top_count alternatives) */
	MHS_REQ_NO_DRAFT	= 1u << 4,	/* one token a step: no speculation (since 1.2) */
	MHS_REQ_MESSAGES	= 1u << 5,	/* prompt is JSON, rendered by the version's chat
						   template; NO_SPECIAL goes without saying */
	MHS_REQ_RAW		= 1u << 6,	/* EMBED: the vector as it is, not of length 1 (since 2.1) */
	MHS_REQ_SHOW_SPECIAL	= 1u << 7,	/* text has special tokens too (since 2.1) */
	MHS_REQ_ALL		= (1u << 8) - 1,
};

/* Which hidden states of a prompt make its vector (since 2.1). */
enum mhs_pooling {
	MHS_POOL_MEAN		= 0,	/* their mean */
	MHS_POOL_LAST		= 1,	/* the last token's */
	MHS_POOL_FIRST		= 2,	/* the first token's ("cls") */
	MHS_POOL_COUNT
};

/* How the grammar of a request is written: the reply follows it (since 2.0). */
enum mhs_grammar {
	MHS_GRAMMAR_NONE	= 0,
	MHS_GRAMMAR_GBNF	= 1,
	MHS_GRAMMAR_REGEX	= 2,	/* that the whole reply matches */
	MHS_GRAMMAR_SCHEMA	= 3,	/* a JSON schema */
	MHS_GRAMMAR_JSON	= 4,	/* any JSON object; no bytes */
	MHS_GRAMMAR_COUNT
};

struct mhs_request {
	uint64_t request_id;		/* the client chooses: unique among its open ones, not 0 */
	uint64_t session_key;		/* sticky splits; 0: split by request */
	uint64_t seed;
	uint32_t flags;			/* enum mhs_request_flag */
	uint32_t max_tokens;		/* 1..limit; 0: as many as the context allows */
	uint32_t top_k;			/* 0: off */
	uint32_t top_count;		/* 0..MHS_TOP_MAX */
	uint32_t stop_count;		/* 0..MHS_STOP_MAX */
	uint32_t stop_bytes;		/* payload: per stop uint32_t length, then bytes; in all */
	uint32_t prompt_bytes;		/* payload, after the stops */
	uint32_t deadline_ms;		/* from admission; 0: the host's limit */
	float temperature;		/* 0: greedy */
	float top_p;			/* (0, 1]; 1: off */
	float min_p;			/* [0, 1); 0: off */
	float repeat_penalty;		/* > 0; 1: off */
	uint32_t repeat_last;		/* tokens looked back at; 0: off, UINT32_MAX: all */
	uint32_t adapter_count;		/* 0..MHS_ADAPTERS_MAX; payload, after the prompt */
	char model[MHS_NAME_BYTES];
	char semver[MHS_SEMVER_BYTES];	/* empty: as the route says */
	uint32_t grammar;		/* enum mhs_grammar */
	uint32_t grammar_bytes;		/* payload, after the adapters */
	/* what eng_sample.h says of each */
	float frequency_penalty, presence_penalty;	/* -100..100 */
	float dry_multiplier;		/* 0: off */
	float dry_base;			/* >= 1 */
	uint32_t dry_allowed, dry_last;	/* tokens; dry_last UINT32_MAX: all */
	float dynatemp_range;		/* 0: off */
	float dynatemp_exponent;
	float top_n_sigma;		/* 0: off */
	float typical_p;		/* 0 or 1: off */
	float xtc_probability;		/* 0: off */
	float xtc_threshold;
	float mirostat_tau, mirostat_eta;	/* tau 0: off */
	uint32_t min_tokens;		/* before these no token ends the text */
	uint32_t bias_count;		/* payload, after the grammar: 0..MHS_BIAS_MAX */
	uint32_t stop_token_count;	/* payload, after the biases: 0..MHS_STOP_TOKENS_MAX */
	uint32_t pooling;		/* EMBED: enum mhs_pooling (since 2.1) */
	uint8_t reserved0[32];		/* zero */
};
_Static_assert(sizeof(struct mhs_request) == 304, "ABI 2: request");

struct mhs_bias {
	uint32_t token;
	float bias;			/* added to its logit; -infinity: never */
};

/* One adapter of a request, on top of its version. Adapters are added in this order. */
struct mhs_adapter_ref {
	char name[MHS_NAME_BYTES];	/* of the request's model; no name twice */
	char semver[MHS_SEMVER_BYTES];	/* empty: as the adapter's route says */
	float scale;			/* finite; multiplies the adapter's own */
	uint32_t reserved0;		/* zero */
};
_Static_assert(sizeof(struct mhs_adapter_ref) == 120, "ABI 2: adapter of a request");

struct mhs_ref {
	uint64_t request_id;
};

/* First answer: which weights. Sent before the first token, once the prompt is admitted. */
struct mhs_begin {
	uint64_t request_id;
	uint64_t epoch;			/* at admission */
	uint32_t version_index;
	uint32_t prompt_count;		/* tokens; they follow in PROMPT records */
	char model[MHS_NAME_BYTES];
	char semver[MHS_SEMVER_BYTES];
	uint8_t content_hash[MHS_HASH_BYTES];
	uint32_t adapter_count;		/* of the request; as many follow, in its order */
	uint16_t form;			/* of a chat: enum mhs_form (since 2.1) */
	uint16_t form_flags;		/* enum mhs_form_flag */
};
_Static_assert(sizeof(struct mhs_begin) == 176, "ABI 2: begin");

/* An adapter that a reply is made with: which, from admission to its end. */
struct mhs_adapter_used {
	char name[MHS_NAME_BYTES];
	char semver[MHS_SEMVER_BYTES];
	uint8_t content_hash[MHS_HASH_BYTES];
	float scale;			/* as asked */
	uint32_t version_index;
};
_Static_assert(sizeof(struct mhs_adapter_used) == 152, "ABI 2: adapter of a reply");

struct mhs_chunk {
	uint64_t request_id;
	uint32_t first;			/* index of the first item, items sent in order */
	uint32_t count;			/* items (bytes for TEXT) in this record */
};

struct mhs_top {
	uint32_t token;
	float logprob;			/* natural logarithm, of the untempered distribution */
};

enum mhs_token_flag {
	/* came from a row drafted ahead: its guess was right */
	MHS_TOKEN_AHEAD		= 1u << 0,
};

struct mhs_token {
	uint64_t request_id;
	uint32_t index;			/* from 0 */
	uint32_t token;
	float logprob;			/* NaN unless asked */
	uint32_t top_count;
	uint32_t text_bytes;		/* whole UTF-8 sequences; 0 while one is incomplete */
	uint16_t flags;			/* enum mhs_token_flag; 0 before ABI 1.2 */
	uint16_t drafted_count;		/* rows drafted in its step, 0 when AHEAD (since 1.2) */
};
_Static_assert(sizeof(struct mhs_token) == 32, "ABI 1: token");

enum mhs_end_reason {
	MHS_END_STOP = 1,		/* end-of-text token or stop string */
	MHS_END_LENGTH = 2,
	MHS_END_CANCELLED = 3,
	MHS_END_ERROR = 4,		/* see error */
};

/* Why a request failed. Retriable ones say so: nothing is wrong with the request itself. */
enum mhs_end_error {
	MHS_ERR_NONE = 0,
	MHS_ERR_INVALID = 1,		/* a field is out of range; message names it */
	MHS_ERR_NO_MODEL = 2,		/* unknown model, or it has no active version */
	MHS_ERR_NO_VERSION = 3,		/* that version is not resident */
	MHS_ERR_TOO_LONG = 4,		/* prompt and max_tokens against the context */
	MHS_ERR_BUSY = 5,		/* queue or KV full; retriable */
	MHS_ERR_DEADLINE = 6,
	MHS_ERR_NAN = 7,		/* logits not finite */
	MHS_ERR_STOPPING = 8,		/* host shuts down; retriable elsewhere */
	MHS_ERR_WORKER_LOST = 9,	/* made by the client library; retriable */
	MHS_ERR_SLOW_READER = 10,
	MHS_ERR_BAD_MESSAGE = 11,	/* the lane broke a rule and is closed */
	MHS_ERR_INTERNAL = 12,
	MHS_ERR_NO_ADAPTER = 13,	/* not in the store, cannot be loaded, or does not fit the version */
};

struct mhs_end {
	uint64_t request_id;
	uint32_t reason;		/* enum mhs_end_reason */
	uint32_t error;			/* enum mhs_end_error */
	uint32_t output_count;		/* tokens sent */
	uint32_t message_bytes;
	uint64_t queue_ns;		/* arrival to admission */
	uint64_t prefill_ns;		/* admission to first token */
	uint64_t decode_ns;		/* first token to end */
	uint64_t epoch;			/* at the end; >= mhs_begin.epoch */
	uint32_t stop_text_bytes;	/* text withheld because it began or was a stop string */
	uint32_t cached_count;		/* prompt tokens not computed but found; 0 before ABI 1.1 */
};
_Static_assert(sizeof(struct mhs_end) == 64, "ABI 1: end");

/* ---- client socket (SOCK_SEQPACKET), one struct a message --------------------------------- */

#define MHS_HELLO_MAGIC		UINT64_C(0x316f6c6c6568686d)	/* "mhhello1" */

enum mhs_sock_type {
	MHS_SOCK_HELLO = 1,		/* client: struct mhs_sock, value = 0 */
	MHS_SOCK_WELCOME = 2,		/* fds: event bell, to sleep on; value = client id,
					   text = version */
	MHS_SOCK_LANE = 3,		/* fds: lane memfd, submit bell, to ring; value = lane id */
	MHS_SOCK_LANE_DOWN = 4,		/* value = lane id: its worker is dead or gone */
	MHS_SOCK_REFUSED = 5,		/* error = errno, text says why; then the host closes */
};

struct mhs_sock {
	uint64_t magic;			/* MHS_HELLO_MAGIC in each message */
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t type;			/* enum mhs_sock_type */
	uint64_t value;
	uint32_t error;
	uint32_t lane_count;		/* WELCOME: lanes that follow at once */
	char text[96];
};
_Static_assert(sizeof(struct mhs_sock) == 128, "ABI 1: socket message");

#endif

/* SPDX-License-Identifier: MIT */
/*
 * wrk_adapter.h: adapters. Attached ones are found by index and by name without a scan, for there
 * may be hundreds; a request has a set of them, pinned in the turn in which its version is, one
 * that is not in memory is asked for while the request stands aside.
 */
#ifndef WRK_ADAPTER_H
#define WRK_ADAPTER_H

#include <stdbool.h>

#include "eng_lora.h"
#include "heritage.h"
#include "mhs_adapter.h"
#include "mhs_wire.h"

struct wrk;
struct wrk_request;
struct wrk_version;

#define WRK_NAME_BUCKETS	2048u	/* a power of two */

/* One attached version of an adapter. */
struct wrk_adapter {
	uint32_t index;
	uint64_t serial;
	struct mhs_map map;
	const struct mhs_image_header *image;	/* map begins with it */
	struct eng_lora lora;			/* width 0: no version of its model came yet */
	struct eng_lora_layer *layers;
	struct mhs_stats_row *row;		/* where it was last */
	struct wrk_adapter *next;		/* in its bucket */
};

/* Entries of the board by name, as they come; and what is attached. */
struct wrk_adapters {
	uint32_t name_count;			/* of board.models, that are in the buckets */
	uint16_t names[WRK_NAME_BUCKETS];	/* 1 + index of an entry, 0: none */
	uint16_t name_next[MHS_MODEL_MAX];
	struct wrk_adapter *buckets[WRK_NAME_BUCKETS];	/* by model and adapter */
	struct wrk_adapter *by_index[MHS_VERSION_MAX];
};

/* Where a split put a request; the same at every try. */
struct wrk_place {
	uint32_t point;
	bool placed;
	bool candidate;		/* that side was chosen, at the last try */
};

/* The adapters of a request, in its order. */
struct wrk_set {
	uint32_t count;
	struct mhs_adapter_ref refs[MHS_ADAPTERS_MAX];
	struct wrk_place places[MHS_ADAPTERS_MAX];
	struct wrk_adapter *adapters[MHS_ADAPTERS_MAX];	/* pinned; NULL: not now */
	struct eng_adapter list[MHS_ADAPTERS_MAX];	/* for the engine */
	struct mhs_adapter_used used[MHS_ADAPTERS_MAX];	/* for the client */
	uint64_t serials[MHS_ADAPTERS_MAX];	/* of those */
};

/* A version that a request runs on: that of its model, or of one of its adapters. */
struct wrk_part {
	uint32_t index;
	uint64_t serial;
	bool is_adapter;
	bool blamed;		/* for a failure of the engine's */
	struct mhs_stats_row **row;	/* remembered there; NULL: nowhere */
};
#define WRK_PARTS_MAX	(1u + MHS_ADAPTERS_MAX)

/* An adapter that the supervisor was asked for. */
struct wrk_want {
	struct wrk_want *next;
	struct hrt_want want;
	bool said;
};

/* wrk_adapter.c: what is attached */
uint64_t wrk_name_hash(const char *model, const char *adapter);
/* Index of the board's entry for @adapter of @model ("": the model itself), or -ENOENT. In a turn. */
int wrk_board_find(struct wrk *w, const char *model, const char *adapter);
/* @map is the image's, checked; taken in every case. */
int wrk_adapter_attach(struct wrk *w, const struct hrt_msg *msg, struct mhs_map *map,
		       char text[HERITAGE_TEXT_BYTES]);
/* False: it is no adapter. */
bool wrk_adapter_detach(struct wrk *w, uint32_t index, uint64_t serial);
void wrk_adapters_fini(struct wrk *w);
struct wrk_adapter *wrk_adapter_by_name(struct wrk *w, const char *model, const char *adapter,
					const char *semver);
/* Ready for steps of @v: 0; -EINVAL with *@field (static): it does not fit; -ENOMEM. */
int wrk_adapter_fit(struct wrk *w, struct wrk_adapter *a, const struct wrk_version *v,
		    const char **field);

/* wrk_set.c: the adapters of a request */
/* NULL or what is wrong, "" for a record that is none: as wrk_request_check(). */
const char *wrk_set_check(const struct mhs_request *rq, uint32_t kind, const uint8_t *payload,
			  char text[MHS_MESSAGE_BYTES]);
/* From a checked request; its set stays NULL when it names none. 0 or -ENOMEM. */
int wrk_set_init(struct wrk_request *r);
/*
 * Pin all of them for @v, which was pinned in this turn. False with none pinned: @r ended, or waits for
 * one, or stays queued for the next turn.
 */
bool wrk_set_pin(struct wrk *w, struct wrk_request *r, const struct wrk_version *v);
void wrk_set_unpin(struct wrk *w, struct wrk_request *r);
bool wrk_set_is_candidate(const struct wrk_set *set);	/* some split sent it to a candidate */
/* So far that what comes of it may be the client's own doing. */
bool wrk_set_is_scaled_up(const struct wrk_set *set);
/*
 * All that @r is pinned to, its version first. Who is blamed: whom a split chose as candidate; if none,
 * the adapters, since without them others are served too; nobody when the client scaled them far up.
 */
uint32_t wrk_set_parts(const struct wrk_request *r, struct wrk_part parts[WRK_PARTS_MAX]);
/* Its row of the stats; valid until another one is asked for. */
struct mhs_stats_row *wrk_part_row(struct wrk *w, const struct wrk_part *part);

/* wrk_want.c: adapters that come while their requests wait */
/* @r stands aside until the supervisor has answered; it ends when there is none. */
void wrk_want(struct wrk *w, struct wrk_request *r, const struct mhs_adapter_ref *ref);
void wrk_want_answer(struct wrk *w, const struct hrt_wanted *wanted, int status);
void wrk_wants_say(struct wrk *w);	/* those that the socket had no room for */
void wrk_wants_lost(struct wrk *w);	/* the supervisor is gone: nobody waits any longer */
void wrk_wants_fini(struct wrk *w);

#endif

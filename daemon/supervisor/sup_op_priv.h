/* SPDX-License-Identifier: MIT */
/* sup_op_priv.h: one operation that takes time, between sup_release.c and sup_flip.c. */
#ifndef SUP_OP_PRIV_H
#define SUP_OP_PRIV_H

#include "sup_trial.h"

enum op_kind { OP_LOAD, OP_ACTIVATE, OP_ROLLBACK, OP_RELEASE, OP_UNLOAD, OP_WANT };
enum op_state { OP_WAIT_FREE, OP_WAIT_READY, OP_WAIT_GATE, OP_WAIT_ADOPTED, OP_WAIT_GONE, OP_FAILED };

struct sup_op {
	struct sup *sup;
	struct sup_op *next;
	struct sup_conn *conn;		/* NULL: nobody waits */
	bool at_start, must;		/* before we serve; or the start fails */
	uint32_t uid;			/* who asked */
	char why[200];
	enum op_kind kind;
	enum op_state state;
	char model[SUP_NAME_BYTES], semver[MHS_SEMVER_BYTES], from[MHS_SEMVER_BYTES];
	struct sup_version *version;	/* NULL: gone */
	struct sup_timer timer;
	uint64_t begin_ns;
	struct sto_error error;		/* of OP_FAILED */
	bool told_load;			/* in the history */
	bool loaded;			/* it was not in memory when the operation began */
	uint64_t bytes, read_bytes, load_ns, allocate_ns, page_wait_ns, attach_ns, freed_bytes;
	struct hrt_attached slowest;
	enum sup_method method;
	enum mhs_pages rung;
	struct sup_trial_plan plan;	/* of OP_RELEASE */
	/* of adapters */
	bool forced;			/* whatever becomes of them */
	json_t *stranded;		/* those that do not fit the version; NULL: not asked yet */
	struct sup_want *wants;		/* of OP_WANT: who waits */
	bool no_room;			/* why it failed: later it may work */
	bool named;			/* this version is meant, and no route */
	bool returns;			/* to the version that its route had before */
	/* gate */
	bool ungated;			/* it went through before, or must not wait */
	bool gated;			/* a gate was begun */
	uint32_t gates_passed;
	struct sup_cases cases;		/* of the gate that runs */
	struct sup_child *gate;
	/* flip */
	uint64_t epoch, flipped_ns, poll_ns;
	uint32_t generation, workers, pending;
	uint64_t flip_ns, wall_ns;	/* the slowest so far */
	bool told;			/* in the log */
	uint64_t flees;			/* serial of the version that a rollback by itself is to leave */
	struct {
		uint64_t life;		/* 0: adopted, or not asked */
		bool slept;		/* had asked for its bell */
	} asked[MHS_WORKER_MAX];
};

void sup_op_step(struct sup_timer *timer);
void sup_op_begin(struct sup_op *op);		/* find the version, or have it loaded */
/* Loaded and, an adapter, perhaps routed: answer and free @op. */
void sup_op_answer_load(struct sup_op *op);
/* Send the answer (reference taken) and free @op. */
void sup_op_answer(struct sup_op *op, json_t *answer);

void sup_op_fail(struct sup_op *op, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sup_op_kick(struct sup_op *op);		/* step soon */

/* sup_adapter.c */
/* Loaded, it gets the route that nothing has: the first version, or the one that had it before. */
bool sup_adapter_takes_route(const struct sup_op *op);

/* sup_strand.c: "MODEL/ADAPTER@VERSION" of all routed ones that do not fit; @first: one and why. */
json_t *sup_stranded(struct sup_version *version, struct sto_error *first);
/* True: refused. Else those are told in the answer. */
bool sup_op_strands(struct sup_op *op);

/* sup_want.c: tell all that wait. */
void sup_want_over(struct sup_op *op, int status, const char *text);
/* sup_ask.c: an operation for them, its first step not done. NULL with text. */
struct sup_op *sup_op_want(struct sup *sup, const char *target, const char *semver, bool named,
			   struct sto_error *error);

/* sup_ask.c: it is in memory alone, and its number is given away for ever. */
void sup_push_note(struct sup_version *version);

/* sup_gate.c: true: wait, or it failed; false: nothing (more) to ask. */
bool sup_gate_begin(struct sup_op *op);

/* sup_flip.c */
void sup_op_flip(struct sup_op *op);		/* op->version is public; make it the active one */
void sup_op_cut_off(struct sup_op *op);		/* it has flipped; answer without waiting, free @op */
void sup_op_wait_adopted(struct sup_op *op);	/* look again; in the end answer and free @op */

#endif

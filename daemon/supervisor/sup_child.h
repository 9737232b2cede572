/* SPDX-License-Identifier: MIT */
/*
 * sup_child.h: a program that runs beside the loop for a while: a golden gate, probes, an operator's
 * command. Bounded in time and output; killed with all its process group when its time is over.
 */
#ifndef SUP_CHILD_H
#define SUP_CHILD_H

#include "sup.h"

#define SUP_CHILD_OUT_BYTES	8192u	/* kept of what it prints, from the start */
#define SUP_CHILD_MAX		16u	/* hooks at a time, and gates */

struct sup_child;
/* It is over; @child is freed after the call. */
typedef void (*sup_child_fn)(struct sup_child *child);

struct sup_child {
	struct sup *sup;
	struct sup_child *next;
	enum sup_child_kind kind;
	pid_t pid;
	struct sup_source pidfd, pipe;
	struct sup_timer timer;
	sup_child_fn over;		/* NULL: nobody waits any more */
	void *owner;
	bool timed_out;
	int status;			/* exit status; 128 + number after a signal */
	size_t out_bytes;
	char out[SUP_CHILD_OUT_BYTES + 1];	/* standard output and error, as text */
};

struct sup_child_plan {
	enum sup_child_kind kind;
	const char *const *argv;	/* argv[0]: a path, or a program beside mhostd without '/' */
	const char *const *env;		/* added to ours, NULL-terminated; NULL: none */
	const char *input;		/* its standard input; NULL: empty */
	uint32_t limit_ms;		/* 0: none */
	sup_child_fn over;
	void *owner;
};

/* NULL, with text: too many run, or it cannot be started. */
struct sup_child *sup_child_start(struct sup *sup, const struct sup_child_plan *plan,
				  struct sto_error *error);
/* End it; @over is not called. *@child is cleared. NULL is fine. */
void sup_child_drop(struct sup_child **child);
/* The first line of its output without control characters; "no output" without one. */
void sup_child_line(const struct sup_child *child, char *line, size_t bytes);
void sup_children_close(struct sup *sup);

#endif

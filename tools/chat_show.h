/* SPDX-License-Identifier: MIT */
/*
 * chat_show.h: a chat's reply on standard output as it streams: content as it stands; reasoning dim at
 * a terminal, and nowhere else; a tool call on a line of its own, NAME(ARGUMENTS).
 */
#ifndef CHAT_SHOW_H
#define CHAT_SHOW_H

#include "cmd.h"

/* Zeroed but for terminal. */
struct chat_show {
	bool terminal;
	struct mhost_parser *parser;	/* from the first text on */
	bool any;			/* something was shown */
	uint32_t kind;			/* what last: enum mhost_part_kind */
};

/* A piece of @reply, which has begun. */
void chat_show_text(struct chat_show *show, const struct reply *reply, const char *text, size_t bytes);
/* What was held back, and a newline. Frees. */
void chat_show_end(struct chat_show *show);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * chat_lines.h: what a person types, message by message. A line that ends with a backslash goes on
 * with the next one; between two lines of three quotation marks every line is taken as it is.
 */
#ifndef CHAT_LINES_H
#define CHAT_LINES_H

#include <stdbool.h>

struct chat_lines;

/* @edit: standard input and output are a terminal, so lines are edited and remembered. */
struct chat_lines *chat_lines_new(bool edit);
void chat_lines_free(struct chat_lines **lines);

enum chat_line { CHAT_MESSAGE, CHAT_INTERRUPTED, CHAT_END };
/* CHAT_MESSAGE: *@text is malloc'd. CHAT_INTERRUPTED: a signal came, what was typed is gone. */
enum chat_line chat_lines_read(struct chat_lines *lines, char **text);

#endif

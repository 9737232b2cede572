/* SPDX-License-Identifier: MIT */
/* chat_lines.c: libedit on a terminal, plain lines elsewhere. */
#include "chat_lines.h"

#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMEMBERED	1000	/* lines */

struct chat_lines {
	EditLine *edit;		/* NULL: plain lines */
	History *history;
	char *line;		/* of getline() */
	size_t line_cap;
	bool more;		/* the message at hand has begun */
};

static char *prompt(EditLine *edit)
{
	static char first[] = "> ", next[] = "| ";
	struct chat_lines *lines = NULL;

	el_get(edit, EL_CLIENTDATA, &lines);
	return lines && lines->more ? next : first;
}

static bool edit_begin(struct chat_lines *lines)
{
	HistEvent ev;

	lines->edit = el_init("mhost", stdin, stdout, stderr);
	lines->history = history_init();
	if (!lines->edit || !lines->history)
		return false;
	el_set(lines->edit, EL_CLIENTDATA, lines);
	el_set(lines->edit, EL_PROMPT, prompt);
	el_set(lines->edit, EL_EDITOR, "emacs");
	el_set(lines->edit, EL_SIGNAL, 0);	/* the caller's handlers see them */
	history(lines->history, &ev, H_SETSIZE, REMEMBERED);
	history(lines->history, &ev, H_SETUNIQUE, 1);
	el_set(lines->edit, EL_HIST, history, lines->history);
	el_source(lines->edit, NULL);		/* the user's ~/.editrc */
	return true;
}

struct chat_lines *chat_lines_new(bool edit)
{
	struct chat_lines *lines = calloc(1, sizeof(*lines));

	if (lines && edit && !edit_begin(lines))
		chat_lines_free(&lines);
	return lines;
}

void chat_lines_free(struct chat_lines **lines)
{
	struct chat_lines *l = *lines;

	*lines = NULL;
	if (!l)
		return;
	if (l->history)
		history_end(l->history);
	if (l->edit)
		el_end(l->edit);
	free(l->line);
	free(l);
}

/* One line without its newline, valid until the next call. */
static enum chat_line read_line(struct chat_lines *l, const char **line, size_t *bytes)
{
	HistEvent ev;
	int count = 0;
	ssize_t n;

	errno = 0;
	if (l->edit) {
		*line = el_gets(l->edit, &count);
		n = *line && count > 0 ? count : -1;
		if (n > 1)
			history(l->history, &ev, H_ENTER, *line);
	} else {
		n = getline(&l->line, &l->line_cap, stdin);
		*line = l->line;
	}
	if (n < 0 && errno == EINTR)
		return CHAT_INTERRUPTED;
	if (n < 0)
		return CHAT_END;
	*bytes = (size_t)n - (n && (*line)[n - 1] == '\n');
	return CHAT_MESSAGE;
}

struct message {
	char *text;
	size_t bytes;
};

static bool message_add(struct message *m, const char *text, size_t bytes)
{
	char *grown = realloc(m->text, m->bytes + bytes + 2);

	if (!grown)
		return false;
	m->text = grown;
	memcpy(m->text + m->bytes, text, bytes);
	m->bytes += bytes;
	m->text[m->bytes++] = '\n';
	m->text[m->bytes] = 0;
	return true;
}

/* Takes in one line; *@more: others belong to it. */
static bool take_line(struct chat_lines *l, struct message *m, const char *line, size_t bytes,
		      bool *quoted, bool *more)
{
	bool mark = bytes == 3 && !memcmp(line, "\"\"\"", 3);

	if (mark) {
		*quoted = !*quoted;
		*more = *quoted;
		return true;
	}
	*more = *quoted || (bytes && line[bytes - 1] == '\\');
	return message_add(m, line, bytes - (*more && !*quoted));
}

enum chat_line chat_lines_read(struct chat_lines *l, char **text)
{
	struct message m = { 0 };
	bool quoted = false, more = true;
	enum chat_line status = CHAT_MESSAGE;
	const char *line;
	size_t bytes;

	clearerr(stdin);
	for (l->more = false; more; l->more = true) {
		status = read_line(l, &line, &bytes);
		if (status != CHAT_MESSAGE)
			break;
		if (!take_line(l, &m, line, bytes, &quoted, &more))
			status = CHAT_END;
	}
	/* What an end of the input cuts is a message too. */
	if (status == CHAT_END && m.bytes)
		status = CHAT_MESSAGE;
	if (status == CHAT_MESSAGE && !m.text)
		m.text = calloc(1, 1);
	if (m.bytes)
		m.text[m.bytes - 1] = 0;
	*text = m.text;
	if (status == CHAT_MESSAGE && m.text)
		return CHAT_MESSAGE;
	free(m.text);
	return status == CHAT_INTERRUPTED ? status : CHAT_END;
}

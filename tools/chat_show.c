/* SPDX-License-Identifier: MIT */
#include "chat_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SGR 2 and 0 of ECMA-48; NO_COLOR as no-color.org has it. */
static void dim(const struct chat_show *show, bool on)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (show->terminal && !(no_color && *no_color) && term && strcmp(term, "dumb"))
		fputs(on ? "\033[2m" : "\033[0m", stdout);
}

/* From one kind of part to another. */
static void turn(struct chat_show *show, uint32_t kind)
{
	bool thought = show->any && show->kind == MHOST_PART_REASONING;

	if (show->any && kind == show->kind)
		return;
	if (thought)
		dim(show, false);
	if (show->any)
		fputs(thought ? "\n\n" : "\n", stdout);
	if (kind == MHOST_PART_REASONING)
		dim(show, true);
	show->kind = kind;
	show->any = true;
}

static int show_part(void *arg, const struct mhost_part *part)
{
	struct chat_show *show = arg;

	if (part->kind == MHOST_PART_REASONING && !show->terminal)
		return 0;
	if (part->kind == MHOST_PART_CALL && show->any && show->kind == part->kind)
		putchar('\n');
	turn(show, part->kind);
	if (part->kind == MHOST_PART_CALL)
		printf("%.*s(%.*s)", (int)part->name_bytes, part->name, (int)part->bytes, part->text);
	else
		fwrite(part->text, 1, part->bytes, stdout);
	return 0;
}

void chat_show_text(struct chat_show *show, const struct reply *reply, const char *text, size_t bytes)
{
	if (!show->parser &&
	    mhost_parser_new(&show->parser, reply->form, reply->form_flags, show_part, show))
		fwrite(text, 1, bytes, stdout);	/* no memory for it: as the model wrote it */
	else
		mhost_parser_feed(show->parser, text, bytes);
	fflush(stdout);
}

void chat_show_end(struct chat_show *show)
{
	if (show->parser)
		mhost_parser_end(show->parser);
	mhost_parser_free(&show->parser);
	if (show->any && show->kind == MHOST_PART_REASONING)
		dim(show, false);
	putchar('\n');
	fflush(stdout);
}

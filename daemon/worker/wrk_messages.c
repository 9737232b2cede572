/* SPDX-License-Identifier: MIT */
/*
 * wrk_messages.c: a prompt that is a chat request, through the template of the version that will
 * answer it. It is done between two steps of the engine, so its limits are narrow.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mhs_form.h"
#include "wrk.h"

/* A tenth of a second at most; a request of 512 KiB needs a tenth of them. */
static const struct tpl_limits render_limits = {
	.steps = 2u << 20, .output_bytes = 4u << 20, .memory_bytes = 64u << 20,
};

static int say(char message[MHS_MESSAGE_BYTES], int err, const char *what)
{
	snprintf(message, MHS_MESSAGE_BYTES, "messages: %s", what);
	return err;
}

/* Once for each version, when it is first asked. */
static int compile(struct wrk_version *v, char message[MHS_MESSAGE_BYTES])
{
	const struct mhs_image_span *span = &v->image->chat_template;
	struct tpl_error error;
	const char *text;
	int err;

	if (v->template)
		return 0;
	text = span->length_bytes ? wrk_image_at(v, span->offset_bytes, span->length_bytes) : NULL;
	if (!text)
		return say(message, -EINVAL, "the version has no chat template: render them yourself");
	err = tpl_compile(&v->template, text, span->length_bytes, &error);
	return err ? say(message, err, error.text) : 0;
}

uint32_t wrk_messages_form(const struct wrk_version *v)
{
	const struct mhs_image_span *span = &v->image->chat_template;
	const char *text = span->length_bytes ? wrk_image_at(v, span->offset_bytes, span->length_bytes) : NULL;

	return text ? mhs_form_of_template(text, span->length_bytes) : MHS_FORM_NONE;
}

_Static_assert((int)MHS_WORD_COUNT == TPL_WORD_COUNT && (int)MHS_WORD_MASK == TPL_MASK, "the same words");

/* Special tokens as text; those made here stand in @own too, and the caller frees them. */
static void words_get(const struct wrk_version *v, const char *words[TPL_WORD_COUNT], char *own[TPL_WORD_COUNT])
{
	uint32_t id, bytes;
	const char *text;

	for (int w = 0; w < TPL_WORD_COUNT; w++) {
		words[w] = mhs_image_word(v->image, (enum mhs_word)w, &id);
		text = eng_tok_bytes(v->tok, id, &bytes);
		own[w] = text ? strndup(text, bytes) : NULL;
		if (own[w])
			words[w] = own[w];
	}
}

static int render(struct wrk_version *v, const json_t *request, char **text, size_t *bytes,
		  char message[MHS_MESSAGE_BYTES])
{
	struct tpl_host host = { .now = time(NULL) };
	char *own[TPL_WORD_COUNT];
	struct tpl_error error;
	int err;

	words_get(v, host.words, own);
	err = tpl_chat(v->template, request, &host, &render_limits, text, bytes, &error);
	for (int w = 0; w < TPL_WORD_COUNT; w++)
		free(own[w]);
	return err ? say(message, err, error.text) : 0;
}

int wrk_messages_render(struct wrk_version *v, const char *json, size_t json_bytes, char **text,
			size_t *bytes, char message[MHS_MESSAGE_BYTES])
{
	json_error_t where;
	json_t *request;
	int err = compile(v, message);

	if (err)
		return err;
	request = json_loadb(json, json_bytes, JSON_ALLOW_NUL, &where);
	if (!json_is_object(request)) {
		snprintf(message, MHS_MESSAGE_BYTES, "messages: line %d, column %d: %s", where.line,
			 where.column, request ? "is not an object" : where.text);
		err = -EINVAL;
	} else {
		err = render(v, request, text, bytes, message);
	}
	json_decref(request);
	return err;
}

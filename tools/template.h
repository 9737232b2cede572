/* SPDX-License-Identifier: MIT */
/* template.h: the chat template of a version in the store, and the tokens that it names. */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "cmd.h"
#include "mhs_layout.h"
#include "tpl.h"

struct template {
	char *text;		/* NULL: the version has none */
	size_t bytes;
	char *words[TPL_WORD_COUNT];	/* special tokens; NULL: none */
};

/*
 * @version empty: the newest in the store, which it then names. CMD_OK, or CMD_FAILED with the
 * reason printed. template_free() in every case.
 */
int template_load(const struct cmd *cmd, const char *store, const char *model,
		  char version[MHS_SEMVER_BYTES], struct template *t);
void template_free(struct template *t);
/* A line on standard error when messages to this version will be refused, or may be. */
void template_warn(const struct cmd *cmd, const char *store, const char *model, const char *version);

#endif

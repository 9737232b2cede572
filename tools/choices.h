/* SPDX-License-Identifier: MIT */
/* choices.h: several replies to one prompt. */
#ifndef CHOICES_H
#define CHOICES_H

#include "request_opts.h"

/*
 * As many replies as --best-of, or else --choices, says, with the seeds from --seed on; the best --choices of them, by
 * the mean log-probability of their tokens, are printed. CMD_OK, or CMD_FAILED with the reason printed.
 */
int choices_run(const struct cmd *cmd, struct request_opts *o);

#endif

/* SPDX-License-Identifier: MIT */
/* sto_verify_priv.h: between the two halves of verifying a version: its bytes and its manifest. */
#ifndef STO_VERIFY_PRIV_H
#define STO_VERIFY_PRIV_H

#include "sto_verify.h"
#include "sto_version.h"

/* Tell verify->problem. */
void sto_verify_say(const struct sto_verify *verify, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Whether the manifest is there, sound, and of this version. @v NULL: its image cannot be read. */
void sto_verify_manifest(const struct sto_verify *verify, const char *model, const char *version,
			 const struct sto_version *v);

#endif

/* SPDX-License-Identifier: MIT */
/* import_peft_priv.h: between the parts of the importer of PEFT folders. */
#ifndef IMPORT_PEFT_PRIV_H
#define IMPORT_PEFT_PRIV_H

#include "sto_lora.h"

/*
 * peft_copy.c: whether @tensor of @st, which is no part of a target, is a copy of the base's embedding
 * or output (@rest: its name behind "base_model.model."). 0: it is, and may be left out. -ENOENT
 * without @error: it is something else. -EINVAL: it differs from the base.
 */
int peft_check_copy(const struct sto_file *file, const struct sto_st_tensor *tensor, const char *rest,
		    struct sto_version *base, struct sto_error *error);

#endif

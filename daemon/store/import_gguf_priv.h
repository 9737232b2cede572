/* SPDX-License-Identifier: MIT */
/* import_gguf_priv.h: between the files that read a GGUF model. All return 0 or negative errno. */
#ifndef IMPORT_GGUF_PRIV_H
#define IMPORT_GGUF_PRIV_H

#include "sto_gguf.h"
#include "sto_import.h"

#define CONVERT	"convert the model again"

int import_gguf_architecture(const struct sto_gguf *gguf, struct sto_error *error);
/* Sizes and floats, checked together. */
int import_gguf_config(const struct sto_gguf *gguf, struct sto_model *model,
		       struct sto_error *error);
/* Rotary frequencies; the configuration is there. */
int import_gguf_rope(const struct sto_gguf *gguf, struct sto_model *model, struct sto_error *error);

#endif

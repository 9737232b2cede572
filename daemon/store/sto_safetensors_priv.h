/* SPDX-License-Identifier: MIT */
/* sto_safetensors_priv.h: between the two readers of safetensors headers. */
#ifndef STO_SAFETENSORS_PRIV_H
#define STO_SAFETENSORS_PRIV_H

#include "sto_safetensors.h"

/*
 * Fill st->tensors from a header of the plain form: name, dtype (texts in @text, which is cut up), dims,
 * offset_bytes from the end of the header, bytes. False: it has another form, and @text is spoilt, and
 * st->tensors to be freed.
 */
bool sto_st_plain(struct sto_safetensors *st, char *text, size_t length);

#endif

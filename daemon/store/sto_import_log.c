/* SPDX-License-Identifier: MIT */
/* sto_import_log.c: tell an import in the history of the store. */
#include "sto_history.h"
#include "sto_image_priv.h"

/* Any path as JSON can hold it. */
static json_t *path_string(const char *path)
{
	json_t *string = json_string(path);

	return string ? string : json_string("(a path that is not UTF-8)");
}

int sto_import_log(const struct sto_import *import, const struct sto_import_result *result,
		   struct sto_error *error)
{
	char hash[STO_HEX_BYTES];
	json_t *event;
	int err;

	sto_hex(result->content_hash, MHS_HASH_BYTES, hash);
	event = json_pack("{s:s, s:s, s:s, s:s*, s:s?, s:s, s:I, s:o, s:O*}", "event",
			  import->merge ? "merge" : "import",
			  "model", import->model, "version", result->version, "why", import->why, "parent",
			  result->parent[0] ? result->parent : NULL, "content_hash", hash,
			  "image_bytes", (json_int_t)result->image_bytes, "path",
			  path_string(import->path), "incompatible", result->incompatible);
	err = sto_history_append(import->store, event, error);
	json_decref(event);
	return err;
}

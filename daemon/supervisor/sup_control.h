/* SPDX-License-Identifier: MIT */
/* sup_control.h: one connection on the control socket, as commands see it (CONTROL.md). */
#ifndef SUP_CONTROL_H
#define SUP_CONTROL_H

#include <jansson.h>

#include "sup.h"

/*
 * Each takes the reference to its object. answer (adds ok: true) and refuse end the request; then
 * the next line of the connection is read. All are harmless with a @conn of NULL (nobody waits any
 * more).
 */
void sup_conn_progress(struct sup_conn *conn, json_t *progress);
void sup_conn_answer(struct sup_conn *conn, json_t *answer);
void sup_conn_refuse(struct sup_conn *conn, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

uint32_t sup_conn_uid(const struct sup_conn *conn);	/* SUP_UID_SELF for NULL */

/* A JSON string of any bytes: what is not UTF-8 becomes '?'. */
/* The descriptor that came along with the request, the caller's now; -1: none did. */
int sup_conn_take_fd(struct sup_conn *conn);
json_t *sup_json_text(const char *text);
json_t *sup_json_hash(const uint8_t *hash);	/* MHS_HASH_BYTES in hexadecimal */

/* sup_command.c: act on one request object (borrowed). */
void sup_command(struct sup *sup, struct sup_conn *conn, const json_t *request);

/* sup_status.c: answers that change nothing. */
json_t *sup_status(struct sup *sup);
/* sup_adapter_show.c; @name: a model or MODEL/ADAPTER, NULL: all. */
json_t *sup_adapters_show(const struct sup *sup, const char *name);
json_t *sup_adapters_status(const struct sup *sup);
json_t *sup_status_workers(struct sup *sup);
json_t *sup_status_list(struct sup *sup, struct sto_error *error);
/* NULL with text: not in the store, or damaged. */
json_t *sup_status_show(struct sup *sup, const char *model, const char *semver,
			struct sto_error *error);

#endif

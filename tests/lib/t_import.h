/* SPDX-License-Identifier: MIT */
/* t_import.h: whole imports in tests, and what they left in the store. */
#ifndef T_IMPORT_H
#define T_IMPORT_H

#include "sto_import.h"

/* Leave a case that needs the reference data when the program runs elsewhere. */
#define T_NEED_REFERENCE(path) \
	do { \
		if (access(path, R_OK)) { \
			t_check(0, __FILE__, __LINE__, "run from the root of the source tree"); \
			return; \
		} \
	} while (0)

int t_import(const char *store, const char *ref, const char *path, struct sto_error *error);
int t_count_files(const char *path);		/* all below it that are no folders */
int t_store_has_no_tmp(const char *store);	/* nothing half finished; removes the empty folder */

#endif

/* SPDX-License-Identifier: MIT */
/*
 * t_bad.h: the damaged files of tests/reference/data/bad, made as bad.json says (README.md there).
 */
#ifndef T_BAD_H
#define T_BAD_H

#include <jansson.h>

#define T_REFERENCE	"tests/reference/data"

/* Copies; existing files are overwritten. Exit on failure. A folder's subfolders are left out. */
void t_copy_file(const char *from, const char *to);
void t_copy_folder(const char *from, const char *to);
void t_remove_tree(const char *path);
/* bad.json; NULL when the reference data is not there. */
json_t *t_bad_load(void);
/*
 * Make @entry of "cases" or "made" below @work (an empty folder), or point to it where it is
 * stored. 0, or -1 when this machine cannot make it.
 */
int t_bad_make(const json_t *entry, const char *work, char *path, size_t path_bytes);

#endif

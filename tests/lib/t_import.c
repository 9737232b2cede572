/* SPDX-License-Identifier: MIT */
#include "t_import.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int t_import(const char *store, const char *ref, const char *path, struct sto_error *error)
{
	struct sto_import import = { .store = store, .path = path, .threads = 2 };
	struct sto_import_result result;

	error->text[0] = '\0';
	if (sto_ref_parse(ref, 0, import.model, import.version, error))
		return -EINVAL;
	return sto_import(&import, &result, error);
}

static int files_seen;

static int count_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path, (void)st, (void)ftw;
	files_seen += flag != FTW_D && flag != FTW_DP;
	return 0;
}

int t_count_files(const char *path)
{
	files_seen = 0;
	nftw(path, count_file, 16, FTW_PHYS);
	return files_seen;
}

int t_store_has_no_tmp(const char *store)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/tmp", store);
	return rmdir(path) == 0 || errno == ENOENT;
}

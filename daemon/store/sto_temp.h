/* SPDX-License-Identifier: MIT */
/*
 * sto_temp.h: a version grows in STORE/tmp/import-PID-N, locked with flock while its process lives,
 * and is renamed into place. Temporaries without a living owner (power cut, SIGKILL) are removed by
 * the next import.
 */
#ifndef STO_TEMP_H
#define STO_TEMP_H

#include "sto_store.h"

struct sto_temp {
	int tmp_fd;		/* STORE/tmp */
	int fd;			/* the directory below it, locked */
	char name[64];		/* of that directory */
};

/* A fresh empty directory in the store, which is made when it is not there. */
int sto_temp_open(struct sto_temp *temp, const char *store, struct sto_error *error);
/* @renamed: the directory is in its final place; else it is removed with all in it. */
void sto_temp_close(struct sto_temp *temp, int renamed);
/*
 * Rename it to STORE/@below/@name; the folders on the way are made. -EEXIST without @error: there
 * is something of that name.
 */
int sto_temp_place(const struct sto_temp *temp, const char *store, const char *below, const char *name,
		   struct sto_error *error);

/*
 * Swap it with STORE/@below/@name, in one step; afterwards @temp is what was there, and sto_temp_close()
 * removes that. Two that swap the same name at once: one of them fails (-EWOULDBLOCK), or both are done
 * in turn.
 */
int sto_temp_exchange(struct sto_temp *temp, const char *store, const char *below, const char *name,
		      struct sto_error *error);

/* "@path: cannot be @what" and the present errno, which is returned. */
int sto_io_error(struct sto_error *error, const char *path, const char *what);
/* STORE/@below and all above it. */
int sto_store_dir_make(const char *store, const char *below, struct sto_error *error);
int sto_dir_sync(const char *path, struct sto_error *error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * sto_file.h: source files of an import. Read with pread into own memory, never mapped: a file
 * that shrinks under us is a short read and not a SIGBUS. A file that changes while it is read is
 * refused at the end. Errors name the file as the user gave it.
 */
#ifndef STO_FILE_H
#define STO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "sto_store.h"

struct sto_file {
	char *path;			/* as shown to people */
	int fd;
	uint64_t bytes;
	struct stat opened;		/* when it was opened */
	uint8_t sha256[MHS_HASH_BYTES];	/* after sto_file_hash() */
	bool hashed;
};

/*
 * Open a regular file: symbolic links are followed; anything else is refused without blocking on
 * it, and so are empty files and Git-LFS pointers. @name is relative to @dir_fd or AT_FDCWD;
 * @shown is its name in messages. 0, or negative errno (-ENOENT: not there) with @error.
 */
int sto_file_open(struct sto_file *file, int dir_fd, const char *name, const char *shown,
		  struct sto_error *error);
/* The same of a descriptor that is open already, and stays the caller's. */
int sto_file_adopt(struct sto_file *file, int fd, const char *shown, struct sto_error *error);
void sto_file_close(struct sto_file *file);
/* Exactly @bytes at @offset. -EIO with @error when the file ends earlier or cannot be read. */
int sto_file_read(const struct sto_file *file, void *out, uint64_t bytes, uint64_t offset,
		  struct sto_error *error);
/* The whole file, at most @limit_bytes, and a NUL behind it. *@data is freed by the caller. */
int sto_file_load(const struct sto_file *file, uint64_t limit_bytes, char **data,
		  struct sto_error *error);
/*
 * SHA-256 of the whole file into file->sha256. @step is called after each block with its bytes;
 * what it returns other than 0 ends the work (then @error is the caller's).
 */
typedef int (*sto_step_fn)(void *arg, uint64_t bytes);
int sto_file_hash(struct sto_file *file, sto_step_fn step, void *arg, struct sto_error *error);
/* Whether size and time are still those of the opening. 0, or -EBUSY with @error. */
int sto_file_unchanged(const struct sto_file *file, struct sto_error *error);

/* Whether all bytes are well-formed UTF-8. */
bool sto_utf8_sound(const char *data, uint64_t bytes);
/* And without control characters; with @text, tab, line feed and carriage return may be. */
bool sto_utf8_valid(const char *data, uint64_t bytes, bool text);

#endif

/* SPDX-License-Identifier: MIT */
/* sup_read.c: which method, and why not a better one. */
#include "sup_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[SUP_METHOD_COUNT] = { "fixed", "plain", "pread", "buffered" };

const char *sup_method_name(enum sup_method method)
{
	return (unsigned int)method < SUP_METHOD_COUNT ? names[method] : "?";
}

int sup_method_parse(const char *name)
{
	for (int i = 0; i < SUP_METHOD_COUNT; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -EINVAL;
}

void sup_read_fail(uint64_t offset, int result, struct sto_error *error)
{
	if (result == 0)
		sto_fail(error, "the file ends at byte %llu, it became shorter while it was read",
			 (unsigned long long)offset);
	else
		sto_fail(error, "reading at byte %llu: %s", (unsigned long long)offset,
			 strerror(-result));
}

bool sup_read_is_closed(int result)
{
	return result == -EINVAL || result == -EOPNOTSUPP || result == -ENOSYS ||
	       result == -EPERM || result == -EACCES || result == -EFAULT || result == -ENOMEM;
}

static int direct_open(int fd)
{
	char path[32];
	int direct;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	return direct < 0 ? -errno : direct;
}

static int method_run(struct sup_read *read, int direct, enum sup_method method,
		      struct sto_error *error)
{
	if (method == SUP_METHOD_BUFFERED)
		return sup_read_threads(read, read->fd, false, error);
	if (direct < 0) {
		sto_fail(error, "no O_DIRECT here: %s", strerror(-direct));
		return SUP_READ_NEXT;
	}
	if (method == SUP_METHOD_PREAD)
		return sup_read_threads(read, direct, true, error);
	return sup_read_ring(read, direct, method == SUP_METHOD_FIXED, error);
}

int sup_read_run(struct sup_read *read, enum sup_method first, bool only, enum sup_method *taken,
		 struct sto_error *error)
{
	int direct = direct_open(read->fd), err = SUP_READ_NEXT;

	read->note[0] = '\0';
	for (unsigned int method = first; method < SUP_METHOD_COUNT; method++) {
		size_t used = strlen(read->note);

		*taken = (enum sup_method)method;
		err = method_run(read, direct, *taken, error);
		if (err != SUP_READ_NEXT || only)
			break;
		snprintf(read->note + used, sizeof(read->note) - used, "%s%s: %s", used ? "; " : "",
			 names[method], error->text);
	}
	if (direct >= 0)
		close(direct);
	return err == SUP_READ_NEXT ? -EOPNOTSUPP : err;
}

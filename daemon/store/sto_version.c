/* SPDX-License-Identifier: MIT */
/* sto_version.c: open a version of the store to look at it. */
#include "sto_version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sto_file.h"

/* The image as messages call it. */
static struct sto_file image_file(const struct sto_version *v, char path[4400])
{
	if (sto_image_path(v->store, v->model, v->version, path, 4400))
		snprintf(path, 4400, "%s", STO_IMAGE_NAME);
	return (struct sto_file){ .path = path, .fd = v->fd };
}

static int read_span(const struct sto_version *v, const struct mhs_image_span *span, void **out,
		     struct sto_error *error)
{
	char path[4400];
	const struct sto_file image = image_file(v, path);

	*out = malloc(span->length_bytes + 1);
	if (!*out) {
		sto_fail(error, "%s: out of memory; free some", path);
		return -ENOMEM;
	}
	return sto_file_read(&image, *out, span->length_bytes, span->offset_bytes, error);
}

int sto_version_open(struct sto_version *v, const char *store, const char *model,
		     const char *version, struct sto_error *error)
{
	int err = 0;

	memset(v, 0, sizeof(*v));
	snprintf(v->store, sizeof(v->store), "%s", store);
	snprintf(v->model, sizeof(v->model), "%s", model);
	snprintf(v->version, sizeof(v->version), "%s", version);
	v->fd = sto_image_open(store, model, version, &v->header, error);
	if (v->fd < 0)
		return v->fd;
	err = read_span(v, &v->header.tensor_table, (void **)&v->tensors, error);
	if (!err)
		err = read_span(v, &v->header.tokenizer, &v->tokenizer, error);
	if (!err && v->header.chat_template.length_bytes)
		err = read_span(v, &v->header.chat_template, (void **)&v->chat_template, error);
	for (uint32_t i = 0; !err && i < v->header.tensor_count; i++)
		v->tensors[i].name[sizeof(v->tensors[i].name) - 1] = '\0';
	if (err)
		sto_version_close(v);
	return err;
}

void sto_version_close(struct sto_version *v)
{
	free(v->tensors);
	free(v->tokenizer);
	free(v->chat_template);
	if (v->fd >= 0)
		close(v->fd);
	memset(v, 0, sizeof(*v));
	v->fd = -1;
}

int sto_tensor_read(const struct sto_version *v, uint32_t index, uint64_t offset, uint64_t bytes,
		    void *out, struct sto_error *error)
{
	const struct mhs_image_tensor *t = &v->tensors[index];
	char path[4400];
	const struct sto_file image = image_file(v, path);

	if (t->length_bytes > MHS_IMAGE_BYTES_MAX || t->offset_bytes > MHS_IMAGE_BYTES_MAX ||
	    offset > t->length_bytes || bytes > t->length_bytes - offset) {
		sto_fail(error, "%s: tensor %s: %llu bytes at %llu are outside it; verify the version",
			 path, t->name, (unsigned long long)bytes, (unsigned long long)offset);
		return -ERANGE;
	}
	return sto_file_read(&image, out, bytes, t->offset_bytes + offset, error);
}

/* SPDX-License-Identifier: MIT */
#include "t_imported.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mhs_attach.h"
#include "sto_version.h"
#include "t.h"

static uint32_t serial;		/* each import gets a model name of its own */
static char name[MHS_NAME_BYTES];

static int import_as(const struct t_gguf *g, uint32_t quantize, struct sto_error *error)
{
	struct sto_import import = { .store = t_path("store"), .path = t_path("in.gguf"),
				     .quantize = quantize, .threads = 2 };
	struct sto_import_result result;

	t_gguf_write(g, import.path);
	snprintf(name, sizeof(name), "m%u", ++serial);
	memcpy(import.model, name, sizeof(name));
	strcpy(import.version, "1.2.3");
	return sto_import(&import, &result, error);
}

/* The whole image into memory, from wherever it lies. */
static int image_map(struct t_imported *image)
{
	struct sto_error error = { "" };
	struct sto_version v;
	uint8_t *base;
	int err = sto_version_open(&v, t_path("store"), name, "1.2.3", &error);

	if (err) {
		printf("# %s\n", error.text);
		return -1;
	}
	image->head = v.header;
	image->bytes = v.header.image_bytes;
	base = mmap(NULL, image->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base != MAP_FAILED)
		err = sto_version_read(&v, base, image->bytes, 0, &error);
	image->base = base;
	image->fd = dup(v.fd);
	sto_version_close(&v);
	return base == MAP_FAILED || err ? -1 : 0;
}

int t_imported_open(struct t_imported *image, const struct t_gguf *g, uint32_t quantize)
{
	struct sto_error error = { "" };

	if (import_as(g, quantize, &error)) {
		printf("# %s\n", error.text);
		return -1;
	}
	return image_map(image);
}

void t_imported_close(struct t_imported *image)
{
	munmap((void *)(uintptr_t)image->base, image->bytes);
	close(image->fd);
}

const struct mhs_image_tensor *t_imported_find(const struct t_imported *image, uint32_t role)
{
	return mhs_image_tensor_find(&image->head, image->base, role, 0);
}

struct eng_matrix t_imported_matrix(const struct t_imported *image,
				    const struct mhs_image_tensor *t)
{
	return (struct eng_matrix){ t->type, (uint32_t)t->rows, (uint32_t)t->cols,
				    image->base + t->offset_bytes };
}

void t_imported_refused(const struct t_gguf *g, uint32_t quantize, const char *expect)
{
	struct sto_error error = { "" };
	char path[128];

	t_ok(import_as(g, quantize, &error) < 0);
	if (!t_ok(strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\"\n", expect, error.text);
	snprintf(path, sizeof(path), "store/models/%s", name);
	t_ok(access(t_path(path), F_OK) != 0);
}

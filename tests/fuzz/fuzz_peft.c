/* SPDX-License-Identifier: MIT */
/* fuzz_peft.c: the input is the adapter_config.json of a PEFT folder. Ranks and scales that it gives are sound. */
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mhs_adapter.h"
#include "sto_peft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct sto_peft *peft)
{
	static const struct { const char *name; int layer; } modules[] = {
		{ "model.layers.0.self_attn.q_proj", 0 }, { "model.layers.17.mlp.down_proj", 17 },
		{ "model.embed_tokens", -1 }, { "lm_head", -1 },
	};

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		struct sto_peft_scale scale;
		struct sto_error error;

		if (sto_peft_is_target(peft, modules[i].name, modules[i].layer, &error) != 1 ||
		    sto_peft_scale(peft, modules[i].name, &scale, &error))
			continue;
		if (scale.rank < 1 || scale.rank > MHS_ADAPTER_RANK_MAX || !isfinite(scale.scale))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sto_file file = { .path = (char[]){ "fuzz" }, .bytes = size };
	struct sto_error error;
	struct sto_peft peft;
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	file.fd = fd;
	if (sto_peft_read(&peft, &file, &sto_family_llama, &error))
		return 0;
	check(&peft);
	sto_peft_fini(&peft);
	return 0;
}

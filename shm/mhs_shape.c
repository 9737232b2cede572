/* SPDX-License-Identifier: MIT */
/* mhs_shape.c: what the image of a model has besides or instead of a Llama's, validated and asked. */
#include <errno.h>
#include <stdbool.h>

#include "mhs_check_priv.h"

#define SCALE_MAX	1e6f
#define EXPERT_WIDTH_MAX	(1u << 20)

const char *mhs_arch_name(uint32_t arch)
{
	static const char *const names[] = {
		[MHS_ARCH_LLAMA] = "llama", [MHS_ARCH_MISTRAL] = "mistral", [MHS_ARCH_QWEN2] = "qwen2",
		[MHS_ARCH_QWEN3] = "qwen3", [MHS_ARCH_GPT2] = "gpt2", [MHS_ARCH_GEMMA2] = "gemma2",
		[MHS_ARCH_GEMMA3] = "gemma3", [MHS_ARCH_PHI3] = "phi3",
		[MHS_ARCH_SMOLLM3] = "smollm3", [MHS_ARCH_QWEN3_MOE] = "qwen3_moe",
		[MHS_ARCH_MIXTRAL] = "mixtral",
	};

	return arch < sizeof(names) / sizeof(names[0]) ? names[arch] : NULL;
}

uint32_t mhs_shape_window(const struct mhs_image_shape *shape, uint32_t layer)
{
	return shape->window_layers[layer / 64] >> layer % 64 & 1 ? shape->window : 0;
}

bool mhs_shape_is_still(const struct mhs_image_shape *shape, uint32_t layer)
{
	return shape->still_every && (layer + 1) % shape->still_every == 0;
}

bool mhs_experts_in(const struct mhs_image_experts *experts, uint32_t layer)
{
	return experts->layers[layer / 64] >> layer % 64 & 1;
}

/* Not NaN either. */
static bool is_scale(float x)
{
	return x >= 0 && x <= SCALE_MAX;
}

static int check_windows(const struct mhs_image_header *image, const char **field)
{
	const struct mhs_image_shape *s = &image->shape;
	bool any = false;

	for (uint32_t i = 0; i < MHS_IMAGE_LAYER_MAX; i++) {
		if (!(s->window_layers[i / 64] >> i % 64 & 1))
			continue;
		any = true;
		if (i >= image->config.layer_count)
			return mhs_refuse(field, "shape.window_layers: must be below config.layer_count");
	}
	if (any != (s->window != 0))
		return mhs_refuse(field, "shape.window: must be there when a layer has it, and only then");
	if (s->flags & MHS_SHAPE_LOCAL_ROPE && !any)
		return mhs_refuse(field, "shape.flags: a local rope needs layers with a window");
	return 0;
}

int mhs_shape_check(const struct mhs_image_header *image, const char **field)
{
	const struct mhs_image_shape *s = &image->shape;
	bool shaped = image->features & MHS_IMAGE_SHAPED;

	if (shaped == (bool)mhs_all_zero(s, sizeof(*s)))
		return mhs_refuse(field, "shape: must be zero without its feature bit, and only then");
	if (shaped && image->kind != MHS_IMAGE_MODEL)
		return mhs_refuse(field, "features: an adapter must not have a shape");
	if (s->flags & ~MHS_SHAPE_FLAGS)
		return mhs_refuse(field, "shape.flags: needs a newer mhost, a flag is unknown");
	if (s->rotary_dim % 2 || s->rotary_dim > image->config.head_dim)
		return mhs_refuse(field, "shape.rotary_dim: must be even, at most config.head_dim");
	if (s->flags & MHS_SHAPE_POSITIONS && (s->rotary_dim || s->flags & MHS_SHAPE_LOCAL_ROPE))
		return mhs_refuse(field, "shape.flags: learned positions exclude a rope");
	if (s->flags & MHS_SHAPE_PLAIN_FFN && !(s->flags & MHS_SHAPE_GELU))
		return mhs_refuse(field, "shape.flags: a feed-forward without gate needs GELU");
	if (!is_scale(s->embed_scale) || !is_scale(s->attn_scale) || !is_scale(s->attn_cap) ||
	    !is_scale(s->logit_cap))
		return mhs_refuse(field, "shape.embed_scale, attn_scale, attn_cap, logit_cap: must be 0 to 1e6");
	if (s->still_every && s->flags & MHS_SHAPE_POSITIONS)
		return mhs_refuse(field, "shape.still_every: learned positions exclude a rope");
	return check_windows(image, field);
}

static int check_expert_layers(const struct mhs_image_header *image, const char **field)
{
	bool any = false;

	for (uint32_t i = 0; i < MHS_IMAGE_LAYER_MAX; i++) {
		if (!mhs_experts_in(&image->experts, i))
			continue;
		any = true;
		if (i >= image->config.layer_count)
			return mhs_refuse(field, "experts.layers: must be below config.layer_count");
	}
	return any ? 0 : mhs_refuse(field, "experts.layers: must have one at least");
}

int mhs_experts_check(const struct mhs_image_header *image, const char **field)
{
	const struct mhs_image_experts *x = &image->experts;
	bool there = image->features & MHS_IMAGE_EXPERTS;

	if (there == (bool)mhs_all_zero(x, sizeof(*x)))
		return mhs_refuse(field, "experts: must be zero without their feature bit, and only then");
	if (!there)
		return 0;
	if (image->kind != MHS_IMAGE_MODEL)
		return mhs_refuse(field, "features: an adapter must not have experts");
	if (x->count < 1 || x->count > MHS_IMAGE_EXPERT_MAX)
		return mhs_refuse(field, "experts.count: must be 1..1024");
	if (x->used < 1 || x->used > x->count || x->used > MHS_IMAGE_EXPERT_USED_MAX)
		return mhs_refuse(field, "experts.used: must be 1..64, at most experts.count");
	if (x->intermediate < 1 || x->intermediate > EXPERT_WIDTH_MAX)
		return mhs_refuse(field, "experts.intermediate: must be 1..1048576");
	if (x->intermediate % MHS_IMAGE_EXPERT_ROWS || image->config.hidden % MHS_IMAGE_EXPERT_ROWS)
		return mhs_refuse(field, "experts.intermediate, config.hidden: must be multiples of 16");
	if (x->flags & ~MHS_EXPERTS_FLAGS)
		return mhs_refuse(field, "experts.flags: needs a newer mhost, a flag is unknown");
	if (image->shape.flags & (MHS_SHAPE_PLAIN_FFN | MHS_SHAPE_POST_NORMS | MHS_SHAPE_FFN_BIAS))
		return mhs_refuse(field, "shape.flags: experts exclude biases, norms behind and a feed-forward "
				  "without gate");
	return check_expert_layers(image, field);
}

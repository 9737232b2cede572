/* SPDX-License-Identifier: MIT */
/*
 * mhs_image.h: the image of one version or adapter, and the packs that hold what versions share.
 *
 * image: header page | chunk table | tensor table | tensors, tokenizer, template, each page-aligned
 * Everything from data_offset on is cut into chunks of chunk_bytes (the last one shorter), each
 * with its XXH3-128 in the chunk table; the header holds the table's hash and its own. So a
 * reader can check any chunk as it arrives and name the bad one. content_hash is SHA-256 over
 * the same range: it names the weights in manifests, replies and cache keys.
 *
 * An image is one file (and one segment), or MHS_IMAGE_PACKED: its file holds the image up to the
 * end of the tensor table, an extent table that says where the rest lies, and the list of the
 * packs that hold it. Where bytes lie changes neither the image's offsets nor its content_hash.
 *
 * An adapter (kind MHS_IMAGE_ADAPTER) is one file, too: header page | chunk table | tensor table | A
 * and B of each target. It is small, so its tensors lie on 64 bytes and not on pages, as floats as
 * they came. The table holds pairs, A before B, in rising order of (layer, role): mhs_adapter.h.
 *
 * pack:  header page | chunk table | runs of whole pages of an image
 * Immutable, named by the SHA-256 of its data; versions that share tensors share its file and its
 * segment. A segment holds the bytes of its file from byte 0.
 * All integers little-endian. XXH3 hashes are stored in canonical (big-endian) form.
 */
#ifndef MHS_IMAGE_H
#define MHS_IMAGE_H

#include "mhs_layout.h"

#define MHS_IMAGE_MAGIC		UINT64_C(0x316567616d69686d)	/* "mhimage1" */
#define MHS_IMAGE_ABI_MAJOR	2u	/* 2: 5 and 6 bits are held as such */
/* 1: MHS_IMAGE_PACKED; 2: adapters; 3: more types; 4: QUICK_HASH; 5: families; 6: words, still_every; 7: experts */
#define MHS_IMAGE_ABI_MINOR	7u
#define MHS_PACK_MAGIC		UINT64_C(0x31306b636170686d)	/* "mhpack01" */
#define MHS_IMAGE_ALIGN_BYTES	4096u
#define MHS_IMAGE_CHUNK_BYTES	(4u << 20)
#define MHS_IMAGE_BYTES_MAX	(UINT64_C(1) << 42)
#define MHS_IMAGE_LAYER_MAX	512u
#define MHS_IMAGE_EOS_MAX	8u
#define MHS_CHUNK_HASH_BYTES	16u	/* XXH3-128 */
#define MHS_PACK_MAX		31u	/* packs of one version */
#define MHS_SEGMENT_MAX		(MHS_PACK_MAX + 1u)	/* its own file, then its packs */
#define MHS_IMAGE_EXTENT_MAX	8260u	/* one a tensor, and some */
#define MHS_ADAPTER_ALIGN_BYTES	64u	/* of an adapter's tensors (since 2.2) */
#define MHS_ADAPTER_RANK_MAX	65536u
#define MHS_IMAGE_FILE_MAX	(UINT64_C(1) << 26)	/* bytes of a packed image's own file */

#define MHS_IMAGE_PACKED	UINT64_C(1)	/* feature: the data lies in packs (since 2.1) */
/*
 * Feature of an adapter that was made in memory and is in no store (since 2.4): content_hash is
 * SHA-256 of the chunk table, whose hashes cover the data; tensors have no hashes of their own.
 */
#define MHS_IMAGE_QUICK_HASH	UINT64_C(2)
#define MHS_IMAGE_SHAPED	UINT64_C(4)	/* feature: shape is not all zero (since 2.5) */
#define MHS_IMAGE_EXPERTS	UINT64_C(8)	/* feature: experts is not all zero (since 2.7) */

enum mhs_image_kind { MHS_IMAGE_MODEL = 1, MHS_IMAGE_ADAPTER = 2 };
enum mhs_image_arch {
	MHS_ARCH_LLAMA = 1,
	MHS_ARCH_MISTRAL = 2,		/* this and the following since 2.5 */
	MHS_ARCH_QWEN2 = 3,
	MHS_ARCH_QWEN3 = 4,
	MHS_ARCH_GPT2 = 5,
	MHS_ARCH_GEMMA2 = 6,
	MHS_ARCH_GEMMA3 = 7,
	MHS_ARCH_PHI3 = 8,
	MHS_ARCH_SMOLLM3 = 9,		/* since 2.6 */
	MHS_ARCH_QWEN3_MOE = 10,	/* this and the next since 2.7 */
	MHS_ARCH_MIXTRAL = 11,
};

enum mhs_image_role {
	MHS_ROLE_EMBED = 1,		/* [vocab x hidden] */
	MHS_ROLE_OUTPUT = 2,		/* [vocab x hidden], absent when tied to EMBED */
	MHS_ROLE_OUTPUT_NORM = 3,	/* [hidden] */
	MHS_ROLE_INV_FREQ = 4,		/* [rotary dims / 2] rope inverse frequencies, scaled */
	MHS_ROLE_INV_FREQ_LOCAL = 5,	/* the same of layers with a window (since 2.5) */
	MHS_ROLE_POSITIONS = 6,		/* [context x hidden], learned (since 2.5) */
	MHS_ROLE_OUTPUT_NORM_BIAS = 7,	/* [hidden] (since 2.5) */
	MHS_ROLE_ATTN_NORM = 16,	/* [hidden]; these and the following per layer */
	MHS_ROLE_ATTN_Q = 17,		/* [heads * head_dim x hidden], halves rotate together */
	MHS_ROLE_ATTN_K = 18,		/* [kv_heads * head_dim x hidden], as Q */
	MHS_ROLE_ATTN_V = 19,
	MHS_ROLE_ATTN_O = 20,		/* [hidden x heads * head_dim] */
	MHS_ROLE_FFN_NORM = 21,
	MHS_ROLE_FFN_GATE = 22,		/* [intermediate x hidden] */
	MHS_ROLE_FFN_UP = 23,
	MHS_ROLE_FFN_DOWN = 24,		/* [hidden x intermediate] */
	/* each with its flag of mhs_image_shape (since 2.5); a bias is as long as its rows are many */
	MHS_ROLE_ATTN_NORM_BIAS = 32,
	MHS_ROLE_ATTN_Q_BIAS = 33,
	MHS_ROLE_ATTN_K_BIAS = 34,
	MHS_ROLE_ATTN_V_BIAS = 35,
	MHS_ROLE_ATTN_O_BIAS = 36,
	MHS_ROLE_ATTN_Q_NORM = 37,	/* [head_dim] */
	MHS_ROLE_ATTN_K_NORM = 38,
	MHS_ROLE_ATTN_POST_NORM = 39,	/* [hidden] */
	MHS_ROLE_FFN_NORM_BIAS = 40,
	MHS_ROLE_FFN_GATE_BIAS = 41,
	MHS_ROLE_FFN_UP_BIAS = 42,
	MHS_ROLE_FFN_DOWN_BIAS = 43,
	MHS_ROLE_FFN_POST_NORM = 44,
	/* in place of FFN_GATE, FFN_UP and FFN_DOWN in layers with experts, which lie one behind the other (since 2.7) */
	MHS_ROLE_EXPERT_ROUTER = 48,	/* [experts x hidden], F32 */
	MHS_ROLE_EXPERT_GATE = 49,	/* [experts * intermediate of experts x hidden] */
	MHS_ROLE_EXPERT_UP = 50,
	MHS_ROLE_EXPERT_DOWN = 51,	/* [experts * hidden x intermediate of experts] */
	/* or'ed to the role of the matrix W[rows x cols] that is adapted (since 2.2) */
	MHS_ROLE_LORA_A = 0x100,	/* [rank x cols] of W; of EMBED: [rank x vocab] */
	MHS_ROLE_LORA_B = 0x200,	/* [rows x rank] of W; of EMBED: [hidden x rank] */
};

struct mhs_image_config {
	uint32_t arch;			/* enum mhs_image_arch */
	uint32_t layer_count;		/* 1..MHS_IMAGE_LAYER_MAX */
	uint32_t hidden;		/* values */
	uint32_t intermediate;
	uint32_t head_count;
	uint32_t kv_head_count;		/* divides head_count */
	uint32_t head_dim;		/* even */
	uint32_t vocab_count;		/* rows of EMBED */
	uint32_t context_max;		/* tokens */
	uint32_t tied;			/* 1: output uses EMBED */
	float rms_eps;
	float rope_attn_scale;		/* multiplies cos and sin; 1 for llama3, linear, none */
	uint32_t float_weights;		/* 1: no quantised matrix, so keep KV in F32 */
	uint32_t reserved0[3];		/* zero */
};
_Static_assert(sizeof(struct mhs_image_config) == 64, "image ABI 2: config");

/* What a model has besides or instead of a Llama's. */
enum mhs_shape_flag {
	MHS_SHAPE_GELU = 1,		/* in its tanh form, not SiLU */
	MHS_SHAPE_PLAIN_FFN = 2,	/* no FFN_GATE */
	MHS_SHAPE_POSITIONS = 4,	/* POSITIONS are added, nothing rotates: no INV_FREQ */
	MHS_SHAPE_LAYER_NORM = 8,	/* LayerNorm, with *_NORM_BIAS */
	MHS_SHAPE_QK_NORM = 16,		/* ATTN_Q_NORM, ATTN_K_NORM: RMSNorm of each head */
	MHS_SHAPE_POST_NORMS = 32,	/* *_POST_NORM: RMSNorm of what a block adds */
	MHS_SHAPE_QKV_BIAS = 64,
	MHS_SHAPE_O_BIAS = 128,
	MHS_SHAPE_FFN_BIAS = 256,
	MHS_SHAPE_LOCAL_ROPE = 512,	/* layers with a window rotate by INV_FREQ_LOCAL */
	MHS_SHAPE_FLAGS = 1023,
};

/* Since 2.5; all zero, without MHS_IMAGE_SHAPED: a Llama's. Zero in adapters. */
struct mhs_image_shape {
	uint32_t flags;			/* enum mhs_shape_flag */
	uint32_t rotary_dim;		/* dims of a head that rotate, from its first; even; 0: all */
	uint32_t window;		/* tokens that layers with a window see, their own included */
	float embed_scale;		/* multiplies embeddings; 0: 1 */
	float attn_scale;		/* of scores; 0: 1 / sqrt(head_dim) */
	float attn_cap;			/* scores become cap * tanh(score / cap); 0: stay */
	float logit_cap;		/* logits, the same */
	uint32_t still_every;		/* each layer whose number from 1 this divides rotates nothing; 0: all do. Since 2.6 */
	uint64_t window_layers[MHS_IMAGE_LAYER_MAX / 64];	/* bit i % 64 of word i / 64 */
};
_Static_assert(sizeof(struct mhs_image_shape) == 96, "image ABI 2: shape");

#define MHS_IMAGE_EXPERT_MAX	1024u
#define MHS_IMAGE_EXPERT_USED_MAX	64u
#define MHS_IMAGE_EXPERT_ROWS	16u	/* divides what experts have of rows: a panel has one expert */

enum mhs_experts_flag {
	MHS_EXPERTS_NORMED = 1,		/* weights of those used are divided by their sum */
	MHS_EXPERTS_FLAGS = 1,
};

/* A mixture of experts. Since 2.7; all zero, without MHS_IMAGE_EXPERTS: there is none. Zero in adapters. */
struct mhs_image_experts {
	uint32_t count;			/* of one layer */
	uint32_t used;			/* by each token: the best by the softmax of the router's products */
	uint32_t intermediate;
	uint32_t flags;			/* enum mhs_experts_flag */
	uint64_t layers[MHS_IMAGE_LAYER_MAX / 64];	/* that have them: bit i % 64 of word i / 64 */
};
_Static_assert(sizeof(struct mhs_image_experts) == 80, "image ABI 2: experts");

#define MHS_IMAGE_WORD_BYTES	64u

/* What special tokens are for. */
enum mhs_word {
	MHS_WORD_BOS = 0,
	MHS_WORD_EOS = 1,
	MHS_WORD_UNK = 2,
	MHS_WORD_SEP = 3,
	MHS_WORD_PAD = 4,
	MHS_WORD_CLS = 5,
	MHS_WORD_MASK = 6,
	MHS_WORD_COUNT
};

/* Special tokens as a chat template writes them (bos_token, ...). Since 2.6. */
struct mhs_image_words {
	uint32_t said;			/* bit w: text[w] is what the source says. Else bos_id and eos_ids[0] */
	uint32_t reserved0;		/* zero */
	char text[MHS_WORD_COUNT][MHS_IMAGE_WORD_BYTES];	/* UTF-8, NUL-padded; empty: none */
};
_Static_assert(sizeof(struct mhs_image_words) == 456, "image ABI 2: words");

struct mhs_image_span {
	uint64_t offset_bytes;		/* in the image; 0: absent */
	uint64_t length_bytes;
};

struct mhs_image_header {
	uint64_t magic;
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t header_bytes;			/* MHS_PAGE_BYTES */
	uint64_t image_bytes;			/* whole image, multiple of MHS_IMAGE_ALIGN_BYTES */
	uint64_t features;			/* MHS_IMAGE_*; unknown bits: refuse */
	uint32_t kind;				/* enum mhs_image_kind */
	uint32_t chunk_bytes;			/* MHS_IMAGE_CHUNK_BYTES */
	uint64_t data_offset_bytes;		/* first byte that the chunks cover, page-aligned */
	uint32_t chunk_count;
	uint32_t tensor_count;
	struct mhs_image_span chunk_table;	/* chunk_count x MHS_CHUNK_HASH_BYTES */
	struct mhs_image_span tensor_table;	/* tensor_count x mhs_image_tensor, in data */
	struct mhs_image_span tokenizer;	/* compiled tables (eng_tok.h), in data */
	struct mhs_image_span chat_template;	/* UTF-8 source text, in data; may be absent */
	struct mhs_image_config config;
	uint32_t bos_id;			/* UINT32_MAX: none */
	uint32_t eos_count;
	uint32_t eos_ids[MHS_IMAGE_EOS_MAX];	/* tokens that end a reply */
	char model[MHS_NAME_BYTES];
	char semver[MHS_SEMVER_BYTES];
	uint8_t content_hash[MHS_HASH_BYTES];	/* SHA-256 of [data_offset, image_bytes) */
	uint8_t chunk_table_hash[MHS_CHUNK_HASH_BYTES];
	uint8_t header_hash[MHS_CHUNK_HASH_BYTES];	/* of this page, this field as zeros */
	/* packed images alone, else zero; spans are offsets in the file (since 2.1) */
	uint64_t file_bytes;			/* of the image's own file */
	struct mhs_image_span extent_table;	/* extent_count x mhs_image_extent */
	struct mhs_image_span pack_table;	/* pack_count x mhs_image_pack */
	uint32_t extent_count;			/* 1..MHS_IMAGE_EXTENT_MAX */
	uint32_t pack_count;			/* 1..MHS_PACK_MAX */
	uint8_t file_hash[MHS_CHUNK_HASH_BYTES];	/* of the file behind this page */
	/* adapters alone, else zero (since 2.2); model and config are those of the base */
	char adapter[MHS_NAME_BYTES];
	uint8_t fits_hash[MHS_HASH_BYTES];	/* SHA-256, see mhs_adapter.h */
	struct mhs_image_shape shape;		/* since 2.5 */
	struct mhs_image_words words;		/* since 2.6; zero in adapters */
	struct mhs_image_experts experts;	/* since 2.7 */
	uint8_t reserved0[MHS_PAGE_BYTES - 1192];	/* zero */
};
_Static_assert(sizeof(struct mhs_image_header) == MHS_PAGE_BYTES, "image header is one page");

struct mhs_image_tensor {
	char name[MHS_NAME_BYTES];	/* source name, cut; for people */
	uint32_t role;			/* enum mhs_image_role */
	uint32_t layer;			/* 0 for roles without layer */
	uint32_t type;			/* enum eng_type; part of the image ABI */
	float lora_scale;		/* adapters: of B A, the same in both; else zero (since 2.2) */
	uint64_t rows;
	uint64_t cols;
	uint64_t offset_bytes;		/* in the image, page-aligned (adapters: to 64) */
	uint64_t length_bytes;
	uint8_t hash[MHS_CHUNK_HASH_BYTES];	/* XXH3-128 of the tensor's bytes */
};
_Static_assert(sizeof(struct mhs_image_tensor) == 128, "image ABI 2: tensor");

/*
 * A run of pages of a packed image. In order of the image, without gap or overlap; the first holds
 * all up to the end of the tensor table and lies at the same place of segment 0.
 */
struct mhs_image_extent {
	uint64_t image_offset_bytes;	/* page-aligned, as the next two */
	uint64_t length_bytes;
	uint64_t segment_offset_bytes;
	uint32_t segment;		/* 0: the image's own file, i: pack i - 1 of the table */
	uint32_t reserved0;		/* zero */
};
_Static_assert(sizeof(struct mhs_image_extent) == 32, "image ABI 2: extent");

struct mhs_image_pack {
	uint8_t content_hash[MHS_HASH_BYTES];	/* as in the pack's header; its name */
	uint64_t pack_bytes;			/* of its file */
	uint8_t reserved0[24];			/* zero */
};
_Static_assert(sizeof(struct mhs_image_pack) == 64, "image ABI 2: pack");

struct mhs_pack_header {
	uint64_t magic;				/* MHS_PACK_MAGIC */
	uint16_t abi_major;			/* of the image ABI */
	uint16_t abi_minor;
	uint32_t header_bytes;			/* MHS_PAGE_BYTES */
	uint64_t pack_bytes;			/* whole file, multiple of MHS_IMAGE_ALIGN_BYTES */
	uint64_t features;			/* none defined; unknown bits: refuse */
	uint32_t chunk_bytes;			/* MHS_IMAGE_CHUNK_BYTES */
	uint32_t chunk_count;
	uint64_t data_offset_bytes;		/* first byte that the chunks cover, page-aligned */
	struct mhs_image_span chunk_table;	/* chunk_count x MHS_CHUNK_HASH_BYTES */
	uint8_t content_hash[MHS_HASH_BYTES];	/* SHA-256 of [data_offset, pack_bytes) */
	uint8_t chunk_table_hash[MHS_CHUNK_HASH_BYTES];
	uint8_t header_hash[MHS_CHUNK_HASH_BYTES];	/* of this page, this field as zeros */
	uint8_t reserved0[MHS_PAGE_BYTES - 128];	/* zero */
};
_Static_assert(sizeof(struct mhs_pack_header) == MHS_PAGE_BYTES, "pack header is one page");

/*
 * A special token as text, NUL-terminated in @image, or NULL. Then *@id is the token that stands in for
 * it, whose text the tokenizer knows; UINT32_MAX: there is none.
 */
const char *mhs_image_word(const struct mhs_image_header *image, enum mhs_word word, uint32_t *id);

#endif

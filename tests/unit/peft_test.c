/* SPDX-License-Identifier: MIT */
/*
 * peft_test.c: PEFT folders come into the store as they are: targets, ranks, scales and every value;
 * what PEFT's own name matching says of whole configurations is in tests/reference/data/peft.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eng_pack.h"
#include "sto_adapter.h"
#include "sto_history.h"
#include "sto_peft.h"
#include "t.h"
#include "t_bad.h"
#include "t_import.h"
#include "t_peft.h"

#define NAMES	T_REFERENCE "/peft/names.json"
#define RECORD	T_REFERENCE "/peft/peft.json"

static struct mhs_image_header head;
static void *base;		/* of the adapter imported last */
static struct sto_adapter_result result;
static struct sto_error error;

static int import_path(const char *ref, const char *path, enum sto_bump bump)
{
	struct sto_adapter_import import = { .store = t_path("store"), .path = path, .bump = bump };
	int err;

	error.text[0] = '\0';
	free(base);
	base = NULL;
	if (sto_adapter_ref_parse(ref, 1, import.model, import.adapter, import.version, &error))
		return -EINVAL;
	err = sto_adapter_import(&import, &result, &error);
	if (err)
		return err;
	t_eq(sto_adapter_log(&import, &result, &error), 0);
	return sto_adapter_read(import.store, import.model, import.adapter, result.version, &head, &base,
				&error);
}

/* A fresh adapter each time, so that nothing is "there already". */
static int import(const struct t_peft *p)
{
	static uint32_t serial;
	char ref[64];

	t_remove_tree(t_path("peft"));
	t_peft_write(p, t_path("peft"));
	snprintf(ref, sizeof(ref), "tiny/a%u@1.0.0", ++serial);
	return import_path(ref, t_path("peft"), STO_BUMP_NONE);
}

static void need_base(void)
{
	if (access(t_path("store/models/tiny/1.0.0/image.mhi"), R_OK))
		t_eq(t_import(t_path("store"), "tiny@1.0.0", T_TINY_MODEL, &error), 0);
}

/* ---- values ---------------------------------------------------------------------------------- */

static float value_of(const struct t_peft_tensor *t, uint64_t i)
{
	uint32_t source = t->dtype[0] == 'B' ? ENG_SRC_BF16 : t->dtype[1] == '3' ? ENG_SRC_F32 : ENG_SRC_F16;
	float out[1];

	eng_dequant_row(source, t->data + i * eng_source_block_bytes(source), 1, out);
	return out[0];
}

/* Row by row in A, in the panels of B: rows of q and k stand where they stood. */
static void check_values(const struct mhs_adapter_target *t, const struct t_peft_tensor *a,
			 const struct t_peft_tensor *b)
{
	uint32_t source = t->type == ENG_F32 ? ENG_SRC_F32 : t->type == ENG_F16 ? ENG_SRC_F16 : ENG_SRC_BF16;
	struct eng_matrix m = { t->type, t->rows, t->rank, t->b };
	uint64_t row_bytes = t->cols * eng_source_block_bytes(source);
	float row[1024];

	t_ok((uintptr_t)t->a % 64 == 0 && (uintptr_t)t->b % 64 == 0);
	for (uint32_t r = 0; r < t->rank; r++) {
		eng_dequant_row(source, (const uint8_t *)t->a + r * row_bytes, t->cols, row);
		for (uint32_t c = 0; c < t->cols; c++)
			t_need(row[c] == value_of(a, r * t->cols + c));
	}
	for (uint32_t r = 0; r < t->rows; r++) {
		eng_unpack_row(&m, r, row);
		for (uint32_t c = 0; c < t->rank; c++)
			t_need(row[c] == value_of(b, r * t->rank + c));
	}
}

static void check_pair(const struct t_peft *p, uint32_t role, uint32_t layer, const char *module,
		       uint32_t rank, uint32_t type, double scale)
{
	struct mhs_adapter_target t;
	char a[96], b[96];
	bool embed = role == MHS_ROLE_EMBED;

	snprintf(a, sizeof(a), "%s.lora_%sA", module, embed ? "embedding_" : "");
	snprintf(b, sizeof(b), "%s.lora_%sB", module, embed ? "embedding_" : "");
	t_need(mhs_adapter_find(&head, base, role, layer, &t) == 0);
	t_eq(t.rank, rank);
	t_eq(t.type, type);
	t_near(t.scale, scale, 1e-7);
	check_values(&t, t_peft_find(p, a), t_peft_find(p, b));
}

static void keeps_values(void)
{
	struct t_peft p;

	need_base();
	t_peft_init(&p, 5, "[\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", \"gate_proj\", \"up_proj\", "
		    "\"down_proj\"]");
	t_peft_pairs(&p, "q_proj", 5, "F32");
	t_peft_pairs(&p, "k_proj", 5, "F16");
	t_peft_pairs(&p, "v_proj", 5, "BF16");
	t_peft_pairs(&p, "o_proj", 5, "F32");
	t_peft_pairs(&p, "gate_proj", 5, "F16");
	t_peft_pairs(&p, "up_proj", 5, "BF16");
	t_peft_pairs(&p, "down_proj", 5, "F32");
	if (!t_ok(import(&p) == 0))
		printf("# %s\n", error.text);
	t_need(base != NULL);
	t_eq(mhs_adapter_count(&head), 21);
	check_pair(&p, MHS_ROLE_ATTN_Q, 1, "layers.1.self_attn.q_proj", 5, ENG_F32, 1.6);
	check_pair(&p, MHS_ROLE_ATTN_K, 2, "layers.2.self_attn.k_proj", 5, ENG_F16, 1.6);
	check_pair(&p, MHS_ROLE_ATTN_V, 0, "layers.0.self_attn.v_proj", 5, ENG_BF16, 1.6);
	check_pair(&p, MHS_ROLE_ATTN_O, 0, "layers.0.self_attn.o_proj", 5, ENG_F32, 1.6);
	check_pair(&p, MHS_ROLE_FFN_GATE, 2, "layers.2.mlp.gate_proj", 5, ENG_F16, 1.6);
	check_pair(&p, MHS_ROLE_FFN_UP, 1, "layers.1.mlp.up_proj", 5, ENG_BF16, 1.6);
	check_pair(&p, MHS_ROLE_FFN_DOWN, 0, "layers.0.mlp.down_proj", 5, ENG_F32, 1.6);
	t_ok(head.image_bytes < 3 * 4096 + 42 * 128 + 21 * 5 * 200 * 4 + 42 * 64);
	t_peft_fini(&p);
}

static void widens_halves_that_differ(void)
{
	struct t_peft p;

	need_base();
	t_peft_init(&p, 3, "[\"layers.0.self_attn.k_proj\"]");
	t_peft_pair(&p, "layers.0.self_attn.k_proj", 3, "F16");
	t_peft_drop(&p, "lora_B");
	t_peft_add(&p, "base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight", "BF16", T_TINY_KV, 3);
	t_need(import(&p) == 0);
	check_pair(&p, MHS_ROLE_ATTN_K, 0, "k_proj", 3, ENG_F32, 8.0 / 3);
	t_peft_fini(&p);
}

/* A rank that is larger than the matrix, and one whose half is read in several blocks. */
static void takes_any_rank(void)
{
	static const uint32_t ranks[] = { 1, 2, 17, 64, 200, 6000 };

	need_base();
	for (uint32_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
		struct t_peft p;

		t_peft_init(&p, ranks[i], "[\"layers.2.self_attn.q_proj\"]");
		t_peft_pair(&p, "layers.2.self_attn.q_proj", ranks[i], "F16");
		t_need(import(&p) == 0);
		t_eq(result.rank_max, ranks[i]);
		if (ranks[i] <= 1024)
			check_pair(&p, MHS_ROLE_ATTN_Q, 2, "q_proj", ranks[i], ENG_F16, 8.0 / ranks[i]);
		t_peft_fini(&p);
	}
}

static void takes_embeddings(void)
{
	struct t_peft p;

	need_base();
	t_peft_init(&p, 2, "[\"embed_tokens\", \"lm_head\"]");
	json_object_set_new(p.config, "use_rslora", json_true());
	t_peft_pair(&p, "embed_tokens", 2, "F32");
	t_peft_pair(&p, "lm_head", 2, "F32");
	t_need(import(&p) == 0);
	check_pair(&p, MHS_ROLE_EMBED, 0, "embed_tokens", 2, ENG_F32, 8 / sqrt(2));
	check_pair(&p, MHS_ROLE_OUTPUT, 0, "lm_head", 2, ENG_F32, 8 / sqrt(2));
	t_peft_fini(&p);
}

/* ---- copies of the base ---------------------------------------------------------------------- */

/* What PEFT saves along with a LoRA of the embedding, in BF16 as the model is, or widened. */
static void add_copy(struct t_peft *p, const char *name, bool wide)
{
	struct t_peft_tensor *t = t_peft_add(p, name, wide ? "F32" : "BF16", T_TINY_VOCAB, T_TINY_HIDDEN);
	uint64_t header_bytes = 0, count = t->dims[0] * t->dims[1], begin;
	FILE *f = fopen(T_TINY_MODEL "/model.safetensors", "rb");
	uint16_t half;
	json_t *header;
	char *text;

	t_need(f && fread(&header_bytes, 8, 1, f) == 1);
	text = malloc(header_bytes);
	t_need(fread(text, 1, header_bytes, f) == header_bytes);
	header = json_loadb(text, header_bytes, 0, NULL);
	begin = (uint64_t)json_integer_value(json_array_get(json_object_get(json_object_get(header,
		"model.embed_tokens.weight"), "data_offsets"), 0));
	fseek(f, (long)(8 + header_bytes + begin), SEEK_SET);
	for (uint64_t i = 0; i < count && fread(&half, 2, 1, f) == 1; i++) {
		uint32_t bits = (uint32_t)half << 16;

		memcpy(t->data + i * (wide ? 4 : 2), wide ? (void *)&bits : (void *)&half, wide ? 4 : 2);
	}
	fclose(f);
	free(text);
	json_decref(header);
}

static void check_copies(const char *ref)
{
	struct t_peft p;

	t_peft_init(&p, 2, "[\"embed_tokens\", \"lm_head\"]");
	t_peft_pair(&p, "embed_tokens", 2, "F32");
	t_peft_pair(&p, "lm_head", 2, "F32");
	add_copy(&p, "base_model.model.model.embed_tokens.base_layer.weight", false);
	add_copy(&p, "base_model.model.lm_head.base_layer.weight", true);
	t_remove_tree(t_path("peft"));
	t_peft_write(&p, t_path("peft"));
	if (!t_ok(import_path(ref, t_path("peft"), STO_BUMP_PATCH) == 0))
		printf("# %s\n", error.text);
	t_eq(result.target_count, 2);
	p.tensors[5].data[700 * 96 * 4 + 3] ^= 0x80;	/* the sign of one value of row 700 */
	t_peft_write(&p, t_path("peft"));
	t_eq(import_path(ref, t_path("peft"), STO_BUMP_PATCH), -EINVAL);
	t_ok(strstr(error.text, "lm_head.base_layer.weight: differs from row 700"));
	t_peft_drop(&p, "lm_head.base_layer");
	t_peft_add(&p, "base_model.model.lm_head.weight", "F32", T_TINY_VOCAB + 1, T_TINY_HIDDEN);
	t_peft_write(&p, t_path("peft"));
	t_eq(import_path(ref, t_path("peft"), STO_BUMP_PATCH), -EINVAL);
	t_ok(strstr(error.text, "lm_head.weight: has another type or shape"));
	t_peft_fini(&p);
}

static void drops_copies_of_the_base(void)
{
	need_base();
	check_copies("tiny/copies");
}

/* One flipped sign of 96 values stands out of what Q8_0 rounds away. */
static void drops_copies_of_a_quantised_base(void)
{
	struct sto_import model = { .store = t_path("store"), .path = T_TINY_MODEL, .model = "small",
				    .version = "1.0.0", .quantize = ENG_SRC_Q8_0, .threads = 1 };
	struct sto_import_result ignored;

	t_need(sto_import(&model, &ignored, &error) == 0);
	check_copies("small/copies");
}

/* ---- names as PEFT matches them ---------------------------------------------------------------- */

static const char *const ends[] = { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
				    "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };

static void check_module(const struct sto_peft *peft, const char *name, const char *module, int layer,
			 const json_t *modules)
{
	const json_t *wanted = json_object_get(modules, module);
	struct sto_peft_scale scale = { 0 };
	int found = sto_peft_is_target(peft, module, layer, &error);
	bool good = found == (wanted != NULL);

	if (found == 1 && good)
		good = sto_peft_scale(peft, module, &scale, &error) == 0 &&
		       scale.rank == json_integer_value(json_array_get(wanted, 0)) &&
		       scale.scale == (float)json_number_value(json_array_get(wanted, 1));
	if (!t_ok(good))
		printf("# %s: %s: found %d, rank %u, scale %.9g\n", name, module, found, scale.rank,
		       (double)scale.scale);
}

static void check_names(const char *name, json_t *record)
{
	json_t *config = json_object_get(record, "config"), *modules = json_object_get(record, "modules");
	struct sto_peft peft;
	struct sto_file file;
	struct t_peft p;

	t_peft_init(&p, 8, "null");
	json_object_update(p.config, config);
	t_peft_write(&p, t_path("names"));
	t_need(sto_file_open(&file, AT_FDCWD, t_path("names/adapter_config.json"), "config", &error) == 0);
	if (t_ok(sto_peft_read(&peft, &file, &sto_family_llama, &error) == 0)) {
		for (int l = 0; l < (int)T_TINY_LAYERS; l++) {
			for (uint32_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
				char module[96];

				snprintf(module, sizeof(module), "model.layers.%d.%s", l, ends[i]);
				check_module(&peft, name, module, l, modules);
			}
		}
		check_module(&peft, name, "model.embed_tokens", -1, modules);
		check_module(&peft, name, "lm_head", -1, modules);
		sto_peft_fini(&peft);
	} else {
		printf("# %s: %s\n", name, error.text);
	}
	sto_file_close(&file);
	t_peft_fini(&p);
}

static void matches_names_as_peft(void)
{
	json_t *names, *record;
	const char *name;

	T_NEED_REFERENCE(NAMES);
	names = json_load_file(NAMES, 0, NULL);
	t_need(json_object_size(names) > 20);
	json_object_foreach(names, name, record)
		check_names(name, record);
	json_decref(names);
}

/* Folders that PEFT wrote. */
static void takes_the_reference_adapters(void)
{
	json_t *root, *entry;
	size_t i;

	T_NEED_REFERENCE(RECORD);
	need_base();
	root = json_load_file(RECORD, 0, NULL);
	t_need(json_array_size(json_object_get(root, "adapters")) > 8);
	json_array_foreach(json_object_get(root, "adapters"), i, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));
		char ref[96], path[256];

		snprintf(ref, sizeof(ref), "tiny/%s@1.0.0", name);
		snprintf(path, sizeof(path), T_REFERENCE "/peft/%s", name);
		if (!t_ok(import_path(ref, path, STO_BUMP_NONE) == 0))
			printf("# %s: %s\n", name, error.text);
	}
	json_decref(root);
}

/* ---- the store --------------------------------------------------------------------------------- */

/* q_proj of tests/reference/data/bad/control is another matrix. */
static void other_base(struct t_peft *p)
{
	json_t *config = json_load_file(T_REFERENCE "/bad/control/config.json", 0, NULL);
	uint64_t hidden = (uint64_t)json_integer_value(json_object_get(config, "hidden_size"));
	uint64_t heads = (uint64_t)json_integer_value(json_object_get(config, "num_attention_heads"));
	uint64_t head_dim = (uint64_t)json_integer_value(json_object_get(config, "head_dim"));

	t_peft_drop(p, "lora_A");
	t_peft_drop(p, "lora_B");
	t_peft_add(p, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", 1, hidden);
	t_peft_add(p, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", "F32",
		   head_dim ? heads * head_dim : hidden, 1);
	json_decref(config);
}

static int note_version(void *arg, const char *model, const char *adapter, const char *version)
{
	char *text = arg;

	if (!strcmp(adapter, "numbered"))
		sprintf(text + strlen(text), "%s/%s@%s ", model, adapter, version);
	return 0;
}

static void numbers_versions(void)
{
	char listed[256] = "";
	struct t_peft p;

	need_base();
	t_peft_init(&p, 1, "[\"layers.0.self_attn.q_proj\"]");
	t_peft_pair(&p, "layers.0.self_attn.q_proj", 1, "F32");
	t_remove_tree(t_path("peft"));
	t_peft_write(&p, t_path("peft"));
	t_eq(import_path("tiny/numbered", t_path("peft"), STO_BUMP_MINOR), 0);
	t_str_eq(result.version, "1.0.0");
	t_str_eq(result.base, "1.0.0");
	t_str_eq(result.parent, "");
	t_eq(import_path("tiny/numbered", t_path("peft"), STO_BUMP_MINOR), 0);
	t_str_eq(result.version, "1.1.0");
	t_str_eq(result.parent, "1.0.0");
	t_eq(import_path("tiny/numbered@1.1.0", t_path("peft"), STO_BUMP_NONE), -EEXIST);
	t_ok(strstr(error.text, "is in the store already"));
	t_eq(import_path("none/numbered@1.0.0", t_path("peft"), STO_BUMP_NONE), -ENOENT);
	t_ok(strstr(error.text, "base: none has no version"));
	t_eq(sto_adapters_each(t_path("store"), "tiny", note_version, listed, &error), 0);
	t_str_eq(listed, "tiny/numbered@1.0.0 tiny/numbered@1.1.0 ");
	t_ok(t_store_has_no_tmp(t_path("store")));
	t_peft_fini(&p);
}

/* The model got another vocabulary under a new MAJOR; so must the adapter. */
static void keeps_the_promise_of_a_major(void)
{
	struct sto_adapter_import import = { .store = t_path("store"), .path = t_path("peft"), .model = "tiny",
					     .adapter = "promised", .version = "1.0.0", .base = "1.0.0" };
	struct t_peft p;

	need_base();
	t_eq(t_import(t_path("store"), "tiny@7.0.0", T_REFERENCE "/bad/control", &error), 0);
	t_peft_init(&p, 1, "[\"layers.0.self_attn.q_proj\"]");
	t_peft_pair(&p, "layers.0.self_attn.q_proj", 1, "F32");
	t_remove_tree(t_path("peft"));
	t_peft_write(&p, t_path("peft"));
	t_eq(sto_adapter_import(&import, &result, &error), 0);
	other_base(&p);
	t_peft_write(&p, t_path("peft"));
	snprintf(import.version, sizeof(import.version), "1.1.0");
	snprintf(import.base, sizeof(import.base), "7.0.0");
	t_eq(sto_adapter_import(&import, &result, &error), -EINVAL);
	t_ok(strstr(error.text, "limit the same within a MAJOR"));
	snprintf(import.version, sizeof(import.version), "2.0.0");
	t_eq(sto_adapter_import(&import, &result, &error), 0);
	t_remove_tree(t_path("store/models/tiny/7.0.0"));
	t_peft_fini(&p);
}

static int find_event(void *arg, json_t *event)
{
	const char *adapter = json_string_value(json_object_get(event, "adapter"));

	*(int *)arg += adapter && !strcmp(adapter, "numbered") &&
		       !strcmp(json_string_value(json_object_get(event, "event")), "import");
	return 0;
}

static void tells_the_history(void)
{
	int events = 0;

	t_eq(sto_history_each(t_path("store"), find_event, &events, NULL, &error), 0);
	t_eq(events, 2);
}

static uint32_t problems;
static char problem[512];

static void note_problem(void *arg, const char *text)
{
	(void)arg;
	problems++;
	snprintf(problem, sizeof(problem), "%s", text);
}

static uint32_t verify(const char *version)
{
	const struct sto_verify v = { .store = t_path("store"), .problem = note_problem };
	uint64_t bytes;

	problems = 0;
	t_eq(sto_verify_adapter(&v, "tiny", "numbered", version, &bytes, &error), 0);
	return problems;
}

static void verifies(void)
{
	static const uint64_t places[] = { 100, 4096, 8192 + 70, 8192 + 300 };
	char path[512];
	uint8_t byte;

	snprintf(path, sizeof(path), "%s", t_path("store/models/tiny/adapters/numbered/1.1.0/image.mhi"));
	t_eq(verify("1.1.0"), 0);
	for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int fd;

		chmod(path, 0644);
		fd = open(path, O_RDWR);
		t_need(fd >= 0 && pread(fd, &byte, 1, (off_t)places[i]) == 1);
		byte ^= 4;
		t_eq(pwrite(fd, &byte, 1, (off_t)places[i]), 1);
		t_ok(verify("1.1.0") > 0);
		byte ^= 4;
		t_eq(pwrite(fd, &byte, 1, (off_t)places[i]), 1);
		close(fd);
	}
	t_eq(verify("1.1.0"), 0);
	t_eq(verify("1.0.0"), 0);
	t_eq(rename(t_path("store/models/tiny/adapters/numbered/1.0.0/manifest.json"), t_path("gone")), 0);
	t_ok(verify("1.0.0") == 1 && strstr(problem, "manifest"));
}

/* Neither stands in for the other. */
static void keeps_kinds_apart(void)
{
	struct mhs_image_header h;

	mkdir(t_path("store/models/tiny/2.0.0"), 0755);
	t_copy_file(t_path("store/models/tiny/adapters/numbered/1.1.0/image.mhi"),
		    t_path("store/models/tiny/2.0.0/image.mhi"));
	t_eq(sto_image_open(t_path("store"), "tiny", "2.0.0", &h, &error), -EINVAL);
	t_ok(strstr(error.text, "kind: 2"));
	mkdir(t_path("store/models/tiny/adapters/numbered/2.0.0"), 0755);
	t_copy_file(t_path("store/models/tiny/adapters/numbered/1.1.0/image.mhi"),
		    t_path("store/models/tiny/adapters/numbered/2.0.0/image.mhi"));
	t_eq(sto_adapter_open(t_path("store"), "tiny", "numbered", "2.0.0", &h, &error), -EINVAL);
	t_ok(strstr(error.text, "holds tiny/numbered@1.1.0"));
}

int main(void)
{
	T_RUN(keeps_values);
	T_RUN(widens_halves_that_differ);
	T_RUN(takes_any_rank);
	T_RUN(takes_embeddings);
	T_RUN(drops_copies_of_the_base);
	T_RUN(drops_copies_of_a_quantised_base);
	T_RUN(matches_names_as_peft);
	T_RUN(takes_the_reference_adapters);
	T_RUN(numbers_versions);
	T_RUN(keeps_the_promise_of_a_major);
	T_RUN(tells_the_history);
	T_RUN(verifies);
	T_RUN(keeps_kinds_apart);
	free(base);
	return t_done();
}

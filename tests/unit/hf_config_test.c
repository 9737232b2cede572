/* SPDX-License-Identifier: MIT */
/* hf_config_test.c: config.json and generation_config.json. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sto_hf_config.h"
#include "sto_json.h"
#include "t.h"

#define BASE                                                                                       \
	"\"model_type\":\"llama\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96," \
	"\"num_hidden_layers\":2,\"num_attention_heads\":4"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* sto_hf_config() of a text for @context tokens, 0: not asked. The caller ends the model. */
static int read_config_for(uint32_t context, const char *text, struct sto_model *model,
			   struct sto_error *error)
{
	json_t *root = NULL;
	int err;

	sto_model_init(model);
	model->context_wanted = context;
	err = sto_json_parse("c.json", text, strlen(text), &root, error);
	if (!err)
		err = sto_hf_config(model, "c.json", root, error);
	json_decref(root);
	return err;
}

static int read_config(const char *text, struct sto_model *model, struct sto_error *error)
{
	return read_config_for(0, text, model, error);
}

static void refused_for(uint32_t context, const char *text, const char *expect)
{
	struct sto_error error = { "" };
	struct sto_model model;
	int err = read_config_for(context, text, &model, &error);

	t_ok(err < 0);
	if (!t_ok(strncmp(error.text, "c.json: ", 8) == 0 && strstr(error.text, expect)))
		printf("# wanted \"%s\", got \"%s\" for %s\n", expect, error.text, text);
	sto_model_fini(&model);
}

static void refused(const char *text, const char *expect)
{
	refused_for(0, text, expect);
}

static void fills_in_defaults(void)
{
	struct sto_error error = { "" };
	struct sto_model model;
	const struct mhs_image_config *c = &model.config;

	t_need(read_config("{" BASE "}", &model, &error) == 0);
	t_ok(c->arch == MHS_ARCH_LLAMA && c->vocab_count == 100 && c->hidden == 64);
	t_ok(c->intermediate == 96 && c->layer_count == 2 && c->head_count == 4);
	t_ok(c->kv_head_count == 4 && c->head_dim == 16 && c->context_max == 2048);
	t_ok(c->tied == 0 && c->rms_eps == 1e-6f && c->rope_attn_scale == 1.0f);
	t_ok(model.rope_base == 10000.0f && model.bos_id == UINT32_MAX);
	for (uint32_t i = 0; i < 8; i++)
		t_near(model.inv_freq[i], pow(10000.0, -(double)i / 8), 1e-7);
	sto_model_fini(&model);
}

static void reads_what_is_given(void)
{
	struct sto_error error = { "" };
	struct sto_model model;

	t_need(read_config("{" BASE ",\"architectures\":[\"LlamaForCausalLM\"],\"head_dim\":32,"
			   "\"num_key_value_heads\":2,\"tie_word_embeddings\":true,"
			   "\"rms_norm_eps\":1e-5,\"rope_theta\":500000,"
			   "\"max_position_embeddings\":131072,\"bos_token_id\":99,"
			   "\"rope_scaling\":null,\"attention_bias\":false,\"mlp_bias\":null,"
			   "\"sliding_window\":null,\"hidden_act\":\"silu\",\"torch_dtype\":"
			   "\"bfloat16\",\"no_such_key\":[{}]}",
			   &model, &error) == 0);
	t_ok(model.config.head_dim == 32 && model.config.kv_head_count == 2 &&
	     model.config.tied == 1);
	t_ok(model.config.rms_eps == 1e-5f && model.config.context_max == 131072 &&
	     model.bos_id == 99);
	t_near(model.inv_freq[1], pow(500000.0, -1.0 / 16), 1e-7);
	sto_model_fini(&model);
}

static void accepts(const char *more, float second)
{
	struct sto_error error = { "" };
	struct sto_model model;
	char text[1024];

	snprintf(text, sizeof(text), "{" BASE ",%s}", more);
	if (t_ok(read_config(text, &model, &error) == 0))
		t_near(model.inv_freq[1], second, 1e-6);
	else
		printf("# %s\n", error.text);
	sto_model_fini(&model);
}

static void reads_rope_in_both_spellings(void)
{
	float plain = (float)pow(10000.0, -1.0 / 8), million = (float)pow(1e6, -1.0 / 8);

	accepts("\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}", plain / 4);
	accepts("\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0},\"rope_theta\":1e6",
		million / 4);
	accepts("\"rope_scaling\":{\"rope_type\":\"default\"}", plain);
	accepts("\"rope_parameters\":{\"rope_theta\":1e6}", million);
	accepts("\"rope_parameters\":{\"rope_theta\":1e6,\"rope_type\":\"linear\",\"factor\":2}",
		million / 2);
	accepts("\"sliding_window\":4096,\"use_sliding_window\":false", plain);
	accepts("\"sliding_window\":2048", plain);
	accepts("\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", plain);
	accepts("\"partial_rotary_factor\":1.0", plain);
}

/* Against numbers that Hugging Face transformers gives for head_dim 16, theta 10000. */
static void scales_as_llama3(void)
{
	static const float expect[8] = { 1.0f,	   0.31622776f, 0.1f,	   0.01849668f,
					 0.00125f, 0.00039528f, 0.000125f, 3.9528e-05f };
	struct sto_error error = { "" };
	struct sto_model model;

	t_need(read_config("{" BASE ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
			   "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
			   "\"original_max_position_embeddings\":512}}", &model, &error) == 0);
	for (uint32_t i = 0; i < 8; i++)
		t_near(model.inv_freq[i], expect[i], 1e-6 + 1e-4 * (double)expect[i]);
	sto_model_fini(&model);
}

/* Against numbers of Hugging Face transformers, as above. */
static void check_scaling_for(uint32_t wanted, const char *scaling, const float expect[8], float attn,
			      uint32_t context)
{
	struct sto_error error = { "" };
	struct sto_model model;
	char text[1024];

	snprintf(text, sizeof(text), "{" BASE ",%s}", scaling);
	if (!t_ok(read_config_for(wanted, text, &model, &error) == 0))
		printf("# %s\n", error.text);
	for (uint32_t i = 0; i < 8 && model.inv_freq; i++)
		t_near(model.inv_freq[i], expect[i], 1e-9 + 2e-6 * (double)expect[i]);
	t_near(model.config.rope_attn_scale, attn, 1e-6);
	t_eq(model.config.context_max, context);
	sto_model_fini(&model);
}

static void check_scaling(const char *scaling, const float expect[8], float attn, uint32_t context)
{
	check_scaling_for(0, scaling, expect, attn, context);
}

#define YARN	"\"rope_scaling\":{\"rope_type\":\"yarn\","

static void scales_as_yarn_and_longrope(void)
{
	static const float four[8] = { 1, 0.25693506f, 0.0625f, 0.013834965f, 0.0025f, 0.00079056947f,
				       0.00025f, 7.9056947e-05f };
	static const float betas[8] = { 1, 0.22399466f, 0.041666664f, 0.0039528473f, 0.00125f,
					0.00039528473f, 0.000125f, 3.9528473e-05f };
	static const float between[8] = { 1, 0.2435964f, 0.047965076f, 0.0059761368f, 0.00125f,
					  0.00039528473f, 0.000125f, 3.9528473e-05f };
	static const float divided[8] = { 1, 0.28747976f, 0.083333336f, 0.024325214f, 0.0071428572f,
					  0.0021081853f, 0.000625f, 0.00018601633f };

	check_scaling(YARN "\"factor\":4,\"original_max_position_embeddings\":512}", four, 1.138629436f, 2048);
	check_scaling(YARN "\"factor\":8,\"original_max_position_embeddings\":256,\"beta_fast\":20,"
		      "\"beta_slow\":2,\"attention_factor\":1.5}", betas, 1.5f, 2048);
	check_scaling(YARN "\"factor\":8,\"original_max_position_embeddings\":256,\"mscale\":0.7,"
		      "\"mscale_all_dim\":0.3,\"truncate\":false}", between, 1.078293461f, 2048);
	check_scaling("\"original_max_position_embeddings\":512,\"rope_scaling\":{\"type\":\"su\","
		      "\"short_factor\":[1,1.1,1.2,1.3,1.4,1.5,1.6,1.7],\"long_factor\":[2,2,2,2,2,2,2,2]}",
		      divided, 1.105541597f, 512);
}

/* Kinds that change with the length of a text: as they are for the length that was asked for. */
static void stretches_to_the_context_that_is_wanted(void)
{
	static const char dynamic[] = "\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":4}";
	static const char longrope[] = "\"original_max_position_embeddings\":512,\"rope_scaling\":{"
		"\"type\":\"longrope\",\"short_factor\":[1,1.1,1.2,1.3,1.4,1.5,1.6,1.7],"
		"\"long_factor\":[1,2,3,4,5,6,7,8]}";
	static const float plain[8] = { 1, 0.31622776f, 0.1f, 0.031622778f, 0.01f, 0.0031622778f, 0.001f,
					0.00031622778f };
	static const float of_5000[8] = { 1, 0.2406493f, 0.057912078f, 0.013936501f, 0.0033538092f,
					  0.00080709177f, 0.00019422606f, 4.6740366e-05f };
	static const float few[8] = { 1, 0.28747976f, 0.083333336f, 0.024325214f, 0.0071428572f,
				      0.0021081853f, 0.000625f, 0.00018601633f };
	static const float many[8] = { 1, 0.15811388f, 0.033333335f, 0.0079056947f, 0.0020000001f,
				       0.00052704633f, 0.00014285714f, 3.9528473e-05f };

	check_scaling_for(0, dynamic, plain, 1, 2048);
	check_scaling_for(1000, dynamic, plain, 1, 2048);
	check_scaling_for(5000, dynamic, of_5000, 1, 5000);
	check_scaling_for(512, longrope, few, 1.105541597f, 512);
	check_scaling_for(1000, longrope, many, 1.105541597f, 2048);
	refused_for(5000, "{\"model_type\":\"gemma3_text\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,"
		    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,"
		    "\"max_position_embeddings\":2048,\"sliding_window\":9,\"rope_parameters\":{\"full_attention\":{"
		    "\"rope_type\":\"default\",\"rope_theta\":1e6},\"sliding_attention\":{\"rope_type\":\"dynamic\","
		    "\"factor\":4,\"rope_theta\":1e4}}}", "rope_parameters.sliding_attention: is scaled");
}

/* The rest of the shape is held against whole models in tests/reference. */
static void reads_other_families(void)
{
	struct sto_error error = { "" };
	struct sto_model m;

	t_need(read_config("{\"model_type\":\"qwen2\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,"
			   "\"num_hidden_layers\":3,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
			   "\"use_sliding_window\":true,\"sliding_window\":10,\"max_window_layers\":1}", &m, &error) == 0);
	t_ok(m.config.arch == MHS_ARCH_QWEN2 && m.shape.flags == MHS_SHAPE_QKV_BIAS);
	t_ok(m.shape.window == 10 && m.shape.window_layers[0] == 6);
	sto_model_fini(&m);
	t_need(read_config("{\"model_type\":\"qwen3\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,"
			   "\"num_hidden_layers\":3,\"num_attention_heads\":32,\"attention_bias\":true,"
			   "\"sliding_window\":9,\"layer_types\":[\"full_attention\",\"sliding_attention\",\"full_attention\"],"
			   "\"use_sliding_window\":true}", &m, &error) == 0);
	t_ok(m.config.head_dim == 128 && m.config.kv_head_count == 32 && m.config.context_max == 32768);
	t_ok(m.shape.window_layers[0] == 2 &&
	     m.shape.flags == (MHS_SHAPE_QK_NORM | MHS_SHAPE_QKV_BIAS | MHS_SHAPE_O_BIAS));
	sto_model_fini(&m);
	t_need(read_config("{\"model_type\":\"gpt2\",\"vocab_size\":100,\"n_embd\":64,\"n_layer\":2,\"n_head\":4,"
			   "\"n_inner\":null,\"scale_attn_weights\":false}", &m, &error) == 0);
	t_ok(m.config.intermediate == 256 && m.config.tied && m.config.context_max == 1024);
	t_ok(m.shape.attn_scale == 1 && m.inv_freq_count == 0 && m.shape.flags & MHS_SHAPE_POSITIONS);
	sto_model_fini(&m);
}

#define MOE	"{\"model_type\":\"qwen3_moe\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96," \
		"\"num_hidden_layers\":4,\"num_attention_heads\":4,"
#define MIXTRAL	"{\"model_type\":\"mixtral\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96," \
		"\"num_hidden_layers\":2,\"num_attention_heads\":8"

static void reads_experts(void)
{
	struct sto_error error = { "" };
	struct sto_model m;

	t_need(read_config(MOE "\"num_experts\":6,\"num_experts_per_tok\":3,\"moe_intermediate_size\":48,"
			   "\"decoder_sparse_step\":2,\"mlp_only_layers\":[3]}", &m, &error) == 0);
	t_ok(m.experts.count == 6 && m.experts.used == 3 && m.experts.intermediate == 48 && m.experts.flags == 0);
	t_ok(m.experts.layers[0] == 2 && m.config.head_dim == 16 && m.config.kv_head_count == 4);
	sto_model_fini(&m);
	t_need(read_config(MOE "\"num_local_experts\":16,\"norm_topk_prob\":true,\"mlp_only_layers\":null}", &m,
			   &error) == 0);
	t_ok(m.experts.count == 16 && m.experts.used == 8 && m.experts.intermediate == 768);
	t_ok(m.experts.layers[0] == 15 && m.experts.flags == MHS_EXPERTS_NORMED);
	sto_model_fini(&m);
	t_need(read_config(MOE "\"num_experts\":0}", &m, &error) == 0);
	t_ok(m.experts.count == 0 && m.experts.used == 0 && m.experts.layers[0] == 0);
	sto_model_fini(&m);
	t_need(read_config(MIXTRAL "}", &m, &error) == 0);
	t_ok(m.experts.count == 8 && m.experts.used == 2 && m.experts.intermediate == 96);
	t_ok(m.experts.layers[0] == 3 && m.experts.flags == MHS_EXPERTS_NORMED && m.shape.window == 0);
	sto_model_fini(&m);
}

static void refuses_what_experts_have_not(void)
{
	refused(MOE "\"num_experts\":4,\"num_experts_per_tok\":5}", "num_experts_per_tok: is 5, limit 1..4");
	refused(MOE "\"num_experts\":4,\"num_experts_per_tok\":0}", "num_experts_per_tok: is 0");
	refused(MOE "\"num_experts\":2000}", "num_experts: is 2000, limit 1..1024");
	refused(MOE "\"num_experts\":-1}", "num_experts");
	refused(MOE "\"moe_intermediate_size\":24}", "moe_intermediate_size: is 24 of 64, limit multiples of 16");
	refused(MOE "\"moe_intermediate_size\":0}", "moe_intermediate_size: is 0");
	refused(MOE "\"decoder_sparse_step\":0}", "decoder_sparse_step: is 0");
	refused(MOE "\"mlp_only_layers\":3}", "mlp_only_layers: is no list");
	refused(MOE "\"mlp_only_layers\":[\"a\"]}", "mlp_only_layers: is no list of numbers");
	refused(MOE "\"norm_topk_prob\":1}", "norm_topk_prob");
	refused(MIXTRAL ",\"num_local_experts\":0}", "num_local_experts: is 0");
	refused(MIXTRAL ",\"hidden_act\":\"gelu\"}", "hidden_act: is gelu");
}

#define QWEN	"{\"model_type\":\"qwen2\",\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96," \
		"\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
#define GPT2	"{\"model_type\":\"gpt2\",\"vocab_size\":100,\"n_embd\":64,\"n_layer\":2,\"n_head\":4,"

static void refuses_what_families_have_not(void)
{
	refused(QWEN "\"layer_types\":[\"full_attention\"]}", "layer_types");
	refused(QWEN "\"layer_types\":[\"full_attention\",\"chunked_attention\"]}",
		"layer_types: is chunked_attention");
	refused(QWEN "\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "sliding_window: is absent");
	refused(QWEN "\"layer_types\":[7,7]}", "layer_types");
	refused(QWEN "\"hidden_act\":\"relu\"}", "hidden_act: is relu");
	refused(GPT2 "\"activation_function\":\"relu\"}", "activation_function: is relu, limit gelu_new");
	refused(GPT2 "\"scale_attn_by_inverse_layer_idx\":true}", "scale_attn_by_inverse_layer_idx: is true");
	refused("{\"model_type\":\"gpt2\",\"vocab_size\":100,\"n_embd\":64,\"n_layer\":2,\"n_head\":5}", "n_head: is 5");
	refused(GPT2 "\"n_positions\":0}", "n_positions: is 0");
	refused("{\"model_type\":\"gpt2\",\"vocab_size\":100,\"n_embd\":4294967292,\"n_layer\":2,\"n_head\":4}",
		"n_embd: is 4294967292");
}

static void refuses_other_kinds(void)
{
	refused("{}", "model_type: is absent");
	refused("{" BASE ",\"architectures\":[\"MistralForCausalLM\"]}",
		"model_type: is llama, limit mistral");
	refused("{" BASE ",\"architectures\":[\"LlamaModel\"]}",
		"architectures: is LlamaModel, limit LlamaForCausalLM, MistralForCausalLM, ");
	refused("{" BASE ",\"architectures\":\"LlamaForCausalLM\"}", "architectures");
	refused("{" BASE ",\"architectures\":[\"LlamaForCausalLM\",\"X\"]}", "architectures");
	refused("{\"model_type\":\"bert\"}", "model_type: is bert, limit llama, mistral, ");
	refused("{\"model_type\":7}", "model_type");
	refused("{" BASE ",\"hidden_act\":\"gelu\"}", "hidden_act: is gelu");
	refused("{" BASE ",\"attention_bias\":1}", "attention_bias");
	refused("{" BASE ",\"mlp_bias\":\"no\"}", "mlp_bias");
	refused("{" BASE ",\"sliding_window\":1024}", "sliding_window");
	refused("{" BASE ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor");
	refused("{" BASE ",\"quantization_config\":{\"bits\":4}}", "quantization_config");
}

static void refuses_wrong_numbers(void)
{
	static const char *const keys[] = { "vocab_size", "hidden_size", "intermediate_size",
		"num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
		"max_position_embeddings" };
	static const char *const values[] = { "0",     "-1",	     "1.5",
					      "\"8\"", "4294967295", "1099511627776",
					      "true",  "[]" };

	for (size_t i = 0; i < COUNT(keys); i++) {
		for (size_t j = 0; j < COUNT(values); j++) {
			char text[512];

			/* Repeated keys are refused too: the base leaves this one out. */
			snprintf(text, sizeof(text), "{\"model_type\":\"llama\"");
			for (size_t k = 0; k < 5; k++) {
				size_t n = strlen(text);

				if (k != i)
					snprintf(text + n, sizeof(text) - n, ",\"%s\":%d", keys[k],
						 k == 3 ? 2 : 64);
			}
			snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"%s\":%s}",
				 keys[i], values[j]);
			refused(text, strcmp(values[j], "4294967295") ? keys[i] : "limit");
		}
	}
	refused("{\"model_type\":\"llama\",\"vocab_size\":10}", "hidden_size: is absent");
	refused("{" BASE ",\"num_key_value_heads\":3}", "num_key_value_heads: is 3");
	refused("{" BASE ",\"head_dim\":15}", "head_dim: is 15, limit an even number");
	refused("{" BASE ",\"rms_norm_eps\":0}", "rms_norm_eps");
	refused("{" BASE ",\"rms_norm_eps\":1.0}", "rms_norm_eps");
	refused("{" BASE ",\"rms_norm_eps\":-1e-5}", "rms_norm_eps");
	refused("{" BASE ",\"rms_norm_eps\":NaN}", "JSON");
	refused("{" BASE ",\"rms_norm_eps\":1e999}", "JSON");
	refused("{" BASE ",\"vocab_size\":100}", "duplicate");
	refused("{" BASE ",\"tie_word_embeddings\":1}", "tie_word_embeddings");
	refused("{" BASE ",\"bos_token_id\":100}", "bos_token_id: token 100");
	refused("{" BASE ",\"bos_token_id\":-1}", "bos_token_id");
	refused("[" "]", "not an object");
}

static void refuses_wrong_rope(void)
{
#define LLAMA3 "\"rope_type\":\"llama3\",\"factor\":8.0"
	static const struct {
		const char *value, *expect;
	} cases[] = {
		{ "\"linear\"", "rope_scaling: is not an object" },
		{ "{\"factor\":2}", "rope_type: is absent" },
		{ "{\"type\":\"linear\"}", "rope_scaling.factor: is absent" },
		{ "{\"type\":\"linear\",\"factor\":0}", "rope_scaling.factor: is 0" },
		{ "{\"type\":\"linear\",\"factor\":-1}", "rope_scaling.factor: is -1" },
		{ "{\"type\":\"linear\",\"factor\":\"2\"}", "rope_scaling.factor" },
		{ "{\"type\":\"linear\",\"factor\":1e30}", "rope_scaling.factor" },
		{ "{\"type\":\"yarn\"}", "rope_scaling.factor: is absent" },
		{ "{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":0}", "rope_scaling.beta_fast: is 0" },
		{ "{\"type\":\"yarn\",\"factor\":2,\"truncate\":3}", "truncate" },
		{ "{\"type\":\"dynamic\"}", "rope_scaling.factor: is absent" },
		{ "{\"type\":\"ntk\",\"factor\":2}", "rope_type: is ntk" },
		{ "{\"type\":\"longrope\"}", "original_max_position_embeddings: is absent" },
		{ "{\"type\":\"su\",\"original_max_position_embeddings\":64}", "short_factor" },
		{ "{\"type\":\"su\",\"original_max_position_embeddings\":64,\"short_factor\":[1]}",
		  "1 factors, limit 8" },
		{ "{\"type\":\"su\",\"original_max_position_embeddings\":64,\"short_factor\":[0]}",
		  "short_factor" },
		{ "{" LLAMA3 "}", "low_freq_factor: is absent" },
		{ "{" LLAMA3 ",\"low_freq_factor\":4,\"high_freq_factor\":4,"
		  "\"original_max_position_embeddings\":64}",
		  "high_freq_factor: limit above" },
		{ "{" LLAMA3 ",\"low_freq_factor\":1,\"high_freq_factor\":4,"
		  "\"original_max_position_embeddings\":0}",
		  "original_max_position_embeddings" },
		{ "{" LLAMA3 ",\"low_freq_factor\":0,\"high_freq_factor\":4,"
		  "\"original_max_position_embeddings\":64}",
		  "low_freq_factor: is 0" },
	};
	char text[512];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), "{" BASE ",\"rope_scaling\":%s}", cases[i].value);
		refused(text, cases[i].expect);
	}
	refused("{" BASE ",\"rope_theta\":0}", "rope_theta: is 0");
	refused("{" BASE ",\"rope_theta\":-10000}", "rope_theta: is -10000");
	refused("{" BASE ",\"rope_theta\":\"x\"}", "rope_theta");
	refused("{" BASE ",\"rope_parameters\":{\"rope_theta\":1e13}}", "rope_theta");
	refused("{" BASE ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}",
		"partial_rotary_factor");
}

static int read_eos(const char *text, struct sto_model *model, bool *found, struct sto_error *error)
{
	json_t *root = NULL;
	int err;

	sto_model_init(model);
	model->config.vocab_count = 100;
	err = sto_json_parse("g.json", text, strlen(text), &root, error);
	if (!err)
		err = sto_hf_eos(model, "g.json", root, found, error);
	json_decref(root);
	return err;
}

static void reads_end_tokens(void)
{
	static const char *const bad[] = {
		"{\"eos_token_id\":100}",      "{\"eos_token_id\":-1}",
		"{\"eos_token_id\":\"end\"}",  "{\"eos_token_id\":1.0}",
		"{\"eos_token_id\":[1,null]}", "{\"eos_token_id\":[0,1,2,3,4,5,6,7,8]}",
		"{\"eos_token_id\":{}}"
	};
	struct sto_error error = { "" };
	struct sto_model model;
	bool found;

	t_ok(read_eos("{\"eos_token_id\":7}", &model, &found, &error) == 0 && found);
	t_ok(model.eos_count == 1 && model.eos_ids[0] == 7);
	t_ok(read_eos("{\"eos_token_id\":[7,3,7]}", &model, &found, &error) == 0 && found);
	t_ok(model.eos_count == 2 && model.eos_ids[1] == 3);
	t_ok(read_eos("{}", &model, &found, &error) == 0 && !found);
	t_ok(read_eos("{\"eos_token_id\":null}", &model, &found, &error) == 0 && !found);
	t_ok(read_eos("{\"eos_token_id\":[]}", &model, &found, &error) == 0 && !found);
	for (size_t i = 0; i < COUNT(bad); i++) {
		error.text[0] = '\0';
		t_eq(read_eos(bad[i], &model, &found, &error), -EINVAL);
		t_ok(strstr(error.text, "g.json: eos_token_id: "));
	}
}

int main(void)
{
	T_RUN(fills_in_defaults);
	T_RUN(reads_what_is_given);
	T_RUN(reads_rope_in_both_spellings);
	T_RUN(scales_as_llama3);
	T_RUN(scales_as_yarn_and_longrope);
	T_RUN(stretches_to_the_context_that_is_wanted);
	T_RUN(reads_other_families);
	T_RUN(reads_experts);
	T_RUN(refuses_what_experts_have_not);
	T_RUN(refuses_what_families_have_not);
	T_RUN(refuses_other_kinds);
	T_RUN(refuses_wrong_numbers);
	T_RUN(refuses_wrong_rope);
	T_RUN(reads_end_tokens);
	return t_done();
}

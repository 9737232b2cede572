/* SPDX-License-Identifier: MIT */
/* import_memory_test.c: an import needs little memory, however large the model is. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sto_import.h"
#include "t.h"
#include "t_bad.h"
#include "t_gguf.h"

/* 256 MB of (sparse) weights through a few buffers. */
static int import_large(void)
{
	static const char head[] =
		"{\"model_type\":\"llama\",\"vocab_size\":64,\"hidden_size\":4096,"
		"\"intermediate_size\":4096,"
		"\"num_hidden_layers\":1,\"num_attention_heads\":32,\"tie_word_embeddings\":true}";
	struct sto_import import = { .store = t_path("large-store"), .path = t_path("large"),
				     .model = "m", .version = "1.0.0", .quantize = ENG_SRC_Q4_0 };
	struct sto_import_result result;
	struct sto_error error = { "" };
	struct rusage usage;

	t_write_file(t_path("large/config.json"), head, sizeof(head) - 1);
	if (sto_import(&import, &result, &error)) {
		printf("# %s\n", error.text);
		return 1;
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("# %.0f MB of weights, at most %ld MiB of memory\n",
	       (double)result.source_bytes / 1e6, usage.ru_maxrss / 1024);
	return usage.ru_maxrss > 64 * 1024;
}

static void write_large(void)
{
	static const char *const names[] = { "self_attn.q_proj", "self_attn.k_proj",
					     "self_attn.v_proj", "self_attn.o_proj",
					     "mlp.gate_proj",	 "mlp.up_proj",
					     "mlp.down_proj" };
	uint64_t at = 64 * 4096 * 2;
	char header[2048];
	struct t_bytes raw = { 0 };
	int n = snprintf(header, sizeof(header),
			 "{\"model.embed_tokens.weight\":{\"dtype\":\"F16\","
			 "\"shape\":[64,4096],\"data_offsets\":[0,%llu]}",
			 (unsigned long long)at);

	for (int i = 0; i < 7; i++, at += 4096 * 4096 * 2)
		n += snprintf(header + n, sizeof(header) - n,
			      ",\"model.layers.0.%s.weight\":{\"dtype\":"
			      "\"F16\",\"shape\":[4096,4096],\"data_offsets\":[%llu,%llu]}",
			      names[i], (unsigned long long)at,
			      (unsigned long long)at + 4096 * 4096 * 2);
	for (int i = 0; i < 3; i++, at += 8192)
		n += snprintf(header + n, sizeof(header) - n,
			      ",\"model.%s.weight\":{\"dtype\":\"F16\","
			      "\"shape\":[4096],\"data_offsets\":[%llu,%llu]}",
			      i == 0   ? "norm"
			      : i == 1 ? "layers.0.input_layernorm"
				       : "layers.0.post_attention_layernorm",
			      (unsigned long long)at, (unsigned long long)at + 8192);
	header[n++] = '}';
	t_put_u64(&raw, (uint64_t)n);
	t_put(&raw, header, (size_t)n);
	t_write_file(t_path("large/model.safetensors"), raw.data, raw.bytes);
	if (truncate(t_path("large/model.safetensors"), (off_t)(raw.bytes + at)))
		exit(1);
	t_bytes_free(&raw);
}

static void write_small_tokenizer(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		exit(1);
	fputs("{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{"
	      "\"type\":"
	      "\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
	      "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
	      "true,"
	      "\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"vocab\":{",
	      f);
	for (int i = 0; i < 26; i++)
		fprintf(f, "%s\"%c\":%d", i ? "," : "", 'a' + i, i);
	fputs("},\"merges\":[]}}", f);
	fclose(f);
}

static void stays_small_in_memory(void)
{
	int status;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	t_skip("sanitizers keep freed memory");
	return;
#endif
	mkdir(t_path("large"), 0755);
	write_large();
	write_small_tokenizer(t_path("large/tokenizer.json"));
	fflush(stdout);
	if (fork() == 0) {
		int bad = import_large();

		fflush(stdout);
		_exit(bad);
	}
	t_ok(wait(&status) > 0 && WIFEXITED(status));
	t_eq(WEXITSTATUS(status), 0);
	t_remove_tree(t_path("large-store"));
	t_remove_tree(t_path("large"));
}

int main(void)
{
	T_RUN(stays_small_in_memory);
	return t_done();
}

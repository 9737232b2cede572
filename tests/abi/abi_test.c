/* SPDX-License-Identifier: MIT */
/*
 * abi_test.c: every shared struct, field and constant against the recorded ones of this ABI major,
 * in tests/abi/. `abi_test --print` prints the present ones. What was recorded may never change
 * under one major; what a minor adds (a use of reserved bytes, a new constant) is recorded in the
 * same commit.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mhs_image.h"
#include "mhs_layout.h"
#include "mhs_wire.h"
#include "t.h"

#define LINE_MAX	160

struct item {
	const char *of, *field;		/* field "": the struct itself */
	uint64_t at, bytes;
};

#define S(s)		{ #s, "", 0, sizeof(struct s) }
#define F(s, f)		{ #s, #f, offsetof(struct s, f), sizeof(((struct s *)NULL)->f) }
#define C(name)		{ "constant", #name, (uint64_t)(name), 0 }

static const struct item items[] = {
	S(mhs_header),
	F(mhs_header, magic),
	F(mhs_header, abi_major),
	F(mhs_header, abi_minor),
	F(mhs_header, header_bytes),
	F(mhs_header, segment_bytes),
	F(mhs_header, features),
	F(mhs_header, ready),
	F(mhs_header, owner),
	F(mhs_header, reserved0),
	S(mhs_model),
	F(mhs_model, route),
	F(mhs_model, reserved0),
	F(mhs_model, name),
	S(mhs_extent),
	F(mhs_extent, segment),
	F(mhs_extent, node),
	F(mhs_extent, image_offset_bytes),
	F(mhs_extent, segment_offset_bytes),
	F(mhs_extent, length_bytes),
	F(mhs_extent, hash),
	S(mhs_version),
	F(mhs_version, state),
	F(mhs_version, model),
	F(mhs_version, base),
	F(mhs_version, extent_count),
	F(mhs_version, serial),
	F(mhs_version, image_bytes),
	F(mhs_version, content_hash),
	F(mhs_version, semver),
	F(mhs_version, reserved0),
	F(mhs_version, extents),
	S(mhs_board),
	F(mhs_board, head),
	F(mhs_board, epoch),
	F(mhs_board, reserved0),
	F(mhs_board, model_count),
	F(mhs_board, reserved1),
	F(mhs_board, reserved2),
	F(mhs_board, models),
	F(mhs_board, versions),
	S(mhs_slot),
	F(mhs_slot, head),
	F(mhs_slot, seen_epoch),
	F(mhs_slot, reserved0),
	F(mhs_slot, asleep),
	F(mhs_slot, running),
	F(mhs_slot, queued),
	F(mhs_slot, reserved1),
	F(mhs_slot, turn_ns),
	F(mhs_slot, adopted_ns),
	F(mhs_slot, steps),
	F(mhs_slot, adopted_epoch),
	F(mhs_slot, reserved2),
	F(mhs_slot, reserved3),
	F(mhs_slot, pins),
	S(mhs_stats_row),
	F(mhs_stats_row, version_serial),
	F(mhs_stats_row, requests),
	F(mhs_stats_row, completed),
	F(mhs_stats_row, cancelled),
	F(mhs_stats_row, failed),
	F(mhs_stats_row, prompt_tokens),
	F(mhs_stats_row, output_tokens),
	F(mhs_stats_row, nan_logits),
	F(mhs_stats_row, prefill_ns),
	F(mhs_stats_row, decode_ns),
	F(mhs_stats_row, claim),
	F(mhs_stats_row, cached_tokens),
	F(mhs_stats_row, preemptions),
	F(mhs_stats_row, drafted_tokens),
	F(mhs_stats_row, accepted_tokens),
	F(mhs_stats_row, reserved0),
	F(mhs_stats_row, hist),
	S(mhs_stats),
	F(mhs_stats, head),
	F(mhs_stats, rows),
	S(mhs_ring),
	F(mhs_ring, head),
	F(mhs_ring, reserved0),
	F(mhs_ring, tail),
	F(mhs_ring, reserved1),
	F(mhs_ring, asleep),
	F(mhs_ring, reserved2),
	F(mhs_ring, starved),
	F(mhs_ring, reserved3),
	S(mhs_lane),
	F(mhs_lane, head),
	F(mhs_lane, submit),
	F(mhs_lane, event),
	F(mhs_lane, reserved0),
	F(mhs_lane, submit_data),
	F(mhs_lane, event_data),
	S(mhs_image_config),
	F(mhs_image_config, arch),
	F(mhs_image_config, layer_count),
	F(mhs_image_config, hidden),
	F(mhs_image_config, intermediate),
	F(mhs_image_config, head_count),
	F(mhs_image_config, kv_head_count),
	F(mhs_image_config, head_dim),
	F(mhs_image_config, vocab_count),
	F(mhs_image_config, context_max),
	F(mhs_image_config, tied),
	F(mhs_image_config, rms_eps),
	F(mhs_image_config, rope_attn_scale),
	F(mhs_image_config, float_weights),
	F(mhs_image_config, reserved0),
	S(mhs_image_span),
	F(mhs_image_span, offset_bytes),
	F(mhs_image_span, length_bytes),
	S(mhs_image_header),
	F(mhs_image_header, magic),
	F(mhs_image_header, abi_major),
	F(mhs_image_header, abi_minor),
	F(mhs_image_header, header_bytes),
	F(mhs_image_header, image_bytes),
	F(mhs_image_header, features),
	F(mhs_image_header, kind),
	F(mhs_image_header, chunk_bytes),
	F(mhs_image_header, data_offset_bytes),
	F(mhs_image_header, chunk_count),
	F(mhs_image_header, tensor_count),
	F(mhs_image_header, chunk_table),
	F(mhs_image_header, tensor_table),
	F(mhs_image_header, tokenizer),
	F(mhs_image_header, chat_template),
	F(mhs_image_header, config),
	F(mhs_image_header, bos_id),
	F(mhs_image_header, eos_count),
	F(mhs_image_header, eos_ids),
	F(mhs_image_header, model),
	F(mhs_image_header, semver),
	F(mhs_image_header, content_hash),
	F(mhs_image_header, chunk_table_hash),
	F(mhs_image_header, header_hash),
	F(mhs_image_header, reserved0),
	S(mhs_image_tensor),
	F(mhs_image_tensor, name),
	F(mhs_image_tensor, role),
	F(mhs_image_tensor, layer),
	F(mhs_image_tensor, type),
	F(mhs_image_tensor, reserved0),
	F(mhs_image_tensor, rows),
	F(mhs_image_tensor, cols),
	F(mhs_image_tensor, offset_bytes),
	F(mhs_image_tensor, length_bytes),
	F(mhs_image_tensor, hash),
	S(mhs_record),
	F(mhs_record, bytes),
	F(mhs_record, type),
	S(mhs_request),
	F(mhs_request, request_id),
	F(mhs_request, session_key),
	F(mhs_request, seed),
	F(mhs_request, flags),
	F(mhs_request, max_tokens),
	F(mhs_request, top_k),
	F(mhs_request, top_count),
	F(mhs_request, stop_count),
	F(mhs_request, stop_bytes),
	F(mhs_request, prompt_bytes),
	F(mhs_request, deadline_ms),
	F(mhs_request, temperature),
	F(mhs_request, top_p),
	F(mhs_request, min_p),
	F(mhs_request, repeat_penalty),
	F(mhs_request, repeat_last),
	F(mhs_request, reserved0),
	F(mhs_request, model),
	F(mhs_request, semver),
	F(mhs_request, adapter),
	F(mhs_request, reserved1),
	S(mhs_ref),
	F(mhs_ref, request_id),
	S(mhs_begin),
	F(mhs_begin, request_id),
	F(mhs_begin, epoch),
	F(mhs_begin, version_index),
	F(mhs_begin, prompt_count),
	F(mhs_begin, model),
	F(mhs_begin, semver),
	F(mhs_begin, adapter),
	F(mhs_begin, content_hash),
	F(mhs_begin, adapter_hash),
	S(mhs_chunk),
	F(mhs_chunk, request_id),
	F(mhs_chunk, first),
	F(mhs_chunk, count),
	S(mhs_top),
	F(mhs_top, token),
	F(mhs_top, logprob),
	S(mhs_token),
	F(mhs_token, request_id),
	F(mhs_token, index),
	F(mhs_token, token),
	F(mhs_token, logprob),
	F(mhs_token, top_count),
	F(mhs_token, text_bytes),
	F(mhs_token, flags),
	F(mhs_token, drafted_count),
	S(mhs_end),
	F(mhs_end, request_id),
	F(mhs_end, reason),
	F(mhs_end, error),
	F(mhs_end, output_count),
	F(mhs_end, message_bytes),
	F(mhs_end, queue_ns),
	F(mhs_end, prefill_ns),
	F(mhs_end, decode_ns),
	F(mhs_end, epoch),
	F(mhs_end, stop_text_bytes),
	F(mhs_end, cached_count),
	S(mhs_sock),
	F(mhs_sock, magic),
	F(mhs_sock, abi_major),
	F(mhs_sock, abi_minor),
	F(mhs_sock, type),
	F(mhs_sock, value),
	F(mhs_sock, error),
	F(mhs_sock, lane_count),
	F(mhs_sock, text),
	C(MHS_MODE_NONE),
	C(MHS_MODE_CANARY),
	C(MHS_MODE_SHADOW),
	C(MHS_STATE_FREE),
	C(MHS_STATE_LOADING),
	C(MHS_STATE_READY),
	C(MHS_STATE_ACTIVE),
	C(MHS_STATE_RESIDENT),
	C(MHS_STATE_DRAINING),
	C(MHS_HIST_QUEUE),
	C(MHS_HIST_FIRST_TOKEN),
	C(MHS_HIST_INTER_TOKEN),
	C(MHS_HIST_TOTAL),
	C(MHS_HIST_COUNT),
	C(MHS_ABI_MAJOR),
	C(MHS_ABI_MINOR),
	C(MHS_LINE_BYTES),
	C(MHS_PAGE_BYTES),
	C(MHS_MODEL_MAX),
	C(MHS_VERSION_MAX),
	C(MHS_WORKER_MAX),
	C(MHS_EXTENT_MAX),
	C(MHS_NAME_BYTES),
	C(MHS_SEMVER_BYTES),
	C(MHS_HASH_BYTES),
	C(MHS_SUBMIT_BYTES),
	C(MHS_EVENT_BYTES),
	C(MHS_EPOCH_OFFLINE),
	C(MHS_MAGIC_BOARD),
	C(MHS_MAGIC_SLOT),
	C(MHS_MAGIC_STATS),
	C(MHS_MAGIC_LANE),
	C(MHS_ROUTE_INDEX_MASK),
	C(MHS_ROUTE_WEIGHT_MASK),
	C(MHS_ROUTE_WEIGHT_MAX),
	C(MHS_ROUTE_GEN_MASK),
	C(MHS_STATS_ROWS),
	C(MHS_HIST_BUCKETS),
	C(MHS_IMAGE_MODEL),
	C(MHS_IMAGE_ADAPTER),
	C(MHS_ARCH_LLAMA),
	C(MHS_ROLE_EMBED),
	C(MHS_ROLE_OUTPUT),
	C(MHS_ROLE_OUTPUT_NORM),
	C(MHS_ROLE_INV_FREQ),
	C(MHS_ROLE_ATTN_NORM),
	C(MHS_ROLE_ATTN_Q),
	C(MHS_ROLE_ATTN_K),
	C(MHS_ROLE_ATTN_V),
	C(MHS_ROLE_ATTN_O),
	C(MHS_ROLE_FFN_NORM),
	C(MHS_ROLE_FFN_GATE),
	C(MHS_ROLE_FFN_UP),
	C(MHS_ROLE_FFN_DOWN),
	C(MHS_IMAGE_MAGIC),
	C(MHS_IMAGE_ABI_MAJOR),
	C(MHS_IMAGE_ABI_MINOR),
	C(MHS_IMAGE_ALIGN_BYTES),
	C(MHS_IMAGE_CHUNK_BYTES),
	C(MHS_IMAGE_BYTES_MAX),
	C(MHS_IMAGE_LAYER_MAX),
	C(MHS_IMAGE_EOS_MAX),
	C(MHS_CHUNK_HASH_BYTES),
	C(MHS_REC_GENERATE),
	C(MHS_REC_SCORE),
	C(MHS_REC_TOKENIZE),
	C(MHS_REC_DETOKENIZE),
	C(MHS_REC_PING),
	C(MHS_REC_CANCEL),
	C(MHS_REC_BEGIN),
	C(MHS_REC_PROMPT),
	C(MHS_REC_SCORES),
	C(MHS_REC_TOKEN),
	C(MHS_REC_TEXT),
	C(MHS_REC_END),
	C(MHS_REC_PONG),
	C(MHS_REQ_TOKENS),
	C(MHS_REQ_IGNORE_EOS),
	C(MHS_REQ_NO_SPECIAL),
	C(MHS_REQ_LOGPROBS),
	C(MHS_REQ_NO_DRAFT),
	C(MHS_TOKEN_AHEAD),
	C(MHS_END_STOP),
	C(MHS_END_LENGTH),
	C(MHS_END_CANCELLED),
	C(MHS_END_ERROR),
	C(MHS_ERR_NONE),
	C(MHS_ERR_INVALID),
	C(MHS_ERR_NO_MODEL),
	C(MHS_ERR_NO_VERSION),
	C(MHS_ERR_TOO_LONG),
	C(MHS_ERR_BUSY),
	C(MHS_ERR_DEADLINE),
	C(MHS_ERR_NAN),
	C(MHS_ERR_STOPPING),
	C(MHS_ERR_WORKER_LOST),
	C(MHS_ERR_SLOW_READER),
	C(MHS_ERR_BAD_MESSAGE),
	C(MHS_ERR_INTERNAL),
	C(MHS_SOCK_HELLO),
	C(MHS_SOCK_WELCOME),
	C(MHS_SOCK_LANE),
	C(MHS_SOCK_LANE_DOWN),
	C(MHS_SOCK_REFUSED),
	C(MHS_CHUNK_BYTES),
	C(MHS_STOP_MAX),
	C(MHS_STOP_BYTES),
	C(MHS_TOP_MAX),
	C(MHS_MESSAGE_BYTES),
	C(MHS_HELLO_MAGIC),
};
#define ITEM_COUNT	(sizeof(items) / sizeof(items[0]))

static void item_line(const struct item *item, char line[LINE_MAX])
{
	if (item->bytes == 0)
		snprintf(line, LINE_MAX, "%s %s %#llx\n", item->of, item->field,
			 (unsigned long long)item->at);
	else if (!item->field[0])
		snprintf(line, LINE_MAX, "%s size %llu\n", item->of,
			 (unsigned long long)item->bytes);
	else
		snprintf(line, LINE_MAX, "%s.%s at %llu size %llu\n", item->of, item->field,
			 (unsigned long long)item->at, (unsigned long long)item->bytes);
}

static int is_present(const char *recorded)
{
	char line[LINE_MAX];

	for (size_t i = 0; i < ITEM_COUNT; i++) {
		item_line(&items[i], line);
		if (strcmp(line, recorded) == 0)
			return 1;
	}
	return 0;
}

/* Reserved bytes may be put to use, and a minor grows; all else stays. */
static int may_change(const char *recorded)
{
	return strstr(recorded, ".reserved") || strstr(recorded, "_ABI_MINOR ");
}

static FILE *recorded_open(void)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "tests/abi/shm-%u-image-%u.txt", MHS_ABI_MAJOR,
		 MHS_IMAGE_ABI_MAJOR);
	f = fopen(path, "r");
	if (!f)
		printf("# %s: not found; run from the top folder, record with --print\n", path);
	return f;
}

static void nothing_moved(void)
{
	FILE *f = recorded_open();
	char line[LINE_MAX];
	int lines = 0;

	t_need(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		lines++;
		if (is_present(line) || may_change(line))
			continue;
		printf("# moved or gone: %s", line);
		t_ok(0);
	}
	fclose(f);
	t_ok(lines > 200);
}

static int is_recorded(FILE *f, const char *present)
{
	char line[LINE_MAX];

	rewind(f);
	while (fgets(line, sizeof(line), f))
		if (strcmp(line, present) == 0)
			return 1;
	return 0;
}

static void everything_recorded(void)
{
	FILE *f = recorded_open();
	char line[LINE_MAX];

	t_need(f != NULL);
	for (size_t i = 0; i < ITEM_COUNT; i++) {
		item_line(&items[i], line);
		if (is_recorded(f, line))
			continue;
		printf("# not recorded: %s", line);
		t_ok(0);
	}
	fclose(f);
}

/* No padding that the compiler chose, and no field left out of the table. */
static void no_holes(void)
{
	for (size_t i = 0; i < ITEM_COUNT && items[i].bytes; i++) {
		const struct item *whole = &items[i];
		uint64_t end = 0;

		while (i + 1 < ITEM_COUNT && items[i + 1].field[0] && items[i + 1].bytes) {
			i++;
			if (items[i].at != end)
				printf("# hole before %s.%s\n", items[i].of, items[i].field);
			t_eq(items[i].at, end);
			end = items[i].at + items[i].bytes;
		}
		if (end != whole->bytes)
			printf("# hole at the end of %s\n", whole->of);
		t_eq(end, whole->bytes);
	}
}

/* Each word that crosses processes lies in one line and is lock-free as a whole. */
static void own_lines(void)
{
	t_eq(offsetof(struct mhs_board, epoch) % MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_slot, seen_epoch) % MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_ring, head) / MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_ring, tail) / MHS_LINE_BYTES, 1);
	t_eq(offsetof(struct mhs_ring, asleep) / MHS_LINE_BYTES, 2);
	t_eq(offsetof(struct mhs_ring, starved) / MHS_LINE_BYTES, 3);
	t_eq(offsetof(struct mhs_lane, submit) % MHS_LINE_BYTES, 0);
	t_eq(offsetof(struct mhs_lane, event) % MHS_LINE_BYTES, 0);
	t_ok(__atomic_always_lock_free(8, 0) && __atomic_always_lock_free(4, 0));
}

int main(int argc, char **argv)
{
	char line[LINE_MAX];

	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		for (size_t i = 0; i < ITEM_COUNT; i++) {
			item_line(&items[i], line);
			fputs(line, stdout);
		}
		return 0;
	}
	T_RUN(nothing_moved);
	T_RUN(everything_recorded);
	T_RUN(no_holes);
	T_RUN(own_lines);
	return t_done();
}

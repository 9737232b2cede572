# SPDX-License-Identifier: MIT
# mhost: `make help` lists the targets. V=1 shows commands, SAN=asan|tsan builds with sanitizers,
# WERROR=1 turns warnings into errors, B= chooses the build folder.

SAN     ?=
B       ?= build$(if $(SAN),/$(SAN))
CC      ?= gcc
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

# -- sources, sorted, one per line -----------------------------------------------------------------
SHM_SRC := \
	shm/mhs_adapter.c \
	shm/mhs_attach.c \
	shm/mhs_bell.c \
	shm/mhs_check.c \
	shm/mhs_epoch.c \
	shm/mhs_extent.c \
	shm/mhs_form.c \
	shm/mhs_image.c \
	shm/mhs_ring.c \
	shm/mhs_seg.c \
	shm/mhs_shape.c \
	shm/mhs_spin.c \
	shm/mhs_stat.c

ENGINE_SRC := \
	daemon/engine/eng_attend.c \
	daemon/engine/eng_attention.c \
	daemon/engine/eng_block.c \
	daemon/engine/eng_decoder.c \
	daemon/engine/eng_diverge.c \
	daemon/engine/eng_experts.c \
	daemon/engine/eng_lora.c \
	daemon/engine/eng_lora_apply.c \
	daemon/engine/eng_matmul.c \
	daemon/engine/eng_model.c \
	daemon/engine/eng_pack.c \
	daemon/engine/eng_quant.c \
	daemon/engine/eng_sample.c \
	daemon/engine/eng_sample_penalty.c \
	daemon/engine/eng_sample_rare.c \
	daemon/engine/eng_sample_scan.c \
	daemon/engine/eng_scratch.c \
	daemon/engine/eng_source.c \
	daemon/engine/eng_step.c \
	daemon/engine/eng_threads.c \
	daemon/engine/eng_tok.c \
	daemon/engine/eng_tok_added.c \
	daemon/engine/eng_tok_build.c \
	daemon/engine/eng_tok_build_added.c \
	daemon/engine/eng_tok_build_trie.c \
	daemon/engine/eng_tok_compile.c \
	daemon/engine/eng_tok_decode.c \
	daemon/engine/eng_tok_map.c \
	daemon/engine/eng_tok_merge.c \
	daemon/engine/eng_tok_nfc.c \
	daemon/engine/eng_tok_open.c \
	daemon/engine/eng_tok_regex.c \
	daemon/engine/eng_tok_step.c \
	daemon/engine/eng_tok_trie.c \
	daemon/engine/eng_tok_unigram.c \
	daemon/engine/eng_tok_util.c \
	daemon/engine/eng_unpack.c \
	daemon/engine/kernels/eng_blas.c \
	daemon/engine/kernels/eng_dispatch.c \
	daemon/engine/kernels/eng_k_amx.c \
	daemon/engine/kernels/eng_k_avx2.c \
	daemon/engine/kernels/eng_k_avx512.c \
	daemon/engine/kernels/eng_k_generic.c \
	daemon/engine/kernels/eng_trial.c

STORE_SRC := \
	daemon/store/families/fam_gemma2.c \
	daemon/store/families/fam_gemma3.c \
	daemon/store/families/fam_gpt2.c \
	daemon/store/families/fam_llama.c \
	daemon/store/families/fam_mistral.c \
	daemon/store/families/fam_mixtral.c \
	daemon/store/families/fam_phi3.c \
	daemon/store/families/fam_qwen2.c \
	daemon/store/families/fam_qwen3.c \
	daemon/store/families/fam_qwen3_moe.c \
	daemon/store/families/fam_smollm3.c \
	daemon/store/import_experts.c \
	daemon/store/import_gguf.c \
	daemon/store/import_gguf_config.c \
	daemon/store/import_gguf_folder.c \
	daemon/store/import_gguf_rope.c \
	daemon/store/import_hf.c \
	daemon/store/import_hf_chat.c \
	daemon/store/import_peft.c \
	daemon/store/import_safetensors.c \
	daemon/store/peft_copy.c \
	daemon/store/sto_adapter.c \
	daemon/store/sto_adapter_image.c \
	daemon/store/sto_adapter_import.c \
	daemon/store/sto_adapter_manifest.c \
	daemon/store/sto_adapter_pack.c \
	daemon/store/sto_adapter_verify.c \
	daemon/store/sto_blob.c \
	daemon/store/sto_compat.c \
	daemon/store/sto_diff.c \
	daemon/store/sto_diff_adapters.c \
	daemon/store/sto_diff_tensors.c \
	daemon/store/sto_differ.c \
	daemon/store/sto_family.c \
	daemon/store/sto_file.c \
	daemon/store/sto_gguf.c \
	daemon/store/sto_gguf_cursor.c \
	daemon/store/sto_gguf_get.c \
	daemon/store/sto_gguf_parts.c \
	daemon/store/sto_gguf_tensors.c \
	daemon/store/sto_golden.c \
	daemon/store/sto_hash.c \
	daemon/store/sto_hf_config.c \
	daemon/store/sto_hf_rope.c \
	daemon/store/sto_history.c \
	daemon/store/sto_image.c \
	daemon/store/sto_import.c \
	daemon/store/sto_import_log.c \
	daemon/store/sto_json.c \
	daemon/store/sto_lora_delta.c \
	daemon/store/sto_lora_rows.c \
	daemon/store/sto_manifest.c \
	daemon/store/sto_merge.c \
	daemon/store/sto_merge_panels.c \
	daemon/store/sto_model.c \
	daemon/store/sto_norms.c \
	daemon/store/sto_number.c \
	daemon/store/sto_pack.c \
	daemon/store/sto_packs.c \
	daemon/store/sto_peft.c \
	daemon/store/sto_peft_match.c \
	daemon/store/sto_prune.c \
	daemon/store/sto_rope.c \
	daemon/store/sto_safetensors.c \
	daemon/store/sto_semver.c \
	daemon/store/sto_share.c \
	daemon/store/sto_st_plain.c \
	daemon/store/sto_store.c \
	daemon/store/sto_temp.c \
	daemon/store/sto_tok.c \
	daemon/store/sto_tok_charsmap.c \
	daemon/store/sto_tok_gguf.c \
	daemon/store/sto_tok_gguf_read.c \
	daemon/store/sto_tok_gguf_spm.c \
	daemon/store/sto_tok_json.c \
	daemon/store/sto_tok_json_decode.c \
	daemon/store/sto_tok_json_normal.c \
	daemon/store/sto_tok_json_pipe.c \
	daemon/store/sto_tok_json_post.c \
	daemon/store/sto_tok_json_unigram.c \
	daemon/store/sto_tok_pre.c \
	daemon/store/sto_tok_regex.c \
	daemon/store/sto_tok_regex_set.c \
	daemon/store/sto_verify.c \
	daemon/store/sto_verify_manifest.c \
	daemon/store/sto_verify_packs.c \
	daemon/store/sto_version.c \
	daemon/store/sto_work.c

GRAMMAR_SRC := \
	daemon/grammar/gra.c \
	daemon/grammar/gra_build.c \
	daemon/grammar/gra_check.c \
	daemon/grammar/gra_parse.c \
	daemon/grammar/gra_regex.c \
	daemon/grammar/gra_schema.c \
	daemon/grammar/gra_schema_merge.c \
	daemon/grammar/gra_schema_number.c \
	daemon/grammar/gra_schema_object.c \
	daemon/grammar/gra_schema_string.c \
	daemon/grammar/gra_schema_type.c \
	daemon/grammar/gra_state.c \
	daemon/grammar/gra_text.c \
	daemon/grammar/gra_tree.c \
	daemon/grammar/gra_utf8.c \
	daemon/grammar/gra_vocab.c

TEMPLATE_SRC := \
	daemon/template/tpl_attr.c \
	daemon/template/tpl_call.c \
	daemon/template/tpl_case.c \
	daemon/template/tpl_chat.c \
	daemon/template/tpl_compile.c \
	daemon/template/tpl_dict.c \
	daemon/template/tpl_eval.c \
	daemon/template/tpl_expr.c \
	daemon/template/tpl_filter.c \
	daemon/template/tpl_filter_list.c \
	daemon/template/tpl_format.c \
	daemon/template/tpl_heap.c \
	daemon/template/tpl_iterate.c \
	daemon/template/tpl_json.c \
	daemon/template/tpl_lex.c \
	daemon/template/tpl_literal.c \
	daemon/template/tpl_loop.c \
	daemon/template/tpl_method.c \
	daemon/template/tpl_op.c \
	daemon/template/tpl_operand.c \
	daemon/template/tpl_parse.c \
	daemon/template/tpl_percent.c \
	daemon/template/tpl_run.c \
	daemon/template/tpl_search.c \
	daemon/template/tpl_spec.c \
	daemon/template/tpl_string.c \
	daemon/template/tpl_test.c \
	daemon/template/tpl_text.c \
	daemon/template/tpl_token.c \
	daemon/template/tpl_value.c \
	daemon/template/tpl_write.c

COMMON_SRC := \
	daemon/common/hrt_io.c \
	daemon/common/log.c

SUP_SRC := \
	daemon/supervisor/sup_adapter.c \
	daemon/supervisor/sup_adapter_show.c \
	daemon/supervisor/sup_arena.c \
	daemon/supervisor/sup_arena_small.c \
	daemon/supervisor/sup_ask.c \
	daemon/supervisor/sup_board.c \
	daemon/supervisor/sup_child.c \
	daemon/supervisor/sup_client.c \
	daemon/supervisor/sup_command.c \
	daemon/supervisor/sup_conf.c \
	daemon/supervisor/sup_conf_key.c \
	daemon/supervisor/sup_conf_value.c \
	daemon/supervisor/sup_control.c \
	daemon/supervisor/sup_event.c \
	daemon/supervisor/sup_fill.c \
	daemon/supervisor/sup_flip.c \
	daemon/supervisor/sup_gate.c \
	daemon/supervisor/sup_judge.c \
	daemon/supervisor/sup_judge_look.c \
	daemon/supervisor/sup_judge_rank.c \
	daemon/supervisor/sup_judge_session.c \
	daemon/supervisor/sup_judge_shadow.c \
	daemon/supervisor/sup_judge_share.c \
	daemon/supervisor/sup_judge_time.c \
	daemon/supervisor/sup_judge_weigh.c \
	daemon/supervisor/sup_keep.c \
	daemon/supervisor/sup_lane.c \
	daemon/supervisor/sup_load.c \
	daemon/supervisor/sup_loop.c \
	daemon/supervisor/sup_message.c \
	daemon/supervisor/sup_notify.c \
	daemon/supervisor/sup_options.c \
	daemon/supervisor/sup_packs.c \
	daemon/supervisor/sup_pages.c \
	daemon/supervisor/sup_place.c \
	daemon/supervisor/sup_push.c \
	daemon/supervisor/sup_read.c \
	daemon/supervisor/sup_read_ring.c \
	daemon/supervisor/sup_read_threads.c \
	daemon/supervisor/sup_release.c \
	daemon/supervisor/sup_reload.c \
	daemon/supervisor/sup_run.c \
	daemon/supervisor/sup_scribe.c \
	daemon/supervisor/sup_sock.c \
	daemon/supervisor/sup_spawn.c \
	daemon/supervisor/sup_status.c \
	daemon/supervisor/sup_strand.c \
	daemon/supervisor/sup_target.c \
	daemon/supervisor/sup_trial.c \
	daemon/supervisor/sup_trial_help.c \
	daemon/supervisor/sup_trial_read.c \
	daemon/supervisor/sup_trial_show.c \
	daemon/supervisor/sup_uring.c \
	daemon/supervisor/sup_version.c \
	daemon/supervisor/sup_want.c \
	daemon/supervisor/sup_watch.c \
	daemon/supervisor/sup_worker.c

WRK_SRC := \
	daemon/worker/wrk_adapter.c \
	daemon/worker/wrk_admit.c \
	daemon/worker/wrk_batch.c \
	daemon/worker/wrk_bind.c \
	daemon/worker/wrk_check.c \
	daemon/worker/wrk_compare.c \
	daemon/worker/wrk_control.c \
	daemon/worker/wrk_draft.c \
	daemon/worker/wrk_embed.c \
	daemon/worker/wrk_emit.c \
	daemon/worker/wrk_grammar.c \
	daemon/worker/wrk_kv.c \
	daemon/worker/wrk_lane.c \
	daemon/worker/wrk_loop.c \
	daemon/worker/wrk_messages.c \
	daemon/worker/wrk_pace.c \
	daemon/worker/wrk_plan.c \
	daemon/worker/wrk_prefix.c \
	daemon/worker/wrk_queue.c \
	daemon/worker/wrk_rehearse.c \
	daemon/worker/wrk_reply.c \
	daemon/worker/wrk_request.c \
	daemon/worker/wrk_room.c \
	daemon/worker/wrk_sampling.c \
	daemon/worker/wrk_set.c \
	daemon/worker/wrk_shadow.c \
	daemon/worker/wrk_speed.c \
	daemon/worker/wrk_stop.c \
	daemon/worker/wrk_trial.c \
	daemon/worker/wrk_version.c \
	daemon/worker/wrk_want.c

CLIENT_SRC := \
	client/mhc_body.c \
	client/mhc_event.c \
	client/mhc_json.c \
	client/mhc_lane.c \
	client/mhc_parse.c \
	client/mhc_parse_call.c \
	client/mhc_push.c \
	client/mhc_request.c \
	client/mhc_socket.c \
	client/mhost.c

TOOL_SRC := \
	tools/adapters.c \
	tools/bar.c \
	tools/bench.c \
	tools/bench_fio.c \
	tools/bench_flip.c \
	tools/bench_host.c \
	tools/bench_load.c \
	tools/bench_machine.c \
	tools/bench_memory.c \
	tools/bench_mixed.c \
	tools/bench_peer.c \
	tools/bench_peer_llama.c \
	tools/bench_peer_measure.c \
	tools/bench_proc.c \
	tools/bench_raw.c \
	tools/bench_rtt.c \
	tools/bench_speed.c \
	tools/bench_storm.c \
	tools/bench_streams.c \
	tools/bench_svg.c \
	tools/bench_sweep.c \
	tools/bench_sweep_versions.c \
	tools/chat_lines.c \
	tools/chat_show.c \
	tools/choices.c \
	tools/cmd.c \
	tools/cmd_adapter.c \
	tools/cmd_adapter_host.c \
	tools/cmd_bench.c \
	tools/cmd_chat.c \
	tools/cmd_control.c \
	tools/cmd_diff.c \
	tools/cmd_embed.c \
	tools/cmd_golden.c \
	tools/cmd_history.c \
	tools/cmd_import.c \
	tools/cmd_merge.c \
	tools/cmd_probe.c \
	tools/cmd_prune.c \
	tools/cmd_push.c \
	tools/cmd_release.c \
	tools/cmd_render.c \
	tools/cmd_run.c \
	tools/cmd_sampling.c \
	tools/cmd_shadow.c \
	tools/cmd_tokens.c \
	tools/cmd_traffic.c \
	tools/cmd_verify.c \
	tools/cmd_watch.c \
	tools/ctl.c \
	tools/golden.c \
	tools/golden_make.c \
	tools/import_opts.c \
	tools/message.c \
	tools/meta.c \
	tools/meta_ini.c \
	tools/probe.c \
	tools/prompts.c \
	tools/prompts_golden.c \
	tools/reply.c \
	tools/request_opts.c \
	tools/signals.c \
	tools/stop.c \
	tools/store.c \
	tools/template.c \
	tools/verify_golden.c \
	tools/watch_dir.c \
	tools/watch_import.c \
	tools/watch_look.c \
	tools/watch_release.c \
	tools/watch_state.c

# What `mhost bench` looks for beside itself.
BENCH_SHARE := \
	tools/bench_peer_build.sh \
	tools/bench_peer_models.sh \
	tools/bench_peer_random.py \
	tools/deps.sh \
	tools/fetch-smollm2.sh

UNIT_TESTS := \
	adapter_check \
	adapter_pack \
	adapter_shadow \
	adapter_trial \
	amx \
	attach \
	bell \
	bits \
	blas \
	child \
	client \
	conf \
	diff \
	differ \
	diverge \
	draft \
	embed \
	epoch \
	extents \
	families \
	gguf \
	gguf_cut \
	gguf_parts \
	gra \
	gra_schema \
	hf_config \
	history \
	hrt \
	image \
	image_check \
	image_config \
	image_open \
	image_weights \
	import \
	import_bad \
	import_hf \
	import_memory \
	judge \
	kernels \
	load \
	lora \
	lora_kernels \
	merge \
	model \
	pace \
	pack \
	packs \
	parse \
	peft \
	peft_bad \
	prefix \
	prompts \
	prune \
	read \
	rehearse \
	ring \
	ring_peer \
	safetensors \
	sample \
	sample_rare \
	scribe \
	seg \
	semver \
	shadow \
	share \
	speed \
	spin \
	split \
	stat \
	steady \
	sup_adapter \
	sup_client \
	sup_control \
	sup_life \
	sup_start \
	sup_worker \
	template \
	threads \
	tok \
	tok_gguf \
	tok_json \
	tok_table \
	trial \
	vector \
	verify \
	wrk_adapter \
	wrk_check

FUZZERS := \
	conf \
	control \
	gguf \
	gguf_parts \
	grammar \
	hf_config \
	lane \
	peft \
	safetensors \
	state \
	template \
	tok_blob \
	tok_json

SCENARIOS := \
	tests/scenario/a01_adapters.sh \
	tests/scenario/a02_merge.sh \
	tests/scenario/a04_swap_storm.sh \
	tests/scenario/a05_adapter_release.sh \
	tests/scenario/b01_serve.sh \
	tests/scenario/b02_json.sh \
	tests/scenario/b03_errors.sh \
	tests/scenario/b04_install.sh \
	tests/scenario/b05_bench.sh \
	tests/scenario/c01_config.sh \
	tests/scenario/c02_levels.sh \
	tests/scenario/c03_user.sh \
	tests/scenario/d01_speculate.sh \
	tests/scenario/e01_embed.sh \
	tests/scenario/g01_golden.sh \
	tests/scenario/g02_probe.sh \
	tests/scenario/j01_grammar.sh \
	tests/scenario/j02_sampling.sh \
	tests/scenario/j03_choices.sh \
	tests/scenario/k01_kill.sh \
	tests/scenario/m01_memory.sh \
	tests/scenario/m02_shared.sh \
	tests/scenario/p01_perf.sh \
	tests/scenario/s01_shadow.sh \
	tests/scenario/t01_chat.sh \
	tests/scenario/t02_calls.sh \
	tests/scenario/v01_flip.sh \
	tests/scenario/v02_storm.sh \
	tests/scenario/v03_versions.sh \
	tests/scenario/v04_release.sh \
	tests/scenario/v05_bad_release.sh \
	tests/scenario/v06_restart.sh \
	tests/scenario/v07_shadow.sh \
	tests/scenario/v08_evidence.sh \
	tests/scenario/v09_overtaken.sh \
	tests/scenario/v10_hostile.sh \
	tests/scenario/v11_measured.sh \
	tests/scenario/w01_watch.sh \
	tests/scenario/w02_watch_host.sh \
	tests/scenario/y01_python.sh

MAN_PAGES := tools/mhost.1 daemon/supervisor/mhostd.8 daemon/supervisor/mhost.ini.5
RACE_CHECKS := $(B)/tests/abi/abi_test $(B)/tests/race/explore $(B)/tests/race/r_explore \
	$(B)/tests/race/storm_forks tests/race/tsan.sh
JUDGE_SIMS := $(B)/tests/judge/sim $(foreach n,1 2 3 4 5 6 7,$(B)/tests/judge/sim_mutant$(n))
# Before --: side by side, the longest first.
CHECKS    := $(JUDGE_SIMS) $(RACE_CHECKS) tests/check-layers.sh $(UNIT_TESTS:%=$(B)/tests/unit/%_test) \
	$(FUZZERS:%=$(B)/tests/fuzz/replay_%) -- $(SCENARIOS) tests/reference/check.sh
LONG_CHECKS := tests/scenario/a04_swap_storm.sh tests/scenario/v02_storm.sh tests/scenario/k01_kill.sh \
	$(B)/tests/judge/sim tests/reference/check.sh tests/reference/divergence.sh tests/reference/peft.sh \
	tests/reference/perplexity.sh tests/reference/schemas.sh tests/reference/templates.sh tests/reference/vocab.sh tools/ops/day.sh

# -- flags -----------------------------------------------------------------------------------------
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla \
	-Wno-unused-parameter
PKGS    := liburing inih jansson libedit libxxhash libpcre2-8 libutf8proc openblas libcrypto
DIRS    := shm client daemon/common daemon/engine daemon/engine/kernels daemon/grammar daemon/store daemon/supervisor daemon/template tests/lib
CFLAGS  ?= -O2 -g
# One rounding per operation: the same bits on every ISA.
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DMHOST_VERSION='"$(VERSION)"' $(WARN) $(if $(WERROR),-Werror) -fPIC \
	-fvisibility=hidden -ffp-contract=off -fno-strict-overflow -pthread $(addprefix -I,$(DIRS)) \
	$(shell pkg-config --cflags openblas 2>/dev/null) $(CFLAGS)
LIBS    := -Wl,--as-needed $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lnuma -lm -pthread
ifeq ($(SAN),asan)
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LIBS += -fsanitize=address,undefined
endif
ifeq ($(SAN),fuzz)
ALL_CFLAGS += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LIBS += -fsanitize=fuzzer-no-link,address,undefined
endif
ifeq ($(SAN),tsan)
ALL_CFLAGS += -fsanitize=thread
LIBS += -fsanitize=thread
endif

objs = $(patsubst %.c,$(B)/%.o,$(1))
LIB_SRC := $(SHM_SRC) $(ENGINE_SRC) $(GRAMMAR_SRC) $(STORE_SRC) $(TEMPLATE_SRC) $(COMMON_SRC) $(SUP_SRC) $(WRK_SRC) $(CLIENT_SRC) $(TOOL_SRC)
PROGRAMS := $(if $(SUP_SRC),$(B)/mhostd) $(if $(WRK_SRC),$(B)/mhost-worker) $(if $(TOOL_SRC),$(B)/mhost) \
	$(if $(CLIENT_SRC),$(B)/libmhost.so)
TESTS   := $(UNIT_TESTS:%=$(B)/tests/unit/%_test)
BENCHES := $(B)/tests/unit/adapter_bench $(B)/tests/unit/kernels_bench $(B)/tests/unit/eng_bench

all: ## build everything (after `make deps`)
all: programs

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

# -- build -----------------------------------------------------------------------------------------
$(B)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ISA_FLAGS) -MMD -MP -c $< -o $@

# Loops over 16 lanes in plain C: worth vectors of whatever the target has.
$(B)/daemon/engine/kernels/%_generic.o: ISA_FLAGS := $(if $(SAN),,-O3)
$(B)/daemon/engine/kernels/%_avx2.o: ISA_FLAGS := -mavx2 -mfma -mf16c
$(B)/daemon/engine/kernels/%_avx512.o: ISA_FLAGS := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma -mf16c
# -O3: scales of K types become floats in loops of 16.
$(B)/daemon/engine/kernels/%_amx.o: ISA_FLAGS := -O3 -mamx-tile -mamx-int8 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma -mf16c

# What an import does to each weight: loops of fixed length become vectors.
$(addprefix $(B)/daemon/engine/,eng_pack.o eng_quant.o eng_source.o) $(addprefix $(B)/daemon/store/,sto_lora_delta.o sto_lora_rows.o): ISA_FLAGS := -O3

$(B)/libmhost-all.a: $(call objs,$(LIB_SRC) $(filter-out tests/lib/t_storm.c,$(wildcard tests/lib/*.c)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/mhostd: $(call objs,daemon/supervisor/sup_main.c) $(B)/libmhost-all.a
$(B)/mhost-worker: $(call objs,daemon/worker/wrk_main.c) $(B)/libmhost-all.a
$(B)/mhost: $(call objs,tools/mhost.c) $(B)/libmhost-all.a
$(B)/mhostd $(B)/mhost-worker $(B)/mhost $(TESTS) $(B)/tests/unit/tok_check $(BENCHES):
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(B)/libmhost.so: $(call objs,$(CLIENT_SRC) $(SHM_SRC)) client/libmhost.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libmhost.so.2 -Wl,--version-script=client/libmhost.map \
		-o $@.2 $(filter %.o,$^) -pthread $(filter -fsanitize%,$(LIBS))
	$(Q)ln -sf libmhost.so.2 $@

$(BENCHES): %: %.o $(B)/libmhost-all.a
$(TESTS): $(B)/tests/unit/%_test: $(B)/tests/unit/%_test.o $(B)/libmhost-all.a
$(B)/tests/unit/tok_check: $(B)/tests/unit/tok_check.o $(B)/libmhost-all.a

# The shared layer's proofs: mhs_epoch.c as it is, under the explorer's accesses, and with weaker orders.
RACE_TESTS := $(filter $(B)/%,$(RACE_CHECKS)) $(B)/tests/race/storm_threads \
	$(B)/tests/race/storm_weak1 $(B)/tests/race/storm_weak2 $(B)/tests/race/storm_weak3
$(B)/tests/race/epoch_explored.o: shm/mhs_epoch.c tests/race/x_hooks.h
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DX_REAL_CODE -include tests/race/x_hooks.h -MMD -MP -c $< -o $@
$(B)/tests/race/explore: $(call objs,$(wildcard tests/race/x_*.c)) $(B)/tests/race/epoch_explored.o
$(B)/tests/race/ring_explored.o: shm/mhs_ring.c tests/race/r_hooks.h
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -include tests/race/r_hooks.h -MMD -MP -c $< -o $@
$(B)/tests/race/r_explore: $(call objs,tests/race/r_explore.c) $(B)/tests/race/ring_explored.o
$(B)/tests/race/storm_forks: $(call objs,tests/race/storm.c tests/race/storm_forks.c)
$(B)/tests/abi/abi_test: $(B)/tests/abi/abi_test.o
$(filter $(B)/%,$(RACE_CHECKS)): $(call objs,shm/mhs_attach.c shm/mhs_epoch.c shm/mhs_seg.c tests/lib/t.c)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ \
		$(filter-out $(if $(filter %/epoch_explored.o,$^),%/shm/mhs_epoch.o),$(filter %.o,$^)) $(LIBS)
$(B)/tests/race/storm_threads $(B)/tests/race/storm_weak1 $(B)/tests/race/storm_weak2 \
$(B)/tests/race/storm_weak3: tests/race/storm_threads.c tests/race/storm.c tests/lib/t.c shm/mhs_attach.c \
		shm/mhs_epoch.c $(wildcard shm/*.h tests/race/*.h)
	$(call say,TSAN,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -fsanitize% -fno-sanitize%,$(ALL_CFLAGS)) -fsanitize=thread \
		$(if $(findstring weak,$@),-DWEAK=$(subst $(B)/tests/race/storm_weak,,$@) -include tests/race/orders.h) \
		$(filter %.c,$^) -o $@ -lm -pthread

# Releases simulated with the real analysis, and with one mistake in it at a time.
JUDGE_SRC := $(filter daemon/supervisor/sup_judge%,$(SUP_SRC))
$(JUDGE_SIMS): tests/judge/sim.c tests/lib/t.c $(JUDGE_SRC) $(wildcard daemon/supervisor/sup_judge*.h)
	$(call say,SIM,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(findstring mutant,$@),-DJUDGE_MUTANT=$(subst $(B)/tests/judge/sim_mutant,,$@)) \
		$(filter %.c,$^) -o $@ -lm $(filter -fsanitize%,$(LIBS))

# Programs that scenarios drive.
STORMS  := $(B)/tests/scenario/crowd $(B)/tests/scenario/speculate $(B)/tests/scenario/storm $(B)/tests/fault/kill
$(STORMS): %: %.o $(B)/tests/lib/t_storm.o $(B)/libmhost-all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
$(B)/tests/lib/t_storm.o $(STORMS:%=%.o): ALL_CFLAGS += -Itools
$(B)/example: client/example.c $(B)/libmhost.so
	$(Q)$(CC) -std=c99 -Wall -Wextra -Iclient $< -o $@ -L$(B) -lmhost -Wl,-rpath,$(abspath $(B))

# Fuzz targets: under libFuzzer (SAN=fuzz CC=clang), and replayed over their corpus with any compiler.
$(B)/tests/fuzz/fuzz_lane.o: ALL_CFLAGS += -Idaemon/worker
REPLAYS := $(FUZZERS:%=$(B)/tests/fuzz/replay_%)
$(REPLAYS): $(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(B)/libmhost-all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
$(FUZZERS:%=$(B)/tests/fuzz/fuzz_%): %: %.o $(B)/libmhost-all.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)

# -- for people ------------------------------------------------------------------------------------
deps: ## install the Debian packages that a build needs
	@tools/deps.sh build

quickstart: ## a real model from import to rollback, in a private directory
	@tools/deps.sh quickstart
	@$(MAKE) -j$(JOBS) --no-print-directory programs
	@tools/quickstart.sh $(B)

JOBS ?= $(shell nproc)
check: ## all tests, in minutes
	@tools/deps.sh check
	@$(MAKE) -j$(JOBS) --no-print-directory programs tests
	@B=$(B) tests/run.sh $(if $(SAN),-t 1200) $(CHECKS)

check-long: ## the long campaigns: storms, kills, releases, reference data on every ISA level
	@tools/deps.sh check
	@$(MAKE) --no-print-directory programs tests
	@B=$(B) FLIPS=1000000 SWAPS=10000 KILLS=2000 JUDGE_RELEASES=10000 LEVELS=all tests/run.sh -t 3600 $(LONG_CHECKS)

check-reference: programs ## a folder of reference data, whole, through a real mhostd: DIR=...
	@python3 tests/reference/check_reference.py --mhost $(B)/mhost --mhostd $(B)/mhostd --whole $(DIR)

check-race: $(RACE_TESTS) ## the epoch protocol: all interleavings, mutants, ThreadSanitizer, processes
	@B=$(B) V=1 tests/run.sh $(RACE_CHECKS)

FUZZ_TIME ?= 60
fuzz: ## the parsers of untrusted bytes under libFuzzer (clang), FUZZ_TIME seconds each
	@tools/deps.sh lint
	@$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang SAN=fuzz $(FUZZERS:%=$(B)/fuzz/tests/fuzz/fuzz_%)
	@for name in $(FUZZERS); do mkdir -p $(B)/fuzz/corpus/$$name && \
		$(B)/fuzz/tests/fuzz/fuzz_$$name -max_total_time=$(FUZZ_TIME) -max_len=65536 -timeout=10 \
		-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$(B)/fuzz/$$name- \
		$(B)/fuzz/corpus/$$name tests/fuzz/corpus/$$name || exit 1; done

bench-kernels: $(B)/tests/unit/kernels_bench ## the kernels beside a plain read of memory
	@$<

bench-engine: $(B)/tests/unit/eng_bench ## whole steps over made-up weights
	@$<

check-layers: ## who may include whom
	@tests/check-layers.sh

lint: ## warnings as errors under gcc and clang, layers, man pages
	@tools/deps.sh lint
	@$(MAKE) --no-print-directory B=$(B)/lint-gcc CC=gcc WERROR=1 programs tests
	@$(MAKE) --no-print-directory B=$(B)/lint-clang CC=clang WERROR=1 programs tests
	@tests/check-layers.sh
	@mandoc -T lint -W warning $(MAN_PAGES) && echo "lint: clean"

install: programs ## into DESTDIR/PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/mhost/tiny/model $(foreach s,1 5 8,$(DESTDIR)$(PREFIX)/share/man/man$(s))
	install $(B)/mhost $(DESTDIR)$(PREFIX)/bin
	install $(B)/mhostd $(B)/mhost-worker $(DESTDIR)$(PREFIX)/sbin
	install -m 644 $(B)/libmhost.so.2 $(DESTDIR)$(PREFIX)/lib
	ln -sf libmhost.so.2 $(DESTDIR)$(PREFIX)/lib/libmhost.so
	install -m 644 client/mhost.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(BENCH_SHARE) $(DESTDIR)$(PREFIX)/share/mhost
	install -m 644 tools/tiny/model/* $(DESTDIR)$(PREFIX)/share/mhost/tiny/model
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' client/mhost.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/mhost.pc
	$(foreach m,$(MAN_PAGES),install -m 644 $(m) $(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(m)));)

clean: ## remove what was built
	rm -rf $(B)

programs: $(PROGRAMS)
tests: $(TESTS) $(B)/tests/unit/tok_check $(JUDGE_SIMS) $(STORMS) $(B)/example $(RACE_TESTS) $(REPLAYS)
.PHONY: all fuzz help deps quickstart check check-long check-race check-reference bench-engine bench-kernels check-layers lint install clean programs tests

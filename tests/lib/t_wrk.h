/* SPDX-License-Identifier: MIT */
/* t_wrk.h: a worker in this process, over a board that the test writes, with one client's lane. */
#ifndef T_WRK_H
#define T_WRK_H

#include "../../daemon/worker/wrk.h"

struct t_wrk {
	struct mhs_board board;		/* model 0 is "tiny" */
	struct mhs_slot slot;
	struct mhs_stats stats;
	struct mhs_replies replies;
	struct wrk w;
	struct mhs_lane *lane;
	struct mhs_ring_end submit, event;	/* the client's ends */
	int supervisor;			/* the other end of the control socket */
};

/* From nothing: one thread, no version attached, no route. False: no descriptor or memory. */
bool t_wrk_open(struct t_wrk *t, uint64_t kv_bytes);
/* tiny@@semver of the test's store, imported from @path if it is not there yet, READY as @index. */
bool t_wrk_attach(struct t_wrk *t, uint32_t index, const char *semver, const char *path);
/* The same of the adapter @ref, "NAME@1.0.0", from the PEFT folder @path; not routed. */
bool t_wrk_attach_adapter(struct t_wrk *t, uint32_t index, const char *ref, const char *path);
/* Records of ends of version @index with @error; @moved: of requests at which another had failed before. */
uint32_t t_wrk_records(const struct t_wrk *t, uint32_t index, uint32_t error, bool moved);
/* Messages since the last call that the logits of version @index were no numbers, by index. */
void t_wrk_evidence(struct t_wrk *t, uint32_t counts[MHS_VERSION_MAX]);
void t_wrk_close(struct t_wrk *t);

#endif

/* SPDX-License-Identifier: MIT */
/* t_segments.h: a version or adapter of the test's store in sealed segments, as a supervisor hands them out. */
#ifndef T_SEGMENTS_H
#define T_SEGMENTS_H

#include "heritage.h"

/*
 * Its own file, then its packs, into @fds of [MHS_SEGMENT_MAX]; fills msg->attach, whose fd_count of
 * descriptors the caller closes. 0 or negative errno.
 */
int t_segments_adapter(const char *model, const char *adapter, const char *version, struct hrt_msg *msg,
		       int *fds);
int t_segments(const char *model, const char *version, struct hrt_msg *msg, int *fds);

#endif

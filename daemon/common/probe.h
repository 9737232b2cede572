/* SPDX-License-Identifier: MIT */
/*
 * probe.h: USDT probes of provider "mhost", for bpftrace, perf and gdb. One nop each while nobody
 * looks; without <sys/sdt.h> (systemtap-sdt-dev) nothing at all. tools/perf/README.md lists them.
 *
 * Times are durations in ns. A version is its index on the board.
 */
#ifndef PROBE_H
#define PROBE_H

#if !defined(MHOST_NO_PROBES) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define PROBE_ON	1
#endif
#endif

#ifdef PROBE_ON
#define PROBE3(name, a, b, c)		DTRACE_PROBE3(mhost, name, a, b, c)
#define PROBE4(name, a, b, c, d)	DTRACE_PROBE4(mhost, name, a, b, c, d)
#define PROBE5(name, a, b, c, d, e)	DTRACE_PROBE5(mhost, name, a, b, c, d, e)
#else
#define PROBE3(name, a, b, c)		((void)(a), (void)(b), (void)(c))
#define PROBE4(name, a, b, c, d)	((void)(a), (void)(b), (void)(c), (void)(d))
#define PROBE5(name, a, b, c, d, e)	((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))
#endif

/* mhostd: a model's traffic has moved. */
#define probe_flip(model, version, epoch)	PROBE3(flip, model, version, epoch)
/* mhostd: a version's memory is given back; @drain_ns since it was withdrawn. */
#define probe_reclaim(version, serial, drain_ns)	PROBE3(reclaim, version, serial, drain_ns)
/* mhost-worker: a version was attached, or not: @status is 0 or -errno. */
#define probe_attach(version, serial, status, ns)	PROBE4(attach, version, serial, status, ns)
/* mhost-worker: a request left the queue after @queue_ns. */
#define probe_admit(request, version, prompt_tokens, queue_ns) \
	PROBE4(admit, request, version, prompt_tokens, queue_ns)
/*
 * mhost-worker: its first token, @ns after it arrived; then each one, @gap_ns after the one before.
 */
#define probe_first_token(request, version, ns)	PROBE3(first_token, request, version, ns)
#define probe_token(request, version, index, gap_ns)	PROBE4(token, request, version, index, gap_ns)
/* mhost-worker: its end; reason and error as in mhs_wire.h. */
#define probe_end(request, reason, error, tokens, total_ns) \
	PROBE5(end, request, reason, error, tokens, total_ns)

#endif

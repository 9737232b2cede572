/* SPDX-License-Identifier: MIT */
/* t_worker.h: a worker without an engine, for tests of the supervisor (t_host.h says what it can do wrong). */
#ifndef T_WORKER_H
#define T_WORKER_H

int t_worker_main(const char *mode_path);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * t_host.h: a supervisor in a child process, with workers that are this very test program (t_worker_main).
 * What the workers do is read from a file, so a test changes it while they run.
 */
#ifndef T_HOST_H
#define T_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mhs_wire.h"

/* First line of main(): in a worker it does not return. */
void t_host_main(void);

/*
 * Words in the mode file: refuse, die_attach, die_start, bad_init, garbage, pin, stuck, deaf, scribble (with last: the largest count),
 * want=MODEL/ADAPTER@VERSION (asked for once, the answer goes to the log), wantraw (no text at all),
 * die2, deny2 (as die_attach and refuse, of index 2 alone), hold1, hold2 (the attach of that index is answered later). Empty: a good worker.
 */
void t_host_mode(const char *words);

/* For the next start: adopt_max_ns and adopt_limit_ns of struct sup. 0: its own. */
extern uint64_t t_host_adopt_max_ns, t_host_adopt_limit_ns;

/* Start on t_tmpdir()/store and t_tmpdir()/s with more options, NULL-terminated. Waits until status answers. */
pid_t t_host_start(const char *const *options);
pid_t t_host_spawn(const char *const *options);	/* without waiting */
/* SIGTERM, then the exit status; -1 when it does not end within 15 s (it is killed then). */
int t_host_stop(pid_t pid);
int t_host_wait(pid_t pid, int seconds);
const char *t_host_log(void);		/* all of its standard error so far, in a static buffer */

/* One request; the final line. NULL when the connection ended without one. */
json_t *t_host_call(const char *request);
/* The same, as a test: it must be ok (or not). Returns the object, or a new empty one. */
json_t *t_host_ok(const char *request);
json_t *t_host_refused(const char *request, const char *word_in_error);
int t_host_connect(const char *suffix, int type);

/* Pid of worker row @index in state @state; waits up to 10 s; 0: never. */
pid_t t_host_worker(size_t index, const char *state);
int t_host_fds(pid_t pid);		/* open descriptors of a process, once they stay the same */

/* A raw client: connected and greeted. */
int t_client_open(void);
/* One message within @ms; *@fd_count descriptors, closed. 0, -ETIMEDOUT, -EPIPE. */
int t_client_recv(int sock, struct mhs_sock *msg, int *fd_count, int ms);
int t_client_hello(int sock, uint64_t magic, uint16_t major, uint32_t type);

/* Read on @sock until a final answer is among what came, at most @bytes with the NUL. */
void t_host_final(int sock, char *text, size_t bytes);

#endif

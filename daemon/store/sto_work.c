/* SPDX-License-Identifier: MIT */
/* sto_work.c: the jobs of an import (hash each file, pack each tensor) over a few threads. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sto_image_priv.h"

#define THREAD_MAX	8u

int sto_work_step(void *arg, uint64_t bytes)
{
	struct sto_work *work = arg;
	const struct sto_import *import = work->import;
	/* relaxed: a count for people, nothing is published by it */
	uint64_t done = bytes + atomic_fetch_add_explicit(&work->done_bytes, bytes,
							  memory_order_relaxed);

	if (import->progress && pthread_mutex_trylock(&work->lock) == 0) {
		import->progress(import->progress_arg, "importing", done, work->all_bytes);
		pthread_mutex_unlock(&work->lock);
	}
	/* relaxed: only asks to end soon; the error itself is under the lock */
	if (import->stop && atomic_load_explicit(import->stop, memory_order_relaxed))
		return -EINTR;
	return atomic_load_explicit(&work->failed, memory_order_relaxed) ? -EINTR : 0;
}

static void job_failed(struct sto_work *work, int err, const struct sto_error *error)
{
	pthread_mutex_lock(&work->lock);
	if (!work->err) {
		work->err = err;
		work->error = *error;
	}
	pthread_mutex_unlock(&work->lock);
	/* relaxed: see sto_work_step */
	atomic_store_explicit(&work->failed, 1, memory_order_relaxed);
}

/* Hashing a file is one long job, so those come first. */
static void *run_jobs(void *arg)
{
	struct sto_work *work = arg;
	uint32_t files = work->model->file_count;
	uint32_t jobs = files + work->model->tensor_count;

	for (;;) {
		/* relaxed: hands out numbers; the results are read after pthread_join */
		uint32_t job = atomic_fetch_add_explicit(&work->next_job, 1, memory_order_relaxed);
		struct sto_error error = { "" };
		int err;

		if (job >= jobs || atomic_load_explicit(&work->failed, memory_order_relaxed))
			return NULL;
		if (job < files)
			err = sto_file_hash(&work->model->files[job], sto_work_step, work, &error);
		else
			err = sto_pack_tensor(work, job - files, &error);
		if (err)
			job_failed(work, err, &error);
	}
}

int sto_work_run(struct sto_work *work, struct sto_error *error)
{
	pthread_t threads[THREAD_MAX];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t wanted = work->import->threads, started = 0;

	if (!wanted)
		wanted = cpus > 1 ? (uint32_t)cpus : 1;
	if (wanted > THREAD_MAX)
		wanted = THREAD_MAX;
	/* This thread works too; fewer threads than wanted only take longer. */
	while (started + 1 < wanted && pthread_create(&threads[started], NULL, run_jobs, work) == 0)
		started++;
	run_jobs(work);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (work->err)
		*error = work->error;
	return work->err;
}

/* SPDX-License-Identifier: MIT */
/*
 * sto_work.c: the jobs of an import over a few threads. Tensors are packed first: the content hash
 * goes over the whole image in order, on one core, and the source files are hashed beside it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "sto_image_priv.h"

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
	pthread_cond_broadcast(&work->moved);
	pthread_mutex_unlock(&work->lock);
	/* relaxed: see sto_work_step */
	atomic_store_explicit(&work->failed, 1, memory_order_relaxed);
}

static uint32_t tensor_count(const struct sto_work *work)
{
	return work->model->tensor_count;
}

/* The next job below @limit. */
static bool job_take(struct sto_work *work, uint32_t limit, uint32_t *job)
{
	bool taken;

	pthread_mutex_lock(&work->lock);
	*job = work->next_job;
	taken = !work->err && *job < limit;
	work->next_job += taken;
	pthread_mutex_unlock(&work->lock);
	return taken;
}

static void tensor_done(struct sto_work *work)
{
	pthread_mutex_lock(&work->lock);
	work->packed++;
	pthread_cond_broadcast(&work->moved);
	pthread_mutex_unlock(&work->lock);
}

static void jobs_run(struct sto_work *work, uint32_t limit)
{
	const uint32_t tensors = tensor_count(work);
	uint32_t job;

	while (job_take(work, limit, &job)) {
		struct sto_error error = { "" };
		int err = job < tensors ? sto_pack_tensor(work, job, &error) :
			  sto_file_hash(&work->model->files[job - tensors], sto_work_step, work, &error);

		if (err)
			job_failed(work, err, &error);
		else if (job < tensors)
			tensor_done(work);
	}
}

static uint32_t all_jobs(const struct sto_work *work)
{
	return tensor_count(work) + work->model->file_count;
}

static void *work_main(void *arg)
{
	jobs_run(arg, all_jobs(arg));
	return NULL;
}

void sto_work_start(struct sto_work *work)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t wanted = work->import->threads;

	if (!wanted)
		wanted = cpus > 1 ? (uint32_t)cpus : 1;
	if (wanted > STO_THREAD_MAX)
		wanted = STO_THREAD_MAX;
	/* The caller works too; fewer threads than wanted only take longer. */
	while (work->thread_count + 1 < wanted &&
	       pthread_create(&work->threads[work->thread_count], NULL, work_main, work) == 0)
		work->thread_count++;
}

int sto_work_pack(struct sto_work *work)
{
	int err;

	jobs_run(work, tensor_count(work));
	pthread_mutex_lock(&work->lock);
	while (work->packed < tensor_count(work) && !work->err)
		pthread_cond_wait(&work->moved, &work->lock);
	err = work->err;
	pthread_mutex_unlock(&work->lock);
	return err;
}

int sto_work_end(struct sto_work *work, int err, struct sto_error *error)
{
	if (err)
		job_failed(work, err, error);
	jobs_run(work, all_jobs(work));
	while (work->thread_count)
		pthread_join(work->threads[--work->thread_count], NULL);
	if (work->err)
		*error = work->error;
	return work->err;
}

/* SPDX-License-Identifier: MIT */
/* sup_read_threads.c: where io_uring is absent or refused, a few threads with preadv(2). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>

#include "sup_read.h"

#define THREADS		4u

struct crew {
	struct sup_read *read;
	int fd;
	bool direct;
	atomic_uint_fast64_t next;	/* offset of the first block not claimed */
	pthread_mutex_t lock;		/* of the rest */
	int err;			/* the first */
	struct sto_error *error;
};

static bool crew_is_over(struct crew *crew)
{
	bool over;

	pthread_mutex_lock(&crew->lock);
	over = crew->err != 0;
	pthread_mutex_unlock(&crew->lock);
	return over;
}

/* Keep the first error. */
static void crew_fail(struct crew *crew, int err, const struct sto_error *why)
{
	pthread_mutex_lock(&crew->lock);
	if (!crew->err) {
		crew->err = err;
		*crew->error = *why;
	}
	pthread_mutex_unlock(&crew->lock);
}

/* One whole block. 0 or negative errno with text. */
static int block_read(struct crew *crew, uint64_t offset, uint32_t bytes, struct sto_error *error)
{
	uint32_t done = 0;

	while (done < bytes) {
		struct iovec iov;
		ssize_t n;

		if (crew->direct)
			done &= ~(SUP_READ_ALIGN_BYTES - 1);
		iov = (struct iovec){ crew->read->base + offset + done, bytes - done };
		n = preadv(crew->fd, &iov, 1, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0 && n < (ssize_t)SUP_READ_ALIGN_BYTES && crew->direct)
			n = 0;	/* never in the middle of a file */
		if (n <= 0) {
			int err = n ? -errno : 0;

			sup_read_fail(offset + done, err, error);
			return err ? err : -EIO;
		}
		done += (uint32_t)n;
		atomic_fetch_add_explicit(&crew->read->read_bytes, (uint64_t)n, memory_order_relaxed);
	}
	if (!crew->direct)
		posix_fadvise(crew->fd, (off_t)offset, bytes, POSIX_FADV_DONTNEED);
	return 0;
}

static void block_do(struct crew *crew, uint64_t offset)
{
	struct sup_read *read = crew->read;
	uint64_t left = read->end - offset;
	uint32_t bytes = left < read->block_bytes ? (uint32_t)left : read->block_bytes;
	struct sto_error why = { "cancelled" };
	int err;

	if (read->cancel && atomic_load_explicit(read->cancel, memory_order_relaxed)) {
		crew_fail(crew, -ECANCELED, &why);
		return;
	}
	err = read->fill ? sup_fill_wait(read->fill, offset + bytes) : 0;
	if (err) {
		sto_fail(&why, "making pages: %s", strerror(-err));
		crew_fail(crew, err, &why);
		return;
	}
	err = block_read(crew, offset, bytes, &why);
	if (err) {
		/* The very first read refused: this way is closed, not the file bad. */
		if (crew->direct && offset == read->begin && sup_read_is_closed(err))
			err = SUP_READ_NEXT;
		crew_fail(crew, err, &why);
		return;
	}
	err = read->arrived(read->arg, offset, bytes, &why);
	if (err)
		crew_fail(crew, err, &why);
}

static void *crew_main(void *arg)
{
	struct crew *crew = arg;
	const struct sup_read *read = crew->read;

	while (!crew_is_over(crew)) {
		uint64_t offset = atomic_fetch_add_explicit(&crew->next, read->block_bytes,
							    memory_order_relaxed);

		if (offset >= read->end)
			break;
		block_do(crew, offset);
	}
	return NULL;
}

int sup_read_threads(struct sup_read *read, int fd, bool direct, struct sto_error *error)
{
	struct crew crew = { .read = read, .fd = fd, .direct = direct, .error = error };
	pthread_t threads[THREADS];
	uint32_t count = 0;

	atomic_init(&crew.next, read->begin);
	pthread_mutex_init(&crew.lock, NULL);
	/* The first block alone: it tells whether this way is open. */
	block_do(&crew, atomic_fetch_add_explicit(&crew.next, read->block_bytes, memory_order_relaxed));
	while (count < THREADS - 1 && pthread_create(&threads[count], NULL, crew_main, &crew) == 0)
		count++;
	crew_main(&crew);
	for (uint32_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&crew.lock);
	return crew.err;
}

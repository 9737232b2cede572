/* SPDX-License-Identifier: MIT */
#include "sup_fill.h"

#include "mhs_seg.h"
#include "sup_loop.h"

#define STEP_BYTES	(UINT64_C(4) << 20)

static void *fill_main(void *arg)
{
	struct sup_fill *fill = arg;
	uint64_t begin = sup_now_ns(), at = 0, step;
	bool stop = false;
	int err = 0;

	while (at < fill->bytes && !err && !stop) {
		step = fill->bytes - at < fill->step_bytes ? fill->bytes - at : fill->step_bytes;
		err = mhs_seg_allocate(fill->fd, at, step);
		at += step;
		pthread_mutex_lock(&fill->lock);
		if (err)
			fill->err = err;
		else
			fill->done_bytes = at;
		fill->took_ns = sup_now_ns() - begin;
		stop = fill->stop;
		pthread_cond_broadcast(&fill->moved);
		pthread_mutex_unlock(&fill->lock);
	}
	return NULL;
}

void sup_fill_whole(struct sup_fill *fill, uint64_t bytes)
{
	*fill = (struct sup_fill){ .fd = -1, .bytes = bytes, .done_bytes = bytes };
	pthread_mutex_init(&fill->lock, NULL);
	pthread_cond_init(&fill->moved, NULL);
}

void sup_fill_start(struct sup_fill *fill, int fd, uint64_t bytes, uint64_t page_bytes)
{
	sup_fill_whole(fill, bytes);
	fill->fd = fd;
	fill->done_bytes = 0;
	fill->step_bytes = page_bytes > STEP_BYTES ? page_bytes : STEP_BYTES;
	fill->started = pthread_create(&fill->thread, NULL, fill_main, fill) == 0;
	if (!fill->started)
		fill_main(fill);
}

int sup_fill_ready(struct sup_fill *fill, uint64_t end)
{
	int result;

	pthread_mutex_lock(&fill->lock);
	result = fill->done_bytes >= end ? 1 : fill->err;
	pthread_mutex_unlock(&fill->lock);
	return result;
}

int sup_fill_wait(struct sup_fill *fill, uint64_t end)
{
	uint64_t begin = sup_now_ns();
	int err = 0;

	pthread_mutex_lock(&fill->lock);
	while (fill->done_bytes < end && !fill->err)
		pthread_cond_wait(&fill->moved, &fill->lock);
	fill->waited_ns += sup_now_ns() - begin;
	if (fill->done_bytes < end)
		err = fill->err;
	pthread_mutex_unlock(&fill->lock);
	return err;
}

uint64_t sup_fill_end(struct sup_fill *fill)
{
	pthread_mutex_lock(&fill->lock);
	fill->stop = true;
	pthread_mutex_unlock(&fill->lock);
	if (fill->started)
		pthread_join(fill->thread, NULL);
	fill->started = false;
	pthread_cond_destroy(&fill->moved);
	pthread_mutex_destroy(&fill->lock);
	return fill->took_ns;
}

/* SPDX-License-Identifier: MIT */
/*
 * bench_memory.c: memory by process, from the kernel's smaps. Shared segments (memfd) count as
 * shared also while only one process happens to map them: the weights are reported once, beside the
 * processes.
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"

struct usage {
	double private_mb, shared_mb;	/* hugetlb pages counted */
};

/* "ADDRESS-ADDRESS PERMS OFFSET DEVICE INODE NAME" begins a mapping; "Key: N kB" lines follow. */
static bool read_usage(int pid, struct usage *u)
{
	char path[64], line[512], key[64];
	bool is_segment = false;
	double kb;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	*u = (struct usage){ 0 };
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63[^: ]: %lf kB", key, &kb) != 2) {
			if (strchr(line, '-'))
				is_segment = strstr(line, " /memfd:") != NULL;
			continue;
		}
		if (!strncmp(key, "Shared_", 7) || (is_segment && !strncmp(key, "Private_", 8)))
			u->shared_mb += kb / 1024;
		else if (!strncmp(key, "Private_", 8))
			u->private_mb += kb / 1024;
	}
	fclose(f);
	return true;
}

static void add_process(json_t *list, const char *name, int pid, double *private_sum)
{
	struct usage u;

	if (!read_usage(pid, &u)) {
		json_array_append_new(list, json_pack("{s:s, s:i}", "process", name, "pid", pid));
		return;
	}
	*private_sum += u.private_mb;
	json_array_append_new(list, json_pack("{s:s, s:i, s:f, s:f}", "process", name, "pid", pid,
					      "private_mb", u.private_mb, "shared_mb", u.shared_mb));
}

int bench_part_memory(struct bench *b)
{
	json_t *out = json_object(), *list = json_array(), *worker;
	json_t *status = bench_call(b, "status", NULL), *workers = bench_call(b, "workers", NULL);
	const json_t *memory = json_object_get(status, "memory");
	double private_sum = 0;
	size_t i;

	json_object_set_new(b->out, "memory", out);
	if (!status || !workers)
		return CMD_FAILED;
	add_process(list, "mhostd", (int)json_integer_value(json_object_get(status, "pid")),
		    &private_sum);
	json_array_foreach(json_object_get(workers, "workers"), i, worker)
		add_process(list, "mhost-worker",
			    (int)json_integer_value(json_object_get(worker, "pid")), &private_sum);
	json_object_set_new(out, "weights_once_mb",
			    json_real(json_number_value(json_object_get(memory, "arena_bytes")) /
				      1048576));
	json_object_set_new(out, "image_mb",
			    json_real(json_number_value(json_object_get(memory, "image_bytes")) /
				      1048576));
	json_object_set_new(out, "private_sum_mb", json_real(private_sum));
	json_object_set_new(out, "worker_count", json_integer((json_int_t)i));
	json_object_set_new(out, "processes", list);
	json_decref(status);
	json_decref(workers);
	return CMD_OK;
}

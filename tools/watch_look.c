/* SPDX-License-Identifier: MIT */
/*
 * watch_look.c: whether a checkpoint is complete, decided from what is there now, so that it does
 * not matter which events were seen, or how often one looks.
 *
 * A folder is complete with a marker that is not older than any file that an import reads, or when
 * it was renamed into place as a whole. A rename that nobody saw shows in the folder's inode: its
 * change time is later than its modification time, which the last file made in it set both of (unless
 * both fell into one tick of the file system's clock: then it waits for a marker). A file that
 * somebody has open for writing makes either incomplete; the kernel knows.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sto_gguf.h"
#include "watch.h"

#define FILES_MAX	4096u

static const char *const default_markers[] = { ".complete", "_SUCCESS" };

/* What an import reads beside weights. */
static const char *const source_names[] = {
	"chat_template.jinja",	 "chat_template.json",	  "config.json",
	"generation_config.json", "golden.jsonl",	  "model.safetensors.index.json",
	"special_tokens_map.json", "tokenizer.json",	  "tokenizer_config.json",
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

struct file {
	char name[NAME_MAX + 1];
	uint64_t bytes, inode, modified_ns, born_ns;
};

struct folder {
	struct file *files;		/* sources */
	uint32_t count;
	uint64_t newest_ns, marker_ns;	/* marker_ns 0: no marker */
	char newest[NAME_MAX + 1];
	bool has_writer;
	char writer[NAME_MAX + 1];
};

static bool ends_in(const char *name, const char *tail)
{
	size_t n = strlen(name), m = strlen(tail);

	return n > m && !strcmp(name + n - m, tail);
}

bool watch_is_candidate(const char *name)
{
	return name[0] != '.' && !ends_in(name, ".tmp") && !ends_in(name, ".part");
}

static bool is_marker(const struct watch *w, const char *name)
{
	if (w->marker)
		return !strcmp(name, w->marker);
	for (size_t i = 0; i < COUNT(default_markers); i++)
		if (!strcmp(name, default_markers[i]))
			return true;
	return false;
}

static bool is_source(const char *name)
{
	for (size_t i = 0; i < COUNT(source_names); i++)
		if (!strcmp(name, source_names[i]))
			return true;
	return ends_in(name, ".safetensors") || ends_in(name, ".gguf");
}

static uint64_t ns_of(struct statx_timestamp t)
{
	return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

/* A read lease is given only while nobody writes. Where there are no leases, nobody is assumed to. */
static bool has_writer(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool busy;

	if (fd < 0)
		return false;
	busy = fcntl(fd, F_SETLEASE, F_RDLCK) && errno == EAGAIN;
	if (!busy)
		fcntl(fd, F_SETLEASE, F_UNLCK);
	close(fd);
	return busy;
}

/* false: no regular file. */
static bool look_at_file(int dir_fd, const char *name, struct file *file)
{
	struct statx st;

	if (statx(dir_fd, name, 0, STATX_BASIC_STATS | STATX_BTIME, &st) || !S_ISREG(st.stx_mode))
		return false;
	*file = (struct file){ .bytes = st.stx_size, .inode = st.stx_ino,
			       .modified_ns = ns_of(st.stx_mtime),
			       .born_ns = st.stx_mask & STATX_BTIME ? ns_of(st.stx_btime) : 0 };
	snprintf(file->name, sizeof(file->name), "%s", name);
	return true;
}

static void add_file(struct folder *f, int dir_fd, const struct file *file)
{
	if (f->count == FILES_MAX)
		return;
	f->files[f->count++] = *file;
	if (file->modified_ns > f->newest_ns) {
		f->newest_ns = file->modified_ns;
		memcpy(f->newest, file->name, sizeof(f->newest));
	}
	if (!f->has_writer && has_writer(dir_fd, file->name)) {
		f->has_writer = true;
		memcpy(f->writer, file->name, sizeof(f->writer));
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* Names, sizes, inodes and times: nothing is read, and a change of any of them shows. */
static void make_id(struct file *files, uint32_t count, char id[WATCH_ID_BYTES])
{
	uint8_t hash[MHS_CHUNK_HASH_BYTES];

	qsort(files, count, sizeof(*files), by_name);
	sto_hash128(files, count * sizeof(*files), hash);
	cmd_hex(hash, sizeof(hash), id);
}

static int read_folder(const struct watch *w, int dir_fd, struct folder *f)
{
	int scan_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);
	struct dirent *d;
	struct file file;

	if (!dir) {
		if (scan_fd >= 0)
			close(scan_fd);
		return -ENOENT;
	}
	f->files = calloc(FILES_MAX, sizeof(*f->files));
	while (f->files && (d = readdir(dir))) {
		bool marker = is_marker(w, d->d_name);

		if ((!marker && !is_source(d->d_name)) || !look_at_file(dir_fd, d->d_name, &file))
			continue;
		if (marker && file.modified_ns > f->marker_ns)
			f->marker_ns = file.modified_ns;
		if (!marker)
			add_file(f, dir_fd, &file);
	}
	closedir(dir);
	return f->files ? 0 : -ENOENT;
}

/* Nothing that an import reads: the import will say so, once for this folder. */
static void add_folder(struct folder *f, int dir_fd)
{
	struct statx st;

	if (statx(dir_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st))
		return;
	f->newest_ns = ns_of(st.stx_mtime);
	f->files[f->count++] = (struct file){ .inode = st.stx_ino, .modified_ns = f->newest_ns };
}

static bool was_renamed(int dir_fd)
{
	struct statx st;

	return !statx(dir_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) &&
	       ns_of(st.stx_ctime) > ns_of(st.stx_mtime);
}

static bool is_ended(const struct watch_entry *entry, const struct folder *f, int dir_fd)
{
	if (entry->is_closed || (f->marker_ns && f->marker_ns >= f->newest_ns))
		return true;
	return !f->marker_ns && entry->is_scanned && f->count && was_renamed(dir_fd);
}

static int lacks(struct watch_entry *entry, enum watch_lack lack)
{
	entry->lack = lack;
	return 0;
}

static int judge(const struct watch *w, struct watch_entry *entry, const struct folder *f, int dir_fd,
		 char why[WATCH_ERROR_BYTES])
{
	bool ended = is_ended(entry, f, dir_fd);

	if (ended && !f->has_writer)
		return 1;
	if (ended) {
		snprintf(why, WATCH_ERROR_BYTES, "%.250s is being written", f->writer);
		return lacks(entry, WATCH_LACKS_CLOSE);
	}
	if (f->marker_ns) {
		snprintf(why, WATCH_ERROR_BYTES, "its marker is older than %.250s; write it last",
			 f->newest);
		return lacks(entry, WATCH_LACKS_NEW_MARKER);
	}
	if (!f->count)
		return lacks(entry, WATCH_LACKS_ALL);
	snprintf(why, WATCH_ERROR_BYTES, "waits for its marker %.100s%s%s, or a rename",
		 w->marker ? w->marker : default_markers[0], w->marker ? "" : " or ",
		 w->marker ? "" : default_markers[1]);
	return lacks(entry, WATCH_LACKS_MARKER);
}

static int look_at_folder(const struct watch *w, struct watch_entry *entry, int fd,
			  char why[WATCH_ERROR_BYTES])
{
	struct folder f = { 0 };
	int found = read_folder(w, fd, &f);

	if (!found)
		found = judge(w, entry, &f, fd, why);
	if (found == 1) {
		if (!f.count)
			add_folder(&f, fd);
		make_id(f.files, f.count, entry->id);
		entry->newest_ns = f.newest_ns;
	}
	free(f.files);
	return found;
}

static int look_at_gguf(const struct watch *w, struct watch_entry *entry,
			char why[WATCH_ERROR_BYTES])
{
	uint32_t number, count;
	struct file file;

	if (!ends_in(entry->name, ".gguf") || !look_at_file(w->dir_fd, entry->name, &file))
		return -ENOENT;
	if (sto_gguf_part_name(entry->name, &number, &count) && count > 1) {
		snprintf(why, WATCH_ERROR_BYTES, "is part %u of %u; put the parts into a folder of "
			 "their own", number, count);
		return lacks(entry, WATCH_LACKS_FOLDER);
	}
	snprintf(why, WATCH_ERROR_BYTES, "is being written");
	if (!entry->is_closed && !entry->is_scanned)
		return lacks(entry, WATCH_LACKS_ALL);
	if (has_writer(w->dir_fd, entry->name))
		return lacks(entry, WATCH_LACKS_CLOSE);
	memset(file.name, 0, sizeof(file.name));	/* a rename changes nothing */
	entry->newest_ns = file.modified_ns;
	make_id(&file, 1, entry->id);
	return 1;
}

int watch_look(const struct watch *w, struct watch_entry *entry, char why[WATCH_ERROR_BYTES])
{
	int fd, found;

	if (!watch_is_candidate(entry->name))
		return -ENOENT;
	if (!sto_utf8_valid(entry->name, strlen(entry->name), false)) {
		snprintf(why, WATCH_ERROR_BYTES, "its name is not UTF-8 or has control characters; "
			 "rename it");
		return lacks(entry, WATCH_LACKS_NAME);
	}
	fd = openat(w->dir_fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return look_at_gguf(w, entry, why);
	found = look_at_folder(w, entry, fd, why);
	close(fd);
	return found;
}

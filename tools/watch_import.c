/* SPDX-License-Identifier: MIT */
/*
 * watch_import.c: `mhost import` of one checkpoint, in a process of its own: it parses what comes
 * from outside, and it may be ended at any moment and leaves nothing. It holds the watch's lock and
 * dies with the watch, so that no other watch begins while it still runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "watch.h"

#define END_WAIT_MS	10000	/* an import cleans up within moments */

struct arguments {
	char path[WATCH_PATH_BYTES], golden[WATCH_PATH_BYTES];
	char source[WATCH_ID_BYTES + 32], from[WATCH_PATH_BYTES + 32], why[NAME_MAX + 32];
	const char *list[32 + 2 * WATCH_META_MAX];
};

static void make_arguments(const struct watch *w, const struct watch_entry *entry,
			   struct arguments *a)
{
	uint32_t n = 0;

	snprintf(a->path, sizeof(a->path), "%s/%s", w->dir, entry->name);
	snprintf(a->golden, sizeof(a->golden), "%s/%s/golden.jsonl", w->dir, entry->name);
	snprintf(a->source, sizeof(a->source), "watch_source=%s", entry->id);
	snprintf(a->from, sizeof(a->from), "watch_path=%s", a->path);
	snprintf(a->why, sizeof(a->why), "mhost watch: %s", entry->name);
	a->list[n++] = "mhost";
	a->list[n++] = "import";
	a->list[n++] = "--store";
	a->list[n++] = w->store;
	a->list[n++] = "--bump";
	a->list[n++] = w->bump;
	a->list[n++] = "--why";
	a->list[n++] = a->why;
	a->list[n++] = "--meta";
	a->list[n++] = a->source;
	a->list[n++] = "--meta";
	a->list[n++] = a->from;
	for (uint32_t i = 0; i < w->meta_count; i++) {
		a->list[n++] = "--meta";
		a->list[n++] = w->meta[i];
	}
	if (w->quantize) {
		a->list[n++] = "--quantize";
		a->list[n++] = w->quantize;
	}
	if (w->context) {
		a->list[n++] = "--context";
		a->list[n++] = w->context;
	}
	if (access(a->golden, F_OK) == 0) {
		a->list[n++] = "--golden";
		a->list[n++] = a->golden;
	}
	a->list[n++] = w->model;
	a->list[n++] = a->path;
	a->list[n] = NULL;
}

/* In the child: only calls that are safe after a fork. */
static void become_import(const struct watch *w, const struct arguments *a, int out, pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	sigemptyset(&none);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0);	/* a terminal's Ctrl-C is for the watch, which ends its import itself */
	signal(SIGIO, SIG_DFL);
	if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
	    fcntl(w->lock_fd, F_SETFD, 0) || sigprocmask(SIG_SETMASK, &none, NULL))
		_exit(1);
	execv("/proc/self/exe", (char *const *)(uintptr_t)a->list);
	_exit(127);
}

static int spawn(struct watch *w, const struct watch_entry *entry)
{
	static struct arguments a;
	pid_t parent = getpid(), pid;
	int fds[2];

	make_arguments(w, entry, &a);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return cmd_fail(w->cmd, CMD_FAILED, "no pipe for the import: %s", strerror(errno));
	fcntl(fds[1], F_SETFL, 0);	/* the import's end waits for room */
	pid = fork();
	if (pid == 0)
		become_import(w, &a, fds[1], parent);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return cmd_fail(w->cmd, CMD_FAILED, "no process for the import: %s", strerror(errno));
	}
	w->child.pid = pid;
	w->child.fd = fds[0];
	w->child.used = 0;
	return CMD_OK;
}

int watch_import_start(struct watch *w, struct watch_entry *entry)
{
	int err = CMD_FAILED;

	entry->is_queued = false;
	memcpy(w->child.id, entry->id, sizeof(w->child.id));
	if (watch_state_add(w, entry->id, entry->name))
		err = watch_state_save(w);
	if (!err)
		err = spawn(w, entry);
	if (!err)
		watch_tell(w, "importing", entry->name, NULL, NULL);
	return err;
}

/* ---- its end -------------------------------------------------------------------------------- */

/* The last line of the output; without "mhost: import: " before it. */
static char *last_line(struct watch_child *c)
{
	static const char prefix[] = "mhost: import: ";
	char *line = c->output, *cut;

	while (c->used && (c->output[c->used - 1] == '\n' || c->output[c->used - 1] == '\r'))
		c->used--;
	c->output[c->used] = '\0';
	for (cut = c->output; *cut; cut++)
		if (*cut == '\n' && cut[1])
			line = cut + 1;
	return strncmp(line, prefix, strlen(prefix)) ? line : line + strlen(prefix);
}

static struct watch_entry *entry_of(struct watch *w, const char *id)
{
	for (uint32_t i = 0; i < w->entry_count; i++)
		if (!strcmp(w->entries[i].id, id))
			return &w->entries[i];
	return NULL;
}

static void note_failure(struct watch *w, struct watch_item *item, int status)
{
	const char *said = last_line(&w->child);

	item->fate = WATCH_FAILED;
	if (WIFSIGNALED(status))
		snprintf(item->error, sizeof(item->error), "the import was ended by signal %d",
			 WTERMSIG(status));
	else
		snprintf(item->error, sizeof(item->error), "%.*s", (int)sizeof(item->error) - 1,
			 said[0] ? said : "the import failed without a word");
	for (char *c = item->error; *c; c++)	/* cut anywhere, or a name's own bytes */
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
			*c = '?';
	w->has_failed = true;
	watch_tell(w, "failed", item->name, NULL, item->error);
}

static int note_success(struct watch *w, struct watch_item *item)
{
	int err = watch_state_version(w, item->id, item->version);

	if (!err && !item->version[0])
		err = cmd_fail(w->cmd, CMD_FAILED, "%s: was imported, and no manifest in %s has its "
			       "watch_source; check the store", item->name, w->store);
	if (err)
		return err;
	item->fate = w->policy == WATCH_IMPORT ? WATCH_DONE : WATCH_WAITING;
	watch_tell(w, "imported", item->name, item->version, NULL);
	w->call.next_ns = w->call.delay_ns = 0;	/* a newer one is tried at once */
	return CMD_OK;
}

static int finish(struct watch *w, int status)
{
	struct watch_child *c = &w->child;
	struct watch_item *item = watch_state_find(w, c->id);
	struct watch_entry *entry = entry_of(w, c->id);
	int err = CMD_OK;

	close(c->fd);
	c->pid = 0;
	if (entry)
		entry->is_dirty = true;	/* it may have changed meanwhile */
	if (!item)
		return CMD_OK;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		err = note_success(w, item);
	else
		note_failure(w, item, status);
	return err ? err : watch_state_save(w);
}

int watch_import_read(struct watch *w)
{
	struct watch_child *c = &w->child;
	int status;
	ssize_t n;

	for (;;) {
		if (c->used > sizeof(c->output) / 2) {	/* the end is what counts */
			c->used /= 2;
			memmove(c->output, c->output + c->used, c->used);
		}
		n = read(c->fd, c->output + c->used, sizeof(c->output) - 1 - c->used);
		if (n <= 0)
			break;
		c->used += (size_t)n;
	}
	if (n < 0)
		return CMD_OK;	/* more comes */
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	return finish(w, status);
}

int watch_import_stop(struct watch *w)
{
	const struct timespec wait = { .tv_nsec = 20000000L };
	struct watch_child *c = &w->child;
	struct watch_item *item;
	int status = 0, waited_ms = 0, err = CMD_OK;

	if (!c->pid)
		return CMD_OK;
	kill(c->pid, SIGTERM);
	while (!waitpid(c->pid, &status, WNOHANG)) {
		nanosleep(&wait, NULL);
		waited_ms += 20;
		if (waited_ms >= END_WAIT_MS)
			kill(c->pid, SIGKILL);
	}
	item = watch_state_find(w, c->id);
	if (item && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		err = note_success(w, item);	/* it was just done */
	else if (item)
		watch_state_remove(w, item);
	close(c->fd);
	c->pid = 0;
	return err ? err : watch_state_save(w);
}

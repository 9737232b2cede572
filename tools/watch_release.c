/* SPDX-License-Identifier: MIT */
/*
 * watch_release.c: the newest import that waits is put before the host by the control command of the
 * policy. The connection is read as lines come, since a load may take its time. A host that is away,
 * or busy with another release, is asked again later; any other error is the host's last word.
 *
 * A command whose answer was lost is sent again only while the host shows that nothing was published
 * since: what was released and then rolled back must not come again by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "watch.h"

#define DELAY_FIRST_NS	1000000000ull
#define DELAY_MAX_NS	30000000000ull
#define LINE_MAX_BYTES	(4u << 20)

struct watch_item *watch_release_next(struct watch *w)
{
	for (uint32_t i = w->state.count; !w->call.f && i-- > 0;)
		if (w->state.items[i].fate == WATCH_WAITING)
			return &w->state.items[i];
	return NULL;
}

static void hang_up(struct watch_call *c)
{
	if (c->f)
		fclose(c->f);
	free(c->line);
	c->f = NULL;
	c->line = NULL;
	c->used = 0;
}

void watch_release_stop(struct watch *w)
{
	hang_up(&w->call);
}

/* @why: told at the first try, and kept for the state. */
static int try_later(struct watch *w, struct watch_item *item, const char *why)
{
	struct watch_call *c = &w->call;

	hang_up(c);
	if (strcmp(item->error, why)) {
		snprintf(item->error, sizeof(item->error), "%.*s", (int)sizeof(item->error) - 1, why);
		watch_tell(w, "waiting", item->name, item->version, item->error);
	}
	c->delay_ns = c->delay_ns ? 2 * c->delay_ns : DELAY_FIRST_NS;
	if (c->delay_ns > DELAY_MAX_NS)
		c->delay_ns = DELAY_MAX_NS;
	c->next_ns = watch_now_ns() + c->delay_ns;
	if (w->once)
		w->has_failed = true;
	return watch_state_save(w);
}

static int decide(struct watch *w, struct watch_item *item, enum watch_fate fate, const char *event,
		  const char *error)
{
	hang_up(&w->call);
	w->call.next_ns = w->call.delay_ns = 0;
	item->fate = fate;
	item->sent[0] = '\0';
	snprintf(item->error, sizeof(item->error), "%.*s", (int)sizeof(item->error) - 1, error);
	w->has_failed |= fate == WATCH_REFUSED;
	watch_tell(w, event, item->name, item->version, error);
	return watch_state_save(w);
}

static int send(struct watch *w, struct watch_item *item, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	bool good = text && dprintf(fileno(w->call.f), "%s\n", text) > 0;

	free(text);
	json_decref(request);
	return good ? CMD_OK : try_later(w, item, "the host closed the connection");
}

int watch_release_start(struct watch *w, struct watch_item *item)
{
	char why[CTL_WHY_BYTES] = "out of memory";
	struct watch_call *c = &w->call;

	/* The newest wins: those before it are not released any more. */
	for (struct watch_item *i = w->state.items; i < item; i++) {
		if (i->fate != WATCH_WAITING)
			continue;
		i->fate = WATCH_SUPERSEDED;
		i->error[0] = '\0';
		watch_tell(w, "superseded", i->name, i->version, NULL);
	}
	memcpy(c->id, item->id, sizeof(c->id));
	c->f = ctl_connect(w->cmd, why);
	if (!c->f)
		return try_later(w, item, why);
	c->is_asking = true;
	return send(w, item, json_pack("{s:s}", "command", "status"));
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool is_version(const json_t *value, const char *version)
{
	const char *text = json_string_value(value);

	return text && !strcmp(text, version);
}

/* Whether it has or had traffic: then somebody, or a run that was cut off, has released it. */
static bool was_released(const struct watch *w, const json_t *status, const char *version)
{
	const json_t *model, *old;
	size_t i, j;

	json_array_foreach(json_object_get(status, "models"), i, model) {
		const char *name = json_string_value(json_object_get(model, "name"));

		if (!name || strcmp(name, w->model))
			continue;
		if (is_version(json_object_get(model, "active"), version) ||
		    is_version(json_object_get(model, "candidate"), version))
			return true;
		json_array_foreach(json_object_get(model, "history"), j, old)
			if (is_version(old, version))
				return true;
	}
	return false;
}

static json_t *command_of(const struct watch *w, const struct watch_item *item)
{
	char why[NAME_MAX + 32];

	if (w->policy == WATCH_ACTIVATE)
		return json_pack("{s:s, s:s, s:s}", "command", "activate", "model", w->model, "version",
				 item->version);
	snprintf(why, sizeof(why), "mhost watch: %s", item->name);
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "command", "release", "model", w->model,
			 "version", item->version, "mode",
			 w->policy == WATCH_CANARY ? "canary" : "shadow", "why", why);
}

/* Whether it may go well later: something else is under way, or to come first. */
static bool is_passing(const json_t *answer, const char *error)
{
	static const char *const signs[] = { "is in progress", "no version is active", "being loaded",
					     "shutting down", "unloaded meanwhile" };

	if (json_is_true(json_object_get(answer, "retriable")))
		return true;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strstr(error, signs[i]))
			return true;
	return false;
}

static int take_status(struct watch *w, struct watch_item *item, const json_t *status)
{
	char now[WATCH_SENT_BYTES];
	int err;

	snprintf(now, sizeof(now), "%lld %lld", json_integer_value(json_object_get(status, "pid")),
		 json_integer_value(json_object_get(status, "epoch")));
	if (was_released(w, status, item->version))
		return decide(w, item, WATCH_DONE, "released", "");
	if (item->sent[0] && strcmp(item->sent, now))
		return decide(w, item, WATCH_REFUSED, "refused", "its release was cut off, and may have "
			      "been made and undone since; release it by hand");
	memcpy(item->sent, now, sizeof(item->sent));
	w->call.is_asking = false;
	err = watch_state_save(w);
	return err ? err : send(w, item, command_of(w, item));
}

static int take_answer(struct watch *w, struct watch_item *item, const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_object_get(answer, "progress"))
		return CMD_OK;
	if (!json_is_true(json_object_get(answer, "ok"))) {
		error = error ? error : "refused without a reason";
		item->sent[0] = '\0';
		return is_passing(answer, error) ? try_later(w, item, error) :
		       decide(w, item, WATCH_REFUSED, "refused", error);
	}
	if (w->call.is_asking)
		return take_status(w, item, answer);
	return decide(w, item, WATCH_DONE, "released", "");
}

/* Lines that are complete; false when there is nothing more to read. */
static int take_lines(struct watch *w, struct watch_item *item)
{
	struct watch_call *c = &w->call;
	char *end;
	int err = CMD_OK;

	while (!err && c->f && (end = memchr(c->line, '\n', c->used))) {
		size_t n = (size_t)(end - c->line) + 1;
		json_t *answer = json_loadb(c->line, n, JSON_ALLOW_NUL, NULL);

		memmove(c->line, end + 1, c->used - n);
		c->used -= n;
		err = take_answer(w, item, answer);
		json_decref(answer);
	}
	return err;
}

int watch_release_read(struct watch *w)
{
	struct watch_item *item = watch_state_find(w, w->call.id);
	struct watch_call *c = &w->call;
	char *line = realloc(c->line, LINE_MAX_BYTES);
	ssize_t n = -1;

	if (line)
		c->line = line;
	errno = ENOMEM;
	if (line && c->used < LINE_MAX_BYTES)
		n = read(fileno(c->f), line + c->used, LINE_MAX_BYTES - c->used);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return CMD_OK;
	if (!item) {
		hang_up(c);
		return CMD_OK;
	}
	if (n <= 0)
		return try_later(w, item, "the host closed the connection");
	c->used += (size_t)n;
	return take_lines(w, item);
}

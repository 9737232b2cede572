/* SPDX-License-Identifier: MIT */
/* cmd_watch.c: `mhost watch`: what a trainer drops into a directory becomes versions and releases. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "import_opts.h"
#include "sto_file.h"
#include "watch.h"

#define SYNOPSIS "DIR MODEL [--on-new import|shadow|canary|activate]\n" \
	"                   [--bump major|minor|patch] [--marker NAME] [--store DIR]\n" \
	"                   [--quantize q8_0|q4_0|q4_1] [--context TOKENS] [--meta KEY=VALUE]... [--once] [--json]"

static const char *const policies[] = { "import", "shadow", "canary", "activate", NULL };
static const char *const bumps[] = { "major", "minor", "patch", NULL };
static const char *const quantizations[] = { "q8_0", "q4_0", "q4_1", NULL };

/* ---- telling -------------------------------------------------------------------------------- */

uint64_t watch_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_bad(const char *event)
{
	return !strcmp(event, "failed") || !strcmp(event, "refused");
}

void watch_tell(struct watch *w, const char *event, const char *name, const char *version,
		const char *error)
{
	bool has_version = version && version[0], has_error = error && error[0];

	if (w->cmd->json) {
		cmd_json_print(json_pack("{s:s, s:s, s:o, s:s?, s:o}", "event", event, "model", w->model,
					 "checkpoint", cmd_json_text(name, strlen(name)), "version",
					 has_version ? version : NULL, "error",
					 has_error ? cmd_json_text(error, strlen(error)) :
					 json_null()));
		fflush(stdout);
		return;
	}
	if (is_bad(event)) {
		cmd_fail(w->cmd, CMD_FAILED, "%s: %s%s%s: %s", name, event, has_version ? " " : "",
			 has_version ? version : "", has_error ? error : "");
		return;
	}
	printf("%s: %s", name, event);
	if (has_version)
		printf(" %s@%s", w->model, version);
	printf("%s%s\n", has_error ? ": " : "", has_error ? error : "");
	fflush(stdout);
}

/* ---- arguments ------------------------------------------------------------------------------ */

static int take_word(const struct watch *w, const char *option, const char *const *words,
		     uint32_t *index)
{
	for (uint32_t i = 0; words[i]; i++) {
		if (strcmp(optarg, words[i]))
			continue;
		*index = i;
		return CMD_OK;
	}
	return cmd_fail(w->cmd, CMD_USAGE, "--%s %.40s: limit %s, %s, %s%s%s; choose one", option, optarg,
			words[0], words[1], words[2], words[3] ? ", " : "", words[3] ? words[3] : "");
}

static int take_marker(struct watch *w)
{
	w->marker = optarg;
	if (optarg[0] && !strchr(optarg, '/') && strlen(optarg) <= NAME_MAX &&
	    strcmp(optarg, ".") && strcmp(optarg, ".."))
		return CMD_OK;
	return cmd_fail(w->cmd, CMD_USAGE, "--marker %.40s: limit the name of a file, 1..%d bytes; "
			"correct it", optarg, NAME_MAX);
}

static int take_meta(struct watch *w)
{
	if (!strchr(optarg, '=') || !strncmp(optarg, "watch_", 6))
		return cmd_fail(w->cmd, CMD_USAGE, "--meta %.80s: limit KEY=VALUE, and watch_ is our own "
				"prefix; correct it", optarg);
	if (w->meta_count == WATCH_META_MAX)
		return cmd_fail(w->cmd, CMD_USAGE, "--meta: too many, limit %u; put several into one",
				WATCH_META_MAX);
	w->meta[w->meta_count++] = optarg;
	return CMD_OK;
}

static int take(struct watch *w, int opt)
{
	uint32_t index = 0;
	int err;

	switch (opt) {
	case 'b':
		w->bump = optarg;
		return take_word(w, "bump", bumps, &index);
	case 'c':
		w->context = optarg;
		return cmd_take_u32(w->cmd, "--context", 1, IMPORT_CONTEXT_MAX, &index);
	case 'k':
		return take_marker(w);
	case 'm':
		return take_meta(w);
	case 'n':
		err = take_word(w, "on-new", policies, &index);
		w->policy = (enum watch_policy)index;
		return err;
	case 'o':
		w->once = true;
		return CMD_OK;
	case 'q':
		w->quantize = optarg;
		return take_word(w, "quantize", quantizations, &index);
	case 's':
		w->store = optarg;
		return CMD_OK;
	default:
		return CMD_USAGE;
	}
}

static int parse(struct watch *w, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "bump", required_argument, NULL, 'b' },
		{ "context", required_argument, NULL, 'c' },
		{ "marker", required_argument, NULL, 'k' },
		{ "meta", required_argument, NULL, 'm' },
		{ "on-new", required_argument, NULL, 'n' },
		{ "once", no_argument, NULL, 'o' },
		{ "quantize", required_argument, NULL, 'q' },
		{ "store", required_argument, NULL, 's' },
		{ 0 },
	};
	struct sto_error error;
	int opt, err;

	while ((opt = cmd_getopt(w->cmd, argc, argv, ":", longs)) != -1) {
		err = take(w, opt);
		if (err)
			return err;
	}
	if (argc - optind != 2)
		return cmd_usage(w->cmd, SYNOPSIS);
	w->dir = realpath(argv[optind], NULL);	/* absolute: it is kept in manifests */
	if (!w->dir)
		return cmd_fail(w->cmd, CMD_FAILED, "%s: cannot be opened: %s; name a directory that "
				"is there", argv[optind], strerror(errno));
	if (sto_name_check(argv[optind + 1], &error))
		return cmd_fail(w->cmd, CMD_USAGE, "%s", error.text);
	snprintf(w->model, sizeof(w->model), "%s", argv[optind + 1]);
	if (strlen(w->dir) + NAME_MAX + 16 > WATCH_PATH_BYTES ||
	    !sto_utf8_valid(w->dir, strlen(w->dir), false))
		return cmd_fail(w->cmd, CMD_USAGE, "DIR: limit %u bytes of UTF-8; use a shorter path",
				WATCH_PATH_BYTES - NAME_MAX - 16);
	w->store = cmd_store(w->cmd, w->store);
	return w->store ? CMD_OK : CMD_USAGE;
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Begin what can begin: first all imports, then the release of the newest. */
static int begin(struct watch *w, bool *idle)
{
	struct watch_entry *entry;
	struct watch_item *item;

	*idle = false;
	if (w->child.pid)
		return CMD_OK;
	entry = watch_dir_next(w);
	if (entry)
		return watch_import_start(w, entry);
	if (w->call.f)
		return CMD_OK;
	item = watch_release_next(w);
	if (item && watch_now_ns() >= w->call.next_ns)
		return watch_release_start(w, item);
	*idle = !item || (w->once && w->call.next_ns);
	return CMD_OK;
}

/* Until when nothing happens by itself. */
static const struct timespec *timeout_of(struct watch *w, struct timespec *timeout)
{
	uint64_t now = watch_now_ns(), wait;

	if (w->child.pid || watch_dir_next(w) || !watch_release_next(w))
		return NULL;
	wait = w->call.next_ns > now ? w->call.next_ns - now : 0;
	*timeout = (struct timespec){ .tv_sec = (time_t)(wait / 1000000000u),
				      .tv_nsec = (long)(wait % 1000000000u) };
	return timeout;
}

static int wait_and_read(struct watch *w, const sigset_t *open_mask)
{
	struct pollfd fds[3] = {
		{ .fd = w->inotify_fd, .events = POLLIN },
		{ .fd = w->child.pid ? w->child.fd : -1, .events = POLLIN },
		{ .fd = w->call.f ? fileno(w->call.f) : -1, .events = POLLIN },
	};
	struct timespec timeout;
	int err = CMD_OK;

	if (ppoll(fds, 3, timeout_of(w, &timeout), open_mask) <= 0)
		return CMD_OK;
	if (fds[0].revents)
		err = watch_dir_read(w);
	if (!err && fds[1].revents)
		err = watch_import_read(w);
	if (!err && fds[2].revents && w->call.f)
		err = watch_release_read(w);
	return err;
}

static int loop(struct watch *w)
{
	sigset_t stops, open_mask;
	bool idle = false;
	int err = CMD_OK;

	/* A signal is taken while waiting and nowhere else, so none is missed. */
	sigemptyset(&stops);
	sigaddset(&stops, SIGINT);
	sigaddset(&stops, SIGTERM);
	sigprocmask(SIG_BLOCK, &stops, &open_mask);
	sigdelset(&open_mask, SIGINT);
	sigdelset(&open_mask, SIGTERM);
	signal(SIGIO, SIG_IGN);		/* a lease that was asked for is broken */
	signal(SIGPIPE, SIG_IGN);
	while (!err && !stop_is_signalled()) {
		err = watch_dir_look(w);
		if (!err)
			err = begin(w, &idle);
		if (!err && idle && w->once)
			break;
		if (!err)
			err = wait_and_read(w, &open_mask);
	}
	watch_release_stop(w);
	if (watch_import_stop(w))
		err = CMD_FAILED;
	return err;
}

int cmd_watch(struct cmd *cmd, int argc, char **argv)
{
	static struct watch w;
	int err;

	w = (struct watch){ .cmd = cmd, .bump = "patch", .lock_fd = -1, .inotify_fd = -1 };
	err = parse(&w, argc, argv);
	stop_begin(0);
	if (!err)
		err = watch_dir_open(&w);
	if (!err)
		err = watch_state_open(&w);
	if (!err)
		err = loop(&w);
	watch_dir_close(&w);
	watch_state_close(&w);
	free(w.dir);
	if (!err && w.once && stop_is_signalled())
		return stop_fail(cmd);
	return err ? err : w.once && w.has_failed ? CMD_FAILED : CMD_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * cmd_shadow.c: `mhost shadow`: the same prompts to the active version and the candidate, of a model or
 * of an adapter, whole replies of both side by side, for people to read.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd.h"
#include "prompts.h"

#define SYNOPSIS	"MODEL[/ADAPTER] --prompts FILE [--samples N] [-n TOKENS] [--json]"
#define SAMPLES_DEFAULT	5u
#define TOKENS_DEFAULT	64u
#define WIDTH_DEFAULT	100u
#define WIDTH_MIN	40u
#define WIDTH_MAX	240u
#define BETWEEN		" | "
#define MARK		">>"	/* before the first difference */

struct shadow {
	struct cmd *cmd;
	const char *model, *file;
	const char *adapter;		/* NULL, or the versions are those of this adapter of @model */
	char active[48], candidate[48];
	uint32_t samples, max_tokens;
	uint32_t column;		/* characters of one side */
	struct prompts prompts;
	json_t *list;
	uint32_t same;
};

/* One prompt, both replies. */
struct sample {
	const struct prompt *prompt;
	struct reply active, candidate;
	uint32_t token;			/* the first that differs, UINT32_MAX: none */
	size_t byte;			/* of the texts, where that begins */
};

/* ---- the first difference ------------------------------------------------------------------- */

static bool is_inside_character(const char *text, size_t bytes, size_t at)
{
	return at < bytes && ((unsigned char)text[at] & 0xc0) == 0x80;
}

static void find_difference(struct sample *s)
{
	const struct reply *a = &s->active, *b = &s->candidate;
	uint32_t least = a->token_count < b->token_count ? a->token_count : b->token_count, i = 0;
	size_t bytes = a->text_bytes < b->text_bytes ? a->text_bytes : b->text_bytes, at = 0;

	while (i < least && a->tokens[i] == b->tokens[i])
		i++;
	s->token = i < a->token_count || i < b->token_count ? i : UINT32_MAX;
	while (at < bytes && a->text[at] == b->text[at])
		at++;
	while (at && (is_inside_character(a->text, a->text_bytes, at) ||
		      is_inside_character(b->text, b->text_bytes, at)))
		at--;
	s->byte = at;
}

/* ---- for people ----------------------------------------------------------------------------- */

/* @text with the mark in it; what a terminal would obey becomes a space. NULL: no memory. */
static char *marked(const struct reply *r, size_t at, bool differs)
{
	char *out = malloc(r->text_bytes + sizeof(MARK) + 1);
	size_t n = 0;

	for (size_t i = 0; out && i <= r->text_bytes; i++) {
		if (differs && i == at)
			n += (size_t)sprintf(out + n, "%s", MARK);
		if (i == r->text_bytes)
			break;
		out[n++] = r->text[i];
		if (((unsigned char)r->text[i] < 0x20 && r->text[i] != '\n') || r->text[i] == 0x7f)
			out[n - 1] = ' ';
		/* U+0080..U+009F */
		if (n > 1 && (unsigned char)out[n - 2] == 0xc2 && (unsigned char)out[n - 1] < 0xa0)
			out[n - 2] = out[n - 1] = ' ';
	}
	if (out)
		out[n] = 0;
	return out;
}

/* Prints the next line of @text and moves it on; ends at a line's end, or at a space if need be. */
static void print_line(const char **text, uint32_t width, bool pad)
{
	const char *at = *text, *space = NULL, *end;
	uint32_t count = 0;

	for (; *at && *at != '\n' && count < width; count++) {
		if (*at == ' ')
			space = at;
		for (at++; ((unsigned char)*at & 0xc0) == 0x80; at++)
			;
	}
	end = at;
	if (*at && *at != '\n' && *at != ' ' && space && space > *text)
		end = space;
	at = end + (*end == '\n' || *end == ' ');
	for (count = 0; *text < end; ++*text) {
		count += ((unsigned char)**text & 0xc0) != 0x80;
		putchar(**text);
	}
	for (; pad && count < width; count++)
		putchar(' ');
	*text = at;
}

static void print_columns(const char *left, const char *right, uint32_t width)
{
	while (*left || *right) {
		print_line(&left, width, true);
		fputs(BETWEEN, stdout);
		print_line(&right, width, false);
		putchar('\n');
	}
}

static void print_heads(const struct shadow *sh, const struct sample *s)
{
	char left[160], right[160];

	snprintf(left, sizeof(left), "%s (active), %u tokens, %s", sh->active, s->active.token_count,
		 reply_finish_name(s->active.finish));
	snprintf(right, sizeof(right), "%s (candidate), %u tokens, %s", sh->candidate,
		 s->candidate.token_count, reply_finish_name(s->candidate.finish));
	print_columns(left, right, sh->column);
}

static int print_sample(const struct shadow *sh, const struct sample *s, uint32_t number)
{
	bool differs = s->token != UINT32_MAX;
	char *left = marked(&s->active, s->byte, differs);
	char *right = marked(&s->candidate, s->byte, differs), label[80];

	printf("%s%u/%u  %s: ", number > 1 ? "\n" : "", number, sh->samples,
	       prompt_label(s->prompt, label));
	if (differs)
		printf("differ from token %u on (%s)\n", s->token + 1, MARK);
	else
		puts("the same");
	print_heads(sh, s);
	if (left && right)
		print_columns(left, right, sh->column);
	free(left);
	free(right);
	fflush(stdout);
	return left && right ? CMD_OK : cmd_fail(sh->cmd, CMD_FAILED, "out of memory; free some");
}

static uint32_t column_width(void)
{
	struct winsize size;
	uint32_t width = WIDTH_DEFAULT;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		width = size.ws_col;
	width = width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
	return (width - (uint32_t)strlen(BETWEEN)) / 2;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *reply_object(const struct reply *r)
{
	return json_pack("{s:o, s:o, s:s}", "tokens", cmd_json_ids(r->tokens, r->token_count), "text",
			 cmd_json_text(r->text ? r->text : "", r->text_bytes), "finish_reason",
			 reply_finish_name(r->finish));
}

static json_t *sample_object(const struct sample *s)
{
	const struct reply *r = &s->active;

	return json_pack("{s:I, s:s?, s:o, s:o, s:o, s:o}", "line", (json_int_t)s->prompt->line, "name",
			 s->prompt->name, "prompt_tokens", cmd_json_ids(r->prompt, r->prompt_count),
			 "active", reply_object(r), "candidate", reply_object(&s->candidate),
			 "first_difference", s->token == UINT32_MAX ? json_null() :
			 json_integer(s->token));
}

/* ---- asking --------------------------------------------------------------------------------- */

static int ask(const struct shadow *sh, const struct prompt *prompt, const char *version,
	       struct reply *reply)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;
	const struct mhost_adapter adapter = { sh->adapter, version, 1 };

	rq.model = sh->model;
	rq.version = sh->adapter ? NULL : version;
	rq.adapters = &adapter;
	rq.adapter_count = sh->adapter ? 1 : 0;
	rq.text = prompt->prompt.text;
	rq.text_bytes = prompt->prompt.text_bytes;
	rq.tokens = prompt->prompt.ids;
	rq.token_count = prompt->prompt.id_count;
	rq.max_tokens = prompt->max_tokens ? prompt->max_tokens : sh->max_tokens;
	rq.temperature = 0;
	return reply_run(sh->cmd, &rq, NULL, reply);
}

static int sample(struct shadow *sh, uint32_t i)
{
	struct sample s = { .prompt = &sh->prompts.list[i] };
	int status = ask(sh, s.prompt, sh->active, &s.active);

	if (status == CMD_OK)
		status = ask(sh, s.prompt, sh->candidate, &s.candidate);
	if (status == CMD_OK) {
		find_difference(&s);
		sh->same += s.token == UINT32_MAX;
		if (sh->cmd->json)
			json_array_append_new(sh->list, sample_object(&s));
		else
			status = print_sample(sh, &s, i + 1);
	}
	reply_free(&s.active);
	reply_free(&s.candidate);
	return status;
}

static int run(struct shadow *sh)
{
	int status = CMD_OK;

	sh->list = json_array();
	sh->column = column_width();
	for (uint32_t i = 0; status == CMD_OK && i < sh->samples; i++)
		status = sample(sh, i);
	if (status == CMD_OK && sh->cmd->json)
		cmd_json_print(json_pack("{s:s, s:s*, s:s, s:s, s:I, s:O}", "model", sh->model, "adapter",
					 sh->adapter, "active",
					 sh->active, "candidate", sh->candidate, "same",
					 (json_int_t)sh->same, "samples", sh->list));
	else if (status == CMD_OK)
		printf("\n%u of %u the same\n", sh->same, sh->samples);
	json_decref(sh->list);
	return status;
}

/* ---- arguments ------------------------------------------------------------------------------ */

/* The same of an adapter: those of its release. */
static int adapter_versions_get(struct shadow *sh)
{
	char target[160];
	json_t *answer, *release;

	snprintf(target, sizeof(target), "%.63s/%.63s", sh->model, sh->adapter);
	answer = ctl_call(sh->cmd, json_pack("{s:s, s:s}", "command", "releases", "model", target));
	release = json_array_get(json_object_get(answer, "releases"), 0);
	if (release) {
		snprintf(sh->active, sizeof(sh->active), "%s",
			 json_string_value(json_object_get(release, "stable")));
		snprintf(sh->candidate, sizeof(sh->candidate), "%s",
			 json_string_value(json_object_get(release, "version")));
	}
	json_decref(answer);
	if (!answer || (sh->active[0] && sh->candidate[0]))
		return answer ? CMD_OK : CMD_FAILED;
	return cmd_fail(sh->cmd, CMD_FAILED, "%s: no release in progress, so no candidate; begin one: "
			"mhost release %s@VERSION --shadow 10", target, target);
}

/* Both versions as the route has them now. */
static int versions_get(struct shadow *sh)
{
	json_t *status = ctl_call(sh->cmd, json_pack("{s:s}", "command", "status")), *row;
	const char *active = NULL, *candidate = NULL;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(status, "models"), i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));

		if (!name || strcmp(name, sh->model))
			continue;
		found = true;
		active = json_string_value(json_object_get(row, "active"));
		candidate = json_string_value(json_object_get(row, "candidate"));
	}
	snprintf(sh->active, sizeof(sh->active), "%s", active ? active : "");
	snprintf(sh->candidate, sizeof(sh->candidate), "%s", candidate ? candidate : "");
	json_decref(status);
	if (!status || (active && candidate))
		return status ? CMD_OK : CMD_FAILED;
	if (!found)
		return cmd_fail(sh->cmd, CMD_FAILED, "%.63s: no such model on the host; mhost status "
				"names them", sh->model);
	return cmd_fail(sh->cmd, CMD_FAILED, "%.63s: no release in progress, so no candidate beside "
			"%s; begin one: mhost release %.63s@VERSION --shadow 10", sh->model,
			active ? active : "nothing", sh->model);
}

static int parse(struct shadow *sh, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "max-tokens", required_argument, NULL, 'n' },
		{ "prompts", required_argument, NULL, 'p' },
		{ "samples", required_argument, NULL, 's' },
		{ 0 },
	};
	const char *version;
	int opt, err = 0;

	while (!err && (opt = cmd_getopt(sh->cmd, argc, argv, ":n:", longs)) != -1) {
		if (opt == 'p')
			sh->file = optarg;
		else if (opt == 's')
			err = cmd_take_u32(sh->cmd, "--samples", 1, PROMPTS_MAX, &sh->samples);
		else
			err = opt == 'n' ? cmd_take_u32(sh->cmd, "-n", 1, INT32_MAX, &sh->max_tokens) :
					   CMD_USAGE;
	}
	if (err)
		return err;
	if (argc - optind != 1 || !sh->file)
		return cmd_usage(sh->cmd, SYNOPSIS);
	if (cmd_split_ref(sh->cmd, argv[optind], &sh->model, &version))
		return CMD_USAGE;
	sh->adapter = cmd_cut_adapter(argv[optind]);
	if (version)
		return cmd_fail(sh->cmd, CMD_USAGE, "%.63s@%.47s: name the model alone; the versions are "
				"those of its release", sh->model, version);
	return CMD_OK;
}

int cmd_shadow(struct cmd *cmd, int argc, char **argv)
{
	struct shadow sh = { .cmd = cmd, .samples = SAMPLES_DEFAULT, .max_tokens = TOKENS_DEFAULT };
	char error[PROMPTS_ERROR_BYTES];
	int status = parse(&sh, argc, argv);

	if (status)
		return status;
	if (prompts_read(sh.file, PROMPTS_ANY, &sh.prompts, error)) {
		status = cmd_fail(cmd, CMD_FAILED, "%s", error);
	} else {
		if (sh.samples > sh.prompts.count)
			sh.samples = sh.prompts.count;
		status = sh.adapter ? adapter_versions_get(&sh) : versions_get(&sh);
		if (status == CMD_OK)
			status = run(&sh);
	}
	prompts_free(&sh.prompts);
	return status;
}

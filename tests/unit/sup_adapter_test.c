/* SPDX-License-Identifier: MIT */
/*
 * Adapters in a real supervisor with workers that ask for them: brought, routed, pushed out when room is
 * short, kept when pinned or loaded by hand, refused by name; pushed out of memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mhost.h"
#include "sto_adapter.h"
#include "t.h"
#include "t_host.h"
#include "t_import.h"
#include "t_peft.h"

#define PEFT		"tests/reference/data/peft/"
#define MANY		14u	/* of 86 KB each: 12 fit into 1 MiB */
#define ACTIVATE	"{\"command\":\"activate\",\"model\":\"tiny\",\"version\":\"1.0.0\"}"

static const char *options[] = { "--config", NULL, NULL };
static struct sto_error error;

static void bring(const char *name, const char *version, const char *folder)
{
	struct sto_adapter_import import = { .path = folder, .model = "tiny" };
	struct sto_adapter_result result;
	char store[256];

	snprintf(store, sizeof(store), "%s", t_path("store"));
	import.store = store;
	snprintf(import.adapter, sizeof(import.adapter), "%s", name);
	snprintf(import.version, sizeof(import.version), "%s", version);
	t_ok(sto_adapter_import(&import, &result, &error) == 0);
}

static pid_t start(void)
{
	static char path[256];
	char name[8];

	snprintf(path, sizeof(path), "%s", t_path("ini"));
	options[1] = path;
	t_write_file(path, "[mhostd]\nadapter_bytes = 1M\n", strlen("[mhostd]\nadapter_bytes = 1M\n"));
	if (access(t_path("store"), F_OK)) {
		t_ok(t_import(t_path("store"), "tiny@1.0.0", T_TINY_MODEL, &error) == 0);
		for (uint32_t i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "a%u", i);
			bring(name, "1.0.0", PEFT "r64_q");
		}
	}
	t_write_file(t_path("log"), "", 0);
	return t_host_start(options);
}

/* The worker asks for it; what it was told. */
static const char *want(const char *what)
{
	static uint32_t turn;
	char mode[128], line[128];
	const char *found = NULL;

	snprintf(mode, sizeof(mode), "want=%s turn%u", what, ++turn);
	t_write_file(t_path("log"), "", 0);
	t_host_mode(mode);
	snprintf(line, sizeof(line), "t_worker: wanted %.*s", (int)strcspn(what, "@"), what);
	for (int i = 0; i < 1000 && !found; i++) {
		usleep(5000);
		found = strstr(t_host_log(), line);
		found = found && strchr(found, '\n') ? found : NULL;
	}
	t_host_mode("");
	found = found ? strstr(found, ": ") : NULL;
	found = found ? strstr(found + 2, ": ") : NULL;
	return found ? found + 2 : "no answer";
}

static bool is_told(const char *told, const char *word)
{
	size_t n = strcspn(told, "\n");
	const char *at = strstr(told, word);

	if (at && at < told + n)
		return true;
	printf("# told: %.*s\n", (int)n, told);
	return false;
}

/* One word: "VERSION STATE ROUTED" of the only row of tiny/@name that is @routed, else of the first. */
static const char *row_of(const char *name)
{
	static char text[128];
	char request[128];
	json_t *answer, *row, *found = NULL;
	size_t i;

	snprintf(request, sizeof(request), "{\"command\":\"adapters\",\"model\":\"tiny/%s\"}", name);
	answer = t_host_ok(request);
	json_array_foreach(json_object_get(answer, "adapters"), i, row)
		if (!found || json_is_true(json_object_get(row, "routed")))
			found = row;
	snprintf(text, sizeof(text), "%s %s %s", found ? json_string_value(json_object_get(found, "version")) : "-",
		 found ? json_string_value(json_object_get(found, "state")) : "-",
		 json_is_true(json_object_get(found, "routed")) ? "routed" : "aside");
	json_decref(answer);
	return text;
}

static void check_room(void)
{
	json_t *answer = t_host_ok("{\"command\":\"adapters\"}");

	t_check(json_integer_value(json_object_get(answer, "bytes")) <= 1 << 20, __FILE__, __LINE__, "too much");
	t_eq(json_integer_value(json_object_get(answer, "budget_bytes")), 1 << 20);
	json_decref(answer);
}

/* The one unused for longest goes, keeps its route, and comes back as it was. */
static void room_is_made(void)
{
	pid_t pid = start();
	char what[32];

	json_decref(t_host_ok(ACTIVATE));
	json_decref(t_host_ok("{\"command\":\"load\",\"model\":\"tiny/a1\"}"));
	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(what, sizeof(what), "tiny/a%u@", i);
		t_check(is_told(want(what), "0 "), __FILE__, __LINE__, what);
		check_room();
	}
	t_str_eq(row_of("a0"), "1.0.0 stored routed");
	t_str_eq(row_of("a1"), "1.0.0 active routed");		/* by hand */
	t_str_eq(row_of("a13"), "1.0.0 active routed");
	bring("a0", "2.0.0", PEFT "r64_q");
	t_check(is_told(want("tiny/a0@"), "0 "), __FILE__, __LINE__, "a0 again");
	t_str_eq(row_of("a0"), "1.0.0 active routed");
	t_check(is_told(want("tiny/a0@2.0.0"), "0 "), __FILE__, __LINE__, "by its number");
	t_str_eq(row_of("a0"), "1.0.0 active routed");
	t_str_eq(row_of("a2"), "1.0.0 stored routed");
	json_decref(t_host_ok("{\"command\":\"unload\",\"model\":\"tiny/a2\"}"));
	t_str_eq(row_of("a2"), "- - aside");
	json_decref(t_host_refused("{\"command\":\"unload\",\"model\":\"tiny/a2\"}", "not in memory"));
	t_eq(t_host_stop(pid), 0);
}

/* Nothing that a request is made with goes. */
static void pinned_ones_stay(void)
{
	pid_t pid = start();
	char request[96];

	json_decref(t_host_ok(ACTIVATE));
	t_host_mode("pin");
	for (uint32_t i = 0; i < 12; i++) {
		snprintf(request, sizeof(request), "{\"command\":\"activate\",\"model\":\"tiny/a%u\"}", i);
		json_decref(t_host_ok(request));
	}
	usleep(100000);		/* the worker looks at its mode each 5 ms */
	json_decref(t_host_refused("{\"command\":\"activate\",\"model\":\"tiny/a12\"}", "no room"));
	t_str_eq(row_of("a1"), "1.0.0 active routed");
	t_host_mode("");
	usleep(100000);
	json_decref(t_host_ok("{\"command\":\"activate\",\"model\":\"tiny/a12\"}"));
	check_room();
	t_eq(t_host_stop(pid), 0);
}

/* A worker may ask for anything. */
static void hostile_wants(void)
{
	pid_t pid = start(), worker;

	json_decref(t_host_ok(ACTIVATE));
	t_check(is_told(want("tiny/none@"), "-2 tiny/none has no version in the store"), __FILE__, __LINE__, "none");
	t_check(is_told(want("tiny/a0@7.7.7"), "-2 tiny/a0@7.7.7 is not in the store"), __FILE__, __LINE__, "7.7.7");
	t_check(is_told(want("tiny/..@"), "-22 model name"), __FILE__, __LINE__, "..");
	t_check(is_told(want("../a0@"), "-22 "), __FILE__, __LINE__, "no model");
	t_check(is_told(want("tiny/a0@../../x"), "-22 \"../../x\" is no version"), __FILE__, __LINE__, "../../x");
	t_check(is_told(want("other/a0@"), "-2 "), __FILE__, __LINE__, "other");
	worker = t_host_worker(0, "ready");
	t_host_mode("wantraw");
	while (t_host_worker(0, "ready") == worker)
		usleep(5000);
	t_check(strstr(t_host_log(), "breaks the rules") != NULL, __FILE__, __LINE__, t_host_log());
	t_host_mode("");
	t_check(is_told(want("tiny/a0@"), "0 "), __FILE__, __LINE__, "afterwards");
	t_eq(t_host_stop(pid), 0);
}

/* Refused for a while without a look at the store, then found. */
static void refused_then_found(void)
{
	pid_t pid = start();

	json_decref(t_host_ok(ACTIVATE));
	t_check(is_told(want("tiny/late@"), "-2 "), __FILE__, __LINE__, "not there");
	bring("late", "1.0.0", PEFT "r1_all");
	usleep(400000);
	t_check(is_told(want("tiny/late@"), "0 "), __FILE__, __LINE__, "there now");
	t_str_eq(row_of("late"), "1.0.0 active routed");
	t_eq(t_host_stop(pid), 0);
}

/* ---- pushed ------------------------------------------------------------------------------------ */

static char config[8192], weights[1 << 20];
static size_t weights_bytes;

static void read_folder(const char *folder)
{
	char path[256];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/adapter_config.json", folder);
	f = fopen(path, "re");
	n = f ? fread(config, 1, sizeof(config) - 1, f) : 0;
	config[n] = '\0';
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "%s/adapter_model.safetensors", folder);
	f = fopen(path, "re");
	weights_bytes = f ? fread(weights, 1, sizeof(weights), f) : 0;
	if (f)
		fclose(f);
	t_need(n > 0 && weights_bytes > 0);
}

static struct mhost_push push_of(const char *name)
{
	struct mhost_push push = MHOST_PUSH_INIT;
	static char socket[256];

	snprintf(socket, sizeof(socket), "%s", t_path("s"));
	push.socket = socket;
	push.model = "tiny";
	push.adapter = name;
	push.config = config;
	push.weights = weights;
	push.weights_bytes = weights_bytes;
	push.timeout_ms = 10000;
	return push;
}

static void pushed_from_memory(void)
{
	pid_t pid = start();
	struct mhost_pushed done;
	struct mhost_push push;
	int fds;

	read_folder(PEFT "r8_rslora");
	push = push_of("pushed");
	t_eq(mhost_adapter_push(&push, &done), MHOST_E_REFUSED);
	t_check(strstr(done.message, "no version of tiny is active") != NULL, __FILE__, __LINE__, done.message);
	json_decref(t_host_ok(ACTIVATE));
	fds = t_host_fds(pid);
	t_eq(mhost_adapter_push(&push, &done), 0);
	t_str_eq(done.version, "1.0.0");
	t_str_eq(row_of("pushed"), "1.0.0 active routed");
	t_eq(mhost_adapter_push(&push, &done), 0);
	t_str_eq(done.version, "1.0.1");
	push.version = "1.0.1";
	t_eq(mhost_adapter_push(&push, &done), MHOST_E_REFUSED);
	t_check(strstr(done.message, "is there already") != NULL, __FILE__, __LINE__, done.message);
	push.version = NULL;
	push.flags = MHOST_PUSH_LOAD_ONLY;
	t_eq(mhost_adapter_push(&push, &done), 0);
	t_eq(done.epoch, 0);
	t_str_eq(row_of("pushed"), "1.0.1 active routed");
	push.flags = MHOST_PUSH_KEEP;
	t_eq(mhost_adapter_push(&push, &done), 0);
	t_str_eq(done.version, "1.0.3");
	json_decref(t_host_ok("{\"command\":\"unload\",\"model\":\"tiny/pushed\"}"));
	t_eq(t_host_fds(pid), fds);
	json_decref(t_host_ok("{\"command\":\"activate\",\"model\":\"tiny/pushed\"}"));	/* out of the store */
	t_str_eq(row_of("pushed"), "1.0.3 active routed");
	t_eq(t_host_stop(pid), 0);
}

static void refused_push(struct mhost_push *push, const char *word)
{
	struct mhost_pushed done;

	t_eq(mhost_adapter_push(push, &done), MHOST_E_REFUSED);
	t_check(strstr(done.message, word) != NULL, __FILE__, __LINE__, done.message);
}

/* Whatever comes, one line says what is wrong, and nothing of it stays. */
static void bad_pushes(void)
{
	pid_t pid = start();
	struct mhost_push push = push_of("bad");
	struct mhost_pushed done;
	void *at;
	char *r;
	int fds;

	json_decref(t_host_ok(ACTIVATE));
	json_decref(t_host_refused("{\"command\":\"push\",\"model\":\"tiny/x\",\"config\":\"{}\"}", "no descriptor"));
	fds = t_host_fds(pid);
	read_folder(PEFT "r8_rslora");
	push = push_of("../bad");
	refused_push(&push, "model name");
	push = push_of("bad");
	push.model = "other";
	refused_push(&push, "no version of other is active");
	push = push_of("bad");
	push.version = "one";
	refused_push(&push, "is no version");
	push = push_of("bad");
	push.weights_bytes = weights_bytes / 2;
	refused_push(&push, "tiny/bad@1.0.0: ");
	push.weights_bytes = 4;
	refused_push(&push, "have 4 bytes");
	push = push_of("bad");
	push.config = "{\"peft_type\": \"IA3\"}";
	refused_push(&push, "peft_type");
	push.config = "not JSON \"\\\001";
	refused_push(&push, "tiny/bad@1.0.0: ");
	r = strstr(config, "\"use_dora\": false");
	t_need(r != NULL);
	memcpy(r, "\"use_dora\": true ", 17);
	push = push_of("bad");
	refused_push(&push, "use_dora");
	push.weights_fd = open("/dev/null", O_RDONLY);
	t_eq(mhost_adapter_push(&push, &done), MHOST_E_INVALID);
	close(push.weights_fd);
	push.weights_fd = memfd_create("written", MFD_ALLOW_SEALING);
	t_ok(ftruncate(push.weights_fd, 4096) == 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, push.weights_fd, 0);
	t_eq(mhost_adapter_push(&push, &done), MHOST_E_INVALID);
	munmap(at, 4096);
	close(push.weights_fd);
	push = push_of("bad");
	push.socket = "/nowhere/s";
	t_eq(mhost_adapter_push(&push, &done), -ENOENT);
	t_str_eq(row_of("bad"), "- - aside");
	t_eq(t_host_fds(pid), fds);
	t_eq(t_host_stop(pid), 0);
}

int main(void)
{
	t_host_main();
	T_RUN(room_is_made);
	T_RUN(pinned_ones_stay);
	T_RUN(hostile_wants);
	T_RUN(refused_then_found);
	T_RUN(pushed_from_memory);
	T_RUN(bad_pushes);
	return t_done();
}

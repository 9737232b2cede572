/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eng_model.h"
#include "log.h"
#include "sup_conf.h"
#include "t.h"

static struct sup_conf conf;
static struct sto_error error;

static int read_bytes(const void *text, size_t bytes)
{
	struct sup_options options = { .config = t_path("mhost.ini") };

	t_write_file(options.config, text, bytes);
	error.text[0] = '\0';
	return sup_conf_read(&options, &conf, &error);
}

static int read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

/* The error of @text, without the path of the file. */
static const char *refused(const char *text)
{
	if (read_text(text) != -EINVAL)
		return "(taken)";
	return strstr(error.text, "mhost.ini") ? strstr(error.text, "mhost.ini") + 9 : error.text;
}

#define BASE	"[mhostd]\nstore = /s\nsocket = /k\n"

static void a_whole_file(void)
{
	t_need(read_text("# comment\n"
			 "[mhostd]\nstore = /var/lib/mhost ; inline\nsocket: /run/mhost/s\n"
			 "workers=4\nthreads = 2\nhugepages = require\nnuma = bind:1\n"
			 "keep_resident = 0\nisa = avx2\nlog_level = debug\n"
			 "  worker_path = /x/y\n"
			 "[limits]\ncontext = 2048\nmax_tokens = 512\nqueue = 9\nclients_per_uid = 3\n"
			 "kv_bytes = 3G\ndeadline_ms = 1000\nprefix_cache = no\nspeculate = no\n"
			 "[access]\nuse_users = root, 1234\nuse_groups = root\ncontrol_users =\n"
			 "[model smol]\nactive = 1.2.3\n[model tiny]\n") == 0);
	t_str_eq(conf.store, "/var/lib/mhost");
	t_str_eq(conf.socket, "/run/mhost/s");
	t_str_eq(conf.worker_path, "/x/y");
	t_eq(conf.workers, 4);
	t_eq(conf.threads, 2);
	t_eq(conf.hugepages, SUP_HUGE_REQUIRE);
	t_eq(conf.numa, SUP_NUMA_BIND);
	t_eq(conf.numa_node, 1);
	t_eq(conf.keep_resident, 0);
	t_eq(conf.isa, ENG_ISA_AVX2);
	t_eq(conf.log_level, LOG_LVL_DEBUG);
	t_eq(conf.limits.context, 2048);
	t_eq(conf.limits.max_tokens, 512);
	t_eq(conf.limits.queue, 9);
	t_eq(conf.limits.speculate, 0);
	t_eq(conf.limits.deadline_ms, 1000);
	t_eq(conf.limits.kv_bytes, 3ll << 30);
	t_eq(conf.limits.prefix_cache, 0);
	t_eq(conf.clients_per_uid, 3);
	t_eq(conf.use.users.count, 2);
	t_eq(conf.use.users.ids[1], 1234);
	t_eq(conf.use.groups.count, 1);
	t_eq(conf.control.users.count, 0);
	t_eq(conf.model_count, 2);
	t_str_eq(conf.models[0].name, "smol");
	t_str_eq(conf.models[0].active, "1.2.3");
	t_str_eq(conf.models[1].active, "");
}

/* The supervisor passes the ISA on by number and includes no engine header. */
static void isa_names_match_the_engine(void)
{
	t_str_eq(sup_isa_name(ENG_ISA_AUTO), "auto");
	t_str_eq(sup_isa_name(ENG_ISA_GENERIC), "generic");
	t_str_eq(sup_isa_name(ENG_ISA_AVX2), "avx2");
	t_str_eq(sup_isa_name(ENG_ISA_AVX512), "avx512");
	t_str_eq(sup_isa_name(ENG_ISA_AMX), "amx");
	t_ok(sup_isa_name(ENG_ISA_COUNT) == NULL);
}

static void odd_but_valid_text(void)
{
	t_eq(read_text("\xef\xbb\xbf[mhostd]\r\nstore = /s\r\nsocket = /k"), 0);
	t_str_eq(conf.store, "/s");
	t_str_eq(conf.socket, "/k");
	t_eq(read_text("\n\n;x\n#y\n" BASE "\n"), 0);
	t_eq(conf.workers, 1);
}

static void unknown_and_double(void)
{
	t_str_eq(refused(BASE "wrokers = 2\n"),
		 ":4: [mhostd] wrokers: unknown key; mhost.ini(5) lists them");
	t_str_eq(refused("x = 1\n"), ":1: \"x\" stands before any [section]");
	t_ok(strstr(refused(BASE "[limit]\n"), ":4: [limit]: unknown section"));
	t_ok(strstr(refused(BASE "[limits]\n[mhostd]\n"), ":5: [mhostd]: there already is"));
	t_str_eq(refused(BASE "workers = 1\nworkers = 1\n"), ":5: [mhostd] workers: given twice");
	t_ok(strstr(refused(BASE "[model A/B]\n"), ":4: [model A/B]: "));
	t_ok(strstr(refused(BASE "[model ]\n"), ":4: [model ]: "));
	t_ok(strstr(refused(BASE "[model m]\n[model m]\n"), ":5: [model m]: there already"));
	t_ok(strstr(refused(BASE "[model m]\nwhat = 1\n"), ":5: [model m] what: unknown key"));
	t_ok(strstr(refused(BASE "[model m]\nactive = new\n"), ":5: [model m] active: \"new\""));
	t_ok(strstr(refused(BASE "just words\n"), ":4: neither"));
	t_ok(strstr(refused(BASE "[broken\n"), ":4: \"[broken\": not a [section]"));
	t_ok(strstr(refused(BASE "[limits] x\n"), ":4: "));
}

static void bad_numbers(void)
{
	static const char *const bad[] = { "10GiB7", "-1", "+1", "", "0x10", "1.5", "1e3", "1 0",
		"99999999999999999999", "18446744073709551615G", "18446744073709551616", "K",
		"1KK", "1k", "4097G" };
	char text[200];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), BASE "[limits]\nkv_bytes = %s\n", bad[i]);
		if (!t_ok(strstr(refused(text), ":5: [limits] kv_bytes: ")))
			printf("# value \"%s\": %s\n", bad[i], error.text);
	}
	t_str_eq(refused(BASE "workers = 0\n"),
		 ":4: [mhostd] workers: 0 is out of range; give 1 to 64");
	t_str_eq(refused(BASE "workers = 65\n"),
		 ":4: [mhostd] workers: 65 is out of range; give 1 to 64");
	t_ok(strstr(refused(BASE "workers = 1K\n"), "is no number"));
	t_ok(strstr(refused(BASE "hugepages = yes\n"), "none of prefer, require, never"));
	t_ok(strstr(refused(BASE "numa = bind:x\n"), "[mhostd] numa: "));
	t_ok(strstr(refused(BASE "isa = sse\n"), "none of auto, generic, avx2, avx512, amx"));
	t_ok(strstr(refused(BASE "log_level = loud\n"), "none of error"));
	t_ok(strstr(refused(BASE "[access]\nuse_users = no-such-user-here\n"), "unknown user"));
	t_ok(strstr(refused(BASE "[access]\nuse_groups = no-such-group-here\n"), "unknown group"));
	t_ok(strstr(refused(BASE "[access]\nuse_users = 4294967295\n"), "unknown user"));
	t_ok(strstr(refused(BASE "[limits]\ncontext = 100\nmax_tokens = 200\n"), "more than context"));
}

#define RELEASE	BASE "[release]\n"

static void a_release(void)
{
	const struct sup_release_conf *r = &conf.release;

	t_need(read_text(BASE "restore = no\n[release]\nsteps = 0.5, 2.25,10, 99.99\nshadow = 12.5\n"
			 "interval = 90\nguard = 0\ngolden_timeout = 2m\nprobe_count = 0\n"
			 "hook = echo $MHOST_EVENT\nhook_timeout = 1h\n"
			 "metric = dislikes\nmetric_command = /bin/true\nmetric_min = -2.5\nmetric_max = 1e2\n"
			 "metric_timeout = 3s\nalpha = 0.05\nhold_p = 0\nsamples_min = 5\nsamples_full = 10\n"
			 "slowdown_tolerated = 1.2\nslowdown_excluded = 1.2\ntail_tolerated = 1\n"
			 "first_token_p95_ms = 0\nerror_rate_max = .25\nerror_rate_tolerated = 0.1\n"
			 "error_rate_excluded = 0.1\nwall_times = yes\n"
			 "empty_rate_max = 1\nempty_rate_tolerated = 1\nrepeating_rate_max = 0.5\n"
			 "repeating_rate_tolerated = 0.5\nshadow_samples_min = 7\nkl_max = 2\ntop1_min = 0.9\n"
			 "perplexity_ratio_max = 1\n") == 0);
	t_eq(conf.restore, false);
	t_eq(r->steps.count, 4);
	t_eq(r->steps.weights[0], 50);
	t_eq(r->steps.weights[1], 225);
	t_eq(r->steps.weights[2], 1000);
	t_eq(r->steps.weights[3], 9999);
	t_eq(r->shadow_weight, 1250);
	t_eq(r->interval_s, 90);
	t_eq(r->guard_s, 0);
	t_eq(r->golden_timeout_s, 120);
	t_eq(r->probe_count, 0);
	t_str_eq(r->hook, "echo $MHOST_EVENT");
	t_eq(r->hook_timeout_s, 3600);
	t_str_eq(r->metric, "dislikes");
	t_near(r->metric_min, -2.5, 0);
	t_near(r->metric_max, 100, 0);
	t_near(r->judge.error_rate_max, 0.25, 0);
	t_eq(r->judge.samples_full, 10);
	t_eq(r->judge.wall_times, true);
	t_near(r->judge.error_rate_excluded, 0.1, 0);
	t_near(r->judge.top1_min, 0.9, 0);
	t_need(read_text(BASE) == 0);
	t_eq(conf.restore, true);
	t_eq(r->steps.count, 5);
	t_eq(r->steps.weights[4], MHS_ROUTE_WEIGHT_MAX);
	t_eq(r->interval_s, 60);
}

static void a_model(void)
{
	t_need(read_text(BASE "[model a]\ngolden = /g\nprobes = /p\nwatch = /w\non_new = canary\n[model b]\n") == 0);
	t_str_eq(conf.models[0].golden, "/g");
	t_str_eq(conf.models[0].probes, "/p");
	t_str_eq(conf.models[0].watch, "/w");
	t_eq(conf.models[0].on_new, SUP_NEW_CANARY);
	t_str_eq(conf.models[0].active, "");
	t_eq(conf.models[1].on_new, SUP_NEW_IMPORT);
	t_str_eq(refused(BASE "[model a]\non_new = flip\n"),
		 ":5: [model a] on_new: \"flip\" is none of import, shadow, canary, activate");
	t_ok(strstr(refused(BASE "[model a]\ngolden =\n"), ":5: [model a] golden: empty"));
	t_ok(strstr(refused(BASE "[model a]\nactive = 1.0\n"), ":5: [model a] active: \"1.0\" is no version"));
	t_ok(strstr(refused(BASE "[model a]\nprobes = /p\nprobes = /q\n"), ":6: [model a] probes: given twice"));
}

/* Each of @values under @key is refused, at its line and by its name, for the reason in @words. */
static void all_refused(const char *key, const char *const *values, const char *words)
{
	char text[1024], where[64];

	snprintf(where, sizeof(where), ":5: [release] %s: ", key);
	for (; *values; values++) {
		const char *said;

		snprintf(text, sizeof(text), RELEASE "%s = %s\n", key, *values);
		said = refused(text);
		if (!t_ok(strncmp(said, where, strlen(where)) == 0 && strstr(said, words)))
			printf("# %s = %s: %s\n", key, *values, said);
	}
}

#define ALL_REFUSED(key, words, ...)	\
	all_refused(key, (const char *const []){ __VA_ARGS__, NULL }, words)

static void bad_weights(void)
{
	char many[160] = "0.01";

	ALL_REFUSED("steps", "weights are rising", "", "0", "0,5", "5,5", "5,1", "50,25,100", "200", "100.01",
		    "1.234", "1.", ".5", "1,,2", ",1", "1,", "1;2", "-1", "+1", "1e1", "0x5", "1 2", "1,5 %",
		    "nan", "1000", "99999999999999999999");
	for (int i = 2; i < 34; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), ",%d", i);
	ALL_REFUSED("steps", "more than 32 steps", many);
	ALL_REFUSED("shadow", "is no share", "", "0", "0.00", "100.01", "101", "1,2", "10%", "-5", "all", "1.005");
}

static void bad_times(void)
{
	ALL_REFUSED("interval", "is no time", "", "s", "1d", "1.5m", "-1", "+1", "1 m", "1ms", "60ss", "1h30m",
		    "0x10", "1e3", "9999999999", "99999999999999999999");
	ALL_REFUSED("interval", "out of range; give 1 to 604800 seconds", "0", "0s", "169h", "604801", "999999999h");
	ALL_REFUSED("hook_timeout", "out of range", "0", "61m");
	ALL_REFUSED("metric_timeout", "out of range", "0", "2h");
	ALL_REFUSED("golden_timeout", "out of range", "0h", "25h");
	ALL_REFUSED("guard", "out of range", "10081m", "169h");
}

static void bad_reals(void)
{
	ALL_REFUSED("error_rate_max", "is no number; give 0 to 1", "", "inf", "-inf", "nan", "NAN", "infinity",
		    "0x1p-2", "1e", "e1", ".", "-", "--1", "+0.5", "0.5x", "0,5", "5 %", "1e999", "1_0");
	ALL_REFUSED("error_rate_max", "out of range; give 0 to 1", "-0.1", "1.0001", "5", "1e300");
	ALL_REFUSED("error_rate_excluded", "out of range", "2");
	ALL_REFUSED("alpha", "out of range", "0", "1e-7", "0.51");
	ALL_REFUSED("hold_p", "out of range", "0.6");
	ALL_REFUSED("slowdown_tolerated", "out of range", "0.9", "3.1");
	ALL_REFUSED("slowdown_excluded", "out of range", "0", "4");
	ALL_REFUSED("first_token_p95_ms", "out of range", "-1");
	ALL_REFUSED("kl_max", "out of range", "-1", "1001");
	ALL_REFUSED("top1_min", "out of range", "1.1");
	ALL_REFUSED("perplexity_ratio_max", "out of range", "0.99", "1e7");
	ALL_REFUSED("metric_max", "is no number", "", "inf", "nan", "-");
	ALL_REFUSED("samples_min", "out of range; give 5 to", "0", "4", "1000001");
	ALL_REFUSED("samples_min", "is no number", "", "-5", "5.5", "5K", "1e3");
	ALL_REFUSED("samples_full", "out of range", "4", "10000001");
	ALL_REFUSED("shadow_samples_min", "out of range", "4");
	ALL_REFUSED("probe_count", "out of range", "100001");
}

static void bad_texts(void)
{
	char text[256], name[40];

	ALL_REFUSED("hook", "empty", "");
	ALL_REFUSED("metric_command", "empty", "");
	memset(name, 'm', 32);
	name[32] = '\0';
	ALL_REFUSED("metric", "32 bytes long, at most 31 fit", name);
	snprintf(text, sizeof(text), RELEASE "metric = %s\n", name + 1);
	t_eq(read_text(text), 0);
	t_str_eq(refused(RELEASE "step = 1\n"), ":5: [release] step: unknown key; mhost.ini(5) lists them");
	t_ok(strstr(refused(RELEASE "spend_power = 1\n"), ":5: [release] spend_power: unknown key"));
	t_ok(strstr(refused(RELEASE "shadow = 1\nshadow = 1\n"), ":6: [release] shadow: given twice"));
	t_str_eq(refused(BASE "restore = true\n"), ":4: [mhostd] restore: \"true\" is none of no, yes");
}

/* Each is good alone. */
static void thresholds_that_do_not_go_together(void)
{
	t_str_eq(refused(RELEASE "samples_min = 3000\n"),
		 ": [release] samples_full: does not go with the other thresholds; see mhost.ini(5)");
	t_str_eq(refused(RELEASE "slowdown_tolerated = 1.2\n"),
		 ": [release] slowdown_excluded: does not go with the other thresholds; see mhost.ini(5)");
	t_ok(strstr(refused(RELEASE "error_rate_tolerated = 0.1\n"), "[release] error_rate_excluded: does not"));
	t_str_eq(refused(RELEASE "metric_min = 2\nmetric_max = -2\n"),
		 ": [release] metric_min: 2 is more than metric_max, -2");
	t_eq(read_text(RELEASE "metric_min = 2\nmetric_max = 2\n"), 0);
}

static void bad_files(void)
{
	struct sup_options options = { .config = t_path("mhost.ini") };
	size_t bytes = 1 << 20;
	char *big = malloc(bytes);

	t_need(big);
	memset(big, 'a', bytes);
	t_eq(read_bytes(big, bytes), -EINVAL);
	t_ok(strstr(error.text, "larger than"));
	memcpy(big, "[mhostd]\n", 9);
	t_eq(read_bytes(big, 100000), -EINVAL);
	t_ok(strstr(error.text, ":2: a line of 99991 bytes; at most 197"));
	free(big);
	t_eq(read_bytes("[mhostd]\nstore=/a\0b\n", 20), -EINVAL);
	t_ok(strstr(error.text, ":2: control character 0x00 in column 9"));
	t_need(read_text(BASE) == 0);
	t_need(chmod(options.config, 0646) == 0);
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	t_ok(strstr(error.text, "anybody may write it (mode 0646)"));
	chmod(options.config, 0600);
	options.config = t_tmpdir();
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	t_ok(strstr(error.text, "not a regular file"));
	options.config = t_path("fifo");
	t_need(mkfifo(options.config, 0600) == 0);
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	options.config = t_path("absent");
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	t_ok(strstr(error.text, "No such file"));
}

static void null_is_an_empty_file(void)
{
	struct sup_options options = { .config = "/dev/null", .count = 2,
				       .list = { { "store", "/s" }, { "socket", "/k" } } };

	t_eq(sup_conf_read(&options, &conf, &error), 0);
	t_str_eq(conf.store, "/s");
	options.config = "/dev/zero";
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	t_ok(strstr(error.text, "not a regular file"));
}

/* `show` names files below it to programs that stand elsewhere. */
static void a_relative_store_becomes_absolute(void)
{
	struct sup_options options = { .count = 2, .list = { { "store", "below/../below" },
							     { "socket", "/k" } } };
	char *before = getcwd(NULL, 0), *below;

	t_need(before && mkdir(t_path("below"), 0700) == 0 && chdir(t_tmpdir()) == 0);
	below = realpath("below", NULL);
	t_eq(sup_conf_read(&options, &conf, &error), 0);
	t_str_eq(conf.store, below);
	options.list[0].value = "absent";
	t_eq(sup_conf_read(&options, &conf, &error), 0);
	t_str_eq(conf.store, "absent");
	t_need(chdir(before) == 0);
	free(below);
	free(before);
}

static int parse_options(struct sup_options *options, int argc, const char *const *args)
{
	char *argv[20];

	for (int i = 0; i < argc; i++)
		argv[i] = (char *)(uintptr_t)args[i];
	argv[argc] = NULL;
	return sup_options_parse(argc, argv, options, &error);
}

#define OPTIONS(...)	parse_options(&options, \
	(int)(sizeof((const char *[]){ "mhostd", __VA_ARGS__ }) / sizeof(char *)), \
	(const char *[]){ "mhostd", __VA_ARGS__ })

static void options_win(void)
{
	struct sup_options options;
	const char *path = t_path("options.ini");

	t_write_file(path, BASE "workers = 4\n", strlen(BASE "workers = 4\n"));
	t_need(OPTIONS("--config", path, "--workers", "2", "--hugepages=never", "--isa", "generic",
		       "--keep-resident", "5") == 0);
	t_need(sup_conf_read(&options, &conf, &error) == 0);
	t_eq(conf.workers, 2);
	t_eq(conf.hugepages, SUP_HUGE_NEVER);
	t_eq(conf.isa, ENG_ISA_GENERIC);
	t_eq(conf.keep_resident, 5);
	t_str_eq(conf.store, "/s");
	t_need(OPTIONS("--store", "/a", "--socket", "/b") == 0);
	t_eq(sup_conf_read(&options, &conf, &error), 0);
	t_need(OPTIONS("--store", "/a") == 0);
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	t_ok(strstr(error.text, "no socket; give --socket"));
	t_need(OPTIONS("--store", "/a", "--socket", "/b", "--workers", "many") == 0);
	t_eq(sup_conf_read(&options, &conf, &error), -EINVAL);
	t_ok(strstr(error.text, "workers: \"many\" is no number"));
	t_eq(OPTIONS("--wat"), -EINVAL);
	t_eq(OPTIONS("--workers"), -EINVAL);
	t_eq(OPTIONS("--workers", "1", "--workers", "2"), -EINVAL);
	t_eq(OPTIONS("stray"), -EINVAL);
}

/* The commented sample says the defaults: uncommented it must give the same. */
static void the_sample_shows_the_defaults(void)
{
	struct sup_options options = { .config = t_path("sample.ini") };
	struct sup_conf sample;
	char text[8192], *out = text;
	FILE *f = fopen("tools/mhost.ini", "r");
	int c, before = '\n';

	if (!f) {
		t_skip("not run from the root of the tree");
		return;
	}
	/* "#key = value" becomes a key; "# words" stays a comment */
	while ((c = fgetc(f)) != EOF && out < text + sizeof(text) - 2) {
		int next = fgetc(f);

		ungetc(next, f);
		if (!(c == '#' && before == '\n' && next != ' '))
			*out++ = (char)c;
		before = c;
	}
	fclose(f);
	*out = '\0';
	*strstr(text, "use_groups = mhost") = ';';	/* the one that is an example */
	t_write_file(options.config, text, strlen(text));
	if (!t_eq(sup_conf_read(&options, &sample, &error), 0))
		printf("# %s\n", error.text);
	t_need(read_text("[mhostd]\nstore = /var/lib/mhost\nsocket = /run/mhost/mhost.sock\n"
			 "[model smol]\nactive = 1.0.0\n") == 0);
	t_mem_eq(&sample, &conf, sizeof(conf));
}

static void access_lists(void)
{
	struct sup_access access = { .users = { 1, { 5000 } }, .groups = { 1, { 6000 } } };
	uint32_t gids[] = { 1, 6000 };

	t_ok(sup_access_allows(&access, 0, NULL, 0));
	t_ok(sup_access_allows(&access, geteuid(), NULL, 0));
	t_ok(sup_access_allows(&access, 5000, NULL, 0));
	t_ok(!sup_access_allows(&access, 5001, NULL, 0));
	t_ok(sup_access_allows(&access, 5001, gids, 2));
	t_ok(!sup_access_allows(&access, 5001, gids, 1));
}

int main(void)
{
	T_RUN(a_whole_file);
	T_RUN(isa_names_match_the_engine);
	T_RUN(odd_but_valid_text);
	T_RUN(unknown_and_double);
	T_RUN(bad_numbers);
	T_RUN(a_release);
	T_RUN(a_model);
	T_RUN(bad_weights);
	T_RUN(bad_times);
	T_RUN(bad_reals);
	T_RUN(bad_texts);
	T_RUN(thresholds_that_do_not_go_together);
	T_RUN(bad_files);
	T_RUN(null_is_an_empty_file);
	T_RUN(a_relative_store_becomes_absolute);
	T_RUN(options_win);
	T_RUN(the_sample_shows_the_defaults);
	T_RUN(access_lists);
	return t_done();
}

/* SPDX-License-Identifier: MIT */
/* semver_test.c: versions, names, references, and the store's listing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sto_store.h"
#include "t.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void parses_what_is_a_version(void)
{
	uint32_t parts[3];
	const char *pre;

	t_eq(sto_semver_parse("1.2.3", parts, &pre), 0);
	t_ok(parts[0] == 1 && parts[1] == 2 && parts[2] == 3 && !pre);
	t_eq(sto_semver_parse("0.0.999999999", parts, NULL), 0);
	t_eq(parts[2], 999999999);
	t_eq(sto_semver_parse("1.0.0-rc.1.x-y.0a", parts, &pre), 0);
	t_str_eq(pre, "rc.1.x-y.0a");
	t_eq(sto_semver_parse("1.0.0-0", parts, &pre), 0);
}

static void refuses_what_is_not(void)
{
	static const char *const bad[] = {
		"",
		"1",
		"1.0",
		"1.0.",
		"1.0.0.",
		"1.0.0.0",
		"v1.0.0",
		"01.0.0",
		"1.00.0",
		"1.0.00",
		"1.0.0-",
		"1.0.0-a.",
		"1.0.0-.a",
		"1.0.0-a..b",
		"1.0.0-01",
		"1.0.0+build",
		"1.0.0-a+b",
		" 1.0.0",
		"1.0.0 ",
		"-1.0.0",
		"1.-1.0",
		"1.0.x",
		"1,0,0",
		"1.0.0-\xc3\xa4",
		"1.0.0-a_b",
		"1.0.1000000000",
		"4294967296.0.0",
		"1.0.0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"../1.0.0",
		"1.0.0/..",
	};
	uint32_t parts[3];

	for (size_t i = 0; i < COUNT(bad); i++)
		if (!t_ok(sto_semver_parse(bad[i], parts, NULL) == -EINVAL))
			printf("# accepted: %s\n", bad[i]);
}

static void orders_by_precedence(void)
{
	/* rising; the middle is the example of semver.org */
	static const char *const rising[] = {
		"0.0.1",      "0.9.0",	      "1.0.0-1",       "1.0.0-2",
		"1.0.0-10",   "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
		"1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0",      "1.0.1",	      "1.0.10",	       "1.2.0",
		"1.10.0",     "2.0.0",	      "10.0.0",
	};

	for (size_t i = 0; i < COUNT(rising); i++) {
		for (size_t j = 0; j < COUNT(rising); j++) {
			int order = sto_semver_compare(rising[i], rising[j]);

			if (!t_ok((order < 0) == (i < j) && (order > 0) == (i > j)))
				printf("# %s against %s\n", rising[i], rising[j]);
		}
	}
}

static void finds_the_next(void)
{
	static const struct {
		const char *version, *major, *minor, *patch;
	} cases[] = {
		{ "", "1.0.0", "1.0.0", "1.0.0" },
		{ "1.2.3", "2.0.0", "1.3.0", "1.2.4" },
		{ "0.0.0", "1.0.0", "0.1.0", "0.0.1" },
		{ "2.0.0-rc.1", "2.0.0", "2.0.0", "2.0.0" },
		{ "1.2.0-rc.1", "2.0.0", "1.2.0", "1.2.0" },
		{ "1.2.3-rc.1", "2.0.0", "1.3.0", "1.2.3" },
		{ "9.0.999999998", "10.0.0", "9.1.0", "9.0.999999999" },
	};
	char next[MHS_SEMVER_BYTES];

	for (size_t i = 0; i < COUNT(cases); i++) {
		t_eq(sto_semver_bump(cases[i].version, STO_BUMP_MAJOR, next), 0);
		t_str_eq(next, cases[i].major);
		t_eq(sto_semver_bump(cases[i].version, STO_BUMP_MINOR, next), 0);
		t_str_eq(next, cases[i].minor);
		t_eq(sto_semver_bump(cases[i].version, STO_BUMP_PATCH, next), 0);
		t_str_eq(next, cases[i].patch);
	}
	t_eq(sto_semver_bump("1.2.999999999", STO_BUMP_PATCH, next), -ERANGE);
	t_eq(sto_semver_bump("999999999.0.0", STO_BUMP_MAJOR, next), -ERANGE);
}

static void checks_names(void)
{
	static const char *const good[] = { "a", "0", "smol", "smol-lm2.5_x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	static const char *const bad[] = {
		"",
		".",
		"..",
		"-a",
		".a",
		"_a",
		"A",
		"a/b",
		"a b",
		"a\n",
		"\xc3\xa4",
		"a@b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	};
	struct sto_error error;

	for (size_t i = 0; i < COUNT(good); i++)
		t_eq(sto_name_check(good[i], &error), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		error.text[0] = '\0';
		t_eq(sto_name_check(bad[i], &error), -EINVAL);
		t_ok(strstr(error.text, "limit") && !strchr(error.text, '\n'));
	}
}

static void splits_references(void)
{
	char model[MHS_NAME_BYTES], version[MHS_SEMVER_BYTES];
	struct sto_error error;

	t_eq(sto_ref_parse("smol@1.0.0-rc.1", 0, model, version, &error), 0);
	t_str_eq(model, "smol");
	t_str_eq(version, "1.0.0-rc.1");
	t_eq(sto_ref_parse("smol", 1, model, version, &error), 0);
	t_str_eq(version, "");
	t_eq(sto_ref_parse("smol", 0, model, version, &error), -EINVAL);
	t_ok(strstr(error.text, "version"));
	t_eq(sto_ref_parse("smol@", 1, model, version, &error), -EINVAL);
	t_eq(sto_ref_parse("smol@1", 1, model, version, &error), -EINVAL);
	t_eq(sto_ref_parse("@1.0.0", 0, model, version, &error), -EINVAL);
	t_eq(sto_ref_parse("a@b@1.0.0", 0, model, version, &error), -EINVAL);
	t_eq(sto_ref_parse("../x@1.0.0", 0, model, version, &error), -EINVAL);
}

static void errors_stay_on_one_line(void)
{
	struct sto_error error;

	sto_fail(&error, "%s", "a\nb\r\x1b[31m\x7f");
	t_str_eq(error.text, "a?b??[31m?");
	sto_fail(&error, "%0600d", 7);
	t_eq(strlen(error.text), sizeof(error.text) - 1);
}

/* ---- listing ----------------------------------------------------------------------------- */

static char seen[512];

static int note(void *arg, const char *model, const char *version)
{
	size_t n = strlen(seen);

	snprintf(seen + n, sizeof(seen) - n, "%s@%s ", model, version);
	return arg ? 1 : 0;
}

static void put_version(const char *model, const char *version, int with_image)
{
	char path[128];

	snprintf(path, sizeof(path), "store/models/%s", model);
	mkdir(t_path("store"), 0755);
	mkdir(t_path("store/models"), 0755);
	mkdir(t_path(path), 0755);
	snprintf(path, sizeof(path), "store/models/%s/%s", model, version);
	mkdir(t_path(path), 0755);
	snprintf(path, sizeof(path), "store/models/%s/%s/image.mhi", model, version);
	if (with_image)
		t_write_file(t_path(path), "x", 1);
}

static void lists_in_order(void)
{
	struct sto_error error;

	t_eq(sto_store_each(t_path("nowhere"), note, NULL, &error), 0);
	put_version("b", "1.10.0", 1);
	put_version("b", "1.9.0", 1);
	put_version("b", "1.10.0-rc.2", 1);
	put_version("b", "1.11.0", 0);		/* no image: not a version */
	put_version("b", "latest", 1);
	put_version("a", "0.1.0", 1);
	put_version("Not-a-name", "1.0.0", 1);
	t_write_file(t_path("store/models/file"), "x", 1);
	seen[0] = '\0';
	t_eq(sto_store_each(t_path("store"), note, NULL, &error), 0);
	t_str_eq(seen, "a@0.1.0 b@1.9.0 b@1.10.0-rc.2 b@1.10.0 ");
	seen[0] = '\0';
	t_eq(sto_store_each(t_path("store"), note, seen, &error), 0);
	t_str_eq(seen, "a@0.1.0 ");
	seen[0] = '\0';
	t_eq(sto_versions_each(t_path("store"), "b", note, NULL, &error), 0);
	t_str_eq(seen, "b@1.9.0 b@1.10.0-rc.2 b@1.10.0 ");
	seen[0] = '\0';
	t_eq(sto_entries_each(t_path("store"), "b", note, NULL, &error), 0);
	t_str_eq(seen, "b@1.9.0 b@1.10.0-rc.2 b@1.10.0 b@1.11.0 ");
	t_write_file(t_path("plain"), "x", 1);
	t_ok(sto_store_each(t_path("plain"), note, NULL, &error) == -ENOTDIR);
}

int main(void)
{
	T_RUN(parses_what_is_a_version);
	T_RUN(refuses_what_is_not);
	T_RUN(orders_by_precedence);
	T_RUN(finds_the_next);
	T_RUN(checks_names);
	T_RUN(splits_references);
	T_RUN(errors_stay_on_one_line);
	T_RUN(lists_in_order);
	return t_done();
}

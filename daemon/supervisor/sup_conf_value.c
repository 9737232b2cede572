/* SPDX-License-Identifier: MIT */
/* sup_conf_value.c: from the text of a value to a field, or what is wrong with it. */
#include "sup_conf_value.h"

#include <errno.h>
#include <grp.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

int sup_set_text(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	if (!*value)
		sto_fail(error, "empty");
	else if (strlen(value) >= key->max)
		sto_fail(error, "%zu bytes long, at most %llu fit", strlen(value),
			 (unsigned long long)key->max - 1);
	else
		return strcpy(field, value), 0;
	return -EINVAL;
}

static int suffix_shift(char suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	default:
		return -1;
	}
}

/* Decimal digits only, @suffixes: then perhaps one of K, M, G. */
static int number_parse(const char *value, bool suffixes, uint64_t *number)
{
	size_t digits = strspn(value, "0123456789");
	int shift = 0;

	if (digits == 0 || digits > 19)
		return -EINVAL;
	if (value[digits]) {
		shift = suffixes ? suffix_shift(value[digits]) : -1;
		if (shift < 0 || value[digits + 1])
			return -EINVAL;
	}
	*number = strtoull(value, NULL, 10);
	if (*number > UINT64_MAX >> shift)
		return -EINVAL;
	*number <<= shift;
	return 0;
}

static int number_range(const struct sup_key *key, bool suffixes, const char *value, uint64_t *number,
			struct sto_error *error)
{
	if (number_parse(value, suffixes, number)) {
		sto_fail(error, "\"%.40s\" is no number; give %llu to %llu%s", value,
			 (unsigned long long)key->min, (unsigned long long)key->max,
			 suffixes ? ", with K, M or G if you like" : "");
		return -EINVAL;
	}
	if (*number < key->min || *number > key->max) {
		sto_fail(error, "%.40s is out of range; give %llu to %llu", value,
			 (unsigned long long)key->min, (unsigned long long)key->max);
		return -EINVAL;
	}
	return 0;
}

int sup_set_u32(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	uint64_t number;

	if (number_range(key, false, value, &number, error))
		return -EINVAL;
	*(uint32_t *)field = (uint32_t)number;
	return 0;
}

int sup_set_bytes(const struct sup_key *key, void *field, const char *value,
		  struct sto_error *error)
{
	return number_range(key, true, value, field, error);
}

int sup_set_name(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	char all[128] = "";

	for (uint32_t i = 0; key->names[i]; i++) {
		if (strcmp(value, key->names[i]) == 0) {
			*(uint32_t *)field = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 key->names[i]);
	}
	sto_fail(error, "\"%.40s\" is none of %s", value, all);
	return -EINVAL;
}

int sup_set_numa(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	struct sup_conf *conf = field;	/* offset 0: two fields */
	uint64_t node;

	(void)key;
	conf->numa_node = 0;
	if (strcmp(value, "interleave") == 0) {
		conf->numa = SUP_NUMA_INTERLEAVE;
	} else if (strcmp(value, "replicate") == 0) {
		conf->numa = SUP_NUMA_REPLICATE;
	} else if (strncmp(value, "bind:", 5) == 0 && number_parse(value + 5, false, &node) == 0 &&
		   node < 1024) {
		conf->numa = SUP_NUMA_BIND;
		conf->numa_node = (uint32_t)node;
	} else {
		sto_fail(error, "\"%.40s\" is none of interleave, bind:NODE, replicate", value);
		return -EINVAL;
	}
	return 0;
}

int sup_set_level(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	int level = log_level_parse(value);

	(void)key;
	if (level < 0) {
		sto_fail(error, "\"%.40s\" is none of error, warning, notice, info, debug", value);
		return -EINVAL;
	}
	*(int *)field = level;
	return 0;
}

/* A user's or group's number, by name or given as a number. */
static int id_find(const char *name, bool group, uint32_t *id)
{
	uint64_t number;

	if (number_parse(name, false, &number) == 0) {
		*id = (uint32_t)number;
		return number < UINT32_MAX ? 0 : -EINVAL;
	}
	if (group) {
		const struct group *gr = getgrnam(name);

		*id = gr ? gr->gr_gid : 0;
		return gr ? 0 : -ENOENT;
	}
	const struct passwd *pw = getpwnam(name);

	*id = pw ? pw->pw_uid : 0;
	return pw ? 0 : -ENOENT;
}

static int set_ids(struct sup_ids *list, const char *value, bool group, struct sto_error *error)
{
	char copy[512], *rest = copy, *name;

	list->count = 0;
	snprintf(copy, sizeof(copy), "%s", value);
	while ((name = strsep(&rest, ", \t"))) {
		if (!*name)
			continue;
		if (list->count == SUP_IDS_MAX) {
			sto_fail(error, "more than %u names", SUP_IDS_MAX);
			return -EINVAL;
		}
		if (id_find(name, group, &list->ids[list->count++])) {
			sto_fail(error, "unknown %s \"%.64s\"", group ? "group" : "user", name);
			return -EINVAL;
		}
	}
	return 0;
}

int sup_set_users(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	(void)key;
	return set_ids(field, value, false, error);
}

int sup_set_groups(const struct sup_key *key, void *field, const char *value,
		   struct sto_error *error)
{
	(void)key;
	return set_ids(field, value, true, error);
}

/* A decimal number, perhaps with a fraction. */
static int real_parse(const char *value, double *number)
{
	char *end;

	if (!*value || !strchr("0123456789.-", *value) ||
	    strspn(value, "0123456789.eE+-") != strlen(value))
		return -EINVAL;
	*number = strtod(value, &end);
	return *end || !isfinite(*number) ? -EINVAL : 0;
}

int sup_set_real(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	double number;

	if (real_parse(value, &number)) {
		sto_fail(error, "\"%.40s\" is no number; give %g to %g", value, key->low, key->high);
	} else if (number < key->low || number > key->high) {
		sto_fail(error, "%.40s is out of range; give %g to %g", value, key->low, key->high);
	} else {
		*(double *)field = number;
		return 0;
	}
	return -EINVAL;
}

int sup_set_bool(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	if (strcmp(value, "yes") && strcmp(value, "no")) {
		sto_fail(error, "\"%.40s\" is none of no, yes", value);
		return -EINVAL;
	}
	*(bool *)field = value[0] == 'y';
	return 0;
}

/* Seconds, or with s, m or h. */
int sup_duration_parse(const char *value, uint64_t *seconds)
{
	size_t digits = strspn(value, "0123456789");
	uint64_t unit = 1;

	if (digits == 0 || digits > 9)
		return -EINVAL;
	if (value[digits])
		unit = value[digits] == 's' ? 1 : value[digits] == 'm' ? 60 :
		       value[digits] == 'h' ? 3600 : 0;
	if (unit == 0 || (value[digits] && value[digits + 1]))
		return -EINVAL;
	*seconds = strtoull(value, NULL, 10) * unit;
	return 0;
}

int sup_set_duration(const struct sup_key *key, void *field, const char *value,
		     struct sto_error *error)
{
	uint64_t seconds;

	if (sup_duration_parse(value, &seconds)) {
		sto_fail(error, "\"%.40s\" is no time; give seconds, or with s, m or h", value);
	} else if (seconds < key->min || seconds > key->max) {
		sto_fail(error, "%.40s is out of range; give %llu to %llu seconds", value,
			 (unsigned long long)key->min, (unsigned long long)key->max);
	} else {
		*(uint32_t *)field = (uint32_t)seconds;
		return 0;
	}
	return -EINVAL;
}

/* One weight in per cent, to basis points: at most two digits after the point. */
static int weight_parse(const char **at, uint32_t *weight)
{
	const char *p = *at;
	uint64_t whole = 0, part = 0;
	size_t digits = strspn(p, "0123456789");

	if (digits == 0 || digits > 3)
		return -EINVAL;
	whole = strtoull(p, NULL, 10);
	p += digits;
	if (*p == '.') {
		digits = strspn(++p, "0123456789");
		if (digits == 0 || digits > 2)
			return -EINVAL;
		part = strtoull(p, NULL, 10) * (digits == 1 ? 10 : 1);
		p += digits;
	}
	*weight = (uint32_t)(whole * 100 + part);
	*at = p;
	return *weight > MHS_ROUTE_WEIGHT_MAX ? -EINVAL : 0;
}

int sup_weight_parse(const char *value, uint32_t *weight, struct sto_error *error)
{
	const char *at = value;
	uint32_t fresh;

	if (weight_parse(&at, &fresh) || *at || fresh == 0) {
		sto_fail(error, "\"%.40s\" is no share; give above 0 to 100 (per cent)", value);
		return -EINVAL;
	}
	*weight = fresh;
	return 0;
}

int sup_set_weight(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	(void)key;
	return sup_weight_parse(value, field, error);
}

int sup_set_version(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	const char *prerelease;
	uint32_t parts[3];

	(void)key;
	if (strlen(value) >= MHS_SEMVER_BYTES || sto_semver_parse(value, parts, &prerelease)) {
		sto_fail(error, "\"%.60s\" is no version; give MAJOR.MINOR.PATCH", value);
		return -EINVAL;
	}
	snprintf(field, MHS_SEMVER_BYTES, "%s", value);
	return 0;
}

int sup_steps_parse(const char *value, struct sup_steps *steps, struct sto_error *error)
{
	struct sup_steps fresh = { 0 };
	const char *at = value;
	uint32_t weight, last = 0;

	for (;;) {
		if (weight_parse(&at, &weight) || weight <= last || (*at && *at != ',')) {
			sto_fail(error, "\"%.60s\": weights are rising per cents above 0 up to 100, as in "
				 "1,5,25,50,100", value);
			return -EINVAL;
		}
		if (fresh.count == SUP_STEPS_MAX) {
			sto_fail(error, "\"%.60s\": more than %u steps", value, SUP_STEPS_MAX);
			return -EINVAL;
		}
		fresh.weights[fresh.count++] = last = weight;
		if (!*at)
			break;
		at++;
		at += strspn(at, " ");
	}
	*steps = fresh;
	return 0;
}

int sup_set_steps(const struct sup_key *key, void *field, const char *value, struct sto_error *error)
{
	(void)key;
	return sup_steps_parse(value, field, error);
}

/* SPDX-License-Identifier: MIT */
/* sup_conf_value.h: the kinds of values that a key may hold, for sup_conf_key.c. */
#ifndef SUP_CONF_VALUE_H
#define SUP_CONF_VALUE_H

#include "sup_conf.h"

struct sup_key;
/* 0; -EINVAL with text, and the field is as it was. */
typedef int (*sup_set_fn)(const struct sup_key *key, void *field, const char *value,
			  struct sto_error *error);

struct sup_key {
	const char *section, *name;
	sup_set_fn set;
	size_t offset;			/* of the field in struct sup_conf */
	uint64_t min, max;		/* numbers; max: bytes of a text */
	const char *const *names;	/* of an enum, from 0, NULL-terminated */
	double low, high;		/* reals */
};

int sup_set_bool(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_bytes(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_duration(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_groups(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_level(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_name(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_numa(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_real(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_steps(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_text(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_u32(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_users(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_version(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);
int sup_set_weight(const struct sup_key *key, void *field, const char *value,
		 struct sto_error *error);

#endif

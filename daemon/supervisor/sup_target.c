/* SPDX-License-Identifier: MIT */
/*
 * sup_target.c: what is routed has one name: MODEL, or MODEL/ADAPTER of an adapter on top of it. All
 * that takes a model's name takes an adapter's too.
 */
#include <stdio.h>
#include <string.h>

#include "sup.h"

bool sup_target_is_adapter(const char *target)
{
	return strchr(target, '/') != NULL;
}

void sup_target_split(const char *target, char model[MHS_NAME_BYTES], char adapter[MHS_NAME_BYTES])
{
	const char *slash = strchr(target, '/');
	size_t n = slash ? (size_t)(slash - target) : strlen(target);

	snprintf(model, MHS_NAME_BYTES, "%.*s", n < MHS_NAME_BYTES ? (int)n : (int)MHS_NAME_BYTES - 1,
		 target);
	snprintf(adapter, MHS_NAME_BYTES, "%.63s", slash ? slash + 1 : "");
}

int sup_target_check(const char *target, struct sto_error *error)
{
	const char *slash = strchr(target, '/');
	char model[MHS_NAME_BYTES];
	int err;

	if (!slash)
		return sto_name_check(target, error);
	if (slash - target >= MHS_NAME_BYTES) {
		sto_fail(error, "\"%.140s\": a name of more than %u characters", target, MHS_NAME_BYTES - 1);
		return -1;
	}
	snprintf(model, sizeof(model), "%.*s", (int)(slash - target), target);
	err = sto_name_check(model, error);
	return err ? err : sto_name_check(slash + 1, error);
}

void sup_target_folder(const char *target, char folder[STO_ADAPTER_FOLDER_BYTES])
{
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];

	sup_target_split(target, model, adapter);
	if (adapter[0])
		sto_adapter_folder(model, adapter, folder);
	else
		snprintf(folder, STO_ADAPTER_FOLDER_BYTES, "%s", model);
}

int sup_target_path(const struct sup *sup, const char *target, const char *semver, const char *file,
		    char *path, uint32_t bytes)
{
	char folder[STO_ADAPTER_FOLDER_BYTES];

	sup_target_folder(target, folder);
	return sto_version_path(sup->conf.store, folder, semver, file, path, bytes);
}

static int note_last(void *arg, const char *folder, const char *semver)
{
	(void)folder;
	snprintf(arg, MHS_SEMVER_BYTES, "%s", semver);
	return 0;
}

bool sup_target_latest(const struct sup *sup, const char *target, char semver[MHS_SEMVER_BYTES])
{
	char folder[STO_ADAPTER_FOLDER_BYTES];
	struct sto_error ignored;

	semver[0] = '\0';
	sup_target_folder(target, folder);
	sto_versions_each(sup->conf.store, folder, note_last, semver, &ignored);
	return semver[0] != '\0';
}

json_t *sup_target_show(json_t *object, const char *target)
{
	char model[MHS_NAME_BYTES], adapter[MHS_NAME_BYTES];

	json_t *named;

	sup_target_split(target, model, adapter);
	named = json_pack("{s:s, s:s*}", "model", model, "adapter", adapter[0] ? adapter : NULL);
	json_object_update_missing(named, object);
	json_decref(object);
	return named;
}

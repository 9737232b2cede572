/* SPDX-License-Identifier: MIT */
/*
 * sup_gate.c: the golden gate. Before a version gets traffic, `mhost golden check` asks it, loaded
 * and not yet routed, for what the cases shipped with it expect, and those of the configuration. We
 * run no inference: the program is a client like any other. What was passed counts until the version is
 * unloaded or the file changes, so that a flip between versions in memory stays one store.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "sup_child.h"
#include "sup_op_priv.h"

/* The @index-th file of cases for @op's version; *@own: it came with it. False: there are no more. */
static bool gate_file(const struct sup_op *op, uint32_t index, bool *own, char *path, uint32_t bytes)
{
	const struct sup_model_conf *conf = sup_conf_model_find(&op->sup->conf, op->model);

	if (op->version->model->is_adapter)
		return false;	/* golden cases are of models */
	*own = sto_version_path(op->sup->conf.store, op->model, op->semver, STO_GOLDEN_NAME, path, bytes) == 0 &&
	       access(path, F_OK) == 0 && index-- == 0;
	if (*own)
		return true;
	if (!conf || !conf->golden[0] || index != 0)
		return false;
	snprintf(path, bytes, "%s", conf->golden);
	return true;
}

static struct sup_cases cases_of(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return (struct sup_cases){ 0 };
	return (struct sup_cases){ .device = st.st_dev, .inode = st.st_ino, .bytes = (uint64_t)st.st_size,
				   .changed_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000 +
						 (uint64_t)st.st_ctim.tv_nsec };
}

/* The next file that the version did not pass since it was loaded. */
static bool gate_next(struct sup_op *op, bool *own, char *path, uint32_t bytes)
{
	for (; op->gates_passed < SUP_CASES_MAX; op->gates_passed++) {
		if (!gate_file(op, op->gates_passed, own, path, bytes))
			return false;
		op->cases = cases_of(path);
		if (!op->cases.inode ||
		    memcmp(&op->cases, &op->version->passed[op->gates_passed], sizeof(op->cases)))
			return true;
	}
	return false;
}

static void gate_over(struct sup_child *child)
{
	struct sup_op *op = child->owner;
	char line[300];

	op->gate = NULL;
	if (child->status == 0) {
		if (op->version)
			op->version->passed[op->gates_passed] = op->cases;
		op->gates_passed++;
		sup_event(op->sup, "gate", op->model, op->semver, op->uid, "passed", NULL);
	} else {
		sup_child_line(child, line, sizeof(line));
		sup_op_fail(op, "%s@%s: golden gate: %s", op->model, op->semver, child->timed_out ?
			    "not done in time; see golden_timeout in mhost.ini(5)" : line);
	}
	sup_op_kick(op);
}

bool sup_gate_begin(struct sup_op *op)
{
	char path[4096], ref[SUP_NAME_BYTES + MHS_SEMVER_BYTES + 1], socket[SUP_SOCKET_BYTES + 16];
	const char *argv[] = { "mhost", "golden", "check", ref, NULL, path, NULL };
	const char *env[] = { socket, NULL };
	struct sup_child_plan plan = { .kind = SUP_CHILD_GATE, .argv = argv, .env = env, .over = gate_over, .owner = op,
				       .limit_ms = op->sup->conf.release.golden_timeout_s * 1000 };
	struct sto_error error;
	bool own;

	if (op->ungated || !gate_next(op, &own, path, sizeof(path)))
		return false;
	argv[4] = own ? NULL : "--file";
	snprintf(ref, sizeof(ref), "%s@%s", op->model, op->semver);
	snprintf(socket, sizeof(socket), "MHOST_SOCKET=%s", op->sup->conf.socket);
	op->gated = true;
	op->state = OP_WAIT_GATE;
	op->gate = sup_child_start(op->sup, &plan, &error);
	if (op->gate)
		return true;
	sup_op_fail(op, "%s: golden gate: %.300s", ref, error.text);
	sup_op_kick(op);
	return true;
}

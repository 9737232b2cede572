/* SPDX-License-Identifier: MIT */
/*
 * sup_flip.c: one store moves a model's traffic. Then the slots tell when each worker took it up;
 * the answer goes out when the last one has. Slots are hostile: a worker can only spoil the number
 * that is shown.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "sup_op_priv.h"

#define ADOPT_WOKEN_NS	50000u			/* first look at the slots, when one was woken */
#define ADOPT_BUSY_NS	SUP_NS_PER_MS		/* when all run: a step takes longer than that */

static void answer_flip(struct sup_op *op)
{
	json_t *from = op->from[0] ? json_string(op->from) : json_null();

	if (op->kind == OP_LOAD || op->kind == OP_WANT) {
		json_decref(from);
		sup_op_answer_load(op);
		return;
	}
	sup_op_answer(op, json_pack("{s:o, s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:i, s:i}",
		"from", from, "version", op->semver,
		"epoch", (json_int_t)op->epoch, "generation", (int)op->generation,
		"read_bytes", (json_int_t)op->read_bytes, "load_ns", (json_int_t)op->load_ns,
		"flip_ns", (json_int_t)op->flip_ns, "flip_wall_ns", (json_int_t)op->wall_ns,
		"workers", (int)op->workers, "workers_pending", (int)op->pending));
}

/* One worker has adopted: how long it took, by times that it wrote and that may be nonsense. */
static void adopted(struct sup_op *op, const struct mhs_slot *slot, bool slept)
{
	uint64_t turn = atomic_load_explicit(&slot->turn_ns, memory_order_relaxed);
	uint64_t when = atomic_load_explicit(&slot->adopted_ns, memory_order_relaxed);
	uint64_t now = sup_now_ns(), from = op->flipped_ns;

	if (when > now || when < op->flipped_ns)
		when = when > now ? now : op->flipped_ns;
	/* What ran at the flip is not counted, but waking up is. */
	if (!slept && turn > from)
		from = turn < when ? turn : when;
	if (when - from > op->flip_ns)
		op->flip_ns = when - from;
	if (when - op->flipped_ns > op->wall_ns)
		op->wall_ns = when - op->flipped_ns;
}

/* Look at the slots of those not yet seen. */
static void op_sample(struct sup_op *op)
{
	op->pending = 0;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct sup_worker *worker = &op->sup->workers[i];
		const struct mhs_slot *slot = sup_worker_slot(worker);

		if (!op->asked[i].life)
			continue;
		if (worker->life == op->asked[i].life &&
		    /* acquire pairs with the release in mhs_epoch_adopt(): both times are there */
		    atomic_load_explicit(&slot->adopted_epoch, memory_order_acquire) < op->epoch) {
			op->pending++;
			continue;
		}
		if (worker->life == op->asked[i].life)
			adopted(op, slot, op->asked[i].slept);
		op->asked[i].life = 0;
	}
}

static bool is_overdue(const struct sup_op *op)
{
	return sup_now_ns() - op->flipped_ns >= op->sup->adopt_limit_ns;
}

/*
 * Before another publication overwrites the times in the slots. Those that are done, or have waited
 * too long, answer next; the others have been looked at, so that a storm of flips wakes us for itself
 * alone.
 */
void sup_flips_sample(struct sup *sup)
{
	for (struct sup_op *op = sup->ops; op; op = op->next) {
		if (op->state != OP_WAIT_ADOPTED || !op->pending)
			continue;
		op_sample(op);
		sup_timer_set(&sup->loop, &op->timer,
			      op->pending && !is_overdue(op) ? sup->adopt_max_ns : 0, sup_op_step);
	}
}

static void history_update(struct sup_op *op, struct sup_model *model)
{
	if (op->kind == OP_ROLLBACK && sup_history_has(model, op->semver)) {
		/* back to where it was last: what came after is undone */
		while (strcmp(model->history[--model->history_count], op->semver) != 0)
			;
	} else if (op->from[0]) {
		sup_history_push(model, op->from);
	}
}

/* Wakes those that sleep. True: some did. */
static bool workers_ring(struct sup_op *op)
{
	bool slept = false;

	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++) {
		const struct sup_worker *worker = &op->sup->workers[i];

		if (worker->state != SUP_WORKER_READY)
			continue;
		op->asked[i].life = worker->life;
		op->asked[i].slept = mhs_slot_should_wake(sup_worker_slot(worker));
		if (op->asked[i].slept)
			sup_worker_ring(worker);
		slept |= op->asked[i].slept;
		op->workers++;
	}
	op->pending = op->workers;
	return slept;
}

void sup_op_flip(struct sup_op *op)
{
	struct sup *sup = op->sup;
	struct sup_model *model = op->version->model;

	if (model->active)
		strcpy(op->from, model->active->semver);
	if (model->active == op->version) {
		op->epoch = atomic_load_explicit(&sup->board->epoch, memory_order_relaxed);
		answer_flip(op);
		return;
	}
	op->returns = !model->active && strcmp(model->chosen, op->semver) == 0;
	sup_flips_tell(sup);
	sup_flips_sample(sup);
	op->state = OP_WAIT_ADOPTED;
	op->flipped_ns = sup_now_ns();
	op->epoch = sup_model_flip(model, op->version);
	op->poll_ns = workers_ring(op) ? ADOPT_WOKEN_NS : ADOPT_BUSY_NS;
	op->generation = mhs_route_unpack(atomic_load_explicit(&sup->board->models[model->index].route,
							       memory_order_relaxed)).generation;
	history_update(op, model);
	model->guard_ns = op->kind == OP_ROLLBACK || op->at_start ? 0 :
			  sup_now_ns() + sup->conf.release.guard_s * SUP_NS_PER_S;
	sup_timer_set(&sup->loop, &op->timer, op->poll_ns, sup_op_step);
}

static void flip_tell(struct sup_op *op)
{
	json_t *more;

	op->told = true;
	log_line(op->at_start ? LOG_LVL_NOTICE : LOG_LVL_INFO, "%s: %s%s%s is active, epoch %llu",
		 op->model, op->from, op->from[0] ? " -> " : "", op->semver,
		 (unsigned long long)op->epoch);
	if (op->returns)
		return;		/* in the store's eyes it never went */
	more = json_pack("{s:s?, s:I, s:I}", "from", op->from[0] ? op->from : NULL, "epoch",
			 (json_int_t)op->epoch, "read_bytes", (json_int_t)op->read_bytes);
	if (json_array_size(op->stranded))
		json_object_set(more, "stranded", op->stranded);
	sup_event(op->sup, op->kind == OP_ROLLBACK ? "rollback" : "flip", op->model, op->semver,
		  op->uid, op->why, more);
	if (!op->at_start)	/* else it still has to take what was kept */
		sup_keep_model(sup_model_find(op->sup, op->model));
}

/*
 * Not between the flip and our next sleep: a worker that was rung may need this CPU. But before
 * anything else that is told, another flip too, so there is never more than one.
 */
void sup_flips_tell(struct sup *sup)
{
	for (struct sup_op *op = sup->ops; op; op = op->next)
		if (op->state == OP_WAIT_ADOPTED && !op->told)
			flip_tell(op);
}

void sup_op_cut_off(struct sup_op *op)
{
	sup_flips_tell(op->sup);
	op_sample(op);
	op->at_start = false;
	answer_flip(op);
}

void sup_op_wait_adopted(struct sup_op *op)
{
	struct sup *sup = op->sup;
	struct sup_model *model;

	sup_flips_tell(sup);
	op_sample(op);
	if (op->pending && !is_overdue(op)) {
		op->poll_ns = op->poll_ns * 2 < sup->adopt_max_ns ? op->poll_ns * 2 : sup->adopt_max_ns;
		sup_timer_set(&sup->loop, &op->timer, op->poll_ns, sup_op_step);
		return;
	}
	if (op->pending)
		log_warning("%s: %u workers have not taken up epoch %llu yet; see mhost workers",
			    op->model, op->pending, (unsigned long long)op->epoch);
	model = sup_model_find(sup, op->model);
	answer_flip(op);
	/* Only now: unpublishing another version moves the epoch on. */
	sup_model_trim(sup, model);
}

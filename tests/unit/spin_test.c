/* SPDX-License-Identifier: MIT */
/* Spinning pays or stops: short waits begin it, vain spins thin it out, long waits end it. */
#include "mhs_spin.h"

#include "t.h"

#define SHORT	UINT64_C(5000)
#define LONG	UINT64_C(3000000)

/* One wait of @ns; the spin that it was given. */
static uint32_t wait(struct mhs_spin *spin, uint64_t ns)
{
	uint32_t spin_ns = mhs_spin_ns(spin);

	mhs_spin_learn(spin, ns, spin_ns);
	return spin_ns;
}

static void asleep_until_waits_are_short(void)
{
	struct mhs_spin spin = { 0 };

	t_eq(wait(&spin, LONG), 0);
	t_eq(wait(&spin, SHORT), 0);
	for (int i = 0; i < 100; i++)
		t_eq(wait(&spin, SHORT), MHS_SPIN_NS);
	t_eq(wait(&spin, LONG), MHS_SPIN_NS);	/* could not be known */
	for (int i = 0; i < 100; i++)
		t_eq(wait(&spin, LONG), 0);
}

static void vain_spins_are_thinned_out(void)
{
	const uint32_t gaps[] = { 1, 3, 7, 15, 15 };
	struct mhs_spin spin = { 0 };

	wait(&spin, SHORT);
	for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		t_eq(wait(&spin, MHS_SPIN_NS + 1), MHS_SPIN_NS);
		for (uint32_t k = 0; k < gaps[i]; k++)
			t_eq(wait(&spin, SHORT), 0);
	}
	t_eq(wait(&spin, SHORT), MHS_SPIN_NS);	/* one that pays forgives all */
	t_eq(wait(&spin, MHS_SPIN_NS + 1), MHS_SPIN_NS);
	t_eq(wait(&spin, SHORT), 0);
	t_eq(wait(&spin, SHORT), MHS_SPIN_NS);
}

/* Waits that no spin can catch: what spinning costs is bounded, also over many. */
static void the_cost_is_bounded(void)
{
	struct mhs_spin spin = { 0 };
	uint64_t spun = 0, waited = 0;

	for (int i = 0; i < 10000; i++) {
		spun += wait(&spin, MHS_SPIN_NS + 1000);
		waited += MHS_SPIN_NS + 1000;
	}
	t_ok(spun * 15 < waited);
}

static void never_on_one_cpu(void)
{
	struct mhs_spin spin = { .never = true };

	for (int i = 0; i < 10; i++)
		t_eq(wait(&spin, SHORT), 0);
}

int main(void)
{
	T_RUN(asleep_until_waits_are_short);
	T_RUN(vain_spins_are_thinned_out);
	T_RUN(the_cost_is_bounded);
	T_RUN(never_on_one_cpu);
	return t_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * gra_schema_number.c: numbers between bounds as digits: of each length, what begins like the lower
 * bound, what lies between, what begins like the upper one.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gra_schema_priv.h"

#define DIGITS_MAX	15		/* what a double holds exactly */
#define LARGEST		999999999999999.0
#define DECIMALS_MAX	6

/* Whole numbers low..high, in units of 10^-decimals; infinite: no bound. */
struct span {
	double low, high;
	int decimals;
};

static void put_digits(struct gra_text *to, int count, int decimals)
{
	if (count > decimals)
		gra_text_put(to, "[0-9]{%d} ", count - decimals);
	if (count >= decimals && decimals)
		gra_text_put(to, "\".\" ");
	if (decimals && count)
		gra_text_put(to, "[0-9]{%d} ", count < decimals ? count : decimals);
}

static bool all_are(const char *digits, char digit)
{
	return strspn(digits, (char[]){ digit, 0 }) == strlen(digits);
}

/* One digit of a number, with the point before it where it belongs. */
static void put_digit(struct gra_text *to, char first, char last, size_t left, int decimals)
{
	if (decimals && left == (size_t)decimals)
		gra_text_put(to, "\".\" ");
	gra_text_put(to, "[%c-%c] ", first, last);
}

/* Numbers of as many digits between both. */
static void put_between(struct gra_text *to, const char *low, const char *high, int decimals)
{
	char nines[DIGITS_MAX + 2], zeros[DIGITS_MAX + 2];
	size_t left = strlen(low);

	if (!left)
		return;
	if (all_are(low, '0') && all_are(high, '9')) {
		put_digits(to, (int)left, decimals);
		return;
	}
	snprintf(nines, sizeof(nines), "%.*s", (int)left - 1, "9999999999999999");
	snprintf(zeros, sizeof(zeros), "%.*s", (int)left - 1, "0000000000000000");
	if (low[0] == high[0]) {
		put_digit(to, low[0], low[0], left, decimals);
		put_between(to, low + 1, high + 1, decimals);
		return;
	}
	gra_text_put(to, "( ");
	put_digit(to, low[0], low[0], left, decimals);
	put_between(to, low + 1, nines, decimals);
	if (high[0] - low[0] > 1) {
		gra_text_put(to, "| ");
		put_digit(to, (char)(low[0] + 1), (char)(high[0] - 1), left, decimals);
		put_between(to, zeros, nines, decimals);
	}
	gra_text_put(to, "| ");
	put_digit(to, high[0], high[0], left, decimals);
	put_between(to, zeros, high + 1, decimals);
	gra_text_put(to, ") ");
}

static double power(int exponent)
{
	return exponent ? 10 * power(exponent - 1) : 1;
}

/* 0 <= @low <= @high, whole, one alternative for each length; at least one digit before the point. */
static void put_magnitudes(struct gra_text *to, double low, double high, int decimals)
{
	const char *or = "";

	gra_text_put(to, "( ");
	for (int n = decimals + 1; n <= DIGITS_MAX; n++) {
		double least = n == decimals + 1 ? 0 : power(n - 1), most = power(n) - 1;
		char from[DIGITS_MAX + 2], last[DIGITS_MAX + 2];

		if (high < least || low > most)
			continue;
		snprintf(from, sizeof(from), "%0*.0f", n, low > least ? low : least);
		snprintf(last, sizeof(last), "%0*.0f", n, high < most ? high : most);
		gra_text_put(to, "%s", or);
		put_between(to, from, last, decimals);
		or = "| ";
	}
	gra_text_put(to, ") ");
}

/* Alternatives, with a leading bar unless the first. @behind: what follows each, e.g. a fraction. */
static void put_span(struct gra_text *to, const struct span *span, const char *behind, const char **or)
{
	double low = fmax(span->low, -LARGEST), high = fmin(span->high, LARGEST);

	if (high >= 0 && low <= high) {
		gra_text_put(to, "%s", *or);
		put_magnitudes(to, fmax(low, 0), high, span->decimals);
		gra_text_put(to, "%s", behind);
		*or = "| ";
	}
	if (low < 0 && low <= high) {
		gra_text_put(to, "%s\"-\" ", *or);
		put_magnitudes(to, fmax(-high, 1), -low, span->decimals);
		gra_text_put(to, "%s", behind);
		*or = "| ";
	}
}

/* Whole numbers, or those with a fraction: away from zero, so one less on the far side of each bound. */
static void put_fractions(struct gra_text *to, const struct span *span, const char **or)
{
	static const char fraction[] = "\".\" [0-9]{1,6} ";
	struct span up = { fmax(span->low, 0), span->high - 1, 0 };
	struct span down = { span->low + 1, fmin(span->high, 0), 0 };

	if (up.low <= up.high)
		put_span(to, &up, fraction, or);
	if (span->low <= -1 && down.low <= down.high) {
		gra_text_put(to, "%s\"-\" ", *or);
		put_magnitudes(to, fabs(down.high), fmin(-down.low, LARGEST), 0);
		gra_text_put(to, "%s", fraction);
		*or = "| ";
	}
}

/* Decimals that @value needs, up to one more than may be. */
static int decimals_of(double value)
{
	int n = 0;

	if (!isfinite(value))
		return 0;
	while (n <= DECIMALS_MAX && fabs(value * power(n) - nearbyint(value * power(n))) > 1e-9 * fmax(1, fabs(value)))
		n++;
	return n;
}

static int bound(struct schema *s, json_t *node, const char *key, double *value)
{
	json_t *number = json_object_get(node, key);

	if (!number)
		return 0;
	if (!json_is_number(number))
		return schema_fail(s, -EINVAL, "\"%s\" must be a number", key);
	*value = json_number_value(number);
	return 0;
}

/* The bounds in units; what is excluded moves by one unit. */
static int span_read(struct schema *s, json_t *node, bool integer, struct span *span)
{
	double low = -INFINITY, high = INFINITY, over = -INFINITY, under = INFINITY, unit;
	int err = bound(s, node, "minimum", &low);

	err = err ? err : bound(s, node, "maximum", &high);
	err = err ? err : bound(s, node, "exclusiveMinimum", &over);
	err = err ? err : bound(s, node, "exclusiveMaximum", &under);
	if (err)
		return err;
	if (!integer) {
		double all[] = { low, high, over, under };

		for (int i = 0; i < 4; i++)
			span->decimals = (int)fmax(span->decimals, decimals_of(all[i]));
		if (!span->decimals && fmin(high, under - 1) < fmax(low, over + 1))
			span->decimals = 2;
		if (span->decimals > DECIMALS_MAX)
			return schema_fail(s, -EINVAL, "a bound has more than %d decimals: round it", DECIMALS_MAX);
	}
	unit = power(span->decimals);
	span->low = fmax(ceil(low * unit - 1e-6), floor(over * unit + 1e-6) + 1);
	span->high = fmin(floor(high * unit + 1e-6), ceil(under * unit - 1e-6) - 1);
	if (span->low > span->high || span->low > LARGEST || span->high < -LARGEST)
		return schema_fail(s, -EINVAL, "no number lies between its bounds");
	return 0;
}

int schema_number(struct schema *s, json_t *node, bool integer, struct gra_text *to)
{
	json_t *multiple = json_object_get(node, "multipleOf");
	struct span span = { 0 };
	const char *or = "";
	int err;

	if (multiple && !(integer && json_number_value(multiple) == 1))
		return schema_fail(s, -EINVAL, "\"multipleOf\" is not supported: leave it out, or check it afterwards");
	err = span_read(s, node, integer, &span);
	if (err)
		return err;
	gra_text_put(to, "( ");
	put_span(to, &span, "", &or);
	if (!integer && !span.decimals)
		put_fractions(to, &span, &or);
	gra_text_put(to, ")");
	if (!integer && isinf(span.low) && isinf(span.high))
		gra_text_put(to, " ([eE] [-+]? [0-9]{1,2})?");
	return 0;
}

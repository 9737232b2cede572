/* SPDX-License-Identifier: MIT */
/* tpl_write.c: output, and values as Python's str() and repr() write them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tpl_priv.h"

void tpl_buffer_grow(struct tpl_run *r, struct tpl_buffer *b, size_t more)
{
	char *old = b->text;

	if (b->cap - b->bytes >= more)
		return;
	if (b->bytes + more > r->output_bytes)
		tpl_throw(&r->heap, TPL_LIMIT, "text is longer than %zu bytes; shorten the request",
			  r->output_bytes);
	b->cap = b->cap * 2 > b->bytes + more ? b->cap * 2 : b->bytes + more + 64;
	b->text = tpl_alloc(&r->heap, b->cap);
	if (b->bytes)
		memcpy(b->text, old, b->bytes);
}

void tpl_put(struct tpl_run *r, const char *text, size_t bytes)
{
	tpl_buffer_grow(r, r->out, bytes);
	if (bytes)
		memcpy(r->out->text + r->out->bytes, text, bytes);
	r->out->bytes += bytes;
}

void tpl_puts(struct tpl_run *r, const char *text)
{
	tpl_put(r, text, strlen(text));
}

void tpl_put_char(struct tpl_run *r, uint32_t c)
{
	char text[4];

	tpl_put(r, text, tpl_encode(c, text));
}

struct tpl_buffer *tpl_capture(struct tpl_run *r, struct tpl_buffer *buffer)
{
	struct tpl_buffer *outer = r->out;

	*buffer = (struct tpl_buffer){ 0 };
	r->out = buffer;
	return outer;
}

struct tpl_value tpl_capture_end(struct tpl_run *r, struct tpl_buffer *outer)
{
	struct tpl_value text = tpl_text(r->out->text ? r->out->text : "", r->out->bytes);

	r->out = outer;
	return text;
}

/*
 * a + b as text. What a template adds to again and again keeps room behind it, so that a long text
 * made of many pieces is not copied for each.
 */
struct tpl_value tpl_join(struct tpl_run *r, const struct tpl_value *a, const struct tpl_value *b)
{
	struct tpl_buffer *buffer = a->buffer;
	struct tpl_value joined;

	tpl_step(r, b->bytes);
	if (!buffer || buffer->text + buffer->bytes != a->text + a->bytes ||
	    buffer->cap - buffer->bytes < b->bytes) {
		tpl_step(r, a->bytes);
		buffer = tpl_zalloc(&r->heap, sizeof(*buffer));
		tpl_buffer_grow(r, buffer, ((size_t)a->bytes + b->bytes) * (a->bytes > 256 ? 2 : 1));
		if (a->bytes)
			memcpy(buffer->text, a->text, a->bytes);
		buffer->bytes = a->bytes;
	}
	if (b->bytes)
		memcpy(buffer->text + buffer->bytes, b->text, b->bytes);
	buffer->bytes += b->bytes;
	joined = tpl_text(buffer->text + buffer->bytes - b->bytes - a->bytes,
			  (size_t)a->bytes + b->bytes);
	joined.buffer = buffer;
	joined.flags = a->flags;
	return joined;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* The fewest digits that read back as the same number; *@exponent: of the first one. */
static int shortest(double real, char digits[20], int *exponent)
{
	char text[40], *point;
	int count = 1, n = 0;

	for (; count < 17; count++) {
		snprintf(text, sizeof(text), "%.*e", count - 1, real);
		if (strtod(text, NULL) == real)
			break;
	}
	snprintf(text, sizeof(text), "%.*e", count - 1, real);
	point = strchr(text, 'e');
	*exponent = atoi(point + 1);
	for (char *at = text; at < point; at++)
		if (*at >= '0' && *at <= '9')
			digits[n++] = *at;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = 0;
	return n;
}

size_t tpl_float_text(double real, char out[40])
{
	char digits[20];
	int exponent, count;

	if (isnan(real))
		return (size_t)snprintf(out, 40, "nan");
	if (isinf(real))
		return (size_t)snprintf(out, 40, real < 0 ? "-inf" : "inf");
	count = shortest(fabs(real), digits, &exponent);
	if (exponent < -4 || exponent >= 16)
		return (size_t)snprintf(out, 40, "%s%c%s%se%+03d", signbit(real) ? "-" : "", digits[0],
					count > 1 ? "." : "", digits + 1, exponent);
	return (size_t)snprintf(out, 40, "%.*f", count - 1 > exponent ? count - 1 - exponent : 1,
				real);
}

/* ---- str() and repr() --------------------------------------------------------------------- */

/* What repr() writes in place of @c, or "" when it writes @c itself. */
static const char *quoted(uint32_t c, char quote, char text[16])
{
	text[0] = 0;
	if (c == (unsigned char)quote || c == '\\')
		snprintf(text, 16, "\\%c", (int)c);
	else if (c == '\n' || c == '\r' || c == '\t')
		snprintf(text, 16, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else if ((c < ' ' || c > '~') && !tpl_is_printable(c))
		snprintf(text, 16, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
	return text;
}

static void put_quoted(struct tpl_run *r, const struct tpl_value *v)
{
	bool has_single = v->bytes && memchr(v->text, '\'', v->bytes);
	bool has_double = v->bytes && memchr(v->text, '"', v->bytes);
	char quote = has_single && !has_double ? '"' : '\'', text[16];
	size_t plain = 0, used;

	tpl_put(r, &quote, 1);
	for (size_t at = 0; at < v->bytes; at += used) {
		uint32_t c = tpl_decode(v->text + at, v->bytes - at, &used);

		if (!quoted(c, quote, text)[0])
			continue;
		tpl_put(r, v->text + plain, at - plain);
		tpl_puts(r, text);
		plain = at + used;
	}
	tpl_put(r, v->text + plain, v->bytes - plain);
	tpl_put(r, &quote, 1);
}

static void put_items(struct tpl_run *r, const struct tpl_list *list, const char *open,
		      const char *close)
{
	tpl_puts(r, open);
	for (uint32_t i = 0; i < list->count; i++) {
		if (i)
			tpl_puts(r, ", ");
		tpl_put_repr(r, &list->items[i]);
	}
	tpl_puts(r, close);
}

static void put_dict(struct tpl_run *r, const struct tpl_dict *dict)
{
	tpl_puts(r, "{");
	for (uint32_t i = 0; i < dict->count; i++) {
		if (i)
			tpl_puts(r, ", ");
		tpl_put_repr(r, &dict->entries[i].key);
		tpl_puts(r, ": ");
		tpl_put_repr(r, &dict->entries[i].value);
	}
	tpl_puts(r, "}");
}

static void put_number(struct tpl_run *r, const struct tpl_value *v)
{
	char text[40];

	if (v->kind == TPL_BOOL)
		tpl_puts(r, v->truth ? "True" : "False");
	else if (v->kind == TPL_FLOAT)
		tpl_put(r, text, tpl_float_text(v->real, text));
	else
		tpl_put(r, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, v->integer));
}

static void put_range(struct tpl_run *r, const struct tpl_range *range)
{
	char text[100];

	if (range->step == 1)
		snprintf(text, sizeof(text), "range(%" PRId64 ", %" PRId64 ")", range->start, range->stop);
	else
		snprintf(text, sizeof(text), "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", range->start,
			 range->stop, range->step);
	tpl_puts(r, text);
}

static void put_loop(struct tpl_run *r, struct tpl_loop *loop)
{
	struct tpl_value name = tpl_cstr("index"), at = tpl_loop_attr(r, loop, &name);

	tpl_puts(r, "<LoopContext ");
	tpl_put_str(r, &at);
	name = tpl_cstr("length");
	at = tpl_loop_attr(r, loop, &name);
	tpl_puts(r, "/");
	tpl_put_str(r, &at);
	tpl_puts(r, ">");
}

static void put_other(struct tpl_run *r, const struct tpl_value *v)
{
	const struct tpl_name *name;

	if (v->kind == TPL_LOOP) {
		put_loop(r, v->loop);
	} else if (v->kind == TPL_NAMESPACE) {
		tpl_puts(r, "<Namespace ");
		put_dict(r, v->dict);
		tpl_puts(r, ">");
	} else if (v->kind == TPL_MACRO) {
		name = &r->tpl->names[v->macro->node->name];
		tpl_puts(r, "<Macro '");
		tpl_put(r, name->text, name->bytes);
		tpl_puts(r, "'>");
	} else if (v->kind == TPL_VIEW) {
		put_items(r, v->list, v->flags == 'k' ? "dict_keys([" : v->flags == 'v' ?
			  "dict_values([" : "dict_items([", "])");
	} else {
		tpl_throw(&r->heap, TPL_UNSUPPORTED, "'%s' object has no text that is not an address",
			  tpl_type_name(v));
	}
}

void tpl_put_repr(struct tpl_run *r, const struct tpl_value *v)
{
	tpl_step(r, v->kind == TPL_STRING ? v->bytes * (uint64_t)4 : 0);
	tpl_enter(&r->heap);
	if (v->kind == TPL_STRING && v->flags & TPL_MARKUP)
		tpl_puts(r, "Markup(");
	if (v->kind == TPL_STRING)
		put_quoted(r, v);
	else if (v->kind == TPL_UNDEFINED)
		tpl_puts(r, "Undefined");
	else if (v->kind == TPL_NONE)
		tpl_puts(r, "None");
	else if (tpl_is_number(v))
		put_number(r, v);
	else if (v->kind == TPL_LIST)
		put_items(r, v->list, "[", "]");
	else if (v->kind == TPL_TUPLE)
		put_items(r, v->list, "(", v->list->count == 1 ? ",)" : ")");
	else if (v->kind == TPL_DICT)
		put_dict(r, v->dict);
	else if (v->kind == TPL_RANGE)
		put_range(r, v->range);
	else
		put_other(r, v);
	if (v->kind == TPL_STRING && v->flags & TPL_MARKUP)
		tpl_puts(r, ")");
	tpl_leave(&r->heap);
}

void tpl_put_str(struct tpl_run *r, const struct tpl_value *v)
{
	if (v->kind == TPL_STRING) {
		tpl_step(r, v->bytes);
		tpl_put(r, v->text, v->bytes);
	} else if (v->kind != TPL_UNDEFINED) {
		tpl_put_repr(r, v);
	}
}

struct tpl_value tpl_soft_str(struct tpl_run *r, const struct tpl_value *v)
{
	struct tpl_buffer buffer, *outer;

	if (v->kind == TPL_STRING)
		return *v;
	outer = tpl_capture(r, &buffer);
	tpl_put_str(r, v);
	return tpl_capture_end(r, outer);
}

struct tpl_value tpl_str(struct tpl_run *r, const struct tpl_value *v)
{
	struct tpl_value text = tpl_soft_str(r, v);

	text.flags = 0;
	return text;
}

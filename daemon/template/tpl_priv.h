/* SPDX-License-Identifier: MIT */
/*
 * tpl_priv.h: values, nodes and the state of one rendering.
 *
 * Memory of a template or of a rendering is an arena: nothing is freed alone, nothing outlives it.
 * Whatever goes wrong leaves by tpl_throw(), a long jump to tpl_compile() or tpl_chat(). So nothing
 * below them may hold what is not the arena's.
 */
#ifndef TPL_PRIV_H
#define TPL_PRIV_H

#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#include "tpl.h"

#define TPL_DEPTH_MAX	500u	/* nesting of expressions, blocks, calls and values */

/* ---- memory and errors -------------------------------------------------------------------- */

struct tpl_block;

struct tpl_heap {
	struct tpl_block *blocks;
	char *at, *end;			/* free bytes of the first block */
	size_t left_bytes;		/* of the limit */
	jmp_buf jump;
	struct tpl_error *error;
	uint32_t line;			/* where it is, for errors */
	uint32_t depth;
};

void tpl_heap_init(struct tpl_heap *heap, size_t limit_bytes, struct tpl_error *error);
void tpl_heap_fini(struct tpl_heap *heap);
void *tpl_alloc(struct tpl_heap *heap, size_t bytes);	/* 8-aligned, not cleared; never NULL */
void *tpl_zalloc(struct tpl_heap *heap, size_t bytes);
void tpl_throw(struct tpl_heap *heap, enum tpl_fault fault, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void tpl_enter(struct tpl_heap *heap);	/* one level deeper; throws at the limit */

static inline void tpl_leave(struct tpl_heap *heap)
{
	heap->depth--;
}

/* ---- values ------------------------------------------------------------------------------- */

enum tpl_kind {
	TPL_MISSING = 0,	/* no value: an argument that was not given */
	TPL_UNDEFINED,
	TPL_NONE,
	TPL_BOOL,
	TPL_INT,
	TPL_FLOAT,
	TPL_STRING,
	TPL_LIST,
	TPL_TUPLE,
	TPL_DICT,
	TPL_VIEW,		/* keys(), values(), items(): a list that is not indexed */
	TPL_RANGE,
	TPL_ITER,		/* a generator: iterated once */
	TPL_NAMESPACE,
	TPL_MACRO,
	TPL_METHOD,		/* a function, bound to a value or not */
	TPL_LOOP,
	TPL_CYCLER,
	TPL_JOINER,
};

enum tpl_flag {
	TPL_MARKUP = 1,		/* TPL_STRING: adding to it escapes what is added */
	TPL_UNSAFE = 2,		/* TPL_UNDEFINED: an attribute that the sandbox keeps back */
	TPL_GROUP = 4,		/* TPL_TUPLE: of groupby: .grouper and .list */
};

struct tpl_value {
	uint8_t kind, flags;
	uint16_t reserved;
	uint32_t bytes;			/* TPL_STRING */
	union {
		bool truth;
		int64_t integer;
		double real;
		const char *text;	/* UTF-8 */
		struct tpl_list *list;	/* LIST, TUPLE, VIEW */
		struct tpl_dict *dict;	/* DICT, NAMESPACE */
		struct tpl_range *range;
		struct tpl_iter *iter;
		struct tpl_macro *macro;
		struct tpl_method *method;
		struct tpl_loop *loop;
		struct tpl_cycler *cycler;
		const struct tpl_hint *hint;	/* UNDEFINED: what was asked for, or NULL */
	};
	struct tpl_buffer *buffer;	/* STRING: where it may grow in place, or NULL */
};

struct tpl_list {
	struct tpl_value *items;
	uint32_t count, cap;
};

struct tpl_entry {
	struct tpl_value key, value;
	uint32_t hash;
};

struct tpl_dict {
	struct tpl_entry *entries;	/* in the order of insertion */
	uint32_t count, cap;
	uint32_t *slots;		/* entry + 1 by hash; NULL while small */
	uint32_t slot_mask;
};

struct tpl_range {
	int64_t start, stop, step, count;
};

struct tpl_iter {
	struct tpl_list *list;
	uint32_t next;
};

struct tpl_hint {
	const char *owner;		/* type whose attribute it is; NULL: a variable */
	struct tpl_value name;
};

struct tpl_cycler {
	struct tpl_list *list;		/* joiner: the separator alone */
	uint32_t next;
};

/* Text that is written piece by piece. */
struct tpl_buffer {
	char *text;
	size_t bytes, cap;
};

/* ---- the compiled template ---------------------------------------------------------------- */

enum tpl_node_type {
	/* expressions */
	N_CONST, N_NAME, N_TUPLE, N_LIST, N_DICT, N_COND, N_OR, N_AND, N_NOT, N_COMPARE, N_BINARY,
	N_CONCAT, N_NEG, N_POS, N_ATTR, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST,
	/* arguments that are no plain expressions, members of a namespace as targets */
	N_KEYWORD, N_STAR, N_STAR_STAR, N_MEMBER,
	/* statements */
	N_DATA, N_PRINT, N_IF, N_FOR, N_SET, N_SET_BLOCK, N_MACRO, N_CALL_BLOCK, N_FILTER_BLOCK, N_WITH,
	N_SCOPE, N_BREAK, N_CONTINUE,
};

enum tpl_op {
	OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOOR, OP_MOD, OP_POW,
	OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOT_IN,
};

/* What a, b, c are is said in tpl_parse.c and tpl_expr.c, where nodes are made. */
struct tpl_node {
	uint8_t type, op;
	bool recursive, uses_varargs, uses_kwargs, uses_caller;
	uint32_t line;
	uint32_t name;			/* index of tpl.names */
	struct tpl_node *next;		/* in a list */
	struct tpl_node *a, *b, *c, *d;
	union {
		struct tpl_value value;
		const struct tpl_filter *filter;
		const struct tpl_test *test;
	};
};

struct tpl_name {
	const char *text;
	uint32_t bytes;
};

/* Names that the interpreter sets itself come first in tpl.names. */
enum { TPL_NAME_LOOP, TPL_NAME_CALLER, TPL_NAME_VARARGS, TPL_NAME_KWARGS, TPL_NAME_OWN };

struct tpl {
	struct tpl_heap heap;
	struct tpl_node *body;
	struct tpl_name *names;		/* all that occur, each once */
	struct tpl_value *globals;	/* [name_count] functions of that name, or MISSING */
	uint32_t name_count, name_cap;
	uint32_t *name_slots;		/* index + 1 by hash */
	uint32_t name_mask;
	const char *source;		/* with its newlines as \n */
	size_t source_bytes;
	const char *unsupported;
};

struct tpl_node *tpl_parse(struct tpl *tpl);
uint32_t tpl_intern(struct tpl *tpl, const char *text, uint32_t bytes);

/* ---- one rendering ------------------------------------------------------------------------ */

struct tpl_variable {
	uint32_t name;
	struct tpl_value value;
};

/* Names of a block. The outermost has its values by the index of the name. */
struct tpl_scope {
	struct tpl_scope *parent;	/* NULL: the outermost */
	struct tpl_variable *variables;
	struct tpl_value *values;	/* outermost: [name_count] */
	uint32_t count, cap;
};

struct tpl_macro {
	const struct tpl_node *node;
	struct tpl_scope *scope;	/* where it was defined */
};

/* Where an iteration is. */
struct tpl_cursor {
	struct tpl_value over;
	uint64_t at;			/* item, or byte of a string */
};

struct tpl_loop {
	struct tpl_cursor cursor;
	const struct tpl_node *node;
	struct tpl_scope *scope;	/* around the loop */
	struct tpl_value current, before, after;	/* MISSING: none; after: looked at early */
	struct tpl_value changed;
	int64_t index0, length;		/* length -1: not known yet */
	uint32_t depth0;
	bool passed;			/* the condition was asked of all that is left */
};

enum tpl_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct tpl_run {
	struct tpl_heap heap;
	const struct tpl *tpl;
	struct tpl_scope *scope;
	struct tpl_buffer *out;
	uint64_t steps_left;
	size_t output_bytes;		/* limit */
	struct tm now;
};

/* Arguments of a call. */
struct tpl_keyword {
	struct tpl_value name;
	struct tpl_value value;
};

struct tpl_args {
	struct tpl_value *v;
	struct tpl_keyword *kw;
	uint32_t count, cap, kw_count, kw_cap;
};

void tpl_step(struct tpl_run *r, uint64_t bytes);	/* pay for one operation */

/* tpl_value.c */
const char *tpl_type_name(const struct tpl_value *v);
struct tpl_value tpl_bool(bool truth);
struct tpl_value tpl_int(int64_t integer);
struct tpl_value tpl_float(double real);
struct tpl_value tpl_none(void);
struct tpl_value tpl_text(const char *text, size_t bytes);	/* not copied */
struct tpl_value tpl_cstr(const char *text);
struct tpl_value tpl_undefined(struct tpl_run *r, const char *owner, struct tpl_value name);
bool tpl_is(const struct tpl_value *v, const char *text);	/* a string with this text */
bool tpl_truth(struct tpl_run *r, const struct tpl_value *v);
bool tpl_equal(struct tpl_run *r, const struct tpl_value *a, const struct tpl_value *b);
int tpl_order(struct tpl_run *r, const struct tpl_value *a, const struct tpl_value *b,
	      const char *op);		/* <0, 0, >0; 2: unordered (NaN) */
bool tpl_same(const struct tpl_value *a, const struct tpl_value *b);
bool tpl_is_number(const struct tpl_value *v);		/* bool, int, float */
double tpl_real(const struct tpl_value *v);
int64_t tpl_length(struct tpl_run *r, const struct tpl_value *v);	/* -1: has none */
void tpl_fail_undefined(struct tpl_run *r, const struct tpl_value *v) __attribute__((noreturn));
void tpl_need_defined(struct tpl_run *r, const struct tpl_value *v);
int64_t tpl_as_int(struct tpl_run *r, const struct tpl_value *v, const char *what);
struct tpl_value tpl_as_string(struct tpl_run *r, const struct tpl_value *v, const char *what);

/* tpl_dict.c: lists and dictionaries */
struct tpl_value tpl_list_new(struct tpl_run *r, enum tpl_kind kind, uint32_t cap);
void tpl_list_add(struct tpl_run *r, struct tpl_list *list, struct tpl_value item);
struct tpl_value tpl_pair(struct tpl_run *r, struct tpl_value a, struct tpl_value b);
struct tpl_value tpl_dict_new(struct tpl_run *r, uint32_t cap);
void tpl_dict_set(struct tpl_run *r, struct tpl_dict *dict, struct tpl_value key,
		  struct tpl_value value);
const struct tpl_value *tpl_dict_get(struct tpl_run *r, const struct tpl_dict *dict,
				     const struct tpl_value *key);
const struct tpl_value *tpl_dict_find(struct tpl_run *r, const struct tpl_dict *dict,
				      const char *key);
struct tpl_value tpl_view(struct tpl_run *r, const struct tpl_dict *dict, char which);
struct tpl_value tpl_iter_of(struct tpl_run *r, struct tpl_list *list);

/* tpl_iterate.c */
void tpl_cursor_init(struct tpl_run *r, struct tpl_cursor *c, const struct tpl_value *over);
bool tpl_cursor_next(struct tpl_run *r, struct tpl_cursor *c, struct tpl_value *item);
bool tpl_iterable(const struct tpl_value *v);
struct tpl_value tpl_to_list(struct tpl_run *r, const struct tpl_value *v, enum tpl_kind kind);
void tpl_sort(struct tpl_run *r, struct tpl_value *items, struct tpl_value *keys, uint32_t count,
	      bool reverse);

static inline bool tpl_one_of(const char *set, char c)
{
	return c && strchr(set, c);
}

/* tpl_text.c: strings as Python has them, by characters */
uint32_t tpl_decode(const char *text, size_t bytes, size_t *used);
size_t tpl_encode(uint32_t c, char out[4]);
int64_t tpl_chars(const char *text, size_t bytes);
size_t tpl_offset(const char *text, size_t bytes, int64_t chars);	/* byte of a character */
bool tpl_is_space(uint32_t c);
bool tpl_is_printable(uint32_t c);
bool tpl_utf8_ok(const char *text, size_t bytes);
enum tpl_strip { TPL_STRIP_LEFT = 1, TPL_STRIP_RIGHT = 2, TPL_STRIP_BOTH = 3 };
struct tpl_value tpl_strip(struct tpl_run *r, struct tpl_value s, const struct tpl_value *chars,
			   enum tpl_strip ends);
enum tpl_case { TPL_UPPER, TPL_LOWER, TPL_TITLE, TPL_CAPITALIZE, TPL_SWAP, TPL_WORDS, TPL_FOLD };
struct tpl_value tpl_recase(struct tpl_run *r, struct tpl_value s, enum tpl_case how);
bool tpl_class(uint32_t c, const char *method);
struct tpl_value tpl_escape(struct tpl_run *r, struct tpl_value s);
struct tpl_value tpl_replace(struct tpl_run *r, struct tpl_value s, struct tpl_value old,
			     struct tpl_value new, int64_t most);
const char *tpl_find(const char *text, size_t bytes, const char *what, size_t what_bytes);
struct tpl_value tpl_lines(struct tpl_run *r, struct tpl_value s, bool keep_ends);

/* tpl_write.c: into the current output */
void tpl_put(struct tpl_run *r, const char *text, size_t bytes);
void tpl_puts(struct tpl_run *r, const char *text);
void tpl_put_char(struct tpl_run *r, uint32_t c);
void tpl_put_str(struct tpl_run *r, const struct tpl_value *v);		/* Python's str() */
void tpl_put_repr(struct tpl_run *r, const struct tpl_value *v);
struct tpl_value tpl_str(struct tpl_run *r, const struct tpl_value *v);
struct tpl_value tpl_soft_str(struct tpl_run *r, const struct tpl_value *v);	/* keeps MARKUP */
size_t tpl_float_text(double real, char out[40]);
/* Write elsewhere until tpl_capture_end() gives what was written. */
struct tpl_buffer *tpl_capture(struct tpl_run *r, struct tpl_buffer *buffer);
struct tpl_value tpl_capture_end(struct tpl_run *r, struct tpl_buffer *outer);
void tpl_buffer_grow(struct tpl_run *r, struct tpl_buffer *buffer, size_t more);
struct tpl_value tpl_join(struct tpl_run *r, const struct tpl_value *a, const struct tpl_value *b);

/* tpl_json.c */
struct tpl_value tpl_from_json(struct tpl_run *r, const json_t *json);
struct tpl_value tpl_to_json(struct tpl_run *r, struct tpl_value v, struct tpl_value *arg);

/* tpl_percent.c, tpl_format.c: "%s" % x, "{}".format(x) */
struct tpl_value tpl_percent(struct tpl_run *r, struct tpl_value format, const struct tpl_value *args);
struct tpl_value tpl_format(struct tpl_run *r, struct tpl_value format, const struct tpl_args *args);

/* tpl_op.c */
struct tpl_value tpl_binary(struct tpl_run *r, enum tpl_op op, const struct tpl_value *a,
			    const struct tpl_value *b);
bool tpl_compare(struct tpl_run *r, enum tpl_op op, const struct tpl_value *a,
		 const struct tpl_value *b);
struct tpl_value tpl_negate(struct tpl_run *r, const struct tpl_value *v, bool minus);
bool tpl_contains(struct tpl_run *r, const struct tpl_value *where, const struct tpl_value *what);

/* tpl_attr.c */
struct tpl_value tpl_get_attr(struct tpl_run *r, const struct tpl_value *v, struct tpl_value name);
struct tpl_value tpl_get_item(struct tpl_run *r, const struct tpl_value *v,
			      const struct tpl_value *key);
struct tpl_value tpl_slice(struct tpl_run *r, const struct tpl_value *v,
			   const struct tpl_value bound[3]);
/* "a.b" and 0 as filters take them; NULL or MISSING @path: the value itself. */
struct tpl_value tpl_get_path(struct tpl_run *r, const struct tpl_value *v,
			      const struct tpl_value *path, const struct tpl_value *otherwise);

/* tpl_call.c */
#define TPL_ARGS_MAX	8u
struct tpl_value tpl_call(struct tpl_run *r, const struct tpl_value *callee, struct tpl_args *args);
void tpl_args_add(struct tpl_run *r, struct tpl_args *args, struct tpl_value v);
void tpl_args_name(struct tpl_run *r, struct tpl_args *args, struct tpl_value name,
		   struct tpl_value v);
const struct tpl_value *tpl_args_find(const struct tpl_args *args, const char *name);
/* @signature: names in order, a '!' after those that must be given. */
void tpl_bind(struct tpl_run *r, const char *what, const char *signature,
	      const struct tpl_args *args, struct tpl_value out[TPL_ARGS_MAX]);

struct tpl_method {
	const struct tpl_method_row *row;
	struct tpl_value self;
};

typedef struct tpl_value (*tpl_fn)(struct tpl_run *r, struct tpl_value self, struct tpl_value *arg);
typedef struct tpl_value (*tpl_args_fn)(struct tpl_run *r, struct tpl_value self,
					const struct tpl_args *args);

/* A function, method or filter: either fn with a signature, or args_fn, which takes anything. */
struct tpl_method_row {
	const char *name;
	tpl_fn fn;
	const char *signature;
	tpl_args_fn args_fn;
};

struct tpl_filter {
	const char *name;
	const struct tpl_method_row *row;	/* NULL: known to nobody */
};

typedef bool (*tpl_test_fn)(struct tpl_run *r, const struct tpl_value *v, const struct tpl_value *arg);

struct tpl_test {
	const char *name;
	tpl_test_fn fn;				/* NULL: known to nobody */
	uint32_t arg_count;
};

struct tpl_value tpl_invoke(struct tpl_run *r, const struct tpl_method_row *row,
			    struct tpl_value self, const struct tpl_args *args);
const struct tpl_method_row *tpl_row_find(const struct tpl_method_row *rows, const char *name,
					  uint32_t bytes);
const struct tpl_method_row *tpl_filter_find(const char *name, uint32_t bytes);
bool tpl_test_find(const char *name, uint32_t bytes, struct tpl_test *found);
const struct tpl_method_row *tpl_global_find(const char *name, uint32_t bytes);
/* A method of @v by name; *@known: Python has it, whether it is here or not. */
const struct tpl_method_row *tpl_method_find(const struct tpl_value *v, const char *name,
					     uint32_t bytes, bool *known);
extern const struct tpl_method_row tpl_string_methods[], tpl_search_methods[];
extern const struct tpl_method_row tpl_text_filters[], tpl_list_filters[], tpl_value_filters[];
bool tpl_test_run(struct tpl_run *r, const struct tpl_test *test, const struct tpl_value *v,
		  const struct tpl_args *args);

/* tpl_eval.c */
struct tpl_value tpl_eval(struct tpl_run *r, const struct tpl_node *node);
void tpl_eval_args(struct tpl_run *r, const struct tpl_node *list, struct tpl_args *args);

/* tpl_run.c */
enum tpl_flow tpl_exec(struct tpl_run *r, const struct tpl_node *list);
void tpl_set(struct tpl_run *r, uint32_t name, struct tpl_value value);
const struct tpl_value *tpl_lookup(const struct tpl_run *r, uint32_t name);
struct tpl_scope *tpl_scope_new(struct tpl_run *r, struct tpl_scope *parent);
void tpl_assign(struct tpl_run *r, const struct tpl_node *target, const struct tpl_value *value);
struct tpl_value tpl_macro_call(struct tpl_run *r, const struct tpl_macro *macro,
				const struct tpl_args *args);

/* tpl_loop.c */
void tpl_for(struct tpl_run *r, const struct tpl_node *node);
struct tpl_value tpl_loop_attr(struct tpl_run *r, struct tpl_loop *loop, const struct tpl_value *name);
struct tpl_value tpl_loop_call(struct tpl_run *r, struct tpl_loop *loop, const struct tpl_args *args);

#endif

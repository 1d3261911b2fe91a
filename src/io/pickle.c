/* pickle.c - the stack machine. */
#include "io/pickle.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Far more than the largest model needs: what a hostile file may cost us. */
enum { MOST_PUSHED = 1 << 22, BLOCK = 1024 };

typedef struct block { /* of values */
	struct block *next;
	size_t count;
	value values[BLOCK];
} block;

struct pickle {
	const uint8_t *begin, *at, *end;
	const char *path;
	error *e;
	bool stopped, failed;
	value **stack;
	size_t depth, room, pushed;
	size_t *marks; /* depths of the stack */
	size_t mark_count, mark_room;
	value **memo; /* NULL: not set */
	size_t memo_count, memo_room;
	value **storages;
	size_t storage_count, storage_room;
	block *blocks;
};

/* ── values ── */

bool pickle_refuse(pickle *p, const char *format, ...)
{
	char text[512];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	p->failed = true;
	return fail(p->e, BAD_FILE, "%s: refused: %s", p->path, text);
}

static bool no_memory(pickle *p)
{
	p->failed = true;
	return fail(p->e, NO_MEMORY, "%s: no memory to read its pickle", p->path);
}

/* Makes room for one element more in an array that doubles. */
static bool grow(pickle *p, void **array, size_t count, size_t *room, size_t element)
{
	if (count < *room) return true;
	size_t more = *room ? 2 * *room : 8;
	void *larger = realloc(*array, more * element);
	if (!larger) return no_memory(p);
	*array = larger;
	*room = more;
	return true;
}

value *pickle_value(pickle *p, value_kind kind)
{
	if (!p->blocks || p->blocks->count == BLOCK) {
		block *b = malloc(sizeof *b);
		if (!b) return no_memory(p), NULL;
		b->next = p->blocks;
		b->count = 0;
		p->blocks = b;
	}
	value *v = &p->blocks->values[p->blocks->count++];
	*v = (value){ .kind = kind };
	if (kind == STORAGE_VALUE) v->storage = calloc(1, sizeof *v->storage);
	if (kind == TENSOR_VALUE) v->tensor = calloc(1, sizeof *v->tensor);
	if ((kind == STORAGE_VALUE && !v->storage) || (kind == TENSOR_VALUE && !v->tensor)) return no_memory(p), NULL;
	return v;
}

bool pickle_append(pickle *p, value *container, value *v)
{
	void *items = container->items;
	if (!grow(p, &items, container->count, &container->room, sizeof *container->items)) return false;
	container->items = items;
	container->items[container->count++] = v;
	return true;
}

static bool is_container(const value *v)
{
	return v->kind == LIST_VALUE || v->kind == TUPLE_VALUE || v->kind == DICT_VALUE;
}

bool value_is_text(const value *v, const char *text)
{
	return v->kind == TEXT_VALUE && v->length == strlen(text) && !memcmp(v->text, text, v->length);
}

const value *value_of_key(const value *dict, const char *key)
{
	if (dict->kind != DICT_VALUE) return NULL;
	for (size_t i = dict->count; i >= 2; i -= 2)
		if (value_is_text(dict->items[i - 2], key)) return dict->items[i - 1];
	return NULL;
}

/* ── the stack ── */

static bool push(pickle *p, value *v)
{
	void *stack = p->stack;
	if (!v) return false;
	if (++p->pushed > MOST_PUSHED) return pickle_refuse(p, "its pickle builds more than %d values", MOST_PUSHED);
	if (!grow(p, &stack, p->depth, &p->room, sizeof *p->stack)) return false;
	p->stack = stack;
	p->stack[p->depth++] = v;
	return true;
}

/* How deep the part of the stack above the last mark begins: nothing below may be taken. */
static size_t fence(const pickle *p) { return p->mark_count ? p->marks[p->mark_count - 1] : 0; }

static value *pop(pickle *p)
{
	if (p->depth > fence(p)) return p->stack[--p->depth];
	pickle_refuse(p, "its pickle takes from an empty stack");
	return NULL;
}

/* What lies on top, and is of this kind. */
static value *top(pickle *p, value_kind kind, const char *what)
{
	value *v = p->depth > fence(p) ? p->stack[p->depth - 1] : NULL;
	if (v && v->kind == kind) return v;
	pickle_refuse(p, "its pickle adds to something that is no %s", what);
	return NULL;
}

static bool push_mark(pickle *p)
{
	void *marks = p->marks;
	if (++p->pushed > MOST_PUSHED) return pickle_refuse(p, "its pickle builds more than %d values", MOST_PUSHED);
	if (!grow(p, &marks, p->mark_count, &p->mark_room, sizeof *p->marks)) return false;
	p->marks = marks;
	p->marks[p->mark_count++] = p->depth;
	return true;
}

/* Takes all above the last mark, and the mark: they stay at *items until the next push. */
static bool pop_mark(pickle *p, value ***items, size_t *count)
{
	*items = NULL;
	*count = 0;
	if (!p->mark_count) return pickle_refuse(p, "its pickle has no mark where it needs one");
	size_t from = p->marks[--p->mark_count];
	*items = p->stack ? p->stack + from : NULL;
	*count = p->depth - from;
	p->depth = from;
	return true;
}

/* A container of the kind, of these items. They may lie on the stack: nothing is pushed before they are copied. */
static bool push_container(pickle *p, value_kind kind, value **items, size_t count)
{
	value *v = pickle_value(p, kind);
	for (size_t i = 0; v && i < count; i++)
		if (!pickle_append(p, v, items[i])) return false;
	return push(p, v);
}

static bool push_marked(pickle *p, value_kind kind)
{
	value **items;
	size_t count;
	if (!pop_mark(p, &items, &count)) return false;
	if (kind == DICT_VALUE && count % 2) return pickle_refuse(p, "its pickle has a key without a value");
	return push_container(p, kind, items, count);
}

static bool push_tuple(pickle *p, size_t count)
{
	if (p->depth < fence(p) + count) return pickle_refuse(p, "its pickle takes from an empty stack");
	p->depth -= count;
	return push_container(p, TUPLE_VALUE, p->stack + p->depth, count);
}

static bool add_marked(pickle *p, value_kind kind, const char *what)
{
	value **items;
	size_t count;
	if (!pop_mark(p, &items, &count)) return false;
	value *v = top(p, kind, what);
	if (v && kind == DICT_VALUE && count % 2) return pickle_refuse(p, "its pickle has a key without a value");
	for (size_t i = 0; v && i < count; i++)
		if (!pickle_append(p, v, items[i])) return false;
	return v != NULL;
}

/* One element of a list, or a key and its value. */
static bool add_one(pickle *p, value_kind kind, const char *what)
{
	value *last = pop(p), *key = kind == DICT_VALUE ? pop(p) : NULL;
	if (!last || (kind == DICT_VALUE && !key)) return false;
	value *v = top(p, kind, what);
	return v && (!key || pickle_append(p, v, key)) && pickle_append(p, v, last);
}

/* ── reading ── */

static const uint8_t *take(pickle *p, uint64_t bytes)
{
	if (bytes > (uint64_t)(p->end - p->at)) {
		pickle_refuse(p, "its pickle is cut short: %llu bytes are needed where %llu are left",
		    (unsigned long long)bytes, (unsigned long long)(p->end - p->at));
		return NULL;
	}
	p->at += bytes;
	return p->at - bytes;
}

static bool take_number(pickle *p, int bytes, uint64_t *n)
{
	const uint8_t *from = take(p, (uint64_t)bytes);
	*n = 0;
	for (int i = 0; from && i < bytes; i++) *n |= (uint64_t)from[i] << 8 * i;
	return from != NULL;
}

/* Up to the end of the line, which is passed. */
static const char *take_line(pickle *p, size_t *length)
{
	const uint8_t *end = memchr(p->at, '\n', (size_t)(p->end - p->at)), *from = p->at;
	if (!end) {
		pickle_refuse(p, "its pickle is cut short");
		return NULL;
	}
	*length = (size_t)(end - from);
	p->at = end + 1;
	return (const char *)from;
}

static bool push_integer(pickle *p, int64_t n)
{
	value *v = pickle_value(p, INTEGER_VALUE);
	if (v) v->integer = n;
	return push(p, v);
}

static bool read_integer(pickle *p, int bytes, bool is_signed)
{
	uint64_t n;
	if (!take_number(p, bytes, &n)) return false;
	return push_integer(p, is_signed ? (int64_t)(int32_t)(uint32_t)n : (int64_t)n);
}

/* Python's integers have any length; one of more than 64 bits is nothing that a tensor needs. */
static bool read_long(pickle *p, int bytes_of_length)
{
	uint64_t length, n = 0;
	if (!take_number(p, bytes_of_length, &length)) return false;
	const uint8_t *from = take(p, length);
	if (!from) return false;
	if (length > 8) return push(p, pickle_value(p, OPAQUE_VALUE));
	for (uint64_t i = 0; i < length; i++) n |= (uint64_t)from[i] << 8 * i;
	if (length && length < 8 && from[length - 1] & 0x80) n |= ~(uint64_t)0 << 8 * length;
	return push_integer(p, (int64_t)n);
}

static bool read_real(pickle *p)
{
	const uint8_t *from = take(p, 8);
	if (!from) return false;
	uint64_t bits = 0;
	for (int i = 0; i < 8; i++) bits = bits << 8 | from[i];
	value *v = pickle_value(p, REAL_VALUE);
	if (v) memcpy(&v->real, &bits, 8);
	return push(p, v);
}

static bool read_text(pickle *p, value_kind kind, int bytes_of_length)
{
	uint64_t length;
	if (!take_number(p, bytes_of_length, &length)) return false;
	const uint8_t *from = take(p, length);
	if (!from) return false;
	value *v = pickle_value(p, kind);
	if (v) {
		v->text = (const char *)from;
		v->length = (size_t)length;
	}
	return push(p, v);
}

/* ── the memo ── */

/* An index beyond the bytes read so far was not written by any pickler, and would cost memory. */
static bool memo_put(pickle *p, uint64_t index)
{
	if (p->depth <= fence(p)) return pickle_refuse(p, "its pickle takes from an empty stack");
	if (index > (uint64_t)(p->at - p->begin))
		return pickle_refuse(p, "its pickle's memo would have %llu entries", (unsigned long long)index);
	while (p->memo_count <= index) {
		void *memo = p->memo;
		if (!grow(p, &memo, p->memo_count, &p->memo_room, sizeof *p->memo)) return false;
		p->memo = memo;
		p->memo[p->memo_count++] = NULL;
	}
	p->memo[index] = p->stack[p->depth - 1];
	return true;
}

static bool memo_get(pickle *p, uint64_t index)
{
	if (index >= p->memo_count || !p->memo[index])
		return pickle_refuse(p, "its pickle's memo has no entry %llu", (unsigned long long)index);
	return push(p, p->memo[index]);
}

/* ── names and calls ── */

static bool push_global(pickle *p, const char *module, size_t m, const char *name, size_t n)
{
	const global *g = pickle_find_global(p, module, m, name, n);
	value *v = g ? pickle_value(p, GLOBAL_VALUE) : NULL;
	if (v) v->global = g;
	return push(p, v);
}

static bool read_global(pickle *p)
{
	size_t m = 0, n = 0;
	const char *module = take_line(p, &m), *name = module ? take_line(p, &n) : NULL;
	return name && push_global(p, module, m, name, n);
}

static bool stack_global(pickle *p)
{
	value *name = pop(p), *module = name ? pop(p) : NULL;
	if (!module) return false;
	if (name->kind != TEXT_VALUE || module->kind != TEXT_VALUE)
		return pickle_refuse(p, "its pickle names a global by something that is not text");
	return push_global(p, module->text, module->length, name->text, name->length);
}

static bool call(pickle *p)
{
	value *arguments = pop(p), *function = arguments ? pop(p) : NULL;
	if (!function) return false;
	if (function->kind != GLOBAL_VALUE || arguments->kind != TUPLE_VALUE)
		return pickle_refuse(p, "its pickle calls something that is no function");
	return push(p, pickle_call(p, function, arguments));
}

/* Attributes of an object. State dictionaries have a "_metadata" of versions, which is not needed; a ParameterDict has
 * what it holds under "_parameters". */
static bool build(pickle *p)
{
	value *state = pop(p), *object = state && p->depth > fence(p) ? p->stack[p->depth - 1] : NULL;
	if (!state) return false;
	const value *held = object && object->kind == DICT_VALUE ? value_of_key(state, "_parameters") : NULL;
	if (held == object) held = NULL; /* it would never end */
	for (size_t i = 0; held && held->kind == DICT_VALUE && i < held->count; i++) {
		if (++p->pushed > MOST_PUSHED) return pickle_refuse(p, "its pickle builds more than %d values", MOST_PUSHED);
		if (!pickle_append(p, object, held->items[i])) return false;
	}
	if (object && (object->kind == DICT_VALUE || object->kind == OPAQUE_VALUE)) return true;
	return pickle_refuse(p, "its pickle sets the state of something that has none");
}

static bool persistent(pickle *p)
{
	value *id = pop(p), *v = id ? pickle_storage(p, id) : NULL;
	void *storages = p->storages;
	if (!v || !grow(p, &storages, p->storage_count, &p->storage_room, sizeof *p->storages)) return false;
	p->storages = storages;
	p->storages[p->storage_count++] = v;
	return push(p, v);
}

/* ── opcodes ── */

static const char *name_of_opcode(int code)
{
	static const struct {
		int code;
		const char *name;
	} names[] = { { 'i', "INST" }, { 'o', "OBJ" }, { 'P', "PERSID" }, { 0x82, "EXT1" }, { 0x83, "EXT2" },
		{ 0x84, "EXT4" }, { 0x92, "NEWOBJ_EX" }, { 0x97, "NEXT_BUFFER" }, { 0x98, "READONLY_BUFFER" }, { 'I', "INT" },
		{ 'L', "LONG" }, { 'F', "FLOAT" }, { 'S', "STRING" }, { 'V', "UNICODE" }, { 'g', "GET" }, { 'p', "PUT" } };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].code == code) return names[i].name;
	return "unknown";
}

/* An old kind of call, with the name of a class in it. */
static bool refuse_instance(pickle *p)
{
	size_t m = 0, n = 0;
	const char *module = take_line(p, &m), *name = module ? take_line(p, &n) : NULL;
	return name && pickle_refuse(p, "its pickle makes an instance (INST) of %.*s.%.*s", (int)(m < 80 ? m : 80), module,
	                   (int)(n < 80 ? n : 80), name);
}

static bool refuse_opcode(pickle *p, int code)
{
	if (code == 'i') return refuse_instance(p);
	return pickle_refuse(p, "its pickle has the opcode %s (0x%02x), which no model needs", name_of_opcode(code), code);
}

static bool read_memo_index(pickle *p, int bytes, bool (*use)(pickle *, uint64_t))
{
	uint64_t index;
	return take_number(p, bytes, &index) && use(p, index);
}

/* Strings, numbers and constants. */
static bool run_atom(pickle *p, int code)
{
	switch (code) {
	case 'N': return push(p, pickle_value(p, NONE_VALUE));
	case 0x88: return push_integer(p, 1);
	case 0x89: return push_integer(p, 0);
	case 'J': return read_integer(p, 4, true);
	case 'K': return read_integer(p, 1, false);
	case 'M': return read_integer(p, 2, false);
	case 0x8a: return read_long(p, 1);
	case 0x8b: return read_long(p, 4);
	case 'G': return read_real(p);
	case 'X': return read_text(p, TEXT_VALUE, 4);
	case 0x8c: return read_text(p, TEXT_VALUE, 1);
	case 0x8d: return read_text(p, TEXT_VALUE, 8);
	case 'U': return read_text(p, TEXT_VALUE, 1); /* Python 2's */
	case 'T': return read_text(p, TEXT_VALUE, 4);
	case 'B': return read_text(p, BYTES_VALUE, 4);
	case 'C': return read_text(p, BYTES_VALUE, 1);
	case 0x8e:
	case 0x96: return read_text(p, BYTES_VALUE, 8);
	}
	return refuse_opcode(p, code);
}

/* Containers: sets are lists here. */
static bool run_container(pickle *p, int code)
{
	value **items;
	size_t count;
	switch (code) {
	case ']':
	case 0x8f: return push_container(p, LIST_VALUE, NULL, 0);
	case ')': return push_container(p, TUPLE_VALUE, NULL, 0);
	case '}': return push_container(p, DICT_VALUE, NULL, 0);
	case 'l':
	case 0x91: return push_marked(p, LIST_VALUE);
	case 't': return push_marked(p, TUPLE_VALUE);
	case 'd': return push_marked(p, DICT_VALUE);
	case 0x85: return push_tuple(p, 1);
	case 0x86: return push_tuple(p, 2);
	case 0x87: return push_tuple(p, 3);
	case 'a': return add_one(p, LIST_VALUE, "list");
	case 's': return add_one(p, DICT_VALUE, "dictionary");
	case 'e':
	case 0x90: return add_marked(p, LIST_VALUE, "list");
	case 'u': return add_marked(p, DICT_VALUE, "dictionary");
	case '(': return push_mark(p);
	case '1': return pop_mark(p, &items, &count);
	case '0': return p->mark_count && p->depth == fence(p) ? pop_mark(p, &items, &count) : pop(p) != NULL;
	case '2': return p->depth > fence(p) ? push(p, p->stack[p->depth - 1]) : pop(p) != NULL;
	}
	return run_atom(p, code);
}

static bool run_one(pickle *p)
{
	uint64_t n;
	const uint8_t *code = take(p, 1);
	if (!code) return false;
	switch (*code) {
	case 0x80:
		if (!take_number(p, 1, &n)) return false;
		return (n >= 2 && n <= 5) || pickle_refuse(p, "its pickle is of protocol %d, expected 2 to 5", (int)n);
	case 0x95: return take_number(p, 8, &n); /* a frame: how much could be read ahead */
	case '.': return p->stopped = true;
	case 'q': return read_memo_index(p, 1, memo_put);
	case 'r': return read_memo_index(p, 4, memo_put);
	case 'h': return read_memo_index(p, 1, memo_get);
	case 'j': return read_memo_index(p, 4, memo_get);
	case 0x94: return memo_put(p, p->memo_count);
	case 'c': return read_global(p);
	case 0x93: return stack_global(p);
	case 'R':
	case 0x81: return call(p);
	case 'b': return build(p);
	case 'Q': return persistent(p);
	}
	return run_container(p, *code);
}

/* ── all of it ── */

pickle *pickle_read(const uint8_t *data, size_t size, size_t *used, const char *path, error *e)
{
	pickle *p = calloc(1, sizeof *p);
	if (!p) {
		fail(e, NO_MEMORY, "%s: no memory to read its pickle", path);
		return NULL;
	}
	*p = (pickle){ .begin = data, .at = data, .end = data + size, .path = path, .e = e };
	while (!p->stopped && !p->failed && run_one(p)) continue;
	if (!p->failed && (p->depth != 1 || p->mark_count))
		pickle_refuse(p, "its pickle ends with %zu values, expected one", p->depth);
	if (used) *used = (size_t)(p->at - data);
	if (!p->failed) return p;
	pickle_free(p);
	return NULL;
}

const value *pickle_root(const pickle *p) { return p->stack[0]; }
size_t pickle_storage_count(const pickle *p) { return p->storage_count; }
const pickled_storage *pickle_storage_at(const pickle *p, size_t i) { return p->storages[i]->storage; }

void pickle_free(pickle *p)
{
	if (!p) return;
	for (block *b = p->blocks, *next; b; b = next) {
		next = b->next;
		for (size_t i = 0; i < b->count; i++) {
			value *v = &b->values[i];
			if (is_container(v)) free(v->items);
			if (v->kind == STORAGE_VALUE) free(v->storage);
			if (v->kind == TENSOR_VALUE) free(v->tensor);
		}
		free(b);
	}
	free(p->stack);
	free(p->marks);
	free(p->memo);
	free(p->storages);
	free(p);
}

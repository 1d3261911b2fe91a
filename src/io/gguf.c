/* gguf.c - reads the header of a GGUF file, versions 1 to 3, and believes nothing of it. It is: magic, version, numbers
 * of tensors and of metadata; metadata (key, type, value); tensors (name, axes from the innermost on, type, offset);
 * and then the data, each tensor's at a multiple of the alignment. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#include "io/table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_LENGTH = 4, ALIGNMENT = 32, NESTING = 4, KEPT_TEXT = 1 << 24 };

bool looks_like_gguf(const mapping *m) { return m->size >= MAGIC_LENGTH && !memcmp(m->data, "GGUF", MAGIC_LENGTH); }

/* ── types ── */

typedef struct ggml_type {
	uint32_t number;
	const char *name;
	dtype dtype; /* NO_DTYPE: is not read */
} ggml_type;

static const ggml_type ggml_types[] = {
	{ 0, "F32", F32 },
	{ 1, "F16", F16 },
	{ 2, "Q4_0", Q4_0 },
	{ 3, "Q4_1", Q4_1 },
	{ 6, "Q5_0", Q5_0 },
	{ 7, "Q5_1", Q5_1 },
	{ 8, "Q8_0", Q8_0 },
	{ 9, "Q8_1", NO_DTYPE },
	{ 10, "Q2_K", Q2_K },
	{ 11, "Q3_K", Q3_K },
	{ 12, "Q4_K", Q4_K },
	{ 13, "Q5_K", Q5_K },
	{ 14, "Q6_K", Q6_K },
	{ 15, "Q8_K", NO_DTYPE },
	{ 16, "IQ2_XXS", NO_DTYPE },
	{ 17, "IQ2_XS", NO_DTYPE },
	{ 18, "IQ3_XXS", NO_DTYPE },
	{ 19, "IQ1_S", NO_DTYPE },
	{ 20, "IQ4_NL", NO_DTYPE },
	{ 21, "IQ3_S", NO_DTYPE },
	{ 22, "IQ2_S", NO_DTYPE },
	{ 23, "IQ4_XS", NO_DTYPE },
	{ 24, "I8", I8 },
	{ 25, "I16", I16 },
	{ 26, "I32", I32 },
	{ 27, "I64", I64 },
	{ 28, "F64", F64 },
	{ 29, "IQ1_M", NO_DTYPE },
	{ 30, "BF16", BF16 },
	{ 34, "TQ1_0", NO_DTYPE },
	{ 35, "TQ2_0", NO_DTYPE },
	{ 39, "MXFP4", NO_DTYPE },
	{ 40, "NVFP4", NO_DTYPE },
};
enum { GGML_TYPES = sizeof ggml_types / sizeof *ggml_types };

bool gguf_number_of(dtype d, uint32_t *number)
{
	for (int i = 0; i < GGML_TYPES; i++)
		if (d != NO_DTYPE && ggml_types[i].dtype == d) return *number = ggml_types[i].number, true;
	return false;
}

/* ── the bytes ── */

typedef struct span {
	weight t;
	uint64_t begin; /* in the data */
} span;

typedef struct source {
	const char *path;
	const uint8_t *data;
	size_t size, at;
	uint32_t version;
	uint64_t alignment;
	json_t *keys, *shapes; /* all keys of the metadata; key → axes of a tensor, from the outermost on */
	json_t *texts;
	span *list;
	size_t count, room;
	error *e;
} source;

static const uint8_t *take(source *s, uint64_t bytes)
{
	if (bytes > s->size - s->at) {
		fail(s->e, BAD_FILE, "%s: is cut short: its header needs %" PRIu64 " bytes at byte %zu of %zu", s->path, bytes,
		    s->at, s->size);
		return NULL;
	}
	s->at += (size_t)bytes;
	return s->data + s->at - bytes;
}

static bool take_number(source *s, int bytes, uint64_t *n)
{
	const uint8_t *p = take(s, (uint64_t)bytes);
	*n = 0;
	for (int i = 0; p && i < bytes; i++) *n |= (uint64_t)p[i] << 8 * i;
	return p != NULL;
}

/* A length or a count: 32 bits in version 1. */
static bool take_count(source *s, uint64_t *n) { return take_number(s, s->version == 1 ? 4 : 8, n); }

static const char *take_text(source *s, uint64_t *length)
{
	return take_count(s, length) ? (const char *)take(s, *length) : NULL;
}

/* A name as a string of C's, which the caller frees. */
static char *take_name(source *s, const char *what)
{
	uint64_t length;
	const char *text = take_text(s, &length);
	if (!text) return NULL;
	if (!length || length > 65535 || memchr(text, 0, (size_t)length)) {
		fail(s->e, BAD_FILE, "%s: the name of a %s at byte %zu is empty, too long, or holds a zero", s->path, what,
		    s->at - (size_t)length);
		return NULL;
	}
	char *name = malloc((size_t)length + 1);
	if (!name) return fail(s->e, NO_MEMORY, "%s: no memory for a name", s->path), NULL;
	memcpy(name, text, (size_t)length);
	name[length] = 0;
	return name;
}

/* ── metadata ── */

enum { VALUE_U32 = 4, VALUE_I32 = 5, VALUE_STRING = 8, VALUE_ARRAY = 9 };

/* Bytes of a value of this type; 0: a string, an array, or no type. */
static int value_size(uint64_t type)
{
	static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
	return type < sizeof sizes ? sizes[type] : 0;
}

static bool no_type(source *s, uint64_t type)
{
	return fail(
	    s->e, BAD_FILE, "%s: metadata of type %" PRIu64 " at byte %zu: there is no such type", s->path, type, s->at);
}

/* Passes over the rest of an array: its elements. */
static bool skip_elements(source *s, uint64_t type, uint64_t count, int depth)
{
	uint64_t length, bytes;
	if (value_size(type)) {
		if (__builtin_mul_overflow(count, (uint64_t)value_size(type), &bytes)) bytes = UINT64_MAX;
		return take(s, bytes) != NULL;
	}
	if (type != VALUE_STRING && type != VALUE_ARRAY) return no_type(s, type);
	if (depth == NESTING) return fail(s->e, BAD_FILE, "%s: its metadata are arrays of arrays of arrays", s->path);
	for (uint64_t i = 0; i < count; i++) {
		if (type == VALUE_STRING) {
			if (!take_text(s, &length)) return false;
			continue;
		}
		uint64_t inner, inner_count;
		if (!take_number(s, 4, &inner) || !take_count(s, &inner_count)) return false;
		if (!skip_elements(s, inner, inner_count, depth + 1)) return false;
	}
	return true;
}

static const char shape_key[] = "comfy.gguf.orig_shape.";

/* The axes of a tensor that was written as rows of 256. */
static bool take_shape(source *s, const char *key, uint64_t count)
{
	json_t *axes = json_array();
	for (uint64_t i = 0; i < count; i++) {
		uint64_t n;
		if (!take_number(s, 4, &n)) break;
		json_array_append_new(axes, json_integer((int32_t)(uint32_t)n));
	}
	bool fine = axes && !json_object_set(s->shapes, key + sizeof shape_key - 1, axes);
	json_decref(axes);
	return !failed(s->e) && (fine || fail(s->e, BAD_FILE, "%s: the metadata \"%s\" cannot be kept", s->path, key));
}

static bool take_array(source *s, const char *key)
{
	uint64_t type, count;
	if (!take_number(s, 4, &type) || !take_count(s, &count)) return false;
	if (strncmp(key, shape_key, sizeof shape_key - 1)) return skip_elements(s, type, count, 0);
	if (type != VALUE_I32 || count > WEIGHT_DIMS)
		return fail(s->e, BAD_FILE, "%s: the metadata \"%s\" are not the axes of a tensor", s->path, key);
	return take_shape(s, key, count);
}

/* Texts are kept that JSON can hold: others, and other values, say nothing that is asked for. */
static bool take_string(source *s, const char *key)
{
	uint64_t length;
	const char *text = take_text(s, &length);
	if (!text) return false;
	json_t *value = length <= KEPT_TEXT && !memchr(text, 0, (size_t)length) ? json_stringn(text, (size_t)length) : NULL;
	if (value) json_object_set_new(s->texts, key, value);
	return true;
}

static bool take_value(source *s, const char *key)
{
	uint64_t type, n;
	if (!take_number(s, 4, &type)) return false;
	if (type == VALUE_STRING) return take_string(s, key);
	if (type == VALUE_ARRAY) return take_array(s, key);
	if (!value_size(type)) return no_type(s, type);
	if (!take_number(s, value_size(type), &n)) return false;
	if (!strcmp(key, "general.alignment")) {
		s->alignment = n;
		if (type != VALUE_U32 || !n || (n & (n - 1)))
			return fail(s->e, BAD_FILE, "%s: an alignment of %" PRIu64 ", expected a power of two", s->path, n);
	}
	if (!strcmp(key, "split.count") && n > 1)
		return fail(s->e, BAD_FILE,
		    "%s: one of the %" PRIu64 " parts of a model: join them first (llama-gguf-split --merge)", s->path, n);
	return true;
}

static bool take_metadata(source *s, uint64_t count)
{
	bool fine = true;
	for (uint64_t i = 0; fine && i < count; i++) {
		char *key = take_name(s, "value");
		fine = key && (!json_object_get(s->keys, key) ||
		                  fail(s->e, BAD_FILE, "%s: the metadata \"%s\" are there twice", s->path, key));
		fine =
		    fine && (!json_object_set_new(s->keys, key, json_true()) ||
		                fail(s->e, BAD_FILE, "%s: the name of its metadata at byte %zu is not UTF-8", s->path, s->at));
		fine = fine && take_value(s, key);
		free(key);
	}
	return fine;
}

/* ── tensors ── */

static bool take_axes(source *s, weight *t)
{
	uint64_t n, axis[WEIGHT_DIMS];
	if (!take_number(s, 4, &n)) return false;
	if (n > WEIGHT_DIMS)
		return fail(s->e, BAD_FILE, "%s: the tensor \"%s\" has %" PRIu64 " dimensions, expected at most %d", s->path,
		    t->name, n, WEIGHT_DIMS);
	t->ndims = (int)n;
	for (int i = 0; i < t->ndims; i++) {
		if (!take_count(s, &axis[i])) return false;
		if (axis[i] > INT64_MAX)
			return fail(s->e, BAD_FILE, "%s: dimension %d of the tensor \"%s\" is not a size", s->path, i, t->name);
	}
	for (int i = 0; i < t->ndims; i++) t->shape[i] = (int64_t)axis[t->ndims - 1 - i];
	return true;
}

static bool take_type(source *s, weight *t)
{
	uint64_t number;
	if (!take_number(s, 4, &number)) return false;
	t->type_name = "unknown";
	for (int i = 0; i < GGML_TYPES; i++)
		if (ggml_types[i].number == number) t->type_name = ggml_types[i].name, t->dtype = ggml_types[i].dtype;
	return t->dtype != NO_DTYPE ||
	       fail(s->e, BAD_FILE,
	           "%s: the tensor \"%s\" is of type %s (%" PRIu64 "), which Sumi does not read; it reads F32, F16, BF16, "
	           "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, and Q2_K to Q6_K",
	           s->path, t->name, t->type_name, number);
}

/* The bytes, from the axes as they are written, whose rows are whole blocks; and then the axes that are meant. */
static bool settle_shape(source *s, weight *t)
{
	size_t block = dtype_block(t->dtype), row = t->ndims ? (size_t)t->shape[t->ndims - 1] : 1;
	const element_type type = { t->type_name, block, dtype_bytes(t->dtype, block) };
	if (row % block)
		return fail(s->e, BAD_FILE, "%s: rows of %zu elements in the tensor \"%s\", no multiple of %s's blocks of %zu",
		    s->path, row, t->name, t->type_name, block);
	if (!tensor_bytes(t->ndims, t->shape, &type, &t->bytes))
		return fail(s->e, BAD_FILE, "%s: the shape of the tensor \"%s\" is no number of bytes", s->path, t->name);
	const json_t *axes = json_object_get(s->shapes, t->name), *axis;
	if (!axes) return true;
	weight meant = { .ndims = (int)json_array_size(axes) };
	size_t i, bytes;
	json_array_foreach(axes, i, axis) meant.shape[i] = json_integer_value(axis);
	if (!tensor_bytes(meant.ndims, meant.shape, &type, &bytes) || bytes != t->bytes)
		return fail(s->e, BAD_FILE, "%s: \"%s%s\" are not axes of as many elements as the tensor has", s->path,
		    shape_key, t->name);
	t->ndims = meant.ndims;
	memcpy(t->shape, meant.shape, sizeof t->shape);
	return true;
}

static bool take_tensor(source *s, span *y)
{
	return take_axes(s, &y->t) && take_type(s, &y->t) && settle_shape(s, &y->t) && take_number(s, 8, &y->begin) &&
	       (y->begin % s->alignment == 0 ||
	           fail(s->e, BAD_FILE, "%s: the tensor \"%s\" lies at %" PRIu64 ", no multiple of the alignment, %" PRIu64,
	               s->path, y->t.name, y->begin, s->alignment));
}

static bool take_tensors(source *s, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (s->count == s->room) {
			size_t room = s->room ? 2 * s->room : 256;
			span *more = realloc(s->list, room * sizeof *more);
			if (!more) return fail(s->e, NO_MEMORY, "%s: no memory for its list of tensors", s->path);
			s->list = more;
			s->room = room;
		}
		char *name = take_name(s, "tensor");
		if (!name) return false;
		s->list[s->count] = (span){ .t.name = name };
		if (!take_tensor(s, &s->list[s->count++])) return false;
	}
	return true;
}

static int by_place(const void *a, const void *b)
{
	const span *s = a, *t = b;
	if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
	return (s->t.bytes > t->t.bytes) - (s->t.bytes < t->t.bytes);
}

/* None reaches into the next, nor beyond the file. */
static bool add_tensors(source *s, weights *w)
{
	uint64_t begin = (s->at + s->alignment - 1) / s->alignment * s->alignment;
	uint64_t room = begin < s->size ? s->size - begin : 0, end = 0;
	if (s->count) qsort(s->list, s->count, sizeof *s->list, by_place);
	for (size_t i = 0; i < s->count; i++) {
		span *y = &s->list[i];
		if (y->t.bytes && y->begin < end)
			return fail(s->e, BAD_FILE, "%s: the tensors \"%s\" and \"%s\" overlap", s->path, y[-1].t.name, y->t.name);
		if (y->begin > room || y->t.bytes > room - y->begin)
			return fail(s->e, BAD_FILE,
			    "%s: is cut short: the tensor \"%s\" needs %zu bytes at %" PRIu64 ", it has %" PRIu64 " of data",
			    s->path, y->t.name, y->t.bytes, y->begin, room);
		end = y->begin + y->t.bytes;
		y->t.data = s->data + (room ? begin + y->begin : 0);
		if (!table_add(w, &y->t, s->path, s->e)) return false;
	}
	return true;
}

static bool take_header(source *s, uint64_t *tensors, uint64_t *values)
{
	uint64_t version;
	if (!take(s, MAGIC_LENGTH) || !take_number(s, 4, &version)) return false;
	s->version = (uint32_t)version;
	if (version && !(version & 65535))
		return fail(s->e, BAD_FILE, "%s: a GGUF file for machines of the other byte order", s->path);
	if (version < 1 || version > 3)
		return fail(s->e, BAD_FILE, "%s: GGUF of version %" PRIu64 ", expected 1 to 3", s->path, version);
	return take_count(s, tensors) && take_count(s, values);
}

bool read_gguf(weights *w, const mapping *m, const char *path, error *e)
{
	error own = { 0 };
	uint64_t tensors = 0, values = 0;
	source s = { .path = path, .data = m->data, .size = m->size, .alignment = ALIGNMENT, .e = &own };
	s.keys = json_object(), s.shapes = json_object(), s.texts = json_object();
	bool fine = (s.keys && s.shapes && s.texts) || fail(&own, NO_MEMORY, "%s: no memory", path);
	fine = fine && take_header(&s, &tensors, &values) && take_metadata(&s, values) && take_tensors(&s, tensors) &&
	       add_tensors(&s, w);
	if (fine && !w->metadata) w->metadata = json_incref(s.texts);
	for (size_t i = 0; i < s.count; i++) free((char *)s.list[i].t.name);
	free(s.list);
	json_decref(s.keys);
	json_decref(s.shapes);
	json_decref(s.texts);
	return fine || fail(e, own.status, "%s", own.text);
}

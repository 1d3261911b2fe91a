/* safetensors.c - reads the header of a safetensors file, and believes nothing of it. The header is JSON of at most
 * 100 MB: name → { dtype, shape, data_offsets }; the data follow it without holes. */
#include "io/table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100000000 };

static uint64_t header_length(const mapping *m)
{
	uint64_t n = 0;
	for (int i = 0; i < 8; i++) n |= (uint64_t)m->data[i] << 8 * i;
	return n;
}

/* A cut or damaged file still counts, so that the message can say what is wrong with it. */
bool looks_like_safetensors(const mapping *m)
{
	return m->size > 8 && m->data[8] == '{' && header_length(m) >> 40 == 0;
}

typedef struct span {
	weight t;
	uint64_t begin, end; /* in the data */
} span;

typedef struct header {
	const char *path;
	span *list;
	size_t count;
	uint64_t data_bytes; /* behind the header */
} header;

static bool read_shape(const header *h, const json_t *shape, weight *t, error *e)
{
	size_t n = json_array_size(shape);
	if (!json_is_array(shape)) return fail(e, BAD_FILE, "%s: the tensor \"%s\" has no shape", h->path, t->name);
	if (n > WEIGHT_DIMS)
		return fail(e, BAD_FILE, "%s: the tensor \"%s\" has %zu dimensions, expected at most %d", h->path, t->name, n,
		    WEIGHT_DIMS);
	t->ndims = (int)n;
	for (size_t i = 0; i < n; i++) {
		const json_t *d = json_array_get(shape, i);
		t->shape[i] = json_integer_value(d);
		if (!json_is_integer(d) || t->shape[i] < 0)
			return fail(e, BAD_FILE, "%s: dimension %zu of the tensor \"%s\" is not a size", h->path, i, t->name);
	}
	return true;
}

static bool read_offsets(const header *h, const json_t *offsets, span *s, error *e)
{
	const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
	if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
	    json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
		return fail(e, BAD_FILE, "%s: the data_offsets of the tensor \"%s\" are not [begin, end]", h->path, s->t.name);
	s->begin = (uint64_t)json_integer_value(begin);
	s->end = (uint64_t)json_integer_value(end);
	return true;
}

static bool read_entry(const header *h, const char *name, json_t *entry, span *s, error *e)
{
	*s = (span){ .t.name = name };
	if (!json_is_object(entry)) return fail(e, BAD_FILE, "%s: the tensor \"%s\" is not described", h->path, name);
	const json_t *type = json_object_get(entry, "dtype");
	if (!json_is_string(type)) return fail(e, BAD_FILE, "%s: the tensor \"%s\" has no dtype", h->path, name);
	const char *type_name = json_string_value(type);
	const element_type *element = element_type_named(type_name, json_string_length(type));
	if (!element->bytes)
		return fail(e, BAD_FILE, "%s: the tensor \"%s\" is of an unknown type, %.40s", h->path, name, type_name);
	s->t.type_name = element->name;
	s->t.dtype = dtype_from_name(element->name, strlen(element->name));
	if (!read_shape(h, json_object_get(entry, "shape"), &s->t, e)) return false;
	if (!read_offsets(h, json_object_get(entry, "data_offsets"), s, e)) return false;
	if (!tensor_bytes(s->t.ndims, s->t.shape, element, &s->t.bytes))
		return fail(e, BAD_FILE, "%s: the shape of the tensor \"%s\" is no number of bytes", h->path, name);
	if (s->end - s->begin != s->t.bytes)
		return fail(e, BAD_FILE, "%s: the tensor \"%s\" has %" PRIu64 " bytes, its shape and type need %zu", h->path,
		    name, s->end - s->begin, s->t.bytes);
	return true;
}

static bool read_metadata(weights *w, json_t *metadata, const char *path, error *e)
{
	const char *key;
	json_t *value;
	if (json_is_null(metadata)) return true; /* some programs write null where there is none */
	if (!json_is_object(metadata)) return fail(e, BAD_FILE, "%s: its __metadata__ is not an object", path);
	json_object_foreach(metadata, key, value)
	{
		if (!json_is_string(value)) return fail(e, BAD_FILE, "%s: the metadata \"%.100s\" is not a string", path, key);
	}
	if (!w->metadata) w->metadata = json_incref(metadata); /* of many shards the first */
	return true;
}

static int by_place(const void *a, const void *b)
{
	const span *s = a, *t = b;
	if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
	return (s->end > t->end) - (s->end < t->end);
}

/* Each begins where the one before it ends, the last where the file ends. */
static bool check_places(const header *h, error *e)
{
	uint64_t at = 0;
	for (size_t i = 0; i < h->count; i++) {
		const span *s = h->list + i;
		if (s->begin < at)
			return fail(e, BAD_FILE, "%s: the tensors \"%s\" and \"%s\" overlap", h->path, s[-1].t.name, s->t.name);
		if (s->begin > at)
			return fail(e, BAD_FILE, "%s: %" PRIu64 " bytes before the tensor \"%s\" belong to none", h->path,
			    s->begin - at, s->t.name);
		at = s->end;
	}
	if (at > h->data_bytes)
		return fail(e, BAD_FILE, "%s: is cut short: its tensors need %" PRIu64 " bytes, it has %" PRIu64, h->path, at,
		    h->data_bytes);
	if (at < h->data_bytes)
		return fail(
		    e, BAD_FILE, "%s: %" PRIu64 " bytes behind the last tensor belong to none", h->path, h->data_bytes - at);
	return true;
}

static bool read_header(weights *w, header *h, json_t *json, const uint8_t *data, error *e)
{
	const char *name;
	json_t *entry;
	h->list = malloc((json_object_size(json) + 1) * sizeof *h->list);
	if (!h->list) return fail(e, NO_MEMORY, "%s: no memory for its list of tensors", h->path);
	json_object_foreach(json, name, entry)
	{
		if (!strcmp(name, "__metadata__")) {
			if (!read_metadata(w, entry, h->path, e)) return false;
		} else if (!read_entry(h, name, entry, h->list + h->count++, e)) {
			return false;
		}
	}
	qsort(h->list, h->count, sizeof *h->list, by_place);
	if (!check_places(h, e)) return false;
	for (size_t i = 0; i < h->count; i++) {
		h->list[i].t.data = data + h->list[i].begin;
		if (!table_add(w, &h->list[i].t, h->path, e)) return false;
	}
	return true;
}

bool read_safetensors(weights *w, const mapping *m, const char *path, error *e)
{
	uint64_t length = header_length(m);
	if (length > HEADER_LIMIT)
		return fail(e, BAD_FILE, "%s: its header would have %" PRIu64 " bytes, expected at most %d", path, length,
		    HEADER_LIMIT);
	if (length > m->size - 8)
		return fail(
		    e, BAD_FILE, "%s: is cut short: its header has %" PRIu64 " bytes, the file %zu", path, length, m->size);
	json_error_t where;
	json_t *json = json_loadb((const char *)m->data + 8, (size_t)length, JSON_REJECT_DUPLICATES, &where);
	if (!json) return fail(e, BAD_FILE, "%s: its header is not JSON: %s (byte %d)", path, where.text, where.position);
	header h = { .path = path, .data_bytes = m->size - 8 - length };
	bool ok = read_header(w, &h, json, m->data + 8 + length, e);
	free(h.list);
	json_decref(json);
	return ok;
}

/* weights_writer.c - writes tensors as safetensors, or as GGUF where the file's name ends so: all are declared before
 * the data, so the header is known, and the data go out as they come. */
#include "io/writing.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct weights_writer {
	char *path;
	bool gguf;
	json_t *names, *metadata; /* names: those that are declared */
	declared *list;
	size_t count, room;
	uint64_t size;         /* of the data, with what lies between them */
	uint64_t bytes, taken; /* of the data alone: declared, and come */
	writer *file;          /* NULL until the first data */
	size_t now;            /* the tensor whose data come, and how many bytes of it have come */
	uint64_t given;
};

bool is_gguf_path(const char *path) { return ends_in(path, ".gguf"); }

weights_writer *weights_writer_new(const char *path, error *e)
{
	weights_writer *w = calloc(1, sizeof *w);
	if (w) {
		w->path = strdup(path);
		w->gguf = is_gguf_path(path);
		w->names = json_object();
		w->metadata = json_object();
		if (w->path && w->names && w->metadata) return w;
		weights_writer_abort(w);
	}
	fail(e, NO_MEMORY, "%s: no memory to write it", path);
	return NULL;
}

/* ── declaring ── */

bool weights_writer_metadata(weights_writer *w, const char *key, const char *value, error *e)
{
	if (w->file) return fail(e, BAD_USAGE, "%s: the metadata \"%s\" come after the data", w->path, key);
	return !json_object_set_new(w->metadata, key, json_string(value)) ||
	       fail(e, BAD_USAGE, "%s: the metadata \"%s\" are not UTF-8", w->path, key);
}

bool weights_writer_say(weights_writer *w, error *e, const char *key, const char *format, ...)
{
	char text[1024];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	return weights_writer_metadata(w, key, text, e);
}

/* Where a tensor begins, or the file ends, behind one that ends here. */
static uint64_t next_begin(const weights_writer *w, uint64_t end)
{
	return w->gguf ? (end + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT : end;
}

/* One more tensor, where the data that are declared end. */
static bool add_declared(weights_writer *w, const declared *t, error *e)
{
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 256;
		declared *more = realloc(w->list, room * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "%s: no memory for %zu tensors", w->path, room);
		w->list = more;
		w->room = room;
	}
	declared *y = &w->list[w->count];
	*y = *t;
	if (!(y->name = strdup(t->name))) return fail(e, NO_MEMORY, "%s: no memory for a name", w->path);
	w->count++;
	y->begin = next_begin(w, w->size);
	w->size = y->begin + y->bytes;
	w->bytes += y->bytes;
	return true;
}

bool weights_writer_declare(weights_writer *w, const char *name, dtype d, int ndims, const int64_t *shape, error *e)
{
	size_t block = dtype_block(d), bytes;
	const element_type type = { dtype_name(d), block, dtype_bytes(d, block) };
	declared t = { .name = (char *)(uintptr_t)name, .type = d, .ndims = ndims };
	if (w->file) return fail(e, BAD_USAGE, "%s: the tensor \"%s\" is declared after the data", w->path, name);
	if (json_object_get(w->names, name))
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" is there twice", w->path, name);
	if (!type.bytes || ndims < 0 || ndims > WEIGHT_DIMS || !tensor_bytes(ndims, shape, &type, &bytes) ||
	    bytes > INT64_MAX / 2 - w->size)
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" has no shape or type that can be written", w->path, name);
	if (block > 1 && !w->gguf)
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" is of type %s, which only GGUF has", w->path, name, type.name);
	for (int i = 0; i < ndims; i++) t.shape[i] = shape[i];
	t.bytes = bytes;
	if (w->gguf && !gguf_can_hold(&t, w->path, e)) return false;
	if (json_object_set_new(w->names, name, json_true()))
		return fail(e, BAD_USAGE, "%s: the name of the tensor \"%s\" is not UTF-8", w->path, name);
	return add_declared(w, &t, e);
}

/* ── headers ── */

static bool add_entry(json_t *header, const declared *t)
{
	json_t *dims = json_array();
	for (int i = 0; i < t->ndims; i++) json_array_append_new(dims, json_integer(t->shape[i]));
	json_t *entry = json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtype_name(t->type), "shape", dims, "data_offsets",
	    (json_int_t)t->begin, (json_int_t)(t->begin + t->bytes));
	return !json_object_set_new(header, t->name, entry);
}

/* The length, the JSON, and spaces until the data begin at a multiple of 8. */
static void safetensors_header(buffer *b, const weights_writer *w)
{
	json_t *header = json_object();
	b->failed = !header || (json_object_size(w->metadata) && json_object_set(header, "__metadata__", w->metadata));
	for (size_t i = 0; i < w->count && !b->failed; i++) b->failed = !add_entry(header, &w->list[i]);
	char *text = b->failed ? NULL : json_dumps(header, JSON_COMPACT);
	b->failed |= !text;
	size_t length = text ? strlen(text) : 0, padding = (8 - length % 8) % 8;
	uint8_t number[8];
	for (int i = 0; i < 8; i++) number[i] = (uint8_t)((uint64_t)(length + padding) >> 8 * i);
	if (text) {
		buffer_add(b, number, 8);
		buffer_add(b, text, length);
		buffer_add(b, "        ", padding);
	}
	free(text);
	json_decref(header);
}

static bool write_header(weights_writer *w, error *e)
{
	buffer b = { 0 };
	if (w->gguf)
		gguf_header(&b, w->list, w->count, w->metadata);
	else
		safetensors_header(&b, w);
	bool fine = !b.failed || fail(e, NO_MEMORY, "%s: no memory for its header", w->path);
	fine = fine && (w->file = writer_open(w->path, b.size + next_begin(w, w->size), e)) &&
	       writer_put(w->file, b.data, b.size, e);
	free(b.data);
	return fine;
}

/* ── data ── */

/* Goes on to the next tensor that has data, and fills up to where it begins; behind the last, to the alignment. */
static bool next_tensor(weights_writer *w, error *e)
{
	static const char zeros[GGUF_ALIGNMENT];
	while (w->now < w->count && w->given == w->list[w->now].bytes) {
		uint64_t end = w->list[w->now].begin + w->given;
		w->now++;
		w->given = 0;
		if (!writer_put(w->file, zeros, (size_t)(next_begin(w, end) - end), e)) return false;
	}
	return true;
}

bool weights_writer_append(weights_writer *w, const void *data, size_t bytes, error *e)
{
	if (!w->file && !write_header(w, e)) return false;
	if (bytes > w->bytes - w->taken)
		return fail(e, BAD_USAGE, "%s: more data than the declared %" PRIu64 " bytes", w->path, w->bytes);
	w->taken += bytes;
	for (size_t some; bytes; bytes -= some) {
		if (!next_tensor(w, e)) return false;
		uint64_t left = w->list[w->now].bytes - w->given;
		some = bytes < left ? bytes : (size_t)left;
		if (!writer_put(w->file, data, some, e)) return false;
		w->given += some;
		data = (const char *)data + some;
	}
	return true;
}

static void writer_release(weights_writer *w)
{
	for (size_t i = 0; i < w->count; i++) free(w->list[i].name);
	free(w->list);
	json_decref(w->names);
	json_decref(w->metadata);
	free(w->path);
	free(w);
}

bool weights_writer_finish(weights_writer *w, error *e)
{
	bool ok = (w->file || write_header(w, e)) && next_tensor(w, e);
	if (ok && w->taken != w->bytes)
		ok = fail(e, BAD_USAGE, "%s: %" PRIu64 " bytes of data of the declared %" PRIu64, w->path, w->taken, w->bytes);
	if (ok)
		ok = writer_commit(w->file, e);
	else
		writer_abort(w->file);
	writer_release(w);
	return ok;
}

void weights_writer_abort(weights_writer *w)
{
	if (!w) return;
	writer_abort(w->file);
	writer_release(w);
}

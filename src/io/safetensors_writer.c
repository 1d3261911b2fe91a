/* safetensors_writer.c - writes a safetensors file: the header from what was declared, then the data as they come. */
#include "io/table.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct weights_writer {
	char *path;
	json_t *header, *metadata;
	writer *file;             /* NULL until the first data */
	uint64_t declared, given; /* bytes of data */
};

weights_writer *weights_writer_new(const char *path, error *e)
{
	weights_writer *w = calloc(1, sizeof *w);
	if (w) {
		w->path = strdup(path);
		w->header = json_object();
		w->metadata = json_object();
		if (w->path && w->metadata && !json_object_set(w->header, "__metadata__", w->metadata)) return w;
		weights_writer_abort(w);
	}
	fail(e, NO_MEMORY, "%s: no memory to write it", path);
	return NULL;
}

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

bool weights_writer_declare(weights_writer *w, const char *name, dtype d, int ndims, const int64_t *shape, error *e)
{
	size_t bytes;
	const element_type type = { dtype_name(d), 1, dtype_size(d) };
	if (w->file) return fail(e, BAD_USAGE, "%s: the tensor \"%s\" is declared after the data", w->path, name);
	if (json_object_get(w->header, name))
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" is there twice", w->path, name);
	if (!type.bytes || ndims < 0 || ndims > WEIGHT_DIMS || !tensor_bytes(ndims, shape, &type, &bytes) ||
	    bytes > INT64_MAX - w->declared)
		return fail(e, BAD_USAGE, "%s: the tensor \"%s\" has no shape or type that can be written", w->path, name);
	json_t *dims = json_array();
	for (int i = 0; i < ndims; i++) json_array_append_new(dims, json_integer(shape[i]));
	json_int_t begin = (json_int_t)w->declared, end = begin + (json_int_t)bytes;
	json_t *entry = json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtype_name(d), "shape", dims, "data_offsets", begin, end);
	if (json_object_set_new(w->header, name, entry))
		return fail(e, BAD_USAGE, "%s: the name of the tensor \"%s\" is not UTF-8", w->path, name);
	w->declared += bytes;
	return true;
}

/* The length, the JSON, and spaces until the data begin at a multiple of 8. */
static bool write_header(weights_writer *w, error *e)
{
	if (!json_object_size(w->metadata)) json_object_del(w->header, "__metadata__");
	char *text = json_dumps(w->header, JSON_COMPACT);
	if (!text) return fail(e, NO_MEMORY, "%s: no memory for its header", w->path);
	size_t length = strlen(text), padding = (8 - length % 8) % 8;
	uint8_t number[8];
	for (int i = 0; i < 8; i++) number[i] = (uint8_t)((uint64_t)(length + padding) >> 8 * i);
	w->file = writer_open(w->path, 8 + length + padding + w->declared, e);
	bool ok = w->file && writer_put(w->file, number, 8, e) && writer_put(w->file, text, length, e) &&
	          writer_put(w->file, "        ", padding, e);
	free(text);
	return ok;
}

bool weights_writer_append(weights_writer *w, const void *data, size_t bytes, error *e)
{
	if (!w->file && !write_header(w, e)) return false;
	if (bytes > w->declared - w->given)
		return fail(e, BAD_USAGE, "%s: more data than the declared %" PRIu64 " bytes", w->path, w->declared);
	w->given += bytes;
	return writer_put(w->file, data, bytes, e);
}

static void writer_release(weights_writer *w)
{
	json_decref(w->header);
	json_decref(w->metadata);
	free(w->path);
	free(w);
}

bool weights_writer_finish(weights_writer *w, error *e)
{
	bool ok = w->file || write_header(w, e);
	if (ok && w->given != w->declared)
		ok = fail(
		    e, BAD_USAGE, "%s: %" PRIu64 " bytes of data of the declared %" PRIu64, w->path, w->given, w->declared);
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

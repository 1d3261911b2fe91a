/* arrays.c - a reader of safetensors for the golden program alone. */
#include "arrays.h"
#include "base/file.h"
#include "base/json.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

arrays arrays_open(const char *path)
{
	arrays a = { 0 };
	FILE *f = fopen(path, "rb");
	if (!f) return a;
	fseek(f, 0, SEEK_END);
	long size = ftell(f);
	rewind(f);
	a.bytes = size > 8 ? malloc((size_t)size) : NULL;
	uint64_t header = 0;
	if (a.bytes && fread(a.bytes, 1, (size_t)size, f) == (size_t)size) {
		memcpy(&header, a.bytes, 8);
		if (header <= (uint64_t)size - 8) a.header = json_loadb((char *)a.bytes + 8, header, 0, NULL);
	}
	fclose(f);
	a.data = a.bytes + 8 + header;
	a.data_size = a.header ? (size_t)size - 8 - header : 0;
	return a;
}

void arrays_close(arrays *a)
{
	json_decref(a->header);
	free(a->bytes);
	*a = (arrays){ 0 };
}

static const void *data_of(const arrays *a, const char *name, const char *type, size_t *bytes)
{
	const json_t *entry = json_object_get(a->header, name), *offsets = json_object_get(entry, "data_offsets");
	const char *stored = json_string_value(json_object_get(entry, "dtype"));
	size_t from = (size_t)json_integer_value(json_array_get(offsets, 0));
	size_t to = (size_t)json_integer_value(json_array_get(offsets, 1));
	if (!stored || strcmp(stored, type) || from > to || to > a->data_size) return NULL;
	*bytes = to - from;
	return a->data + from;
}

const float *array_of(const arrays *a, size_t *n, const char *format, ...)
{
	char name[512];
	size_t bytes = 0;
	va_list list;
	va_start(list, format);
	vsnprintf(name, sizeof name, format, list);
	va_end(list);
	const float *values = data_of(a, name, "F32", &bytes);
	if (n) *n = bytes / sizeof *values;
	return values;
}

const double *double_array_of(const arrays *a, size_t *n, const char *name)
{
	size_t bytes = 0;
	const double *values = data_of(a, name, "F64", &bytes);
	if (n) *n = bytes / sizeof *values;
	return values;
}

bool array_find(const arrays *a, const char *name, dtype *d, shape *s, const void **data)
{
	const json_t *entry = json_object_get(a->header, name), *axes = json_object_get(entry, "shape");
	const char *type = json_string_value(json_object_get(entry, "dtype"));
	if (!type || json_array_size(axes) > MAX_DIMS) return false;
	*d = dtype_from_name(type, strlen(type));
	*s = (shape){ .n = (int)json_array_size(axes) };
	for (int i = 0; i < s->n; i++) s->d[i] = (int)json_integer_value(json_array_get(axes, (size_t)i));
	size_t bytes = 0;
	*data = data_of(a, name, type, &bytes);
	return *data && bytes == shape_count(*s) * dtype_size(*d);
}

json_t *json_of(const char *path)
{
	size_t size;
	char *text = whole_file(path, SIZE_MAX, &size, NULL);
	json_t *json = text ? json_from_python(text, size, NULL) : NULL;
	free(text);
	return json;
}

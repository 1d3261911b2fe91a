/* arrays.h - the tensors of a safetensors file as float arrays. Of its own and not Sumi's reader, so that a golden is
 * not read by the code that it judges. */
#ifndef SUMI_TESTS_ARRAYS_H
#define SUMI_TESTS_ARRAYS_H
#include "graph/graph.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct arrays {
	uint8_t *bytes; /* the whole file */
	const uint8_t *data;
	size_t data_size;
	json_t *header; /* NULL: could not be read */
} arrays;

arrays arrays_open(const char *path);
void arrays_close(arrays *a);
/* An F32 tensor by its name (printf's format), borrowed; NULL where there is none. n may be NULL. */
const float *array_of(const arrays *a, size_t *n, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* F64, likewise. */
const double *double_array_of(const arrays *a, size_t *n, const char *name);
/* A tensor of any type that Sumi knows, with at most MAX_DIMS axes; false where there is none. */
bool array_find(const arrays *a, const char *name, dtype *d, shape *s, const void **data);
/* A JSON file; NULL where it cannot be read. The caller owns it. */
json_t *json_of(const char *path);

#endif

/* arrays.h - the tensors of a safetensors file as float arrays. Of its own and not Sumi's reader, so that a golden is
 * not read by the code that it judges. */
#ifndef SUMI_TESTS_ARRAYS_H
#define SUMI_TESTS_ARRAYS_H
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

#endif

/* tiny_family.h - the family of a tiny checkpoint of e2e/, known from its shapes and what its metadata says. */
#ifndef SUMI_TESTS_TINY_FAMILY_H
#define SUMI_TESTS_TINY_FAMILY_H
#include "arrays.h"
#include "models/families.h"

/* `name` is the family of its full size; `heads` those of the CLIP encoders, which no shape says. */
bool tiny_family(const arrays *a, const char *name, const int heads[TEXT_ENCODERS], family *f, error *e);
/* Binds the file's weights (a graph's bind_fn); the context is its arrays. */
bool tiny_bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e);

#endif

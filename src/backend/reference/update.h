/* update.h - what the files of the steps that change weights share. */
#ifndef SUMI_BACKEND_REFERENCE_UPDATE_H
#define SUMI_BACKEND_REFERENCE_UPDATE_H
#include "backend/reference/plain.h"

/* An input that the operation changes. */
static inline void *written(const call *c, int k) { return (void *)(uintptr_t)c->in[k]; }

/* AdamW on n elements of the weight from `at` on, with moments of those: what both kinds of it do. */
void adamw_elements(const call *c, size_t at, float *average, float *square, size_t n);

#endif

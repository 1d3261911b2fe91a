/* products.h - a matrix product within a row: its plan is made when the row is prepared. */
#ifndef SUMI_BACKEND_CUDA_PRODUCTS_H
#define SUMI_BACKEND_CUDA_PRODUCTS_H
#include "backend/cuda/gpu.h"

void *product_prepare(const call *c, const product *p, error *e); /* NULL: failed. The device has products. */
size_t product_scratch(const void *state);                        /* bytes that a run needs */
/* bias in full precision, whatever the product's type; bias and residual NULL where the product has none. */
bool product_run(const call *c, const void *state, const void *a, const void *b, const float *bias,
    const void *residual, void *d, void *scratch, error *e);
void product_release(void *state); /* NULL is fine */

/* c->out = act(x + bias + residual), the bias along the last axis; NULL: absent. x is of c->y's type, and may be c->out
 * as the residual may, or bf16 where that is f32. Launches nothing where there is nothing to do. */
bool run_finish(const call *c, const void *x, dtype type, const float *bias, const void *residual, int kind, error *e);

#endif

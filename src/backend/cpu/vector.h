/* vector.h - elementwise kernels and norms in f32, written for the compiler to vectorise. */
#ifndef SUMI_BACKEND_CPU_VECTOR_H
#define SUMI_BACKEND_CPU_VECTOR_H
#include "graph/graph.h"

bool vector_supported(void); /* by this CPU */
/* Everything a row needs to be f32: the result and every input that is there. */
bool vector_fits(const call *c);

extern const kernel vector_add, vector_mul, vector_affine, vector_activation, vector_activation_grad, vector_geglu,
    vector_geglu_grad, vector_sum_to;
extern const kernel vector_group_norm, vector_group_norm_dx, vector_group_norm_dw;
extern const kernel vector_layer_norm, vector_layer_norm_dx, vector_layer_norm_dw;

#endif

/* vector.h - elementwise kernels and norms for f32 and bf16, written for the compiler to vectorise. */
#ifndef SUMI_BACKEND_CPU_VECTOR_H
#define SUMI_BACKEND_CPU_VECTOR_H
#include "backend/share.h"

bool vector_supported(void); /* by this CPU */
/* The result and every input that is there is f32 or bf16. */
bool vector_fits(const call *c);

/* Kernels compute in f32, a block at a time. Values of another type pass through room for BLOCK floats on the stack,
 * which stays in the first cache; f32 is read and written where it lies. */
enum { BLOCK = 4096 };
/* n ≤ BLOCK values of input k from `at` on. */
const float *block_in(const call *c, int k, size_t at, size_t n, float *room);
/* Where the result from `at` on is to be written; then block_done rounds it into its place. */
float *block_out(const call *c, size_t at, float *room);
void block_done(const call *c, size_t at, size_t n, const float *room);

extern const kernel vector_cast, vector_add, vector_mul, vector_affine, vector_activation, vector_activation_grad,
    vector_geglu, vector_geglu_grad, vector_sum_to;
extern const kernel vector_group_norm, vector_group_norm_sums, vector_group_norm_dx; /* with AVX2 */
extern const kernel wide_group_norm, wide_group_norm_sums, wide_group_norm_dx;       /* with AVX-512 */
extern const kernel rounded_group_norm; /* with AVX-512 and its bf16, to bf16 */
extern const kernel wide_geglu;
extern const kernel vector_layer_norm, vector_layer_norm_dx, vector_layer_norm_dw;
extern const kernel vector_rms_norm, vector_rms_norm_dx, vector_rms_norm_dw;

#endif

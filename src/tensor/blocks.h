/* blocks.h - the quantised types of ggml, whose elements share a scale: conversions of whole blocks. For dtype.c, which
 * knows their sizes. Source: ggml-quants.c (dequantize_row_*, quantize_row_*_ref) of github.com/ggml-org/ggml.
 *
 * Values are those of ggml to the bit. Each function takes n blocks, which may begin at any address. A block that holds
 * a NaN or an infinity widens to what is not finite. */
#ifndef SUMI_TENSOR_BLOCKS_H
#define SUMI_TENSOR_BLOCKS_H
#include <stddef.h>
#include <stdint.h>

enum { SMALL_BLOCK = 32, LARGE_BLOCK = 256 }; /* elements, of the types with one digit or "_K" in their names */

typedef void widen_fn(float *values, const void *blocks, size_t n);
typedef void narrow_fn(void *blocks, const float *values, size_t n);

widen_fn widen_q4_0, widen_q4_1, widen_q5_0, widen_q5_1, widen_q8_0;
widen_fn widen_q2_k, widen_q3_k, widen_q4_k, widen_q5_k, widen_q6_k;
narrow_fn narrow_q4_0, narrow_q4_1, narrow_q5_0, narrow_q5_1, narrow_q8_0;

float half_at(const uint8_t *p); /* the f16 at any address, as a scale is stored */

#endif

/* dtype.h - the element types of tensors, in files and in graphs, and conversions between them. */
#ifndef SUMI_TENSOR_DTYPE_H
#define SUMI_TENSOR_DTYPE_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

typedef enum dtype {
	NO_DTYPE,
	F64,
	F32,
	F16,
	BF16,
	F8_E4M3,
	F8_E5M2,
	/* The quantised types of ggml, in blocks of 32 and of 256 elements (tensor/blocks.h): in files and as a graph's
	 * parameters alone, which a cast or a look-up of rows reads. */
	Q4_0,
	Q4_1,
	Q5_0,
	Q5_1,
	Q8_0,
	Q2_K,
	Q3_K,
	Q4_K,
	Q5_K,
	Q6_K,
	I64,
	I32,
	I16,
	I8,
	U8,
	BOOL,
	DTYPES
} dtype;

/* `real` is what the reference backend computes in and what "full precision" means in a graph: float, or double
 * in the build that proves the gradients (-DSUMI_DOUBLE). */
#ifdef SUMI_DOUBLE
typedef double real;
#define REAL F64
#else
typedef float real;
#define REAL F32
#endif

size_t dtype_size(dtype d);  /* bytes of an element; 0 for NO_DTYPE and blocks */
size_t dtype_block(dtype d); /* elements of a block; 1 for all but quantised types */
/* Bytes of n elements, in whole blocks; SIZE_MAX where there is no such number. Of blocks this is also where element n
 * begins, if n is a multiple of a block. */
size_t dtype_bytes(dtype d, size_t n);
const char *dtype_name(dtype d);                        /* as safetensors spells it: "F32", "BF16", … */
dtype dtype_from_name(const char *name, size_t length); /* NO_DTYPE where unknown */
bool dtype_is_float(dtype d);                           /* quantised types are floats */
bool dtype_is_narrowable(dtype d);                      /* convert() can write it */
float dtype_largest(dtype d);                           /* of a float type up to 32 bits: its largest finite value */
float dtype_overflow(dtype d); /* from this absolute value on, a finite float becomes Inf (F8_E4M3: NaN); Inf for F32 */

/* Small floats are kept as their bits. Rounding is to nearest even; NaN stays NaN, overflow becomes Inf. The floats of
 * eight bits are those of "FP8 Formats for Deep Learning" (Micikevicius et al. 2022): F8_E5M2 is the upper half of an
 * f16; F8_E4M3 has no Inf but reaches to 448, so that Inf and overflow become NaN, as PyTorch's float8_e4m3fn has it.
 */
uint16_t bf16_from_f32(float x);
float f32_from_bf16(uint16_t bits);
uint16_t f16_from_f32(float x);
float f32_from_f16(uint16_t bits);

/* Converts n elements; any pair of types but BOOL, Q2_K … Q6_K as target. src may begin at any address; src and dst may
 * be the same pointer only where the types are equal. Integers to float by value; float to integer is truncated and
 * clamped. Of quantised types src begins with a block. */
void convert(void *dst, dtype to, const void *src, dtype from, size_t n);
/* The same from element `first` of src on, which may lie within a block; not to a quantised type. */
void convert_from(void *dst, dtype to, const void *src, dtype from, size_t first, size_t n);
/* Index of the first of n floats of this type that is NaN or infinite, and which of the two; n: none is. */
size_t first_not_finite(const void *src, dtype from, size_t n, float *value);

#endif

/* rounded_math.h - functions in AVX-512 for results that are rounded to bf16: good to 4e-6, a five-hundredth of that
 * rounding. With vector_math.h a header of code: a call would end what these are for. Empty where a
 * file is compiled for CPUs without AVX-512. */
#ifndef SUMI_BACKEND_CPU_ROUNDED_MATH_H
#define SUMI_BACKEND_CPU_ROUNDED_MATH_H
#include "tensor/dtype.h"
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512BF16__

enum { VECTOR = 16 };

static inline __mmask16 lanes_of(size_t n) { return n < VECTOR ? (__mmask16)((1u << n) - 1) : 0xffff; }

/* Values at … of an array of bf16 or f32, as f32; 0 where `there` is not set. */
static inline __m512 load_as_f32(const void *x, size_t at, bool is_bf16, __mmask16 there)
{
	if (!is_bf16) return _mm512_maskz_loadu_ps(there, (const float *)x + at);
	__m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, (const uint16_t *)x + at));
	return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline void store_as_bf16(uint16_t *to, __m512 x, __mmask16 there)
{
	_mm256_mask_storeu_epi16(to, there, (__m256i)_mm512_cvtneps_pbh(x));
}

/* 2^x, 0 where it would be less than any number; NaN stays NaN. */
static inline __m512 exp2_rounded(__m512 x)
{
	__m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, whole);
	__m512 p = _mm512_set1_ps(9.58285e-3f);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.590642e-2f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4024099e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9312419e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
	return _mm512_scalef_ps(p, whole);
}

/* 1/x of 2^−100 … 2^100: an estimate of 14 bits and one step of Newton's. */
static inline __m512 inverse_rounded(__m512 x)
{
	__m512 r = _mm512_rcp14_ps(x);
	return _mm512_mul_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(2)));
}

/* x/(1 + 2^power); beyond 2^92 nothing is left of it. */
static inline __m512 gated_rounded(__m512 x, __m512 power)
{
	power = _mm512_min_ps(_mm512_set1_ps(92), power);
	return _mm512_mul_ps(x, inverse_rounded(_mm512_add_ps(_mm512_set1_ps(1), exp2_rounded(power))));
}

/* x/(1 + e^−x) */
static inline __m512 silu_rounded(__m512 x) { return gated_rounded(x, _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f))); }

/* ½x·(1 + tanh u) = x/(1 + e^−2u) with u = √(2/π)·(x + 0.044715·x³) */
static inline __m512 gelu_tanh_rounded(__m512 x)
{
	__m512 inner = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.10294324f), _mm512_set1_ps(-2.3022082f));
	return gated_rounded(x, _mm512_mul_ps(x, inner));
}

#endif
#endif

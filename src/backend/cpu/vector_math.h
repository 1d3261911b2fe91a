/* vector_math.h - exp, erf and the activations in forms that a compiler turns into vector code: no branches, no calls.
 * The one header with code in it: a call would end the vectorisation. Errors against libm, measured over their whole
 * range: exp 2e-7 relative, erf 2e-7 absolute. */
#ifndef SUMI_BACKEND_CPU_VECTOR_MATH_H
#define SUMI_BACKEND_CPU_VECTOR_MATH_H
#include "graph/graph.h"
#include <stdint.h>

/* 2^n·e^r with n = round(x/ln 2): a polynomial on |r| ≤ ½ln 2 (Cephes' coefficients). */
static inline float exp_within(float x, float least, float most)
{
	x = x < least ? least : x > most ? most : x;
	float n = x * 1.44269504f + 12582912.0f; /* 1.5·2^23: what is left after the addition is an integer */
	n -= 12582912.0f;
	float r = x - n * 0.693359375f + n * 2.12194440e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1;
	union {
		uint32_t bits;
		float value;
	} power = { (uint32_t)((int32_t)n + 127) << 23 }; /* unsigned: of a NaN it is any number */
	return p * power.value;
}

static inline float exp_f32(float x) { return exp_within(x, -87, 88); }

/* Where e^x is added to 1 or to erf, what is beyond e^±64 changes nothing that a float or its neighbour would show. A
 * compiler folds the limits into constants and multiplies by them in every lane; where those are denormal, as 1/e^88
 * is, each product takes a CPU some hundred cycles. */
static inline float exp_small(float x) { return exp_within(x, -64, 64); }

static inline float sigmoid_f32(float x) { return 1 / (1 + exp_small(-x)); }
static inline float tanh_f32(float x) { return 1 - 2 / (1 + exp_small(2 * x)); }

/* Abramowitz and Stegun 7.1.26. */
static inline float erf_f32(float x)
{
	float a = x < 0 ? -x : x, t = 1 / (1 + 0.3275911f * a);
	float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
	float y = 1 - p * exp_small(-a * a);
	return x < 0 ? -y : y;
}

static inline float gelu_f32(float x) { return 0.5f * x * (1 + erf_f32(x * 0.70710678f)); }
static inline float gelu_slope_f32(float x)
{
	return 0.5f * (1 + erf_f32(x * 0.70710678f)) + x * 0.39894228f * exp_small(-0.5f * x * x);
}
static inline float gelu_tanh_f32(float x)
{
	return 0.5f * x * (1 + tanh_f32(0.79788456f * (x + 0.044715f * x * x * x)));
}
static inline float silu_f32(float x) { return x * sigmoid_f32(x); }
static inline float silu_slope_f32(float x)
{
	float s = sigmoid_f32(x);
	return s * (1 + x * (1 - s));
}
static inline float gelu_quick_f32(float x) { return x * sigmoid_f32(1.702f * x); }
static inline float gelu_quick_slope_f32(float x)
{
	float s = sigmoid_f32(1.702f * x);
	return s * (1 + 1.702f * x * (1 - s));
}

#endif

/* dtype.c - sizes, names and conversions of element types. */
#include "tensor/dtype.h"
#include "tensor/blocks.h"
#include <math.h>
#include <string.h>

static widen_fn widen_f16, widen_bf16, widen_e4m3, widen_e5m2;
static narrow_fn narrow_f16, narrow_bf16, narrow_e4m3, narrow_e5m2;

/* Types with widen and narrow are converted through floats; narrow is missing where Sumi does not write them. */
static const struct {
	const char *name;
	size_t elements, bytes;  /* of a block: one element, but for the quantised types */
	float largest, overflow; /* of floats up to 32 bits */
	widen_fn *widen;
	narrow_fn *narrow;
} types[DTYPES] = {
	[F64] = { "F64", 1, 8, 0, 0, NULL, NULL },
	[F32] = { "F32", 1, 4, 0x1.fffffep127f, INFINITY, NULL, NULL },
	[F16] = { "F16", 1, 2, 65504, 65520, widen_f16, narrow_f16 },
	[BF16] = { "BF16", 1, 2, 0x1.fep127f, 0x1.ffp127f, widen_bf16, narrow_bf16 },
	/* 464, halfway to what would be 480, rounds to 448 */
	[F8_E4M3] = { "F8_E4M3", 1, 1, 448, 0x1.d00002p8f, widen_e4m3, narrow_e4m3 },
	[F8_E5M2] = { "F8_E5M2", 1, 1, 57344, 61440, widen_e5m2, narrow_e5m2 },
	/* Where the scale, or the smallest value of a block, is no f16 any more. */
	[Q4_0] = { "Q4_0", SMALL_BLOCK, 18, 8 * 65504, 8 * 65520, widen_q4_0, narrow_q4_0 },
	[Q4_1] = { "Q4_1", SMALL_BLOCK, 20, 65504, 65520, widen_q4_1, narrow_q4_1 },
	[Q5_0] = { "Q5_0", SMALL_BLOCK, 22, 16 * 65504, 16 * 65520, widen_q5_0, narrow_q5_0 },
	[Q5_1] = { "Q5_1", SMALL_BLOCK, 24, 65504, 65520, widen_q5_1, narrow_q5_1 },
	[Q8_0] = { "Q8_0", SMALL_BLOCK, 34, 127 * 65504, 127 * 65520, widen_q8_0, narrow_q8_0 },
	[Q2_K] = { "Q2_K", LARGE_BLOCK, 84, INFINITY, INFINITY, widen_q2_k, NULL },
	[Q3_K] = { "Q3_K", LARGE_BLOCK, 110, INFINITY, INFINITY, widen_q3_k, NULL },
	[Q4_K] = { "Q4_K", LARGE_BLOCK, 144, INFINITY, INFINITY, widen_q4_k, NULL },
	[Q5_K] = { "Q5_K", LARGE_BLOCK, 176, INFINITY, INFINITY, widen_q5_k, NULL },
	[Q6_K] = { "Q6_K", LARGE_BLOCK, 210, INFINITY, INFINITY, widen_q6_k, NULL },
	[I64] = { "I64", 1, 8, 0, 0, NULL, NULL },
	[I32] = { "I32", 1, 4, 0, 0, NULL, NULL },
	[I16] = { "I16", 1, 2, 0, 0, NULL, NULL },
	[I8] = { "I8", 1, 1, 0, 0, NULL, NULL },
	[U8] = { "U8", 1, 1, 0, 0, NULL, NULL },
	[BOOL] = { "BOOL", 1, 1, 0, 0, NULL, NULL },
};

static bool is_known(dtype d) { return d > NO_DTYPE && d < DTYPES; }

size_t dtype_size(dtype d) { return is_known(d) && types[d].elements == 1 ? types[d].bytes : 0; }
size_t dtype_block(dtype d) { return is_known(d) ? types[d].elements : 1; }
const char *dtype_name(dtype d) { return is_known(d) ? types[d].name : "none"; }
bool dtype_is_float(dtype d) { return d >= F64 && d <= Q6_K; }
bool dtype_is_narrowable(dtype d) { return is_known(d) && (types[d].elements == 1 || types[d].narrow); }
float dtype_largest(dtype d) { return d < DTYPES ? types[d].largest : 0; }
float dtype_overflow(dtype d) { return d < DTYPES ? types[d].overflow : 0; }

size_t dtype_bytes(dtype d, size_t n)
{
	if (!is_known(d)) return 0;
	size_t blocks = n / types[d].elements + (n % types[d].elements != 0);
	return blocks > SIZE_MAX / types[d].bytes ? SIZE_MAX : blocks * types[d].bytes;
}

dtype dtype_from_name(const char *name, size_t length)
{
	for (dtype d = F64; d < DTYPES; d++)
		if (strlen(types[d].name) == length && !memcmp(types[d].name, name, length)) return d;
	return NO_DTYPE;
}

static uint32_t bits_of(float x)
{
	uint32_t u;
	memcpy(&u, &x, 4);
	return u;
}

static float float_of(uint32_t u)
{
	float x;
	memcpy(&x, &u, 4);
	return x;
}

uint16_t bf16_from_f32(float x)
{
	uint32_t u = bits_of(x);
	if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float f32_from_bf16(uint16_t bits) { return float_of((uint32_t)bits << 16); }

uint16_t f16_from_f32(float x)
{
	uint32_t u = bits_of(x), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff;
	if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
	if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to Inf */
	if (magnitude < 0x38800000) {                                  /* below the smallest normal: a multiple of 2^-24 */
		float scaled = float_of(magnitude) * 16777216.0f;          /* exact: a power of two */
		return (uint16_t)(sign | (uint32_t)lrintf(scaled));
	}
	uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | ((rounded >> 13) - (112 << 10)));
}

float f32_from_f16(uint16_t bits)
{
	uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
	if (exponent == 31) return float_of(sign | 0x7f800000 | mantissa << 13);
	if (exponent) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
	float x = (float)mantissa * (1.0f / 16777216.0f);
	return sign ? -x : x;
}

static float f32_from_f8_e5m2(uint8_t bits) { return f32_from_f16((uint16_t)(bits << 8)); }

static uint8_t f8_e5m2_from_f32(float x)
{
	uint32_t u = bits_of(x), sign = u >> 24 & 0x80, magnitude = u & 0x7fffffff;
	if (magnitude > 0x7f800000) return (uint8_t)(sign | 0x7f);
	if (fabsf(x) >= types[F8_E5M2].overflow) return (uint8_t)(sign | 0x7c);
	if (magnitude < 0x38800000) return (uint8_t)(sign | (uint32_t)lrintf(fabsf(x) * 65536)); /* multiples of 2^-16 */
	uint32_t rounded = magnitude + 0xfffff + (magnitude >> 21 & 1);
	return (uint8_t)(sign | ((rounded >> 21) - (112 << 2)));
}

static float f32_from_f8_e4m3(uint8_t bits)
{
	uint32_t sign = (uint32_t)(bits & 0x80) << 24, exponent = bits >> 3 & 15, mantissa = bits & 7;
	if (exponent == 15 && mantissa == 7) return float_of(sign | 0x7fc00000);
	if (exponent) return float_of(sign | (exponent + 120) << 23 | mantissa << 20);
	float x = (float)mantissa * (1.0f / 512.0f);
	return sign ? -x : x;
}

static uint8_t f8_e4m3_from_f32(float x)
{
	uint32_t u = bits_of(x), sign = u >> 24 & 0x80, magnitude = u & 0x7fffffff;
	if (!(fabsf(x) < types[F8_E4M3].overflow)) return (uint8_t)(sign | 0x7f);
	if (magnitude < 0x3c800000) return (uint8_t)(sign | (uint32_t)lrintf(fabsf(x) * 512)); /* multiples of 2^-9 */
	uint32_t rounded = magnitude + 0x7ffff + (magnitude >> 20 & 1);
	return (uint8_t)(sign | ((rounded >> 20) - (120 << 3)));
}

/* The i-th element of what may begin at any address: weights in a mapped file do. */
#define ELEMENT(type, name)                                   \
	static inline type name(const void *p, size_t i)          \
	{                                                         \
		type x;                                               \
		memcpy(&x, (const char *)p + i * sizeof x, sizeof x); \
		return x;                                             \
	}
ELEMENT(double, double_at)
ELEMENT(float, float_at)
ELEMENT(uint16_t, bits_at)
ELEMENT(int64_t, long_at)
ELEMENT(int32_t, int_at)
ELEMENT(int16_t, short_at)

static double load(const void *p, dtype d, size_t i)
{
	switch (d) {
	case F64: return double_at(p, i);
	case F32: return (double)float_at(p, i);
	case I64: return (double)long_at(p, i);
	case I32: return int_at(p, i);
	case I16: return short_at(p, i);
	case I8: return ((const int8_t *)p)[i];
	case U8: return ((const uint8_t *)p)[i];
	case BOOL: return ((const uint8_t *)p)[i] != 0;
	default: return 0;
	}
}

static int64_t clamp_integer(double x, double low, double high)
{
	if (!(x > low)) return x != x ? 0 : (int64_t)low;
	return x < high ? (int64_t)x : high >= 9.2e18 ? INT64_MAX : (int64_t)high;
}

static void store(void *p, dtype d, size_t i, double x)
{
	switch (d) {
	case F64: ((double *)p)[i] = x; break;
	case F32: ((float *)p)[i] = (float)x; break;
	case F16: ((uint16_t *)p)[i] = f16_from_f32((float)x); break;
	case BF16: ((uint16_t *)p)[i] = bf16_from_f32((float)x); break;
	case F8_E4M3: ((uint8_t *)p)[i] = f8_e4m3_from_f32((float)x); break;
	case F8_E5M2: ((uint8_t *)p)[i] = f8_e5m2_from_f32((float)x); break;
	case I64: ((int64_t *)p)[i] = clamp_integer(x, -9223372036854775808.0, 9223372036854775807.0); break;
	case I32: ((int32_t *)p)[i] = (int32_t)clamp_integer(x, INT32_MIN, INT32_MAX); break;
	case I16: ((int16_t *)p)[i] = (int16_t)clamp_integer(x, INT16_MIN, INT16_MAX); break;
	case I8: ((int8_t *)p)[i] = (int8_t)clamp_integer(x, INT8_MIN, INT8_MAX); break;
	case U8: ((uint8_t *)p)[i] = (uint8_t)clamp_integer(x, 0, 255); break;
	default: break;
	}
}

/* ── through floats ── */

static void widen_f16(float *y, const void *x, size_t n)
{
	for (size_t i = 0; i < n; i++) y[i] = f32_from_f16(bits_at(x, i));
}

static void widen_bf16(float *y, const void *x, size_t n)
{
	for (size_t i = 0; i < n; i++) y[i] = f32_from_bf16(bits_at(x, i));
}

enum { BYTE_VALUES = 256 };

/* Floats of eight bits have so few values that, of many, each value is converted once. */
static void widen_bytes(float *y, const uint8_t *x, size_t n, float (*widen)(uint8_t))
{
	float value[BYTE_VALUES];
	bool many = n >= BYTE_VALUES;
	for (int i = 0; many && i < BYTE_VALUES; i++) value[i] = widen((uint8_t)i);
	for (size_t i = 0; i < n; i++) y[i] = many ? value[x[i]] : widen(x[i]);
}

static void widen_e4m3(float *y, const void *x, size_t n) { widen_bytes(y, x, n, f32_from_f8_e4m3); }
static void widen_e5m2(float *y, const void *x, size_t n) { widen_bytes(y, x, n, f32_from_f8_e5m2); }

static void narrow_f16(void *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) ((uint16_t *)y)[i] = f16_from_f32(float_at(x, i));
}

static void narrow_bf16(void *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) ((uint16_t *)y)[i] = bf16_from_f32(float_at(x, i));
}

static void narrow_e4m3(void *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) ((uint8_t *)y)[i] = f8_e4m3_from_f32(float_at(x, i));
}

static void narrow_e5m2(void *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) ((uint8_t *)y)[i] = f8_e5m2_from_f32(float_at(x, i));
}

/* Floats at once: a multiple of every block. */
enum { PASS = 2048 };

static void widen(float *dst, dtype from, const void *src, size_t n)
{
	size_t elements = types[from].elements, whole = n / elements;
	float last[LARGE_BLOCK];
	types[from].widen(dst, src, whole);
	if (whole * elements == n) return;
	types[from].widen(last, (const char *)src + whole * types[from].bytes, 1);
	memcpy(dst + whole * elements, last, (n - whole * elements) * sizeof *last);
}

/* A last block that is not full is filled up with zeros. */
static void narrow(void *dst, dtype to, const float *src, size_t n)
{
	size_t elements = types[to].elements, whole = n / elements;
	float last[LARGE_BLOCK] = { 0 };
	if (elements == 1 || (uintptr_t)src % sizeof *src == 0) {
		types[to].narrow(dst, src, whole);
	} else {
		for (size_t i = 0; i < whole; i++) {
			memcpy(last, src + i * elements, elements * sizeof *last);
			types[to].narrow((char *)dst + i * types[to].bytes, last, 1);
		}
	}
	if (whole * elements == n) return;
	memset(last, 0, sizeof last);
	memcpy(last, src + whole * elements, (n - whole * elements) * sizeof *last);
	types[to].narrow((char *)dst + whole * types[to].bytes, last, 1);
}

/* From one type that widens to another that is not F32, or from what is no small float to quantised blocks. */
static void convert_through_floats(void *dst, dtype to, const void *src, dtype from, size_t n)
{
	float values[PASS];
	for (size_t i = 0; i < n; i += PASS) {
		size_t some = n - i < PASS ? n - i : PASS;
		convert(values, F32, (const char *)src + dtype_bytes(from, i), from, some);
		convert((char *)dst + dtype_bytes(to, i), to, values, F32, some);
	}
}

void convert(void *dst, dtype to, const void *src, dtype from, size_t n)
{
	if (to == from) {
		if (dst != src) memcpy(dst, src, dtype_bytes(to, n));
	} else if (!dtype_is_narrowable(to)) {
		return;
	} else if (to == F32 && types[from].widen) {
		widen(dst, from, src, n);
	} else if (from == F32 && types[to].narrow) {
		narrow(dst, to, src, n);
	} else if (types[from].widen || dtype_block(to) > 1) {
		convert_through_floats(dst, to, src, from, n);
	} else if ((to == I32 || to == I64) && (from == I32 || from == I64)) {
		for (size_t i = 0; i < n; i++) {
			int64_t v = from == I32 ? int_at(src, i) : long_at(src, i);
			if (to == I64)
				((int64_t *)dst)[i] = v;
			else
				((int32_t *)dst)[i] = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
		}
	} else {
		for (size_t i = 0; i < n; i++) store(dst, to, i, load(src, from, i));
	}
}

void convert_from(void *dst, dtype to, const void *src, dtype from, size_t first, size_t n)
{
	size_t elements = dtype_block(from), skipped = first % elements;
	const char *data = (const char *)src + dtype_bytes(from, first - skipped);
	float block[LARGE_BLOCK];
	if (skipped && n) {
		size_t some = elements - skipped < n ? elements - skipped : n;
		types[from].widen(block, data, 1);
		convert(dst, to, block + skipped, F32, some);
		dst = (char *)dst + dtype_bytes(to, some);
		data += types[from].bytes;
		n -= some;
	}
	convert(dst, to, data, from, n);
}

size_t first_not_finite(const void *src, dtype from, size_t n, float *value)
{
	enum { PIECE = 4096 };
	float piece[PIECE];
	for (size_t at = 0; at < n; at += PIECE) {
		size_t count = n - at < PIECE ? n - at : PIECE;
		convert_from(piece, F32, src, from, at, count);
		for (size_t i = 0; i < count; i++) {
			*value = piece[i];
			if (!isfinite(piece[i])) return at + i;
		}
	}
	return n;
}

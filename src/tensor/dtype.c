/* dtype.c - sizes, names and conversions of element types. */
#include "tensor/dtype.h"
#include <math.h>
#include <string.h>

static const struct {
	const char *name;
	size_t size;
	float largest, overflow; /* of floats up to 32 bits */
} types[DTYPES] = {
	[F64] = { "F64", 8, 0, 0 },
	[F32] = { "F32", 4, 0x1.fffffep127f, INFINITY },
	[F16] = { "F16", 2, 65504, 65520 },
	[BF16] = { "BF16", 2, 0x1.fep127f, 0x1.ffp127f },
	[F8_E4M3] = { "F8_E4M3", 1, 448, 0x1.d00002p8f }, /* 464, halfway to what would be 480, rounds to 448 */
	[F8_E5M2] = { "F8_E5M2", 1, 57344, 61440 },
	[I64] = { "I64", 8, 0, 0 },
	[I32] = { "I32", 4, 0, 0 },
	[I16] = { "I16", 2, 0, 0 },
	[I8] = { "I8", 1, 0, 0 },
	[U8] = { "U8", 1, 0, 0 },
	[BOOL] = { "BOOL", 1, 0, 0 },
};

size_t dtype_size(dtype d) { return d < DTYPES ? types[d].size : 0; }
const char *dtype_name(dtype d) { return d > NO_DTYPE && d < DTYPES ? types[d].name : "none"; }
bool dtype_is_float(dtype d) { return d >= F64 && d <= F8_E5M2; }
float dtype_largest(dtype d) { return d < DTYPES ? types[d].largest : 0; }
float dtype_overflow(dtype d) { return d < DTYPES ? types[d].overflow : 0; }

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
	case F16: return (double)f32_from_f16(bits_at(p, i));
	case BF16: return (double)f32_from_bf16(bits_at(p, i));
	case F8_E4M3: return (double)f32_from_f8_e4m3(((const uint8_t *)p)[i]);
	case F8_E5M2: return (double)f32_from_f8_e5m2(((const uint8_t *)p)[i]);
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

enum { BYTE_VALUES = 256 };

/* Floats of eight bits have so few values that each is converted once. */
static void convert_bytes(void *dst, dtype to, const uint8_t *src, dtype from, size_t n)
{
	union {
		float f[BYTE_VALUES];
		uint16_t h[BYTE_VALUES];
	} value;
	uint8_t bytes[BYTE_VALUES];
	for (size_t i = 0; i < BYTE_VALUES; i++) bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < BYTE_VALUES; i++) store(&value, to, i, load(bytes, from, i));
	if (to == F32)
		for (size_t i = 0; i < n; i++) ((float *)dst)[i] = value.f[src[i]];
	else
		for (size_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = value.h[src[i]];
}

/* The pairs that whole checkpoints go through have loops of their own, which the compiler can vectorise. */
void convert(void *dst, dtype to, const void *src, dtype from, size_t n)
{
	if (to == from) {
		if (dst != src) memcpy(dst, src, n * dtype_size(to));
	} else if (to == F32 && from == F16) {
		for (size_t i = 0; i < n; i++) ((float *)dst)[i] = f32_from_f16(bits_at(src, i));
	} else if (to == F32 && from == BF16) {
		for (size_t i = 0; i < n; i++) ((float *)dst)[i] = f32_from_bf16(bits_at(src, i));
	} else if (to == BF16 && from == F32) {
		for (size_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = bf16_from_f32(float_at(src, i));
	} else if (to == F16 && from == F32) {
		for (size_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = f16_from_f32(float_at(src, i));
	} else if ((from == F8_E4M3 || from == F8_E5M2) && (to == F32 || to == F16 || to == BF16) && n >= BYTE_VALUES) {
		convert_bytes(dst, to, src, from, n);
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

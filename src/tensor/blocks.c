/* blocks.c - blocks of 32 elements: one scale, or a scale and the smallest value, and 4, 5 or 8 bits for each. Of the
 * 4-bit numbers, byte j holds those of elements j and j + 16; a fifth bit of each is in a number of 32 bits. */
#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include <math.h>
#include <string.h>

enum { HALF = SMALL_BLOCK / 2 };

float half_at(const uint8_t *p)
{
	uint16_t bits;
	memcpy(&bits, p, sizeof bits);
	return f32_from_f16(bits);
}

static void put_half(uint8_t *p, float x)
{
	uint16_t bits = f16_from_f32(x);
	memcpy(p, &bits, sizeof bits);
}

/* ── to floats ── */

static void widen_nibbles(float *y, const uint8_t *q, float scale, float add, int less)
{
	for (int j = 0; j < HALF; j++) {
		y[j] = (float)((q[j] & 15) - less) * scale + add;
		y[j + HALF] = (float)((q[j] >> 4) - less) * scale + add;
	}
}

static void widen_fives(float *y, const uint8_t *high, const uint8_t *q, float scale, float add, int less)
{
	uint32_t bits;
	memcpy(&bits, high, sizeof bits);
	for (int j = 0; j < HALF; j++) {
		int low = (q[j] & 15) | (int)(bits >> j << 4 & 16), up = q[j] >> 4 | (int)(bits >> (j + HALF) << 4 & 16);
		y[j] = (float)(low - less) * scale + add;
		y[j + HALF] = (float)(up - less) * scale + add;
	}
}

void widen_q4_0(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 18, y += SMALL_BLOCK) widen_nibbles(y, b + 2, half_at(b), -0.0f, 8);
}

void widen_q4_1(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 20, y += SMALL_BLOCK)
		widen_nibbles(y, b + 4, half_at(b), half_at(b + 2), 0);
}

void widen_q5_0(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 22, y += SMALL_BLOCK) widen_fives(y, b + 2, b + 6, half_at(b), -0.0f, 16);
}

void widen_q5_1(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 24, y += SMALL_BLOCK)
		widen_fives(y, b + 4, b + 8, half_at(b), half_at(b + 2), 0);
}

void widen_q8_0(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 34, y += SMALL_BLOCK) {
		float scale = half_at(b);
		for (int j = 0; j < SMALL_BLOCK; j++) y[j] = (float)(int8_t)b[2 + j] * scale;
	}
}

/* ── from floats ── */

/* The integer below, between 0 and `most`; 0 of a NaN. */
static int truncated(float x, int most) { return x >= (float)most ? most : x > 0 ? (int)x : 0; }

static float inverse(float x) { return x != 0 ? 1 / x : 0; }

/* The value that is farthest from 0, with its sign: the first of several. A NaN is farther than all. */
static float farthest(const float *x)
{
	float far = x[0];
	for (int j = 1; j < SMALL_BLOCK; j++)
		if (!(fabsf(x[j]) <= fabsf(far)) && far == far) far = x[j];
	return far;
}

/* The smallest and the largest value; where one is a NaN, both are. */
static void ends_of(const float *x, float *least, float *most)
{
	*least = *most = x[0];
	for (int j = 1; j < SMALL_BLOCK && *least == *least; j++) {
		if (!(x[j] >= *least)) *least = x[j];
		if (!(x[j] <= *most)) *most = x[j];
	}
}

/* Numbers of `bits` bits: (x − less)·factor + up, cut. */
static void pack(uint8_t *q, uint8_t *high, const float *x, float less, float factor, float up, int most)
{
	uint32_t bits = 0;
	for (int j = 0; j < HALF; j++) {
		int a = truncated((x[j] - less) * factor + up, most), b = truncated((x[j + HALF] - less) * factor + up, most);
		q[j] = (uint8_t)((a & 15) | (b & 15) << 4);
		bits |= (uint32_t)(a >> 4) << j | (uint32_t)(b >> 4) << (j + HALF);
	}
	if (high) memcpy(high, &bits, sizeof bits);
}

static void narrow_signed(uint8_t *b, const float *x, int bits)
{
	int half = 1 << (bits - 1);
	float scale = farthest(x) / (float)-half;
	put_half(b, scale);
	pack(bits == 5 ? b + 6 : b + 2, bits == 5 ? b + 2 : NULL, x, 0, inverse(scale), (float)half + 0.5f, 2 * half - 1);
}

static void narrow_shifted(uint8_t *b, const float *x, int bits)
{
	float least, most;
	ends_of(x, &least, &most);
	float scale = (most - least) / (float)((1 << bits) - 1);
	put_half(b, scale);
	put_half(b + 2, least);
	pack(bits == 5 ? b + 8 : b + 4, bits == 5 ? b + 4 : NULL, x, least, inverse(scale), 0.5f, (1 << bits) - 1);
}

void narrow_q4_0(void *blocks, const float *x, size_t n)
{
	for (uint8_t *b = blocks; n--; b += 18, x += SMALL_BLOCK) narrow_signed(b, x, 4);
}

void narrow_q4_1(void *blocks, const float *x, size_t n)
{
	for (uint8_t *b = blocks; n--; b += 20, x += SMALL_BLOCK) narrow_shifted(b, x, 4);
}

void narrow_q5_0(void *blocks, const float *x, size_t n)
{
	for (uint8_t *b = blocks; n--; b += 22, x += SMALL_BLOCK) narrow_signed(b, x, 5);
}

void narrow_q5_1(void *blocks, const float *x, size_t n)
{
	for (uint8_t *b = blocks; n--; b += 24, x += SMALL_BLOCK) narrow_shifted(b, x, 5);
}

void narrow_q8_0(void *blocks, const float *x, size_t n)
{
	for (uint8_t *b = blocks; n--; b += 34, x += SMALL_BLOCK) {
		float scale = fabsf(farthest(x)) / 127, factor = inverse(scale);
		put_half(b, scale);
		for (int j = 0; j < SMALL_BLOCK; j++) {
			float q = roundf(x[j] * factor);
			b[2 + j] = (uint8_t)(int8_t)(q >= 127 ? 127 : q > -127 ? (int)q : q <= -127 ? -127 : 0);
		}
	}
}

/* blocks_k.c - "K" blocks of 256 elements: 8 or 16 groups with a scale each (and, of some types, a smallest value),
 * themselves small integers times one f16 of the whole block. */
#include "tensor/blocks.h"

/* scales [16] of 4 bits, with 4 bits of the smallest value above; numbers of 2 bits [64]; scale; scale of smallest */
void widen_q2_k(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 84, y += LARGE_BLOCK) {
		float d = half_at(b + 80), least = half_at(b + 82);
		for (int group = 0; group < 16; group++) {
			const uint8_t *q = b + 16 + group / 8 * 32 + group % 2 * 16;
			int shift = group % 8 / 2 * 2;
			float scale = d * (float)(b[group] & 15), less = least * (float)(b[group] >> 4);
			for (int j = 0; j < 16; j++) y[group * 16 + j] = scale * (float)(q[j] >> shift & 3) - less;
		}
	}
}

/* Scale `group` of 16, of 6 bits: the lower four of two in each of the first 8 bytes, the upper two of four behind. */
static int scale_of_q3(const uint8_t *s, int group)
{
	int low = s[group % 8] >> group / 8 * 4 & 15, high = s[8 + group % 4] >> group / 4 * 2 & 3;
	return (low | high << 4) - 32;
}

/* third bits [32], set where 4 is not to be taken away; numbers of 2 bits [64]; scales [12]; scale */
void widen_q3_k(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 110, y += LARGE_BLOCK) {
		float d = half_at(b + 108);
		for (int group = 0; group < 16; group++) {
			const uint8_t *q = b + 32 + group / 8 * 32 + group % 2 * 16, *third = b + group % 2 * 16;
			int shift = group % 8 / 2 * 2, bit = group / 2;
			float scale = d * (float)scale_of_q3(b + 96, group);
			for (int j = 0; j < 16; j++)
				y[group * 16 + j] = scale * (float)((q[j] >> shift & 3) - (third[j] >> bit & 1 ? 0 : 4));
		}
	}
}

/* Scale and smallest value `group` of 8, of 6 bits each, from 12 bytes. */
static void scales_of(const uint8_t *s, int group, int *scale, int *least)
{
	if (group < 4) {
		*scale = s[group] & 63;
		*least = s[group + 4] & 63;
	} else {
		*scale = (s[group + 4] & 15) | s[group - 4] >> 6 << 4;
		*least = s[group + 4] >> 4 | s[group] >> 6 << 4;
	}
}

/* high: fifth bits [32], bit i of which are those of group i; or NULL. q: numbers of 4 bits [128]. */
static void widen_four_or_five(float *y, const uint8_t *b, const uint8_t *high, const uint8_t *q)
{
	float d = half_at(b), smallest = half_at(b + 2);
	for (int group = 0; group < 8; group++) {
		int scale, least;
		scales_of(b + 4, group, &scale, &least);
		float factor = d * (float)scale, less = smallest * (float)least;
		const uint8_t *from = q + group / 2 * 32;
		for (int j = 0; j < 32; j++) {
			int number = (from[j] >> group % 2 * 4 & 15) | (high ? (high[j] >> group & 1) << 4 : 0);
			y[group * 32 + j] = factor * (float)number - less;
		}
	}
}

/* scale; scale of the smallest values; scales [12]; numbers */
void widen_q4_k(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 144, y += LARGE_BLOCK) widen_four_or_five(y, b, NULL, b + 16);
}

void widen_q5_k(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 176, y += LARGE_BLOCK) widen_four_or_five(y, b, b + 16, b + 48);
}

/* lower four bits [128]; upper two [64]; scales [16], signed; scale */
void widen_q6_k(float *y, const void *blocks, size_t n)
{
	for (const uint8_t *b = blocks; n--; b += 210, y += LARGE_BLOCK) {
		float d = half_at(b + 208);
		for (int group = 0; group < 16; group++) {
			int row = group / 2 % 4, part = group / 8, side = group % 2 * 16; /* rows of 32 in parts of 128 */
			const uint8_t *low = b + part * 64 + row % 2 * 32 + side, *high = b + 128 + part * 32 + side;
			float scale = d * (float)(int8_t)b[192 + group];
			for (int j = 0; j < 16; j++) {
				int number = (low[j] >> row / 2 * 4 & 15) | (high[j] >> row * 2 & 3) << 4;
				y[group * 16 + j] = scale * (float)(number - 32);
			}
		}
	}
}

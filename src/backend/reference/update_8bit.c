/* update_8bit.c - AdamW whose moments are kept in 8 bits: each block of 256 elements is divided by its largest and each
 * quotient is stored as the index of the nearest of 256 values, which lie denser near 0 (dynamic tree quantization,
 * arXiv 1511.04561 and 2110.02861). The second moment is stored as its square root: twice the range for the same bits,
 * so that a small one does not become 0 next to a large one. */
#include "backend/reference/update_8bit.h"
#include "backend/reference/update.h"
#include <math.h>
#include <stdlib.h>

enum { CODES = EIGHT_BIT_CODES, TREE_BITS = 7 };

typedef struct codebook {
	float value[CODES];
} codebook;

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* For each exponent i the values are the middles of 2^i (signed) or 2^(i+1) equal parts of 0.1 … 1, times 10^(i−6);
 * then 0 and 1. */
void eight_bit_values(float value[EIGHT_BIT_CODES], bool has_sign)
{
	int n = 0;
	for (int i = 0; i < TREE_BITS; i++) {
		int parts = 1 << (has_sign ? i : i + 1);
		double unit = pow(10, i - TREE_BITS + 1);
		for (int k = 0; k < parts; k++) {
			float v = (float)(unit * (0.1 + 0.9 * (k + 0.5) / parts));
			value[n++] = v;
			if (has_sign) value[n++] = -v;
		}
	}
	value[n++] = 0;
	value[n++] = 1;
	qsort(value, CODES, sizeof *value, by_value);
}

static uint8_t nearest_code(const codebook *c, float x)
{
	int low = 0;
	for (int half = CODES / 2; half; half /= 2)
		if (low + half < CODES && c->value[low + half] <= x) low += half;
	return (uint8_t)(low + 1 < CODES && c->value[low + 1] - x < x - c->value[low] ? low + 1 : low);
}

static void quantize(const codebook *c, const float *x, int n, uint8_t *codes, float *scale)
{
	float most = 0;
	for (int i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
	float inverse = most > 0 ? 1 / most : 0;
	for (int i = 0; i < n; i++) codes[i] = nearest_code(c, x[i] * inverse);
	*scale = most;
}

typedef struct coded { /* a step, and what codes mean */
	const call *c;
	codebook with_sign, without;
} coded;

static bool blocks_part(const void *context, size_t first, size_t end, int worker)
{
	const coded *s = context;
	const call *c = s->c;
	(void)worker;
	uint8_t *average_codes = written(c, 4), *root_codes = written(c, 5);
	float *average_scales = written(c, 6), *root_scales = written(c, 7);
	for (size_t b = first; b < end; b++) {
		float average[QUANTIZED_BLOCK], square[QUANTIZED_BLOCK];
		size_t at = b * QUANTIZED_BLOCK, left = count_of(c->x[0]) - at;
		int n = left < QUANTIZED_BLOCK ? (int)left : QUANTIZED_BLOCK;
		for (int i = 0; i < n; i++) {
			average[i] = s->with_sign.value[average_codes[at + (size_t)i]] * average_scales[b];
			float root = s->without.value[root_codes[at + (size_t)i]] * root_scales[b];
			square[i] = root * root;
		}
		adamw_elements(c, at, average, square, (size_t)n);
		for (int i = 0; i < n; i++) square[i] = sqrtf(square[i]);
		quantize(&s->with_sign, average, n, average_codes + at, &average_scales[b]);
		quantize(&s->without, square, n, root_codes + at, &root_scales[b]);
	}
	return true;
}

bool plain_adamw_8bit(const call *c)
{
	coded s = { .c = c };
	eight_bit_values(s.with_sign.value, true);
	eight_bit_values(s.without.value, false);
	size_t blocks = (count_of(c->x[0]) + QUANTIZED_BLOCK - 1) / QUANTIZED_BLOCK;
	return share(c, blocks, QUANTIZED_BLOCK, blocks_part, &s);
}

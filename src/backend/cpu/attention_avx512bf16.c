/* attention_avx512bf16.c - fused attention, forward, on bf16: both products by VDPBF16PS, which multiplies pairs.
 *
 * As in attention_body.h scores live in blocks and the softmax runs along (arXiv:1805.02867). Sums are f32; only the
 * probabilities are rounded to bf16, for their product with the values. A factor of B is packed into panels
 * [panel][pair][PANEL][2], a pair being two neighbours in the direction of the sum; odd lengths end in a zero. */
#include "backend/cpu/attention.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { LANES = 16, PANEL = 2 * LANES, ROWS = 12, KEY_VECTORS = BLOCK_KEYS / LANES };

typedef struct pair {
	uint16_t first, second;
} pair;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }
static size_t half(size_t n) { return (n + 1) / 2; }

/* ── products ── */

/* A tile of ROWS × vectors·LANES; a's rows are a_row pairs apart. */
static inline __attribute__((always_inline)) void tile(
    const pair *a, size_t a_row, const pair *b, size_t pairs, float *out, size_t out_row, int vectors, bool add)
{
	__m512 sum[ROWS][2];
#pragma GCC unroll 16
	for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
		for (int j = 0; j < vectors; j++)
			sum[i][j] = add ? _mm512_loadu_ps(out + (size_t)i * out_row + j * LANES) : _mm512_setzero_ps();
	for (size_t k = 0; k < pairs; k++, a++, b += PANEL) {
		__m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
		__m512bh b1 = vectors > 1 ? (__m512bh)_mm512_loadu_si512(b + LANES) : b0;
#pragma GCC unroll 16
		for (int i = 0; i < ROWS; i++) {
			int both;
			memcpy(&both, a + (size_t)i * a_row, sizeof both);
			__m512bh x = (__m512bh)_mm512_set1_epi32(both);
			sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, b0);
			if (vectors > 1) sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, b1);
		}
	}
#pragma GCC unroll 16
	for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
		for (int j = 0; j < vectors; j++) _mm512_storeu_ps(out + (size_t)i * out_row + j * LANES, sum[i][j]);
}

/* out[rows][columns] = A·B, or += where add; rows up to the next multiple of ROWS and columns up to the next of LANES
 * are read and written as well. panel: pairs from one of B's panels to the next. */
static void multiply(const pair *a, size_t a_row, size_t rows, const pair *b, size_t panel, size_t columns,
    size_t pairs, float *out, size_t out_row, bool add)
{
	for (size_t j = 0; j < columns; j += PANEL, b += panel)
		for (size_t i = 0; i < rows; i += ROWS) {
			const pair *from = a + i * a_row;
			float *to = out + i * out_row + j;
			if (columns - j > LANES) {
				if (add)
					tile(from, a_row, b, pairs, to, out_row, 2, true);
				else
					tile(from, a_row, b, pairs, to, out_row, 2, false);
			} else if (add)
				tile(from, a_row, b, pairs, to, out_row, 1, true);
			else
				tile(from, a_row, b, pairs, to, out_row, 1, false);
		}
}

/* ── packing ── */

/* A head's row of a token in [N,T,heads·width]. */
static const uint16_t *row_of(
    const attention_shape *s, const void *x, size_t tokens, size_t image, size_t token, size_t head)
{
	return (const uint16_t *)x + ((image * tokens + token) * s->heads + head) * s->width;
}

static void copy_pairs(const uint16_t *row, size_t width, pair *to, size_t step)
{
	for (size_t e = 0; e < width; e += 2, to += step) *to = (pair){ row[e], e + 1 < width ? row[e + 1] : 0 };
}

static size_t key_pairs(const attention_shape *s) { return rounded(s->keys, PANEL) * half(s->width); }
static size_t value_pairs(const attention_shape *s) { return rounded(s->width, PANEL) * half(s->keys); }

static size_t packed_floats(const attention_shape *s) { return key_pairs(s) + value_pairs(s); }

/* Panels of keys with pairs along a head's width, then panels of the width with pairs of keys. */
static void pack(const attention_shape *s, size_t image, size_t head, const void *k, const void *v, float *packed)
{
	pair *keys = (pair *)packed, *values = keys + key_pairs(s);
	memset(keys, 0, packed_floats(s) * sizeof *keys);
	for (size_t t = 0; t < s->keys; t++) {
		const uint16_t *value = row_of(s, v, s->keys, image, t, head);
		copy_pairs(row_of(s, k, s->keys, image, t, head), s->width,
		    keys + t / PANEL * PANEL * half(s->width) + t % PANEL, PANEL);
		for (size_t e = 0; e < s->width; e++) {
			pair *to = values + e / PANEL * PANEL * half(s->keys) + t / 2 * PANEL + e % PANEL;
			if (t % 2)
				to->second = value[e];
			else
				to->first = value[e];
		}
	}
}

/* ── softmax ── */

/* 2^x for x ≤ 0 (relative error 3e-6). */
static inline __m512 power_of_2(__m512 x)
{
	x = _mm512_max_ps(x, _mm512_set1_ps(-126));
	__m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, n);
	__m512 p = _mm512_set1_ps(1.33335581e-3f);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.61812911e-3f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55041087e-2f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40226507e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147181e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
	return _mm512_scalef_ps(p, n);
}

static inline __m512 widened(__m256i bf16)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

/* One block's share of a query's softmax: the scores become probabilities to the running maximum, in bf16, and sum and
 * result so far are brought to the new maximum. scale takes the scores to powers of 2; sum is LANES partial ones, of
 * the probabilities as they are rounded: so their errors cancel in what all values share. */
static void soften(const float *score, size_t visible, float scale, uint16_t *probability, float *most, float *sum,
    float *result, size_t width)
{
	__m512 x[KEY_VECTORS], top = _mm512_set1_ps(-INFINITY), total;
#pragma GCC unroll 8
	for (size_t j = 0; j < KEY_VECTORS; j++) {
		size_t left = visible > j * LANES ? smaller(visible - j * LANES, LANES) : 0;
		x[j] = _mm512_mask_mul_ps(_mm512_set1_ps(-INFINITY), (__mmask16)((1u << left) - 1),
		    _mm512_loadu_ps(score + j * LANES), _mm512_set1_ps(scale));
		top = _mm512_max_ps(top, x[j]);
	}
	float now = fmaxf(*most, _mm512_reduce_max_ps(top));
	total = _mm512_loadu_ps(sum);
	if (now > *most) {
		__m512 shrink = power_of_2(_mm512_set1_ps(*most - now));
		total = _mm512_mul_ps(total, shrink);
		for (size_t e = 0; e < width; e += LANES)
			_mm512_storeu_ps(result + e, _mm512_mul_ps(_mm512_loadu_ps(result + e), shrink));
		*most = now;
	}
#pragma GCC unroll 8
	for (size_t j = 0; j < KEY_VECTORS; j++) {
		size_t left = visible > j * LANES ? smaller(visible - j * LANES, LANES) : 0;
		__m512 p =
		    _mm512_maskz_mov_ps((__mmask16)((1u << left) - 1), power_of_2(_mm512_sub_ps(x[j], _mm512_set1_ps(now))));
		__m256i rounded_p = (__m256i)_mm512_cvtneps_pbh(p);
		_mm256_storeu_si256((__m256i *)(void *)(probability + j * LANES), rounded_p);
		total = _mm512_add_ps(total, widened(rounded_p));
	}
	_mm512_storeu_ps(sum, total);
}

/* ── a block of queries ── */

typedef struct room {
	pair *query;           /* [BLOCK_QUERIES][half the width] */
	uint16_t *probability; /* [BLOCK_QUERIES][BLOCK_KEYS] */
	float *score;          /* [BLOCK_QUERIES][BLOCK_KEYS] */
	float *result;         /* [BLOCK_QUERIES][padded width] */
	float *sum;            /* [BLOCK_QUERIES][LANES] */
	float *end;
} room;

static room divide(const attention_shape *s, float *at)
{
	room r;
	r.query = (pair *)at;
	r.probability = (uint16_t *)(r.query + BLOCK_QUERIES * half(s->width));
	r.score = (float *)(void *)(r.probability + BLOCK_QUERIES * BLOCK_KEYS);
	r.result = r.score + BLOCK_QUERIES * BLOCK_KEYS;
	r.sum = r.result + BLOCK_QUERIES * rounded(s->width, LANES);
	r.end = r.sum + BLOCK_QUERIES * LANES;
	return r;
}

static size_t forward_floats(const attention_shape *s)
{
	float origin;
	return (size_t)(divide(s, &origin).end - &origin);
}

static size_t seen(const attention_shape *s, size_t i) { return s->causal ? smaller(i + 1, s->keys) : s->keys; }

static void write_result(const attention_shape *s, const float *result, const float *sum, uint16_t *to)
{
	__m512 factor = _mm512_set1_ps(1 / _mm512_reduce_add_ps(_mm512_loadu_ps(sum)));
	for (size_t e = 0; e < s->width; e += LANES) {
		__m256i y = (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_loadu_ps(result + e), factor));
		_mm256_mask_storeu_epi16(to + e, (__mmask16)((1u << smaller(LANES, s->width - e)) - 1), y);
	}
}

static void forward(const attention_shape *s, size_t image, size_t head, size_t first, const void *q,
    const float *packed, void *out, float *at)
{
	room r = divide(s, at);
	size_t rows = smaller(BLOCK_QUERIES, s->queries - first), pairs = half(s->width);
	size_t padded = rounded(s->width, LANES), end = seen(s, first + rows - 1);
	const pair *keys = (const pair *)packed, *values = keys + key_pairs(s);
	float most[BLOCK_QUERIES], scale = s->scale * 1.44269504f;
	memset(at, 0, (size_t)(r.end - at) * sizeof *at);
	for (size_t i = 0; i < rows; i++) {
		copy_pairs(row_of(s, q, s->queries, image, first + i, head), s->width, r.query + i * pairs, 1);
		most[i] = -INFINITY;
	}
	for (size_t key = 0; key < end; key += BLOCK_KEYS) {
		size_t count = smaller(BLOCK_KEYS, end - key);
		multiply(r.query, pairs, rows, keys + key * pairs, PANEL * pairs, count, pairs, r.score, BLOCK_KEYS, false);
		for (size_t i = 0; i < rows; i++) {
			size_t all = seen(s, first + i), visible = all > key ? smaller(count, all - key) : 0;
			uint16_t *probability = r.probability + i * BLOCK_KEYS;
			if (visible)
				soften(r.score + i * BLOCK_KEYS, visible, scale, probability, most + i, r.sum + i * LANES,
				    r.result + i * padded, padded);
			else
				memset(probability, 0, BLOCK_KEYS * sizeof *probability);
		}
		multiply((const pair *)(const void *)r.probability, BLOCK_KEYS / 2, rows, values + key / 2 * PANEL,
		    PANEL * half(s->keys), s->width, half(count), r.result, padded, true);
	}
	for (size_t i = 0; i < rows; i++)
		write_result(s, r.result + i * padded, r.sum + i * LANES,
		    (uint16_t *)(uintptr_t)row_of(s, out, s->queries, image, first + i, head));
}

const attention_code attention_avx512bf16 = { .block = BLOCK_QUERIES,
	.packed_floats = packed_floats,
	.forward_floats = forward_floats,
	.pack = pack,
	.forward = forward };

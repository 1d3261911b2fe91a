/* attention_amx.c - fused attention, forward, on bf16, with both products in the tiles of AMX.
 *
 * As in attention_body.h scores live in blocks and the softmax runs along (arXiv:1805.02867). Here they lie with their
 * axes exchanged, as [key][query]: a lane of a vector is a query, so that the softmax needs nothing across lanes, and
 * the probabilities of two neighbouring keys become the pairs that the tiles multiply. Sums are f32; only the
 * probabilities are rounded to bf16, and they are summed as rounded, so that the errors cancel in what all values
 * share. */
#include "backend/cpu/attention.h"
#include "backend/cpu/tiles.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

/* A tile has 16 rows of 64 bytes. As the left factor it is [row][32 values of the sum]; as the right one, [16 pairs of
 * values of the sum][column][2]; as the result, 16×16 of f32. */
enum { LANES = 16, DEPTH = 32, PAIRS = DEPTH / 2, TILE = LANES * DEPTH, ROW_BYTES = 64 };
/* Queries go in two columns of tiles through a block of keys, whose scores stay in the first cache; BLOCK of them meet
 * a block of keys while it is in the second. */
enum { HALVES = 2, TOGETHER = HALVES * LANES, BLOCK = 4 * TOGETHER, KEYS = 128 };

/* ── tiles ── */

/* GCC does not know that loading a tile reads memory. */
static inline void finish_stores(void) { __asm__ volatile("" ::: "memory"); }

/* left × right for 2×2 tiles, sums in tiles 0 to 3; steps along the sum, a row of tiles being `steps` tiles. */
static inline void multiply(const uint16_t *left, size_t row, const uint16_t *right, size_t column, size_t steps)
{
	for (size_t i = 0; i < steps; i++, left += TILE, right += TILE) {
		_tile_loadd(4, left, ROW_BYTES);
		_tile_loadd(6, right, ROW_BYTES);
		_tile_loadd(7, right + column, ROW_BYTES);
		_tile_loadd(5, left + row, ROW_BYTES);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
	}
}

/* The same for one row of tiles. */
static inline void multiply_row(const uint16_t *left, const uint16_t *right, size_t column, size_t steps)
{
	for (size_t i = 0; i < steps; i++, left += TILE, right += TILE) {
		_tile_loadd(4, left, ROW_BYTES);
		_tile_loadd(6, right, ROW_BYTES);
		_tile_loadd(7, right + column, ROW_BYTES);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
	}
}

/* ── sizes and places ── */

typedef struct sizes {
	size_t steps;        /* tiles along a head's width where it is summed over */
	size_t width;        /* tiles along it where it is the result's */
	size_t key_steps;    /* tiles along the keys where they are summed over */
	size_t keys, values; /* bf16 values of a head's packed keys and values */
} sizes;

static sizes sizes_of(const attention_shape *s)
{
	sizes z = { parts(s->width, DEPTH), parts(s->width, LANES), parts(s->keys, DEPTH), 0, 0 };
	z.keys = z.key_steps * 2 * z.steps * TILE;
	z.values = z.width * z.key_steps * TILE;
	return z;
}

/* A head's row of a token in [N,T,heads·width]. */
static const uint16_t *row_of(
    const attention_shape *s, const void *x, size_t tokens, size_t image, size_t token, size_t head)
{
	return (const uint16_t *)x + ((image * tokens + token) * s->heads + head) * s->width;
}

/* Where the rows of 16 tokens that follow each other begin, in bytes. */
static inline __m512i token_offsets(const attention_shape *s)
{
	__m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	return _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)(s->heads * s->width * sizeof(uint16_t))));
}

static inline __mmask16 first_lanes(size_t n) { return (__mmask16)((1u << smaller(n, LANES)) - 1); }

static inline __mmask32 first_words(size_t n) { return n < DEPTH ? (__mmask32)((1u << n) - 1) : ~(__mmask32)0; }

/* ── packing ── */

static size_t packed_floats(const attention_shape *s)
{
	sizes z = sizes_of(s);
	return (z.keys + z.values) / 2;
}

static void pack_key(const attention_shape *s, const sizes *z, const uint16_t *key, size_t token, uint16_t *keys)
{
	uint16_t *to = keys + token / LANES * z->steps * TILE + token % LANES * DEPTH;
	for (size_t e = 0; e < s->width; e += DEPTH, to += TILE)
		_mm512_storeu_si512(to, _mm512_maskz_loadu_epi16(first_words(s->width - e), key + e));
}

/* Two tokens' values, which lie side by side; second: NULL where there is none. */
static void pack_values(const attention_shape *s, const sizes *z, const uint16_t *first, const uint16_t *second,
    size_t token, uint16_t *values)
{
	uint16_t *to = values + token / DEPTH * TILE + token % DEPTH;
	for (size_t tile = 0; tile < s->width; tile += LANES, to += z->key_steps * TILE)
		for (size_t i = 0; i < smaller(LANES, s->width - tile); i++) {
			uint16_t both[] = { first[tile + i], second ? second[tile + i] : 0 };
			memcpy(to + i * DEPTH, both, sizeof both);
		}
}

/* Keys as left factors, [16 keys][step along the width]; values as left factors too, with their axes exchanged:
 * [16 of the width][step along the keys]. What is not there is 0. */
static void pack(const attention_shape *s, size_t image, size_t head, const void *k, const void *v, float *packed)
{
	enum { AHEAD = 12 }; /* a head's rows lie far from each other: CPUs do not guess the next */
	sizes z = sizes_of(s);
	uint16_t *keys = (uint16_t *)packed, *values = keys + z.keys;
	memset(keys, 0, (z.keys + z.values) * sizeof *keys);
	for (size_t t = 0; t < s->keys; t += 2) {
		bool second = t + 1 < s->keys;
		for (size_t i = t + AHEAD; i < smaller(t + AHEAD + 2, s->keys); i++)
			for (size_t e = 0; e < s->width; e += DEPTH) {
				_mm_prefetch(row_of(s, k, s->keys, image, i, head) + e, _MM_HINT_T0);
				_mm_prefetch(row_of(s, v, s->keys, image, i, head) + e, _MM_HINT_T0);
			}
		const uint16_t *value = row_of(s, v, s->keys, image, t, head);
		pack_key(s, &z, row_of(s, k, s->keys, image, t, head), t, keys);
		if (second) pack_key(s, &z, row_of(s, k, s->keys, image, t + 1, head), t + 1, keys);
		pack_values(s, &z, value, second ? value + s->heads * s->width : NULL, t, values);
	}
}

/* 16 queries from `first` on as a right factor, into zeros: those that are not there stay 0. */
static void load_queries(
    const attention_shape *s, const void *q, size_t image, size_t head, size_t first, size_t count, uint16_t *to)
{
	const uint16_t *from = row_of(s, q, s->queries, image, first, head);
	__m512i offsets = token_offsets(s), zero = _mm512_setzero_si512();
	for (size_t e = 0; e + 1 < s->width; e += 2)
		_mm512_storeu_si512(
		    to + e * LANES, _mm512_mask_i32gather_epi32(zero, first_lanes(count), offsets, from + e, 1));
	if (s->width % 2)
		for (size_t i = 0; i < count; i++)
			to[(s->width - 1) * LANES + 2 * i] = from[i * s->heads * s->width + s->width - 1];
}

/* ── softmax ── */

/* 2^x: the fraction by a polynomial (relative error 7.5e-5, a twenty-sixth of the rounding to bf16), the whole by the
 * exponent; 0 for −∞, and NaN stays NaN. */
static inline __m512 power_of_2(__m512 x)
{
	__m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); /* x − ⌊x⌋ */
	__m512 p = _mm512_set1_ps(7.802451e-2f);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.2606717e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9583354e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.9992522e-1f));
	return _mm512_scalef_ps(p, x);
}

/* Lane i: low and high rounded to bf16, side by side. */
static inline __m512i paired(__m512 low, __m512 high)
{
	const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
	    21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
	return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

static inline __m512 highest_of(const float *score, size_t keys)
{
	__m512 top[4];
	for (size_t i = 0; i < 4; i++) top[i] = _mm512_set1_ps(-INFINITY);
	size_t k = 0;
	for (; k + 4 <= keys; k += 4)
#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++) top[i] = _mm512_max_ps(top[i], _mm512_loadu_ps(score + (k + i) * LANES));
	for (; k < keys; k++) top[0] = _mm512_max_ps(top[0], _mm512_loadu_ps(score + k * LANES));
	return _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
}

/* What is kept of 16 queries from one block of keys to the next; result is [width][query]. */
typedef struct column {
	float *level, *sum, *result;
} column;

/* One block's share of 16 queries' softmax: the scores become probabilities relative to 2^level, in bf16 pairs where
 * the scores were. The level is the highest score so far, or one that is less by at most HEADROOM: so sum and result
 * are seldom brought to a new one. scale takes the scores to powers of 2 and is not negative. */
static void soften(float *score, size_t keys, float scale, const column *q, size_t width)
{
	enum { HEADROOM = 8 };
	__m512 level = _mm512_loadu_ps(q->level), sum = _mm512_loadu_ps(q->sum), factor = _mm512_set1_ps(scale);
	__m512 top = _mm512_mul_ps(highest_of(score, keys), factor);
	__mmask16 risen = _mm512_cmp_ps_mask(top, _mm512_add_ps(level, _mm512_set1_ps(HEADROOM)), _CMP_GT_OQ);
	if (risen) {
		__m512 now = _mm512_mask_mov_ps(level, risen, top), shrink = power_of_2(_mm512_sub_ps(level, now));
		shrink = _mm512_mask_mov_ps(_mm512_set1_ps(1), risen, shrink);
		sum = _mm512_mul_ps(sum, shrink);
		for (size_t e = 0; e < width; e++)
			_mm512_storeu_ps(q->result + e * LANES, _mm512_mul_ps(_mm512_loadu_ps(q->result + e * LANES), shrink));
		_mm512_storeu_ps(q->level, level = now);
	}
	const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
	uint16_t *to = (uint16_t *)score;
	size_t k = 0;
	for (; k < keys; k += 2, to += TILE / PAIRS) {
		__m512 low = power_of_2(_mm512_fmsub_ps(_mm512_loadu_ps(score + k * LANES), factor, level)),
		       high = _mm512_setzero_ps();
		if (k + 1 < keys) high = power_of_2(_mm512_fmsub_ps(_mm512_loadu_ps(score + (k + 1) * LANES), factor, level));
		__m512i both = paired(low, high);
		sum = _mm512_dpbf16_ps(sum, (__m512bh)both, ones);
		_mm512_storeu_si512(to, both);
	}
	for (; k % DEPTH; k += 2, to += TILE / PAIRS) _mm512_storeu_si512(to, _mm512_setzero_si512());
	_mm512_storeu_ps(q->sum, sum);
}

/* Of keys from `key` on, 16 queries from `query` on see those that do not come later. */
static void hide_later(float *score, size_t key, size_t keys, size_t query)
{
	for (size_t k = 0; k < keys; k++) {
		size_t hidden = key + k > query ? key + k - query : 0;
		_mm512_mask_storeu_ps(score + k * LANES, first_lanes(hidden), _mm512_set1_ps(-INFINITY));
	}
}

/* ── a block of queries ── */

typedef struct room {
	uint16_t *query;    /* [BLOCK/16][steps along the width], right factors */
	float *result;      /* [BLOCK/16][width in tiles][query] */
	float *level, *sum; /* [BLOCK/16][query] */
	float *score;       /* [HALVES][KEYS][query] */
	float *end;
} room;

static room divide(const attention_shape *s, float *at)
{
	sizes z = sizes_of(s);
	room r = { .query = (uint16_t *)at };
	r.result = at + BLOCK / LANES * z.steps * TILE / 2;
	r.level = r.result + BLOCK * z.width * LANES;
	r.sum = r.level + BLOCK;
	r.score = r.sum + BLOCK;
	r.end = r.score + HALVES * KEYS * LANES;
	return r;
}

static size_t forward_floats(const attention_shape *s)
{
	float origin;
	return (size_t)(divide(s, &origin).end - &origin);
}

/* Scores of `keys` keys, rounded up to whole steps, with the queries of both halves. */
static void compute_scores(const uint16_t *key, const uint16_t *query, size_t steps, size_t keys, float *score)
{
	finish_stores();
	for (size_t k = 0; k < keys; k += 2 * LANES, key += 2 * steps * TILE, score += 2 * LANES * LANES) {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
		multiply(key, steps * TILE, query, steps * TILE, steps);
		_tile_stored(0, score, ROW_BYTES);
		_tile_stored(1, score + KEYS * LANES, ROW_BYTES);
		_tile_stored(2, score + LANES * LANES, ROW_BYTES);
		_tile_stored(3, score + KEYS * LANES + LANES * LANES, ROW_BYTES);
	}
}

/* Adds values · probabilities to the results of both halves. value: of this block's first key. */
static void add_values(const uint16_t *value, const sizes *z, const float *score, size_t keys, float *result)
{
	const uint16_t *probability = (const uint16_t *)score;
	size_t row = z->key_steps * TILE, half = z->width * LANES * LANES, steps = parts(keys, DEPTH), e = 0;
	finish_stores();
	for (; e + 1 < z->width; e += 2, value += 2 * row, result += 2 * LANES * LANES) {
		_tile_loadd(0, result, ROW_BYTES);
		_tile_loadd(1, result + half, ROW_BYTES);
		_tile_loadd(2, result + LANES * LANES, ROW_BYTES);
		_tile_loadd(3, result + half + LANES * LANES, ROW_BYTES);
		multiply(value, row, probability, 2 * KEYS * LANES, steps);
		_tile_stored(0, result, ROW_BYTES);
		_tile_stored(1, result + half, ROW_BYTES);
		_tile_stored(2, result + LANES * LANES, ROW_BYTES);
		_tile_stored(3, result + half + LANES * LANES, ROW_BYTES);
	}
	if (e == z->width) return;
	_tile_loadd(0, result, ROW_BYTES);
	_tile_loadd(1, result + half, ROW_BYTES);
	multiply_row(value, probability, 2 * KEYS * LANES, steps);
	_tile_stored(0, result, ROW_BYTES);
	_tile_stored(1, result + half, ROW_BYTES);
}

static void write_results(
    const attention_shape *s, const column *q, void *out, size_t image, size_t head, size_t first, size_t count)
{
	uint16_t *to = (uint16_t *)(uintptr_t)row_of(s, out, s->queries, image, first, head);
	__m512 factor = _mm512_div_ps(_mm512_set1_ps(1), _mm512_loadu_ps(q->sum));
	__m512i offsets = token_offsets(s);
	for (size_t e = 0; e < s->width; e += 2) {
		__m512 low = _mm512_mul_ps(_mm512_loadu_ps(q->result + e * LANES), factor), high = _mm512_setzero_ps();
		if (e + 1 < s->width) high = _mm512_mul_ps(_mm512_loadu_ps(q->result + (e + 1) * LANES), factor);
		__m512i both = paired(low, high);
		if (e + 1 < s->width) {
			_mm512_mask_i32scatter_epi32(to + e, first_lanes(count), offsets, both, 1);
			continue;
		}
		uint32_t pairs[LANES];
		_mm512_storeu_si512(pairs, both);
		for (size_t i = 0; i < count; i++) to[i * s->heads * s->width + e] = (uint16_t)pairs[i];
	}
}

/* TOGETHER queries from `query` on with one block of keys. */
static void meet(const attention_shape *s, const sizes *z, const room *r, const float *packed, size_t in_block,
    size_t query, size_t key)
{
	const uint16_t *keys = (const uint16_t *)packed, *values = keys + z->keys;
	size_t count = smaller(KEYS, s->keys - key), half = in_block / LANES;
	float *result = r->result + in_block * z->width * LANES;
	if (s->causal && query + TOGETHER < key + count) count = query + TOGETHER > key ? query + TOGETHER - key : 0;
	if (!count) return;
	compute_scores(keys + key * z->steps * DEPTH, r->query + half * z->steps * TILE, z->steps, count, r->score);
	for (size_t i = 0; i < HALVES; i++) {
		float *score = r->score + i * KEYS * LANES;
		column q = { r->level + (half + i) * LANES, r->sum + (half + i) * LANES,
			result + i * z->width * LANES * LANES };
		if (s->causal && key + count > query + i * LANES + 1) hide_later(score, key, count, query + i * LANES);
		soften(score, count, s->scale * 1.44269504f, &q, s->width);
	}
	add_values(values + key / DEPTH * TILE, z, r->score, count, result);
}

static void forward(const attention_shape *s, size_t image, size_t head, size_t first, const void *q,
    const float *packed, void *out, float *at)
{
	room r = divide(s, at);
	sizes z = sizes_of(s);
	size_t rows = smaller(BLOCK, s->queries - first);
	tiles_begin();
	memset(at, 0, (size_t)(r.score - at) * sizeof *at);
	for (size_t i = 0; i < BLOCK; i++) r.level[i] = -INFINITY;
	for (size_t i = 0; i < rows; i += LANES)
		load_queries(s, q, image, head, first + i, smaller(LANES, rows - i), r.query + i * z.steps * DEPTH);
	for (size_t key = 0; key < s->keys; key += KEYS)
		for (size_t i = 0; i < rows; i += TOGETHER) meet(s, &z, &r, packed, i, first + i, key);
	for (size_t i = 0; i < rows; i += LANES) {
		column c = { r.level + i, r.sum + i, r.result + i * z.width * LANES };
		write_results(s, &c, out, image, head, first + i, smaller(LANES, rows - i));
	}
	tiles_end();
}

const attention_code attention_amx = {
	.block = BLOCK, .packed_floats = packed_floats, .forward_floats = forward_floats, .pack = pack, .forward = forward
};

/* attention_body.h - fused attention for one set of instructions: attention_avx2.c and its like define VECTOR, LOAD,
 * STORE, BROADCAST, FMA, ZERO, ROWS (of a tile) and CODE (the name of the table) and include this.
 *
 * Forward: softmax block after block of keys, with the running maximum and sum of each query (Milakov & Gimelshein
 * 2018, arXiv:1805.02867). Backward: probabilities are computed again from the scores, as in FlashAttention (Dao et
 * al. 2022, arXiv:2205.14135). Each head's gradient is summed by one thread in one order.
 *
 * Every product is out = A·B where B is packed into panels [panel][depth][PANEL] and A is read with any steps. */
#include "backend/cpu/attention.h"
#include "backend/cpu/vector_math.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { LANES = sizeof(VECTOR) / sizeof(float), PANEL = 2 * LANES };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* A tile of ROWS × vectors·LANES. Everything but the pointers is known where this is inlined. */
static inline __attribute__((always_inline)) void tile(const float *a, size_t a_row, size_t a_step, const float *b,
    size_t depth, float *out, size_t out_row, int vectors, bool add)
{
	VECTOR sum[ROWS][2];
#pragma GCC unroll 16
	for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
		for (int j = 0; j < vectors; j++) sum[i][j] = add ? LOAD(out + (size_t)i * out_row + j * LANES) : ZERO();
	for (size_t k = 0; k < depth; k++, a += a_step, b += PANEL) {
		VECTOR b0 = LOAD(b), b1 = vectors > 1 ? LOAD(b + LANES) : ZERO();
#pragma GCC unroll 16
		for (int i = 0; i < ROWS; i++) {
			VECTOR x = BROADCAST(a + (size_t)i * a_row);
			sum[i][0] = FMA(x, b0, sum[i][0]);
			if (vectors > 1) sum[i][1] = FMA(x, b1, sum[i][1]);
		}
	}
#pragma GCC unroll 16
	for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
		for (int j = 0; j < vectors; j++) STORE(out + (size_t)i * out_row + j * LANES, sum[i][j]);
}

/* out[rows][columns] = A·B, or += where add. Rows up to the next multiple of ROWS and columns up to the next of LANES
 * are read and written as well. panel: floats from one of B's panels to the next. */
static void multiply(const float *a, size_t a_row, size_t a_step, size_t rows, const float *b, size_t panel,
    size_t columns, size_t depth, float *out, size_t out_row, bool add)
{
	for (size_t j = 0; j < columns; j += PANEL, b += panel)
		for (size_t i = 0; i < rows; i += ROWS) {
			const float *from = a + i * a_row;
			float *to = out + i * out_row + j;
			if (columns - j > LANES) {
				if (add)
					tile(from, a_row, a_step, b, depth, to, out_row, 2, true);
				else
					tile(from, a_row, a_step, b, depth, to, out_row, 2, false);
			} else if (add)
				tile(from, a_row, a_step, b, depth, to, out_row, 1, true);
			else
				tile(from, a_row, a_step, b, depth, to, out_row, 1, false);
		}
}

/* ── between a head in [N,T,heads·width] and rows of floats ── */

static size_t place(const attention_shape *s, size_t tokens, size_t image, size_t token, size_t head)
{
	return ((image * tokens + token) * s->heads + head) * s->width;
}

static void widen(float *to, const void *from, size_t at, size_t n, dtype d)
{
	if (d == F32) {
		memcpy(to, (const float *)from + at, n * sizeof *to);
		return;
	}
	const uint16_t *bits = (const uint16_t *)from + at;
	for (size_t i = 0; i < n; i++) {
		union {
			uint32_t bits;
			float value;
		} wide = { (uint32_t)bits[i] << 16 };
		to[i] = wide.value;
	}
}

static void narrow(void *to, size_t at, const float *from, size_t n, float factor, dtype d)
{
	if (d == F32)
		for (size_t i = 0; i < n; i++) ((float *)to)[at + i] = from[i] * factor;
	else
		for (size_t i = 0; i < n; i++) ((uint16_t *)to)[at + i] = bf16_from_f32(from[i] * factor);
}

/* rows[count][width] · factor, with zeros up to the next multiple of ROWS. */
static void load_rows(const attention_shape *s, const void *from, size_t tokens, size_t image, size_t head,
    size_t first, size_t count, float factor, float *rows)
{
	for (size_t i = 0; i < count; i++) {
		float *to = rows + i * s->width;
		widen(to, from, place(s, tokens, image, first + i, head), s->width, s->dtype);
		for (size_t e = 0; e < s->width; e++) to[e] *= factor;
	}
	memset(rows + count * s->width, 0, (rounded(count, ROWS) - count) * s->width * sizeof *rows);
}

/* Panels of the rows [panel][tokens][PANEL], PANEL columns each, filled up with zeros. */
static void pack_rows(const float *rows, size_t tokens, size_t width, float *panels)
{
	for (size_t first = 0; first < width; first += PANEL)
		for (size_t t = 0; t < tokens; t++, panels += PANEL) {
			size_t n = smaller(PANEL, width - first);
			memcpy(panels, rows + t * width + first, n * sizeof *panels);
			memset(panels + n, 0, (PANEL - n) * sizeof *panels);
		}
}

/* Panels of the transpose [panel][width][PANEL], PANEL tokens each, filled up with zeros. */
static void pack_columns(const float *rows, size_t tokens, size_t width, float *panels)
{
	for (size_t first = 0; first < tokens; first += PANEL, panels += width * PANEL) {
		size_t n = smaller(PANEL, tokens - first);
		for (size_t t = 0; t < n; t++)
			for (size_t e = 0; e < width; e++) panels[e * PANEL + t] = rows[(first + t) * width + e];
		for (size_t e = 0; n < PANEL && e < width; e++) memset(panels + e * PANEL + n, 0, (PANEL - n) * sizeof *panels);
	}
}

static size_t row_panels(const attention_shape *s, size_t tokens) { return rounded(s->width, PANEL) * tokens; }
static size_t column_panels(const attention_shape *s, size_t tokens) { return rounded(tokens, PANEL) * s->width; }

/* Keys that query i sees: 0 … seen−1. */
static size_t seen(const attention_shape *s, size_t i) { return s->causal ? smaller(i + 1, s->keys) : s->keys; }

static float largest(const float *x, size_t n, float so_far)
{
#pragma omp simd reduction(max : so_far)
	for (size_t j = 0; j < n; j++) so_far = x[j] > so_far ? x[j] : so_far;
	return so_far;
}

/* x becomes exp(x − shift); returns the sum. */
static float exponentials(float *x, size_t n, float shift)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (size_t j = 0; j < n; j++) {
		x[j] = exp_f32(x[j] - shift);
		sum += x[j];
	}
	return sum;
}

/* ── forward ── */

static size_t packed_floats(const attention_shape *s) { return column_panels(s, s->keys) + row_panels(s, s->keys); }

static void pack(const attention_shape *s, size_t image, size_t head, const void *k, const void *v, float *packed)
{
	enum { PIECE = 64 };
	float piece[PIECE], *values = packed + column_panels(s, s->keys);
	for (size_t first = 0; first < s->keys; first += PANEL) {
		size_t n = smaller(PANEL, s->keys - first);
		float *to = packed + first * s->width;
		if (n < PANEL) memset(to, 0, PANEL * s->width * sizeof *to);
		for (size_t t = 0; t < n; t++)
			for (size_t e = 0; e < s->width; e += PIECE) {
				size_t m = smaller(PIECE, s->width - e);
				widen(piece, k, place(s, s->keys, image, first + t, head) + e, m, s->dtype);
				for (size_t i = 0; i < m; i++) to[(e + i) * PANEL + t] = piece[i];
			}
	}
	for (size_t first = 0; first < s->width; first += PANEL)
		for (size_t t = 0; t < s->keys; t++, values += PANEL) {
			size_t n = smaller(PANEL, s->width - first);
			widen(values, v, place(s, s->keys, image, t, head) + first, n, s->dtype);
			memset(values + n, 0, (PANEL - n) * sizeof *values);
		}
}

static size_t forward_floats(const attention_shape *s)
{
	size_t padded = rounded(s->width, LANES);
	return BLOCK_QUERIES * (s->width + BLOCK_KEYS + padded + 2);
}

/* One block's share of a query's softmax: scores become probabilities to the running maximum, and the query's sum and
 * result so far are brought to the new maximum. */
static void soften(float *score, size_t visible, size_t count, float *most, float *sum, float *result, size_t width)
{
	for (size_t j = visible; j < count; j++) score[j] = 0;
	if (!visible) return;
	float now = largest(score, visible, *most), shrink = exp_f32(*most - now);
	*sum = *sum * shrink + exponentials(score, visible, now);
	if (now > *most)
		for (size_t e = 0; e < width; e++) result[e] *= shrink;
	*most = now;
}

static void add_bias(
    const attention_shape *s, size_t image, size_t head, size_t query, size_t key, size_t count, float *score)
{
	const float *bias = s->bias + ((image % s->biases * s->heads + head) * s->queries + query) * s->keys + key;
	for (size_t j = 0; j < count; j++) score[j] += bias[j];
}

static void forward(const attention_shape *s, size_t image, size_t head, size_t first, const void *q,
    const float *packed, void *out, float *room)
{
	size_t rows = smaller(BLOCK_QUERIES, s->queries - first), width = s->width, padded = rounded(width, LANES);
	float *query = room, *score = query + BLOCK_QUERIES * width, *result = score + BLOCK_QUERIES * BLOCK_KEYS;
	float *most = result + BLOCK_QUERIES * padded, *sum = most + BLOCK_QUERIES;
	const float *values = packed + column_panels(s, s->keys);
	load_rows(s, q, s->queries, image, head, first, rows, s->scale, query);
	memset(result, 0, BLOCK_QUERIES * padded * sizeof *result);
	for (size_t i = 0; i < rows; i++) most[i] = -INFINITY, sum[i] = 0;
	size_t end = seen(s, first + rows - 1);
	for (size_t key = 0; key < end; key += BLOCK_KEYS) {
		size_t count = smaller(BLOCK_KEYS, end - key);
		multiply(query, width, 1, rows, packed + key * width, width * PANEL, count, width, score, BLOCK_KEYS, false);
		for (size_t i = 0; i < rows; i++) {
			if (s->bias) add_bias(s, image, head, first + i, key, count, score + i * BLOCK_KEYS);
			size_t visible = seen(s, first + i) > key ? smaller(count, seen(s, first + i) - key) : 0;
			soften(score + i * BLOCK_KEYS, visible, count, most + i, sum + i, result + i * padded, padded);
		}
		multiply(score, BLOCK_KEYS, 1, rows, values + key * PANEL, s->keys * PANEL, width, count, result, padded, true);
	}
	for (size_t i = 0; i < rows; i++)
		narrow(out, place(s, s->queries, image, first + i, head), result + i * padded, width, 1 / sum[i], s->dtype);
}

/* ── backward ── */

typedef struct backward_room {
	float *query, *query_panels; /* scale·q */
	float *dout, *dout_panels;   /* do */
	float *key, *key_panels;     /* key: a copy, used for packing alone */
	float *key_columns, *value_columns;
	float *dq;              /* [queries][padded], without the scale */
	float *log_sum, *share; /* of each query: log Σ exp(score), Σ do·o */
	float *p, *ds;          /* [BLOCK_QUERIES][BLOCK_KEYS] */
	float *dk, *dv;         /* [BLOCK_KEYS][padded] */
	size_t floats;
} backward_room;

static float *take(backward_room *r, float *room, size_t n)
{
	float *p = room ? room + r->floats : NULL;
	r->floats += rounded(n, 16);
	return p;
}

static backward_room divide(const attention_shape *s, float *room)
{
	backward_room r = { .floats = 0 };
	size_t queries = rounded(s->queries, BLOCK_QUERIES), keys = rounded(s->keys, BLOCK_KEYS), width = s->width;
	size_t padded = rounded(width, LANES);
	r.query = take(&r, room, queries * width);
	r.query_panels = take(&r, room, row_panels(s, queries));
	r.dout = take(&r, room, queries * width);
	r.dout_panels = take(&r, room, row_panels(s, queries));
	r.key = take(&r, room, keys * width);
	r.key_panels = take(&r, room, row_panels(s, keys));
	r.key_columns = take(&r, room, column_panels(s, keys));
	r.value_columns = take(&r, room, column_panels(s, keys));
	r.dq = take(&r, room, queries * padded);
	r.log_sum = take(&r, room, queries);
	r.share = take(&r, room, queries);
	r.p = take(&r, room, BLOCK_QUERIES * BLOCK_KEYS);
	r.ds = take(&r, room, BLOCK_QUERIES * BLOCK_KEYS);
	r.dk = take(&r, room, BLOCK_KEYS * padded);
	r.dv = take(&r, room, BLOCK_KEYS * padded);
	return r;
}

static size_t backward_floats(const attention_shape *s) { return divide(s, NULL).floats; }

/* Scores of a block of queries with a block of keys. */
static void scores(
    const attention_shape *s, const backward_room *r, size_t query, size_t rows, size_t key, size_t count, float *to)
{
	multiply(r->query + query * s->width, s->width, 1, rows, r->key_columns + key * s->width, s->width * PANEL, count,
	    s->width, to, BLOCK_KEYS, false);
}

static size_t visible_in(const attention_shape *s, size_t query, size_t key, size_t count)
{
	size_t n = seen(s, query);
	return n > key ? smaller(count, n - key) : 0;
}

static void sum_queries(const attention_shape *s, const backward_room *r, size_t query, size_t rows)
{
	float most[BLOCK_QUERIES], sum[BLOCK_QUERIES];
	for (size_t i = 0; i < rows; i++) most[i] = -INFINITY, sum[i] = 0;
	size_t end = seen(s, query + rows - 1);
	for (size_t key = 0; key < end; key += BLOCK_KEYS) {
		size_t count = smaller(BLOCK_KEYS, end - key);
		scores(s, r, query, rows, key, count, r->p);
		for (size_t i = 0; i < rows; i++)
			soften(r->p + i * BLOCK_KEYS, visible_in(s, query + i, key, count), 0, most + i, sum + i, NULL, 0);
	}
	for (size_t i = 0; i < rows; i++) r->log_sum[query + i] = most[i] + logf(sum[i]);
}

static void load_head(
    const attention_shape *s, const backward_room *r, size_t image, size_t head, const void *const *in)
{
	size_t width = s->width, queries = s->queries, keys = s->keys;
	load_rows(s, in[2], keys, image, head, 0, keys, 1, r->key);
	pack_columns(r->key, keys, width, r->value_columns);
	load_rows(s, in[1], keys, image, head, 0, keys, 1, r->key);
	pack_columns(r->key, keys, width, r->key_columns);
	pack_rows(r->key, keys, width, r->key_panels);
	load_rows(s, in[4], queries, image, head, 0, queries, 1, r->dout);
	load_rows(s, in[3], queries, image, head, 0, queries, 1, r->query); /* o, for the moment */
	for (size_t i = 0; i < queries; i++) {
		float sum = 0;
#pragma omp simd reduction(+ : sum)
		for (size_t e = 0; e < width; e++) sum += r->query[i * width + e] * r->dout[i * width + e];
		r->share[i] = sum;
	}
	pack_rows(r->dout, queries, width, r->dout_panels);
	load_rows(s, in[0], queries, image, head, 0, queries, s->scale, r->query);
	pack_rows(r->query, queries, width, r->query_panels);
	memset(r->dq, 0, rounded(queries, ROWS) * rounded(width, LANES) * sizeof *r->dq);
}

/* p = exp(score − log Σ), ds = p·(dp − share), zeros where the query does not see the key. */
static void differentiate_row(float *p, float *ds, size_t visible, size_t count, float log_sum, float share)
{
	for (size_t j = 0; j < visible; j++) {
		p[j] = exp_f32(p[j] - log_sum);
		ds[j] = p[j] * (ds[j] - share);
	}
	for (size_t j = visible; j < count; j++) p[j] = ds[j] = 0;
}

static void backward_block(const attention_shape *s, const backward_room *r, size_t query, size_t key, size_t count)
{
	size_t rows = smaller(BLOCK_QUERIES, s->queries - query), width = s->width, padded = rounded(width, LANES);
	scores(s, r, query, rows, key, count, r->p);
	multiply(r->dout + query * width, width, 1, rows, r->value_columns + key * width, width * PANEL, count, width,
	    r->ds, BLOCK_KEYS, false);
	for (size_t i = 0; i < rows; i++)
		differentiate_row(r->p + i * BLOCK_KEYS, r->ds + i * BLOCK_KEYS, visible_in(s, query + i, key, count), count,
		    r->log_sum[query + i], r->share[query + i]);
	multiply(r->p, 1, BLOCK_KEYS, count, r->dout_panels + query * PANEL, s->queries * PANEL, width, rows, r->dv, padded,
	    true);
	multiply(r->ds, 1, BLOCK_KEYS, count, r->query_panels + query * PANEL, s->queries * PANEL, width, rows, r->dk,
	    padded, true);
	multiply(r->ds, BLOCK_KEYS, 1, rows, r->key_panels + key * PANEL, s->keys * PANEL, width, count,
	    r->dq + query * padded, padded, true);
}

static void backward(
    const attention_shape *s, size_t image, size_t head, const void *const *in, void *const *out, float *room)
{
	backward_room r = divide(s, room);
	size_t width = s->width, padded = rounded(width, LANES);
	load_head(s, &r, image, head, in);
	for (size_t i = 0; i < s->queries; i += BLOCK_QUERIES)
		sum_queries(s, &r, i, smaller(BLOCK_QUERIES, s->queries - i));
	for (size_t key = 0; key < s->keys; key += BLOCK_KEYS) {
		size_t count = smaller(BLOCK_KEYS, s->keys - key);
		memset(r.dk, 0, BLOCK_KEYS * padded * sizeof *r.dk);
		memset(r.dv, 0, BLOCK_KEYS * padded * sizeof *r.dv);
		for (size_t i = 0; i < s->queries; i += BLOCK_QUERIES)
			if (seen(s, smaller(i + BLOCK_QUERIES, s->queries) - 1) > key) backward_block(s, &r, i, key, count);
		for (size_t j = 0; j < count; j++) {
			size_t at = place(s, s->keys, image, key + j, head);
			narrow(out[1], at, r.dk + j * padded, width, 1, s->dtype);
			narrow(out[2], at, r.dv + j * padded, width, 1, s->dtype);
		}
	}
	for (size_t i = 0; i < s->queries; i++)
		narrow(out[0], place(s, s->queries, image, i, head), r.dq + i * padded, width, s->scale, s->dtype);
}

const attention_code CODE = { BLOCK_QUERIES, packed_floats, forward_floats, backward_floats, pack, forward, backward };

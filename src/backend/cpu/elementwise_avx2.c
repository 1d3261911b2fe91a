/* elementwise_avx2.c - sums, products, activations and their gradients, and sums to a smaller shape. */
#include "backend/cpu/vector.h"
#include "backend/cpu/vector_math.h"
#include "backend/reference/activation.h"
#include <string.h>

enum { PIECE = 8192 }; /* values that a thread takes at a time */

static bool in_pieces(const call *c, part_fn *part)
{
	return parallel_for(c->threads, shape_count(c->y->shape), PIECE, part, c);
}

/* The blocks of a piece: `at` is where one begins, m how long it is. */
#define FOR_BLOCKS(from, end) \
	for (size_t at = (from), m; at < (end) && (m = (end)-at < BLOCK ? (end)-at : BLOCK); at += m)

/* ── a + b and a·b: b is broadcast over runs. A run is the trailing axes that b has whole, or, where b's last axis is
 * 1, those over which b is one value. ── */

typedef struct runs {
	shape big, small;
	size_t length; /* of a run */
	bool single;   /* b is one value in a run */
} runs;

static runs find_runs(const call *c)
{
	shape big = c->y->shape, small = c->x[1]->shape;
	runs r = { big, { big.n, { 1, 1, 1, 1 } }, 1, false };
	for (int i = 0; i < small.n; i++) r.small.d[big.n - small.n + i] = small.d[i];
	int last = big.n - 1;
	r.single = r.small.d[last] == 1 && big.d[last] != 1;
	for (int i = last; i >= 0 && (r.single ? r.small.d[i] == 1 : r.small.d[i] == big.d[i]); i--) {
		r.length *= (size_t)big.d[i];
		r.big.n = i;
	}
	return r;
}

/* Where in b run number i begins. */
static size_t run_in_b(const runs *r, size_t i)
{
	size_t at = 0, step = r->single ? 1 : r->length;
	for (int a = r->big.n - 1; a >= 0; a--) {
		size_t k = i % (size_t)r->big.d[a];
		i /= (size_t)r->big.d[a];
		if (r->small.d[a] != 1) at += k * step;
		step *= (size_t)r->small.d[a];
	}
	return at;
}

static void add_run(float *y, const float *a, const float *b, size_t n, bool single)
{
	float one = *b;
	if (single)
		for (size_t i = 0; i < n; i++) y[i] = a[i] + one;
	else
		for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void mul_run(float *y, const float *a, const float *b, size_t n, bool single)
{
	float one = *b;
	if (single)
		for (size_t i = 0; i < n; i++) y[i] = a[i] * one;
	else
		for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

typedef void two_fn(float *y, const float *a, const float *b, size_t n, bool single);

/* n results from `first` on; b's values begin at b_first. */
static void two_blocks(const call *c, two_fn *f, size_t first, size_t b_first, size_t n, bool single)
{
	float rooms[3][BLOCK];
	FOR_BLOCKS(first, first + n)
	{
		const float *a = block_in(c, 0, at, m, rooms[0]);
		const float *b = block_in(c, 1, single ? b_first : b_first + at - first, single ? 1 : m, rooms[1]);
		f(block_out(c, at, rooms[2]), a, b, m, single);
		block_done(c, at, m, rooms[2]);
	}
}

static two_fn *two_of(const call *c) { return c->y->op == ADD ? add_run : mul_run; }

static bool piece_of_run(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	bool single = find_runs(c).single;
	two_blocks(c, two_of(c), first, single ? 0 : first, end - first, single);
	return true;
}

static bool whole_runs(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	runs r = find_runs(c);
	for (size_t i = first; i < end; i++) two_blocks(c, two_of(c), i * r.length, run_in_b(&r, i), r.length, r.single);
	return true;
}

static bool run_two(const call *c, error *e)
{
	(void)e;
	size_t length = find_runs(c).length, count = shape_count(c->y->shape) / length;
	if (count == 1) return in_pieces(c, piece_of_run);
	return parallel_for(c->threads, count, grain_for(length, PIECE), whole_runs, c);
}

const kernel vector_add = { ADD, "vector", vector_fits, NULL, NULL, NULL, NULL, run_two, NULL };
const kernel vector_mul = { MUL, "vector", vector_fits, NULL, NULL, NULL, NULL, run_two, NULL };

/* ── one input ── */

static bool affine_piece(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	float factor = c->y->f[0], shift = c->y->f[1], rooms[2][BLOCK];
	FOR_BLOCKS(first, end)
	{
		const float *x = block_in(c, 0, at, m, rooms[0]);
		float *y = block_out(c, at, rooms[1]);
		for (size_t i = 0; i < m; i++) y[i] = factor * x[i] + shift;
		block_done(c, at, m, rooms[1]);
	}
	return true;
}

static bool run_affine(const call *c, error *e)
{
	(void)e;
	return in_pieces(c, affine_piece);
}

const kernel vector_affine = { AFFINE, "vector", vector_fits, NULL, NULL, NULL, NULL, run_affine, NULL };

static void activate_block(activation kind, const float *x, float *y, size_t n)
{
	if (kind == SILU)
		for (size_t i = 0; i < n; i++) y[i] = silu_f32(x[i]);
	else if (kind == GELU)
		for (size_t i = 0; i < n; i++) y[i] = gelu_f32(x[i]);
	else if (kind == GELU_QUICK)
		for (size_t i = 0; i < n; i++) y[i] = gelu_quick_f32(x[i]);
	else if (kind == SQUARE)
		for (size_t i = 0; i < n; i++) y[i] = x[i] * x[i];
	else
		for (size_t i = 0; i < n; i++) y[i] = (float)activation_value(kind, (real)x[i]);
}

static void slope_block(activation kind, const float *x, const float *dy, float *dx, size_t n)
{
	if (kind == SILU)
		for (size_t i = 0; i < n; i++) dx[i] = dy[i] * silu_slope_f32(x[i]);
	else if (kind == GELU)
		for (size_t i = 0; i < n; i++) dx[i] = dy[i] * gelu_slope_f32(x[i]);
	else if (kind == GELU_QUICK)
		for (size_t i = 0; i < n; i++) dx[i] = dy[i] * gelu_quick_slope_f32(x[i]);
	else if (kind == SQUARE)
		for (size_t i = 0; i < n; i++) dx[i] = dy[i] * 2 * x[i];
	else
		for (size_t i = 0; i < n; i++) dx[i] = dy[i] * (float)activation_slope(kind, (real)x[i]);
}

static bool activation_piece(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	bool gradient = c->y->op == ACTIVATION_GRAD;
	activation kind = (activation)c->y->a[0];
	float rooms[3][BLOCK];
	FOR_BLOCKS(first, end)
	{
		const float *x = block_in(c, 0, at, m, rooms[0]);
		float *y = block_out(c, at, rooms[2]);
		if (gradient)
			slope_block(kind, x, block_in(c, 1, at, m, rooms[1]), y, m);
		else
			activate_block(kind, x, y, m);
		block_done(c, at, m, rooms[2]);
	}
	return true;
}

static bool run_activation(const call *c, error *e)
{
	(void)e;
	return in_pieces(c, activation_piece);
}

const kernel vector_activation = { ACTIVATION, "vector", vector_fits, NULL, NULL, NULL, NULL, run_activation, NULL };
const kernel vector_activation_grad = { ACTIVATION_GRAD, "vector", vector_fits, NULL, NULL, NULL, NULL, run_activation,
	NULL };

#define GEGLU_PART BLOCK
#include "backend/cpu/geglu_body.h"

static bool geglu_grad_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->x[1]);
	float rooms[5][BLOCK];
	for (size_t r = first; r < end; r++) {
		FOR_BLOCKS(r * width, (r + 1) * width)
		{
			size_t value = at + r * width;
			const float *x = block_in(c, 0, value, m, rooms[0]), *gate = block_in(c, 0, value + width, m, rooms[1]);
			const float *dy = block_in(c, 1, at, m, rooms[2]);
			float *restrict dx = block_out(c, value, rooms[3]), *restrict dgate = block_out(c, value + width, rooms[4]);
			for (size_t i = 0; i < m; i++) {
				dx[i] = dy[i] * gelu_f32(gate[i]);
				dgate[i] = dy[i] * x[i] * gelu_slope_f32(gate[i]);
			}
			block_done(c, value, m, rooms[3]);
			block_done(c, value + width, m, rooms[4]);
		}
	}
	return true;
}

static bool run_geglu_grad(const call *c, error *e)
{
	(void)e;
	size_t width = last_axis(c->x[1]);
	return share(c, count_of(c->x[1]) / width, width, geglu_grad_rows, c);
}

const kernel vector_geglu = { GEGLU, "vector", vector_fits, NULL, NULL, NULL, NULL, run_geglu, NULL };
const kernel vector_geglu_grad = { GEGLU_GRAD, "vector", vector_fits, NULL, NULL, NULL, NULL, run_geglu_grad, NULL };

/* ── sums: [outer, rows, width] → [outer, width]; parts of fixed length are added in their order ── */

enum { PART_ROWS = 256 };

typedef struct reduction {
	size_t outer, rows, width;
	size_t lanes; /* in which rows are summed */
	size_t parts;
} reduction;

/* False where the axes that are summed do not lie together before those that stay. */
static bool find_reduction(const call *c, reduction *r)
{
	shape big = c->x[0]->shape, small = { big.n, { 1, 1, 1, 1 } };
	for (int i = 0; i < c->y->shape.n; i++) small.d[big.n - c->y->shape.n + i] = c->y->shape.d[i];
	int i = 0;
	*r = (reduction){ 1, 1, 1, 1, 0 };
	for (; i < big.n && small.d[i] == big.d[i] && big.d[i] != 1; i++) r->outer *= (size_t)big.d[i];
	for (; i < big.n && small.d[i] == 1; i++) r->rows *= (size_t)big.d[i];
	for (; i < big.n && small.d[i] == big.d[i]; i++) r->width *= (size_t)big.d[i];
	r->lanes = r->width;
	if (r->width == 1 && r->rows % 64 == 0) { /* a sum of everything is read as rows of 64 */
		r->lanes = 64;
		r->rows /= 64;
	}
	r->parts = (r->rows + PART_ROWS - 1) / PART_ROWS;
	return i == big.n;
}

static bool sum_fits(const call *c)
{
	reduction r;
	return vector_fits(c) && find_reduction(c, &r) && r.lanes > 1 && r.lanes <= BLOCK;
}

static size_t sum_scratch_bytes(const call *c)
{
	reduction r;
	find_reduction(c, &r);
	return r.outer * r.parts * r.lanes * sizeof(float);
}

static void sum_rows(const float *restrict x, size_t rows, size_t width, float *restrict sums)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < width; i++) sums[i] += x[r * width + i];
}

static bool sum_parts(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	reduction r;
	find_reduction(c, &r);
	size_t width = r.lanes, rows = r.rows, parts = r.parts, at_once = BLOCK / width;
	float *sums = c->scratch, room[BLOCK];
	for (size_t p = first; p < end; p++) {
		size_t row = p % parts * PART_ROWS, n = rows - row < PART_ROWS ? rows - row : PART_ROWS;
		size_t at = ((p / parts) * rows + row) * width;
		memset(sums + p * width, 0, width * sizeof *sums);
		for (size_t k = 0, m; k < n; k += m) {
			m = n - k < at_once ? n - k : at_once;
			sum_rows(block_in(c, 0, at + k * width, m * width, room), m, width, sums + p * width);
		}
	}
	return true;
}

static bool run_sum_to(const call *c, error *e)
{
	(void)e;
	reduction r;
	find_reduction(c, &r);
	size_t width = r.lanes, parts = r.parts;
	const float *sums = c->scratch;
	if (!share(c, r.outer * parts, PART_ROWS * width, sum_parts, c)) return false;
	for (size_t o = 0; o < r.outer; o++) {
		float room[BLOCK], *y = block_out(c, o * r.width, room);
		for (size_t i = 0; i < r.width; i++) {
			double sum = 0;
			for (size_t p = 0; p < parts; p++)
				for (size_t k = i; k < width; k += r.width) sum += (double)sums[(o * parts + p) * width + k];
			y[i] = (float)sum;
		}
		block_done(c, o * r.width, r.width, room);
	}
	return true;
}

const kernel vector_sum_to = { SUM_TO, "vector", sum_fits, NULL, sum_scratch_bytes, NULL, NULL, run_sum_to, NULL };

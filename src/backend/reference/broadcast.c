/* broadcast.c - operations between a shape and a smaller one that repeats along some of its axes. */
#include "backend/reference/plain.h"
#include <string.h>

/* The larger shape with ones in front up to four axes, and how far an element of the smaller lies from the next along
 * each: 0 where it repeats. */
typedef struct broadcast {
	size_t d[MAX_DIMS], step[MAX_DIMS];
} broadcast;

static broadcast align(shape large, shape small)
{
	broadcast b;
	size_t step = 1;
	for (int i = MAX_DIMS - 1; i >= 0; i--) {
		int l = i - (MAX_DIMS - large.n), s = i - (MAX_DIMS - small.n);
		size_t n = s >= 0 ? (size_t)small.d[s] : 1;
		b.d[i] = l >= 0 ? (size_t)large.d[l] : 1;
		b.step[i] = n == 1 ? 0 : step;
		step *= n;
	}
	return b;
}

/* A row is the last axis: where row r begins in the smaller shape. */
static size_t row_start(const broadcast *b, size_t r)
{
	return r / (b->d[1] * b->d[2]) * b->step[0] + r / b->d[2] % b->d[1] * b->step[1] + r % b->d[2] * b->step[2];
}

/* The rows of the result. */
static bool share_rows(const call *c, part_fn *part)
{
	size_t width = last_axis(c->y);
	return share(c, count_of(c->y) / width, width, part, c);
}

static bool add_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	broadcast b = align(c->y->shape, c->x[1]->shape);
	size_t n = b.d[3], step = b.step[3];
	for (size_t r = first; r < end; r++) {
		const real *x = (const real *)c->in[0] + r * n, *z = (const real *)c->in[1] + row_start(&b, r);
		real *y = (real *)c->out + r * n;
		for (size_t i = 0; i < n; i++) y[i] = x[i] + z[i * step];
	}
	return true;
}

bool plain_add(const call *c) { return share_rows(c, add_part); }

static bool mul_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	broadcast b = align(c->y->shape, c->x[1]->shape);
	size_t n = b.d[3], step = b.step[3];
	for (size_t r = first; r < end; r++) {
		const real *x = (const real *)c->in[0] + r * n, *z = (const real *)c->in[1] + row_start(&b, r);
		real *y = (real *)c->out + r * n;
		for (size_t i = 0; i < n; i++) y[i] = x[i] * z[i * step];
	}
	return true;
}

bool plain_mul(const call *c) { return share_rows(c, mul_part); }

static bool spread_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	broadcast b = align(c->y->shape, c->x[0]->shape);
	size_t n = b.d[3], step = b.step[3];
	for (size_t r = first; r < end; r++) {
		const real *x = (const real *)c->in[0] + row_start(&b, r);
		real *y = (real *)c->out + r * n;
		for (size_t i = 0; i < n; i++) y[i] = x[i * step];
	}
	return true;
}

bool plain_spread(const call *c) { return share_rows(c, spread_part); }

enum { BLOCK = 64 }; /* results along the last axis that are summed together, so that rows are read in order */

/* Results first … first+n−1 of the last axis, in the row of the result that is at `kept` along its other axes. */
static void sum_block(const real *x, const broadcast *b, const size_t *kept, size_t first, size_t n, real *y)
{
	double sum[BLOCK] = { 0 };
	size_t from[3], to[3];
	for (int i = 0; i < 3; i++) {
		from[i] = b->step[i] ? kept[i] : 0;
		to[i] = b->step[i] ? kept[i] + 1 : b->d[i];
	}
	for (size_t i0 = from[0]; i0 < to[0]; i0++)
		for (size_t i1 = from[1]; i1 < to[1]; i1++)
			for (size_t i2 = from[2]; i2 < to[2]; i2++) {
				const real *row = x + ((i0 * b->d[1] + i1) * b->d[2] + i2) * b->d[3];
				if (b->step[3])
					for (size_t i = 0; i < n; i++) sum[i] += (double)row[first + i];
				else
					for (size_t i = 0; i < b->d[3]; i++) sum[0] += (double)row[i];
			}
	for (size_t i = 0; i < n; i++) y[first + i] = (real)sum[i];
}

static bool sum_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	broadcast b = align(c->x[0]->shape, c->y->shape);
	size_t k[MAX_DIMS];
	for (int i = 0; i < MAX_DIMS; i++) k[i] = b.step[i] ? b.d[i] : 1;
	size_t blocks = (k[3] + BLOCK - 1) / BLOCK;
	for (size_t task = first; task < end; task++) {
		size_t r = task / blocks, at = task % blocks * BLOCK;
		size_t kept[3] = { r / (k[1] * k[2]), r / k[2] % k[1], r % k[2] };
		size_t n = k[3] - at < BLOCK ? k[3] - at : BLOCK;
		sum_block(c->in[0], &b, kept, at, n, (real *)c->out + r * k[3]);
	}
	return true;
}

bool plain_sum_to(const call *c)
{
	broadcast b = align(c->x[0]->shape, c->y->shape);
	size_t width = b.step[3] ? b.d[3] : 1, tasks = count_of(c->y) / width * ((width + BLOCK - 1) / BLOCK);
	return share(c, tasks, count_of(c->x[0]) / tasks, sum_part, c);
}

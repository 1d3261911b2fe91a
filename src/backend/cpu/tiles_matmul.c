/* tiles_matmul.c - the matrix product on bf16 in tiles of AMX. Each sum runs over all of k in one order, so neither
 * the number of threads nor that of the rows changes a bit. */
#include "backend/cpu/rows.h"
#include "backend/cpu/tiles.h"
#include <stdlib.h>
#include <string.h>

/* A task is a range of rows and one of panels. It goes through k in long chunks, for which the panels stay in the
 * second cache, and in these row after row in short ones, for which 32 rows stay in the first. */
typedef struct product {
	size_t m, k, n, steps, panels;
	size_t rows, range;             /* of a task: rows, and panels of columns */
	size_t long_chunk, short_chunk; /* in steps */
	size_t *offset;                 /* [long_chunk] */
} product;

/* Rows enough for a packed weight to pay. It must not depend on how many pictures there are: so rows are counted in
 * each item, the first of three axes or more, and a matrix of few rows is one of items, as embedded timesteps are. */
static bool has_rows(const node *y)
{
	enum { ITEMS = 64, ROWS = 16 };
	size_t rows = count_of(y) / last_axis(y);
	return y->shape.n < 3 ? rows > ITEMS : rows / (size_t)y->shape.d[0] >= ROWS;
}

static bool fits(const call *c)
{
	const node *y = c->y;
	return !y->a[0] && c->x[0]->dtype == BF16 && c->x[1]->dtype == BF16 && (y->dtype == BF16 || y->dtype == F32) &&
	       (!c->x[3] || c->x[3]->dtype == y->dtype) && tiles_activate((activation)y->a[2]) && has_rows(y);
}

static void release(void *state)
{
	product *p = state;
	free(p->offset);
	free(p);
}

static bool prepare(call *c, error *e)
{
	enum { CACHED = 512 << 10, LONG = 40, SHORT = 10, ROWS = 512, FEWER_ROWS = 256, FEWER_PANELS = 8 };
	product *p = calloc(1, sizeof *p);
	if (!p) return fail(e, NO_MEMORY, "out of memory");
	p->n = last_axis(c->y);
	p->m = count_of(c->y) / p->n;
	p->k = count_of(c->x[0]) / p->m;
	p->steps = parts(p->k, TILE_STEP);
	p->panels = parts(p->n, TILE_SIDE);
	p->long_chunk = parts(p->steps, parts(p->steps, LONG));
	p->short_chunk = parts(p->long_chunk, parts(p->long_chunk, SHORT));
	p->range = CACHED / (p->long_chunk * RIGHT_STEP_BYTES);
	if (p->short_chunk < p->steps) p->range = smaller(p->range, FEWER_PANELS);
	p->range = smaller(p->range, p->panels);
	p->rows = p->long_chunk < p->steps ? FEWER_ROWS : ROWS;
	p->offset = malloc(p->long_chunk * sizeof *p->offset);
	if (!p->offset) {
		free(p);
		return fail(e, NO_MEMORY, "out of memory");
	}
	for (size_t k = 0; k < p->long_chunk; k++) p->offset[k] = k * TILE_STEP;
	c->state = p;
	return true;
}

static size_t packed_bytes(const call *c)
{
	const product *p = c->state;
	return p->panels * p->steps * RIGHT_STEP_BYTES;
}

/* A thread's room: 32 rows of a long chunk, and the sums that another chunk is added to. */
static size_t row_values(const product *p) { return TILE_SIDE * p->long_chunk * TILE_STEP; }

static size_t thread_bytes(const product *p)
{
	size_t rows = p->long_chunk < p->steps ? p->rows : TILE_SIDE;
	return aligned(row_values(p) * sizeof(uint16_t)) + rows * p->range * TILE_SIDE * sizeof(float);
}

static size_t scratch_bytes(const call *c)
{
	const product *p = c->state;
	return (size_t)c->threads * thread_bytes(p);
}

static bool pack_panels(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	const product *p = c->state;
	(void)worker;
	size_t k_step = c->y->a[1] ? 1 : p->n, column_step = c->y->a[1] ? p->k : 1;
	for (size_t j = first; j < end; j++) {
		const uint16_t *from = (const uint16_t *)c->in[1] + j * TILE_SIDE * column_step;
		uint16_t *to = (uint16_t *)c->packed + j * p->steps * RIGHT_STEP;
		for (size_t k = 0; k < p->steps; k++)
			tiles_pack(from + k * TILE_STEP * k_step, smaller(TILE_STEP, p->k - k * TILE_STEP), k_step,
			    smaller(TILE_SIDE, p->n - j * TILE_SIDE), column_step, to + k * RIGHT_STEP);
	}
	return true;
}

static bool pack(const call *c, error *e)
{
	(void)e;
	const product *p = c->state;
	return share(c, p->panels, p->k * TILE_SIDE, pack_panels, c);
}

/* Steps `first` … of up to 32 rows, as they are read: where they lie, or, where a row is not there or a step not whole,
 * copied. *step: from a row to the next. */
static const uint16_t *rows_from(
    const call *c, const product *p, size_t row, size_t first, uint16_t *room, size_t *step)
{
	const uint16_t *from = (const uint16_t *)c->in[0] + row * p->k + first * TILE_STEP;
	size_t count = smaller(TILE_SIDE, p->m - row),
	       values = smaller(p->long_chunk * TILE_STEP, p->k - first * TILE_STEP);
	*step = p->k;
	if (count == TILE_SIDE && values % TILE_STEP == 0) return from;
	*step = p->long_chunk * TILE_STEP;
	memset(room + count * *step, 0, (TILE_SIDE - count) * *step * sizeof *room);
	for (size_t i = 0; i < count; i++) tiles_copy(from + i * p->k, 1, values, *step, room + i * *step);
	return room;
}

/* Steps first … end−1 of 32 rows from `row` on, for `panels` panels from `panel` on; the last are followed by writing.
 */
static void multiply_rows(
    const call *c, size_t row, size_t first, size_t end, size_t panel, size_t panels, uint16_t *room, float *sums)
{
	const product *p = c->state;
	tiles_result r = { c->in[2], c->in[3], c->out, c->y->dtype, (activation)c->y->a[2] };
	ptrdiff_t place[TILE_SIDE];
	size_t step;
	const uint16_t *left = rows_from(c, p, row, first, room, &step);
	for (size_t i = 0; i < TILE_SIDE; i++) place[i] = row + i < p->m ? (ptrdiff_t)((row + i) * p->n) : NOWHERE;
	for (size_t k = first; k < end; k += p->short_chunk)
		for (size_t j = panel; j < panel + panels; j++) {
			const uint16_t *right = (const uint16_t *)c->packed + (j * p->steps + k) * RIGHT_STEP;
			float *block = sums + (j - panel) * TILE_SIDE * TILE_SIDE;
			if (smaller(k + p->short_chunk, end) == p->steps) tiles_expect(&r, place, j * TILE_SIDE);
			tiles_multiply(
			    left + (k - first) * TILE_STEP, step, p->offset, smaller(p->short_chunk, end - k), right, k > 0, block);
			if (smaller(k + p->short_chunk, end) == p->steps)
				tiles_write(&r, block, place, j * TILE_SIDE, smaller(TILE_SIDE, p->n - j * TILE_SIDE));
		}
}

static bool multiply_tasks(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	const product *p = c->state;
	uint16_t *room = (uint16_t *)(void *)((char *)c->scratch + (size_t)worker * thread_bytes(p));
	float *sums = (float *)(void *)((char *)room + aligned(row_values(p) * sizeof *room));
	size_t blocks = parts(p->m, p->rows), kept = p->long_chunk < p->steps ? p->range * TILE_SIDE : 0; /* of a row */
	tiles_begin();
	for (size_t task = first; task < end; task++) {
		size_t row = task % blocks * p->rows, panel = task / blocks * p->range;
		for (size_t k = 0; k < p->steps; k += p->long_chunk)
			for (size_t i = row; i < smaller(row + p->rows, p->m); i += TILE_SIDE)
				multiply_rows(c, i, k, smaller(k + p->long_chunk, p->steps), panel,
				    smaller(p->range, p->panels - panel), room, sums + (i - row) * kept);
	}
	tiles_end();
	return true;
}

static bool run(const call *c, error *e)
{
	(void)e;
	const product *p = c->state;
	return parallel_for(c->threads, parts(p->m, p->rows) * parts(p->panels, p->range), 1, multiply_tasks, c);
}

const kernel tiles_matmul = { MATMUL, "tiles", fits, prepare, scratch_bytes, packed_bytes, pack, run, release };

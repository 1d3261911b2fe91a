/* move.c - the rows of kernels/move.cu: what moves values as they are is one walk over four axes with a step of its own
 * in the source and in the result, in units as large as all steps and addresses allow; and sums over axes. */
#include "backend/cuda/rows.h"

/* A walk in elements; contiguous along the last axis where both last steps are 1. */
typedef struct walk {
	size_t d[4], to[4], from[4], to_first, from_first;
} walk;

static size_t common_divisor(size_t a, size_t b) { return b ? common_divisor(b, a % b) : a; }

/* Bytes moved at once: the largest power of two that divides every length, step and address. */
static size_t unit_of(const walk *w, const void *to, const void *from, size_t size)
{
	if (w->to[3] != 1 || w->from[3] != 1) return size;
	size_t unit = 16;
	unit = common_divisor(unit, w->d[3] * size);
	for (int i = 0; i < 3; i++) {
		if (w->d[i] == 1) continue;
		unit = common_divisor(unit, w->to[i] * size);
		unit = common_divisor(unit, w->from[i] * size);
	}
	unit = common_divisor(unit, (size_t)((uintptr_t)to & 15));
	unit = common_divisor(unit, (size_t)((uintptr_t)from & 15));
	return unit;
}

static bool run_walk(const call *c, walk w, const void *source, size_t size, error *e)
{
	char *to = (char *)c->out + w.to_first * size;
	const char *from = (const char *)source + w.from_first * size;
	size_t unit = unit_of(&w, to, from, size);
	move_params p = { .to = to, .from = from, .n = 1 };
	if (unit > size) {
		size_t share = unit / size;
		w.d[3] /= share;
		for (int i = 0; i < 3; i++) w.to[i] /= share, w.from[i] /= share;
	}
	for (int i = 0; i < 4; i++) {
		p.d[i] = (uint32_t)w.d[i];
		p.to_step[i] = w.to[i];
		p.from_step[i] = w.from[i];
		p.n *= w.d[i];
	}
	const char *name = unit == 16  ? "move_16"
	                   : unit == 8 ? "move_8"
	                   : unit == 4 ? "move_4"
	                   : unit == 2 ? "move_2"
	                               : "move_1";
	return RUN_OVER(c, name, NO_DTYPE, p.n, p, e);
}

static bool fits_walk(const call *c)
{
	size_t size = dtype_size(c->y->dtype);
	return c->x[0]->dtype == c->y->dtype && (size == 1 || size == 2 || size == 4 || size == 8) &&
	       count_of(c->y) < UINT32_MAX && count_of(c->x[0]) < UINT32_MAX;
}

/* The shape with ones in front up to four axes, and the steps of its elements. */
static void steps_of(shape s, size_t d[4], size_t step[4])
{
	size_t n = 1;
	for (int i = 3; i >= 0; i--) {
		int k = i - (4 - s.n);
		d[i] = k >= 0 ? (size_t)s.d[k] : 1;
		step[i] = n;
		n *= d[i];
	}
}

static bool run_permute(const call *c, error *e)
{
	walk w = { 0 };
	size_t d[4], step[4];
	steps_of(c->x[0]->shape, d, step);
	steps_of(c->y->shape, w.d, w.to);
	int offset = 4 - c->y->shape.n;
	for (int i = 0; i < 4; i++) w.from[i] = i < offset ? 0 : step[offset + c->y->a[i - offset]];
	return run_walk(c, w, c->in[0], dtype_size(c->y->dtype), e);
}

static bool run_slice(const call *c, error *e)
{
	walk w = { 0 };
	size_t d[4];
	steps_of(c->x[0]->shape, d, w.from);
	steps_of(c->y->shape, w.d, w.to);
	w.from_first = (size_t)c->y->a[1] * w.from[4 - c->y->shape.n + c->y->a[0]];
	return run_walk(c, w, c->in[0], dtype_size(c->y->dtype), e);
}

/* Writes one input into the result, from place `first` of an axis on. */
static bool place_input(const call *c, int input, int axis, size_t first, error *e)
{
	walk w = { 0 };
	size_t d[4];
	steps_of(c->x[input]->shape, w.d, w.from);
	steps_of(c->y->shape, d, w.to);
	w.to_first = first * w.to[4 - c->y->shape.n + axis];
	return run_walk(c, w, c->in[input], dtype_size(c->y->dtype), e);
}

static bool run_pad(const call *c, error *e)
{
	gpu *g = c->device;
	return g->clear(g, c->out, count_of(c->y) * dtype_size(c->y->dtype), e) &&
	       place_input(c, 0, c->y->a[0], (size_t)c->y->a[1], e);
}

static bool run_concat(const call *c, error *e)
{
	int axis = c->y->a[0];
	return place_input(c, 0, axis, 0, e) && place_input(c, 1, axis, (size_t)c->x[0]->shape.d[axis], e);
}

static bool run_spread(const call *c, error *e)
{
	walk w = { 0 };
	size_t d[4];
	steps_of(c->x[0]->shape, d, w.from);
	steps_of(c->y->shape, w.d, w.to);
	for (int i = 0; i < 4; i++)
		if (d[i] == 1) w.from[i] = 0;
	return run_walk(c, w, c->in[0], dtype_size(c->y->dtype), e);
}

static bool run_view(const call *c, error *e)
{
	walk w = { .d = { 1, 1, 1, count_of(c->y) }, .to = { 0, 0, 0, 1 }, .from = { 0, 0, 0, 1 } };
	w.from_first = (size_t)c->y->a[0];
	return run_walk(c, w, c->in[0], dtype_size(c->y->dtype), e);
}

/* ── SUM_TO ── */

enum { SUM_CHUNK = 1024, SUM_CHUNKS = 64, SUM_ROOM = 256 * sizeof(float) };

static bool fits_sum(const call *c)
{
	return is_computed(c->x[0]->dtype) && c->x[0]->dtype == c->y->dtype && count_of(c->x[0]) < UINT32_MAX;
}

/* Axes that the result keeps are walked for each output, the others summed. */
static sum_params sum_of(const call *c)
{
	sum_params p = { .y = c->out, .x = c->in[0], .part = c->scratch, .outputs = 1, .sums = 1 };
	size_t d[4], step[4], kept[4], unused[4];
	steps_of(c->x[0]->shape, d, step);
	steps_of(c->y->shape, kept, unused);
	for (int i = 0; i < 4; i++) {
		bool keeps = kept[i] == d[i];
		p.out_d[i] = keeps ? (uint32_t)d[i] : 1;
		p.sum_d[i] = keeps ? 1 : (uint32_t)d[i];
		p.out_step[i] = p.sum_step[i] = step[i];
		p.outputs *= p.out_d[i];
		p.sums *= p.sum_d[i];
	}
	p.columns = p.out_d[3] > 1;
	/* One block for each output, or for 32 columns, is enough where there are many; otherwise sums are cut. */
	size_t blocks = p.columns ? (p.outputs + 31) / 32 : p.outputs;
	size_t chunks = blocks >= SUM_CHUNKS * 4 ? 1 : (p.sums + SUM_CHUNK - 1) / SUM_CHUNK;
	if (chunks > SUM_CHUNKS) chunks = SUM_CHUNKS;
	p.chunk = (uint32_t)((p.sums + chunks - 1) / chunks);
	p.chunks = (p.sums + p.chunk - 1) / p.chunk;
	return p;
}

static size_t sum_scratch(const call *c)
{
	sum_params p = sum_of(c);
	return p.chunks > 1 ? (size_t)p.chunks * p.outputs * sizeof(float) : 0;
}

static bool run_sum(const call *c, error *e)
{
	sum_params p = sum_of(c);
	launch how = { p.columns ? (p.outputs + 31) / 32 : p.outputs, p.chunks, MAX_BLOCK, SUM_ROOM };
	return RUN_KERNEL(c, "sum", c->y->dtype, how, p, e) &&
	       (p.chunks == 1 || RUN_OVER(c, "sum_parts", c->y->dtype, p.outputs, p, e));
}

const kernel cuda_move_rows[] = {
	{ .op = PERMUTE, .name = "move", .fits = fits_walk, .run = run_permute },
	{ .op = SLICE, .name = "move", .fits = fits_walk, .run = run_slice },
	{ .op = PAD, .name = "move", .fits = fits_walk, .run = run_pad },
	{ .op = CONCAT, .name = "move", .fits = fits_walk, .run = run_concat },
	{ .op = SPREAD, .name = "move", .fits = fits_walk, .run = run_spread },
	{ .op = VIEW, .name = "move", .fits = fits_walk, .run = run_view },
	{ .op = SUM_TO, .name = "sum", .fits = fits_sum, .scratch_bytes = sum_scratch, .run = run_sum },
	{ 0 },
};

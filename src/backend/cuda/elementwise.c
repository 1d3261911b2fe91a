/* elementwise.c - the rows of kernels/elementwise.cu. Where everything lies at multiples of 16 bytes, 16 bytes are
 * moved at once. */
#include "backend/cuda/rows.h"

static bool all_computed(const call *c)
{
	bool fine = is_computed(c->y->dtype);
	for (int i = 0; i < c->y->inputs; i++) fine = fine && (!c->x[i] || c->x[i]->dtype == c->y->dtype);
	return fine;
}

static bool all_aligned(const call *c)
{
	bool fine = aligned_16(c->out);
	for (int i = 0; i < c->y->inputs; i++) fine = fine && (!c->x[i] || aligned_16(c->in[i]));
	return fine;
}

/* ── ADD and MUL ── */

static bool fits_binary(const call *c) { return all_computed(c) && count_of(c->y) < UINT32_MAX; }

/* How far an element of the smaller shape lies from the next along each axis of the larger: 0 where it repeats. */
static void align_shapes(binary_params *p, shape large, shape small)
{
	size_t step = 1;
	for (int i = MAX_DIMS - 1; i >= 0; i--) {
		int l = i - (MAX_DIMS - large.n), s = i - (MAX_DIMS - small.n);
		size_t n = s >= 0 ? (size_t)small.d[s] : 1;
		p->d[i] = l >= 0 ? (uint32_t)large.d[l] : 1;
		p->step[i] = n == 1 ? 0 : (uint32_t)step;
		step *= n;
	}
}

static bool run_binary(const call *c, error *e)
{
	binary_params p = { .y = c->out, .a = c->in[0], .b = c->in[1], .n = count_of(c->y), .multiply = c->y->op == MUL };
	uint32_t width = in_pack(c->y->dtype);
	align_shapes(&p, c->y->shape, c->x[1]->shape);
	p.same = shape_same(c->y->shape, c->x[1]->shape);
	bool whole = p.same ? p.n % width == 0 : p.d[3] % width == 0;
	bool ordered = p.same || !p.step[3] || aligned_16(c->in[1]);
	p.packs = whole && ordered && aligned_16(c->out) && aligned_16(c->in[0]) && (!p.same || aligned_16(c->in[1]));
	if (p.packs) {
		p.n /= width;
		p.d[3] /= width; /* where the last axis is stepped over, the other steps are multiples of its length */
		for (int i = 0; p.step[3] && i < 3; i++) p.step[i] /= width;
	}
	return RUN_OVER(c, "binary", c->y->dtype, p.n, p, e);
}

/* ── one input, or it and dy ── */

static bool run_unary(const call *c, error *e)
{
	const node *y = c->y;
	unary_params p = { .y = c->out, .x = c->in[0], .dy = y->inputs > 1 ? c->in[1] : NULL, .n = count_of(y) };
	p.activation = y->a[0];
	p.factor = y->f[0];
	p.shift = y->f[1];
	p.packs = all_aligned(c) && p.n % in_pack(y->dtype) == 0;
	if (p.packs) p.n /= in_pack(y->dtype);
	const char *name = y->op == AFFINE ? "affine" : y->op == ACTIVATION ? "activation" : "activation_grad";
	return RUN_OVER(c, name, y->dtype, p.n, p, e);
}

static bool run_geglu(const call *c, error *e)
{
	bool forward = c->y->op == GEGLU;
	const node *narrow = forward ? c->y : c->x[1];
	geglu_params p = { c->out, c->in[0], forward ? NULL : c->in[1], count_of(narrow), last_axis(narrow), 0 };
	uint32_t width = in_pack(c->y->dtype);
	p.packs = all_aligned(c) && p.width % width == 0;
	if (p.packs) p.n /= width, p.width /= width;
	return RUN_OVER(c, forward ? "geglu" : "geglu_grad", c->y->dtype, p.n, p, e);
}

/* ── CAST and FILL ── */

static bool fits_cast(const call *c)
{
	return is_computed(c->y->dtype) && (is_computed(c->x[0]->dtype) || c->x[0]->dtype == F16);
}

static bool run_cast(const call *c, error *e)
{
	cast_params p = { c->out, c->in[0], count_of(c->y), element_of(c->x[0]->dtype), element_of(c->y->dtype) };
	return RUN_OVER(c, "cast", NO_DTYPE, p.n, p, e);
}

static bool fits_fill(const call *c)
{
	size_t bytes = dtype_size(c->y->dtype);
	return bytes == 4 || bytes == 2;
}

static bool run_fill(const call *c, error *e)
{
	fill_params p = { c->out, count_of(c->y), 0 };
	double value = (double)c->y->f[0];
	uint16_t half;
	bool wide = dtype_size(c->y->dtype) == 4;
	convert(wide ? (void *)&p.value : &half, c->y->dtype, &value, F64, 1);
	if (!wide) p.value = half;
	return RUN_OVER(c, wide ? "fill_4" : "fill_2", NO_DTYPE, p.n, p, e);
}

const kernel cuda_elementwise_rows[] = {
	{ .op = ADD, .name = "binary", .fits = fits_binary, .run = run_binary },
	{ .op = MUL, .name = "binary", .fits = fits_binary, .run = run_binary },
	{ .op = AFFINE, .name = "affine", .fits = all_computed, .run = run_unary },
	{ .op = ACTIVATION, .name = "activation", .fits = all_computed, .run = run_unary },
	{ .op = ACTIVATION_GRAD, .name = "activation", .fits = all_computed, .run = run_unary },
	{ .op = GEGLU, .name = "geglu", .fits = all_computed, .run = run_geglu },
	{ .op = GEGLU_GRAD, .name = "geglu", .fits = all_computed, .run = run_geglu },
	{ .op = CAST, .name = "cast", .fits = fits_cast, .run = run_cast },
	{ .op = FILL, .name = "fill", .fits = fits_fill, .run = run_fill },
	{ 0 },
};

/* The kernels' activations have the numbers of graph.h. */
_Static_assert(SILU == 1 && GELU == 2 && GELU_TANH == 3 && GELU_QUICK == 4 && RELU == 5 && LEAKY_RELU == 6 &&
                   TANH == 7 && SIGMOID == 8 && EXP == 9 && LOG == 10 && SQRT == 11 && RECIPROCAL == 12 &&
                   SQUARE == 13 && ABS == 14 && CLAMP_LOGVAR == 15 && ACTIVATIONS == 16,
    "kernels/activation.cuh has other numbers");

/* norm.c - the rows of kernels/norm.cu. Scratch holds the sums of the chunks, then the statistics. */
#include "backend/cuda/rows.h"

static bool is_forward(opcode op) { return op == GROUP_NORM || op == LAYER_NORM || op == RMS_NORM; }

static bool is_full(const node *n) { return !n || n->dtype == F32; }

/* x, and dy where there is one, alike; gamma, beta and sums in full precision */
static bool fits_norm(const call *c)
{
	bool forward = is_forward(c->y->op), fine = is_computed(c->x[0]->dtype);
	bool full = c->y->op == GROUP_NORM_SUMS || c->y->op == LAYER_NORM_DW || c->y->op == RMS_NORM_DW;
	fine = fine && count_of(c->x[0]) < UINT32_MAX &&
	       (c->y->dtype == (full ? F32 : c->x[0]->dtype) || (forward && c->y->dtype == BF16));
	if (!forward) fine = fine && c->x[1]->dtype == c->x[0]->dtype;
	for (int i = forward ? 1 : 2; i < c->y->inputs; i++) fine = fine && is_full(c->x[i]);
	return fine;
}

enum { ROOM = 32 * sizeof(float), ROWS = MAX_BLOCK / 32 };

/* Shared memory of over_pixels(): two sums for every thread and every element of a pack. */
static size_t room_of(const norm_params *p, dtype d)
{
	return MAX_BLOCK * 2 * sizeof(float) * (p->packs ? in_pack(d) : 1);
}

/* Enough chunks that all items together keep a large GPU busy, none too short; by the shapes alone. */
static void cut_pixels(norm_params *p)
{
	enum { BLOCKS = 512, SHORTEST = 32 };
	uint32_t chunks = p->items < BLOCKS ? BLOCKS / p->items : 1;
	uint32_t chunk = (p->pixels + chunks - 1) / chunks;
	p->chunk = chunk < SHORTEST ? SHORTEST : chunk;
	p->chunks = (p->pixels + p->chunk - 1) / p->chunk;
}

static norm_params norm_of(const call *c)
{
	const node *y = c->y, *x = c->x[0];
	bool grouped = y->op == GROUP_NORM || y->op == GROUP_NORM_DX || y->op == GROUP_NORM_SUMS;
	int affine = is_forward(y->op) ? 1 : 2; /* where gamma and beta are among the inputs */
	norm_params p = { .y = c->out, .x = c->in[0], .channels = last_axis(x), .groups = 1, .pixels = 1 };
	p.items = (uint32_t)(count_of(x) / p.channels);
	if (grouped) {
		p.groups = (uint32_t)y->a[0];
		p.activation = y->a[1];
		p.pixels = p.items / (uint32_t)x->shape.d[0];
		p.items = (uint32_t)x->shape.d[0];
	}
	p.epsilon = y->f[0];
	p.uncentred = y->op == RMS_NORM || y->op == RMS_NORM_DX || y->op == RMS_NORM_DW;
	p.dy = affine == 2 ? c->in[1] : NULL;
	p.gamma = c->x[affine] ? c->in[affine] : NULL;
	p.beta = c->x[affine + 1] ? c->in[affine + 1] : NULL;
	p.packs = p.channels % in_pack(x->dtype) == 0 && aligned_16(p.x) && aligned_16(p.dy) && aligned_16(p.y);
	p.narrow = is_forward(y->op) && y->dtype != x->dtype;
	cut_pixels(&p);
	return p;
}

static size_t elements(const norm_params *p, dtype d)
{
	return (size_t)p->items * p->pixels * p->channels / (p->packs ? in_pack(d) : 1);
}

/* ── group norm ── */

static size_t part_bytes(const norm_params *p)
{
	return rounded_up((size_t)p->items * p->chunks * 2 * p->channels * sizeof(float));
}

static size_t group_scratch(const call *c)
{
	norm_params p = norm_of(c);
	return part_bytes(&p) + (size_t)p.items * 2 * p.channels * sizeof(float);
}

static void use_scratch(const call *c, norm_params *p)
{
	p->part = c->scratch;
	p->stats = (float *)((char *)c->scratch + part_bytes(p));
}

static bool find_stats(const call *c, const norm_params *p, error *e)
{
	dtype d = c->x[0]->dtype;
	launch moments = { p->chunks, p->items, MAX_BLOCK, room_of(p, d) };
	launch stats = { p->groups, p->items, MAX_BLOCK, ROOM };
	return RUN_KERNEL(c, "norm_moments", d, moments, *p, e) && RUN_KERNEL(c, "norm_stats", NO_DTYPE, stats, *p, e);
}

static bool run_group_norm(const call *c, error *e)
{
	norm_params p = norm_of(c);
	use_scratch(c, &p);
	if (c->x[3]) p.stats = (float *)(uintptr_t)c->in[3]; /* given, in the same layout; they are only read */
	return (c->x[3] || find_stats(c, &p, e)) &&
	       RUN_OVER(c, "norm_apply", c->x[0]->dtype, elements(&p, c->x[0]->dtype), p, e);
}

static bool run_group_sums(const call *c, error *e)
{
	norm_params p = norm_of(c);
	p.packs = p.channels % in_pack(c->x[0]->dtype) == 0 && aligned_16(p.x) && aligned_16(p.dy);
	use_scratch(c, &p);
	p.out = c->out;
	launch slopes = { p.chunks, p.items, MAX_BLOCK, room_of(&p, c->x[0]->dtype) };
	return find_stats(c, &p, e) && RUN_KERNEL(c, "norm_slopes", c->x[0]->dtype, slopes, p, e) &&
	       RUN_OVER(c, "norm_join", NO_DTYPE, count_of(c->y), p, e);
}

static size_t means_scratch(const call *c)
{
	norm_params p = norm_of(c);
	return (size_t)p.items * 2 * p.channels * sizeof(float);
}

static bool run_group_dx(const call *c, error *e)
{
	norm_params p = norm_of(c);
	p.stats = c->scratch;
	p.sums = c->in[4];
	launch means = { p.groups, p.items, MAX_BLOCK, ROOM };
	return RUN_KERNEL(c, "norm_means", NO_DTYPE, means, p, e) &&
	       RUN_OVER(c, "norm_dx", c->y->dtype, elements(&p, c->y->dtype), p, e);
}

/* ── layer norm ── */

static launch warp_for_each_row(const norm_params *p)
{
	return (launch){ (p->items + ROWS - 1) / ROWS, 1, MAX_BLOCK, 0 };
}

static bool run_layer_norm(const call *c, error *e)
{
	norm_params p = norm_of(c);
	const char *name = is_forward(c->y->op) ? "layer_norm" : "layer_norm_dx";
	return RUN_KERNEL(c, name, c->x[0]->dtype, warp_for_each_row(&p), p, e);
}

/* The rows as the pixels of one item: what the sums over them walk. */
static norm_params rows_of(const call *c)
{
	norm_params p = norm_of(c);
	p.packs = p.channels % in_pack(c->x[0]->dtype) == 0 && aligned_16(p.x) && aligned_16(p.dy);
	p.pixels = p.items;
	p.items = 1;
	cut_pixels(&p);
	return p;
}

static size_t layer_dw_scratch(const call *c)
{
	norm_params p = rows_of(c);
	return part_bytes(&p) + (size_t)p.pixels * 2 * sizeof(float);
}

static bool run_layer_dw(const call *c, error *e)
{
	norm_params rows = norm_of(c), p = rows_of(c);
	dtype d = c->x[0]->dtype;
	use_scratch(c, &p);
	rows.stats = p.stats;
	rows.packs = p.packs;
	launch slopes = { p.chunks, 1, MAX_BLOCK, room_of(&p, d) };
	norm_params joined = p;
	joined.out = c->out;
	joined.stats = NULL;
	return RUN_KERNEL(c, "row_stats", d, warp_for_each_row(&rows), rows, e) &&
	       RUN_KERNEL(c, "row_slopes", d, slopes, p, e) &&
	       RUN_OVER(c, "norm_join", NO_DTYPE, count_of(c->y), joined, e);
}

const kernel cuda_norm_rows[] = {
	{ .op = GROUP_NORM, .name = "norm", .fits = fits_norm, .scratch_bytes = group_scratch, .run = run_group_norm },
	{ .op = GROUP_NORM_SUMS, .name = "norm", .fits = fits_norm, .scratch_bytes = group_scratch, .run = run_group_sums },
	{ .op = GROUP_NORM_DX, .name = "norm", .fits = fits_norm, .scratch_bytes = means_scratch, .run = run_group_dx },
	{ .op = LAYER_NORM, .name = "norm", .fits = fits_norm, .run = run_layer_norm },
	{ .op = LAYER_NORM_DX, .name = "norm", .fits = fits_norm, .run = run_layer_norm },
	{ .op = LAYER_NORM_DW, .name = "norm", .fits = fits_norm, .scratch_bytes = layer_dw_scratch, .run = run_layer_dw },
	{ .op = RMS_NORM, .name = "norm", .fits = fits_norm, .run = run_layer_norm },
	{ .op = RMS_NORM_DX, .name = "norm", .fits = fits_norm, .run = run_layer_norm },
	{ .op = RMS_NORM_DW, .name = "norm", .fits = fits_norm, .scratch_bytes = layer_dw_scratch, .run = run_layer_dw },
	{ 0 },
};

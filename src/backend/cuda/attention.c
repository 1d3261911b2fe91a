/* attention.c - the rows of attention: kernels/attention_mma.cu for bf16, as far as its heads are wide enough, and
 * kernels/attention.cu for the rest. */
#include "backend/cuda/attention.h"
#include "backend/cuda/rows.h"
#include <stdio.h>

static bool fits(const call *c)
{
	bool fine = is_computed(c->y->dtype);
	for (int i = 0; i < 3; i++) fine = fine && c->x[i]->dtype == c->y->dtype;
	return fine && (c->y->op == ATTENTION_GRAD || !c->x[3] || c->x[3]->dtype == F32);
}

static attention_params params_of(const call *c)
{
	const int *q = c->x[0]->shape.d, *k = c->x[1]->shape.d;
	attention_params p = { .q = c->in[0], .k = c->in[1], .v = c->in[2] };
	p.queries = (uint32_t)q[1];
	p.keys = (uint32_t)k[1];
	p.heads = (uint32_t)c->y->a[0];
	p.width = (uint32_t)q[2] / p.heads;
	p.causal = c->y->a[1];
	p.scale = c->y->f[0];
	p.packs = p.width % 8 == 0;
	for (int i = 0; i < 3; i++) p.packs = p.packs && aligned_16(c->in[i]);
	if (c->y->op == ATTENTION && c->x[3]) {
		p.bias = c->in[3];
		p.biases = (uint32_t)c->x[3]->shape.d[0];
	}
	return p;
}

static uint32_t heads_of(const call *c) { return (uint32_t)(c->x[0]->shape.d[0] * c->y->a[0]); }
static uint32_t parts(uint32_t n, uint32_t part) { return (n + part - 1) / part; }

/* ── by the matrix units ── */

static const struct mma_size { /* the instances of attention_mma.cu and attention_mma_gradient.cu */
	uint32_t columns;
	uint32_t rows, threads, keys;  /* forward: rows and threads of a block, keys of a tile */
	uint32_t dq_keys, dkv_queries; /* of a tile, whose blocks have 64 rows and 128 threads */
} mma_sizes[] = { { 32, 128, 128, 64, 64, 32 }, { 48, 256, 256, 64, 64, 32 }, { 64, 128, 256, 64, 64, 32 },
	{ 80, 128, 256, 64, 64, 32 }, { 128, 128, 256, 64, 32, 32 }, { 160, 64, 128, 64, 32, 16 } };
enum { GRADIENT_ROWS = 64, GRADIENT_THREADS = 128 };

static const struct mma_size *mma_size_for(uint32_t width)
{
	for (size_t i = 0; i < sizeof mma_sizes / sizeof *mma_sizes; i++)
		if (width <= mma_sizes[i].columns) return &mma_sizes[i];
	return NULL;
}

static uint32_t width_of(const call *c) { return (uint32_t)(c->x[0]->shape.d[2] / c->y->a[0]); }

static bool fits_mma(const call *c) { return fits(c) && c->y->dtype == BF16 && mma_size_for(width_of(c)) != NULL; }

/* tiles: rows of shared memory, D + 8 wide */
static bool run_mma(const call *c, const char *what, launch how, uint32_t tiles, const attention_params *p, error *e)
{
	const struct mma_size *s = mma_size_for(p->width);
	char name[64];
	snprintf(name, sizeof name, "attention_mma_%s%u", what, s->columns);
	how.grid_y = heads_of(c);
	how.shared = (size_t)tiles * (s->columns + 8) * 2;
	return RUN_KERNEL(c, name, NO_DTYPE, how, *p, e);
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

static bool forward_mma(const call *c, const attention_params *p, error *e)
{
	const struct mma_size *s = mma_size_for(p->width);
	launch how = { parts(p->queries, s->rows), 0, s->threads, 0 };
	return run_mma(c, "", how, larger(s->rows, 4 * s->keys), p, e);
}

static bool run_forward_mma(const call *c, error *e)
{
	attention_params p = params_of(c);
	p.o = c->out;
	p.packs = p.packs && aligned_16(c->out);
	return forward_mma(c, &p, e);
}

/* ── without them ── */

enum { OWN = MAX_BLOCK / 32, MET = 32 };

static bool fits_plain(const call *c) { return fits(c) && width_of(c) <= 512; }

static bool run_plain(const call *c, const char *what, uint32_t rows, uint32_t own, const attention_params *p, error *e)
{
	char name[64];
	int columns = p->width <= 64 ? 2 : p->width <= 160 ? 5 : 16;
	snprintf(name, sizeof name, "attention_%s%d", what, columns);
	launch how = { parts(rows, OWN), heads_of(c), MAX_BLOCK,
		(size_t)(own * OWN + MET) * (p->width + 1) * sizeof(float) };
	return RUN_KERNEL(c, name, c->y->dtype, how, *p, e);
}

static bool run_forward_plain(const call *c, error *e)
{
	attention_params p = params_of(c);
	p.o = c->out;
	return run_plain(c, "", p.queries, 1, &p, e);
}

/* ── the gradient: what each query's softmax needs, then dq, then dk and dv ── */

static size_t row_bytes(const call *c)
{
	return rounded_up((size_t)heads_of(c) * (size_t)c->x[0]->shape.d[1] * sizeof(float));
}

static size_t gradient_scratch(const call *c) { return 2 * row_bytes(c); }

static attention_params gradient_params(const call *c)
{
	attention_params p = params_of(c);
	size_t size = dtype_size(c->y->dtype);
	p.d = c->in[4];
	p.log_sum = c->scratch;
	p.share = (float *)((char *)c->scratch + row_bytes(c));
	p.dq = c->out;
	p.dk = (char *)c->out + count_of(c->x[0]) * size;
	p.dv = (char *)p.dk + count_of(c->x[1]) * size;
	p.packs = p.packs && aligned_16(p.d) && aligned_16(p.dq) && aligned_16(p.dk) && aligned_16(p.dv);
	return p;
}

static bool run_gradient_mma(const call *c, error *e)
{
	attention_params p = gradient_params(c);
	const struct mma_size *s = mma_size_for(p.width);
	launch dq = { parts(p.queries, GRADIENT_ROWS), 0, GRADIENT_THREADS, 0 };
	launch dkv = { parts(p.keys, GRADIENT_ROWS), 0, GRADIENT_THREADS, 0 };
	return forward_mma(c, &p, e) && run_mma(c, "dq_", dq, larger(GRADIENT_ROWS, 2 * s->dq_keys), &p, e) &&
	       run_mma(c, "dkv_", dkv, 2 * GRADIENT_ROWS + 2 * s->dkv_queries, &p, e);
}

static bool run_gradient_plain(const call *c, error *e)
{
	attention_params p = gradient_params(c);
	return run_plain(c, "", p.queries, 1, &p, e) && run_plain(c, "dq_", p.queries, 2, &p, e) &&
	       run_plain(c, "dkv_", p.keys, 2, &p, e);
}

bool run_own_attention(const call *c, error *e)
{
	return mma_size_for(width_of(c)) ? run_forward_mma(c, e) : run_forward_plain(c, e);
}

bool run_own_attention_gradient(const call *c, error *e)
{
	return mma_size_for(width_of(c)) ? run_gradient_mma(c, e) : run_gradient_plain(c, e);
}

size_t own_attention_gradient_scratch(const call *c) { return gradient_scratch(c); }

const kernel cuda_attention_rows[] = {
	{ .op = ATTENTION, .name = "attention mma", .fits = fits_mma, .run = run_forward_mma },
	{ .op = ATTENTION, .name = "attention", .fits = fits_plain, .run = run_forward_plain },
	{ .op = ATTENTION_GRAD,
	    .name = "attention mma",
	    .fits = fits_mma,
	    .scratch_bytes = gradient_scratch,
	    .run = run_gradient_mma },
	{ .op = ATTENTION_GRAD,
	    .name = "attention",
	    .fits = fits_plain,
	    .scratch_bytes = gradient_scratch,
	    .run = run_gradient_plain },
	{ 0 },
};

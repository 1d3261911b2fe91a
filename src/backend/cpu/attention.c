/* attention.c - the rows of fused attention: sizes, memory, and which thread computes what. */
#include "backend/cpu/attention.h"
#include "backend/cpu/rows.h"

static bool is_biased(const call *c) { return c->y->op == ATTENTION && c->y->inputs > 3; }

/* The best code for this CPU without tiles; NULL: none. wide: it must compute in full precision. */
static const attention_code *code(dtype d, bool wide)
{
#if defined __x86_64__
	if (d == BF16 && !wide && __builtin_cpu_supports("avx512bf16")) return &attention_avx512bf16;
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return &attention_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &attention_avx2;
#endif
	return NULL;
}

static attention_shape shape_for(const call *c)
{
	const int *q = c->x[0]->shape.d, *k = c->x[1]->shape.d;
	size_t heads = (size_t)c->y->a[0];
	return (attention_shape){ (size_t)q[0], (size_t)q[1], (size_t)k[1], heads, (size_t)q[2] / heads, c->y->f[0],
		c->y->a[1] != 0, c->y->dtype, is_biased(c) ? c->in[3] : NULL, is_biased(c) ? (size_t)c->x[3]->shape.d[0] : 1 };
}

static bool fits(const call *c)
{
	if (!code(F32, true) || (c->y->dtype != F32 && c->y->dtype != BF16)) return false;
	for (int i = 0; i < c->y->inputs; i++)
		if (c->x[i]->dtype != (is_biased(c) && i == 3 ? F32 : c->y->dtype)) return false;
	return true;
}

/* Tiles multiply bf16 alone, and their softmax takes the highest score for the highest power. */
static bool fits_tiles(const call *c) { return c->y->dtype == BF16 && !is_biased(c) && c->y->f[0] >= 0 && fits(c); }

static size_t scratch_by(const attention_code *k, const call *c)
{
	attention_shape s = shape_for(c);
	size_t packed = aligned(k->packed_floats(&s)), room = aligned(k->forward_floats(&s));
	return (s.batch * s.heads * packed + (size_t)c->threads * room) * sizeof(float);
}

/* What the parts of the forward pass share. */
typedef struct forward_job {
	const call *c;
	const attention_code *code;
	attention_shape shape;
	size_t packed, blocks; /* floats of a head's panels; blocks of queries of a head */
} forward_job;

static bool pack_heads(const void *context, size_t first, size_t end, int worker)
{
	const forward_job *j = context;
	(void)worker;
	for (size_t head = first; head < end; head++)
		j->code->pack(&j->shape, head / j->shape.heads, head % j->shape.heads, j->c->in[1], j->c->in[2],
		    (float *)j->c->scratch + head * j->packed);
	return true;
}

static bool forward_blocks(const void *context, size_t first, size_t end, int worker)
{
	const forward_job *j = context;
	size_t heads = j->shape.heads, room = aligned(j->code->forward_floats(&j->shape));
	float *panels = j->c->scratch, *rooms = panels + j->shape.batch * heads * j->packed;
	for (size_t task = first; task < end; task++) {
		size_t head = task / j->blocks, query = task % j->blocks * j->code->block;
		j->code->forward(&j->shape, head / heads, head % heads, query, j->c->in[0], panels + head * j->packed,
		    j->c->out, rooms + (size_t)worker * room);
	}
	return true;
}

static bool forward_by(const attention_code *k, const call *c)
{
	attention_shape s = shape_for(c);
	size_t heads = s.batch * s.heads, blocks = (s.queries + k->block - 1) / k->block;
	forward_job j = { c, k, s, aligned(k->packed_floats(&s)), blocks };
	return parallel_for(c->threads, heads, 1, pack_heads, &j) &&
	       parallel_for(c->threads, heads * blocks, 1, forward_blocks, &j);
}

static size_t forward_scratch(const call *c) { return scratch_by(code(c->y->dtype, is_biased(c)), c); }
static size_t tiles_scratch(const call *c) { return scratch_by(&attention_amx, c); }

static bool forward(const call *c, error *e)
{
	(void)e;
	return forward_by(code(c->y->dtype, is_biased(c)), c);
}

static bool forward_in_tiles(const call *c, error *e)
{
	(void)e;
	return forward_by(&attention_amx, c);
}

static size_t backward_scratch(const call *c)
{
	attention_shape s = shape_for(c);
	return (size_t)c->threads * aligned(code(s.dtype, true)->backward_floats(&s)) * sizeof(float);
}

static bool backward_heads(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	attention_shape s = shape_for(c);
	const attention_code *k = code(s.dtype, true);
	size_t size = dtype_size(s.dtype), room = aligned(k->backward_floats(&s));
	char *dq = c->out, *dk = dq + count_of(c->x[0]) * size, *dv = dk + count_of(c->x[1]) * size;
	void *const out[] = { dq, dk, dv };
	for (size_t head = first; head < end; head++)
		k->backward(&s, head / s.heads, head % s.heads, c->in, out, (float *)c->scratch + (size_t)worker * room);
	return true;
}

static bool backward(const call *c, error *e)
{
	(void)e;
	attention_shape s = shape_for(c);
	return parallel_for(c->threads, s.batch * s.heads, 1, backward_heads, c);
}

const kernel tiled_attention = {
	.op = ATTENTION, .name = "fused, tiles", .fits = fits_tiles, .scratch_bytes = tiles_scratch, .run = forward_in_tiles
};
const kernel fused_attention = {
	.op = ATTENTION, .name = "fused", .fits = fits, .scratch_bytes = forward_scratch, .run = forward
};
const kernel fused_attention_grad = {
	.op = ATTENTION_GRAD, .name = "fused", .fits = fits, .scratch_bytes = backward_scratch, .run = backward
};

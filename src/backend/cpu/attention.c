/* attention.c - the rows of fused attention: sizes, memory, and who computes what. */
#include "backend/cpu/attention.h"
#include "backend/cpu/rows.h"
#include <omp.h>

static bool is_biased(const call *c) { return c->y->op == ATTENTION && c->y->inputs > 3; }

/* The best code for this CPU; NULL: none. wide: it must compute in full precision. */
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

static size_t forward_scratch(const call *c)
{
	attention_shape s = shape_for(c);
	const attention_code *k = code(s.dtype, is_biased(c));
	size_t packed = aligned(k->packed_floats(&s)), room = aligned(k->forward_floats(&s));
	return (s.batch * s.heads * packed + (size_t)c->threads * room) * sizeof(float);
}

static bool forward(const call *c, error *e)
{
	(void)e;
	attention_shape s = shape_for(c);
	const attention_code *k = code(s.dtype, is_biased(c));
	size_t heads = s.batch * s.heads, blocks = (s.queries + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
	size_t packed = aligned(k->packed_floats(&s)), room = aligned(k->forward_floats(&s));
	float *panels = c->scratch, *rooms = panels + heads * packed;
#pragma omp parallel num_threads(c->threads)
	{
#pragma omp for schedule(static)
		for (size_t head = 0; head < heads; head++)
			k->pack(&s, head / s.heads, head % s.heads, c->in[1], c->in[2], panels + head * packed);
#pragma omp for schedule(dynamic)
		for (size_t task = 0; task < heads * blocks; task++) {
			size_t head = task / blocks, first = task % blocks * BLOCK_QUERIES;
			k->forward(&s, head / s.heads, head % s.heads, first, c->in[0], panels + head * packed, c->out,
			    rooms + (size_t)omp_get_thread_num() * room);
		}
	}
	return true;
}

static size_t backward_scratch(const call *c)
{
	attention_shape s = shape_for(c);
	return (size_t)c->threads * aligned(code(s.dtype, true)->backward_floats(&s)) * sizeof(float);
}

static bool backward(const call *c, error *e)
{
	(void)e;
	attention_shape s = shape_for(c);
	const attention_code *k = code(s.dtype, true);
	size_t size = dtype_size(s.dtype), room = aligned(k->backward_floats(&s));
	char *dq = c->out, *dk = dq + count_of(c->x[0]) * size, *dv = dk + count_of(c->x[1]) * size;
	void *const out[] = { dq, dk, dv };
#pragma omp parallel for num_threads(c->threads) schedule(dynamic)
	for (size_t head = 0; head < s.batch * s.heads; head++)
		k->backward(
		    &s, head / s.heads, head % s.heads, c->in, out, (float *)c->scratch + (size_t)omp_get_thread_num() * room);
	return true;
}

const kernel fused_attention = {
	.op = ATTENTION, .name = "fused", .fits = fits, .scratch_bytes = forward_scratch, .run = forward
};
const kernel fused_attention_grad = {
	.op = ATTENTION_GRAD, .name = "fused", .fits = fits, .scratch_bytes = backward_scratch, .run = backward
};

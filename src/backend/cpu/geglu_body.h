/* geglu_body.h - GEGLU: the code of elementwise_avx2.c and geglu_avx512.c, which say in GEGLU_PART how many values, at
 * most BLOCK, are computed at a time. x holds two halves in a row: a value, and the gate through which it passes. */
#include "backend/cpu/vector.h"
#include "backend/cpu/vector_math.h"

static bool geglu_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->y), m;
	float rooms[3][BLOCK];
	for (size_t r = first; r < end; r++)
		for (size_t at = r * width; at < (r + 1) * width; at += m) {
			m = (r + 1) * width - at < GEGLU_PART ? (r + 1) * width - at : GEGLU_PART;
			size_t value = at + r * width;
			const float *x = block_in(c, 0, value, m, rooms[0]), *gate = block_in(c, 0, value + width, m, rooms[1]);
			float *restrict y = block_out(c, at, rooms[2]);
			for (size_t i = 0; i < m; i++) y[i] = x[i] * gelu_f32(gate[i]);
			block_done(c, at, m, rooms[2]);
		}
	return true;
}

static bool run_geglu(const call *c, error *e)
{
	(void)e;
	size_t width = last_axis(c->y);
	return share(c, count_of(c->y) / width, width, geglu_rows, c);
}

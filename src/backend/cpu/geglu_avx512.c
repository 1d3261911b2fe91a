/* geglu_avx512.c - GEGLU on bf16 with AVX-512: an activation of many operations on the widest rows of a transformer. In
 * f32 it stays with AVX2, for its bits would change. */
#include "backend/cpu/vector.h"
#include "backend/cpu/vector_math.h"

static bool geglu_rows(const void *context, size_t first, size_t end, int worker)
{
	enum { PART = 512 }; /* values at a time, which stay in the first cache */
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->y), m;
	float rooms[3][BLOCK];
	for (size_t r = first; r < end; r++)
		for (size_t at = r * width; at < (r + 1) * width; at += m) {
			m = (r + 1) * width - at < PART ? (r + 1) * width - at : PART;
			size_t value = at + r * width;
			const float *x = block_in(c, 0, value, m, rooms[0]), *gate = block_in(c, 0, value + width, m, rooms[1]);
			float *restrict y = block_out(c, at, rooms[2]);
			for (size_t i = 0; i < m; i++) y[i] = x[i] * gelu_f32(gate[i]);
			block_done(c, at, m, rooms[2]);
		}
	return true;
}

static bool fits(const call *c) { return c->y->dtype == BF16 && vector_fits(c); }

static bool run(const call *c, error *e)
{
	(void)e;
	size_t width = last_axis(c->y);
	return share(c, count_of(c->y) / width, width, geglu_rows, c);
}

const kernel wide_geglu = { GEGLU, "vector 512", fits, NULL, NULL, NULL, NULL, run, NULL };

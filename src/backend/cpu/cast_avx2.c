/* cast_avx2.c - conversions to f32 and bf16: by vectors from f32, bf16 and f16, of weights in every training step and
 * of a file's once; from a file's other types by all threads. */
#include "backend/cpu/vector.h"
#include "backend/reference/plain.h"
#include <immintrin.h>
#include <string.h>

static bool is_float(dtype d) { return d == F32 || d == BF16 || d == F16; }

static bool fits(const call *c)
{
	dtype from = c->x[0]->dtype;
	return vector_supported() && __builtin_cpu_supports("f16c") && dtype_is_float(from) && from != F64 &&
	       is_float(c->y->dtype) && c->y->dtype != F16;
}

static const float *floats_of(const call *c, size_t at, size_t n, float *room)
{
	if (c->x[0]->dtype != F16) return block_in(c, 0, at, n, room);
	const uint16_t *from = (const uint16_t *)c->in[0] + at;
	size_t i = 0;
	for (; i + 8 <= n; i += 8) _mm256_storeu_ps(room + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(from + i))));
	for (; i < n; i++) room[i] = _cvtsh_ss(from[i]);
	return room;
}

static bool cast_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	dtype from = c->x[0]->dtype;
	bool quick = is_float(from) && (uintptr_t)c->in[0] % dtype_size(from) == 0; /* a mapped file promises nothing */
	size_t m;
	float rooms[2][BLOCK];
	for (size_t at = first; at < end; at += m) {
		m = end - at < BLOCK ? end - at : BLOCK;
		if (!quick) {
			convert_from((char *)c->out + at * dtype_size(c->y->dtype), c->y->dtype, c->in[0], from, at, m);
			continue;
		}
		const float *x = floats_of(c, at, m, rooms[0]);
		if (c->y->dtype == F32)
			memmove((float *)c->out + at, x, m * sizeof *x);
		else
			block_done(c, at, m, x);
	}
	return true;
}

static bool run(const call *c, error *e)
{
	(void)e;
	return parallel_for(c->threads, count_of(c->y), 8 * BLOCK, cast_part, c);
}

const kernel vector_cast = { CAST, "vector", fits, NULL, NULL, NULL, NULL, run, NULL };

/* block_avx2.c - blocks of values as f32, whatever type they are stored in. */
#include "backend/cpu/vector.h"
#include <string.h>

bool vector_supported(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static bool is_vector_type(dtype d) { return d == F32 || d == BF16; }

bool vector_fits(const call *c)
{
	if (!is_vector_type(c->y->dtype) || !vector_supported()) return false;
	for (int i = 0; i < c->y->inputs; i++)
		if (c->x[i] && !is_vector_type(c->x[i]->dtype)) return false;
	return true;
}

const float *block_in(const call *c, int k, size_t at, size_t n, float *room)
{
	if (c->x[k]->dtype == F32) return (const float *)c->in[k] + at;
	const uint16_t *from = (const uint16_t *)c->in[k] + at;
	for (size_t i = 0; i < n; i++) {
		uint32_t u = (uint32_t)from[i] << 16;
		memcpy(room + i, &u, sizeof u);
	}
	return room;
}

float *block_out(const call *c, size_t at, float *room) { return c->y->dtype == F32 ? (float *)c->out + at : room; }

/* To nearest, ties to even; NaN stays NaN. */
void block_done(const call *c, size_t at, size_t n, const float *room)
{
	if (c->y->dtype == F32) return;
	uint16_t *to = (uint16_t *)c->out + at;
	for (size_t i = 0; i < n; i++) {
		uint32_t u;
		memcpy(&u, room + i, sizeof u);
		uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
		to[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : rounded);
	}
}

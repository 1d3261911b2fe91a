/* launch.c - how the rows launch kernels. */
#include "backend/cuda/gpu.h"
#include <stdio.h>

bool is_computed(dtype d) { return d == F32 || d == BF16; }

enum element element_of(dtype d) { return d == F32 ? ELEMENT_F32 : d == BF16 ? ELEMENT_BF16 : ELEMENT_F16; }

bool aligned_16(const void *p) { return (uintptr_t)p % 16 == 0; }

bool run_kernel(const call *c, const char *which, dtype d, launch how, const void *parameters, size_t bytes, error *e)
{
	gpu *g = c->device;
	char name[64];
	snprintf(name, sizeof name, "%s%s", which, d == F32 ? "_f32" : d == BF16 ? "_bf16" : "");
	return g->launch(g, name, &how, parameters, bytes, e);
}

bool run_over(const call *c, const char *which, dtype d, size_t n, const void *parameters, size_t bytes, error *e)
{
	enum { MOST_BLOCKS = 1 << 14 }; /* the waves of any GPU; what is left is looped over */
	size_t blocks = (n + MAX_BLOCK - 1) / MAX_BLOCK;
	if (!n) return true;
	launch how = { (uint32_t)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, MAX_BLOCK, 0 };
	return run_kernel(c, which, d, how, parameters, bytes, e);
}

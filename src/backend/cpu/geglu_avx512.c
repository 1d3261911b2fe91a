/* geglu_avx512.c - GEGLU on bf16 with AVX-512: an activation of many operations on the widest rows of a transformer. In
 * f32 it stays with AVX2, for its bits would change. */
#define GEGLU_PART 512 /* which stay in the first cache */
#include "backend/cpu/geglu_body.h"

static bool fits(const call *c) { return c->y->dtype == BF16 && vector_fits(c); }

const kernel wide_geglu = { GEGLU, "vector 512", fits, NULL, NULL, NULL, NULL, run_geglu, NULL };

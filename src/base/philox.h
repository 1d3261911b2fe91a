/* philox.h - the counter-based generator of CUDA, and the normals that PyTorch draws from it on a GPU, as A1111's "NV"
 * source computes them on the CPU. Not compared with a device here.
 * Source of Philox 4x32-10: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011. */
#ifndef SUMI_BASE_PHILOX_H
#define SUMI_BASE_PHILOX_H
#include <stddef.h>
#include <stdint.h>

typedef struct philox {
	uint64_t seed;
	uint32_t calls; /* of philox_normal so far: the offset of the next one */
} philox;

/* Ten rounds on the counter, in place. */
void philox4x32_10(uint32_t counter[4], const uint32_t key[2]);
/* n normals; element i comes from counter (calls, 0, i, 0) alone. n < 2^32. */
void philox_normal(philox *p, float *out, size_t n);

#endif

/* noise.h - the noise that a seed means: PyTorch's on a CPU, or on a GPU ("cuda"), in the order in which the Python
 * tools draw it: first the latent, then what the sampler asks for. */
#ifndef SUMI_PIPELINE_NOISE_H
#define SUMI_PIPELINE_NOISE_H
#include "base/philox.h"
#include "base/random.h"
#include "base/error.h"

typedef struct noise {
	bool cuda;
	generator cpu;
	philox gpu;
} noise;

/* rng: "cpu", "cuda" or "nv"; NULL: cpu. BAD_USAGE where it is none of them. */
bool noise_kind(const char *rng, bool *cuda, error *e);
void noise_seed(noise *n, bool cuda, uint64_t seed);
void noise_draw(noise *n, float *out, size_t count); /* unit normal */
/* Turns noise `a` [channels][height][width] towards `b`, by this share of the angle between them: for each channel and
 * column, over the rows, as A1111 does it (modules/rng.py, slerp). Nearly parallel noise is mixed instead. */
void noise_turn(float *a, const float *b, double share, int channels, int height, int width);

#endif

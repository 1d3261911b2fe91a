/* brownian.h - the noise of the SDE samplers as k-diffusion has it: increments of one Brownian motion over sigma, so
 * that a run with more steps follows the same path. A virtual tree of halved intervals; every node draws with a seed of
 * its own place (torchsde's BrownianTree with its tolerance of 1e-6 and pool of 24 words: the same seeds, the same
 * generator, the same splits, so the same noise within rounding).
 *
 * k-diffusion passes sigmas in f32, and so are they rounded here. Where a sampler computes a sigma between (DPM++ SDE),
 * its f32 value may fall on the other side of a sixth decimal than theirs; the noise then differs by about 1e-3. */
#ifndef SUMI_DIFFUSION_BROWNIAN_H
#define SUMI_DIFFUSION_BROWNIAN_H
#include <stddef.h>
#include <stdint.h>
#include "diffusion/trajectory.h"

typedef struct brownian_tree {
	uint64_t seed;
	double low, high; /* the range of sigma: the smallest above 0 and the largest of the run (noise_level) */
} brownian_tree;

/* Over all of a trajectory (for image to image: before its first steps are dropped). */
brownian_tree brownian_tree_over(const trajectory *p, uint64_t seed);

/* Unit normal noise for the way from one sigma down to another, both clamped to the tree's range: a noise_fn whose
 * context is a tree. The tree is for one latent: a batch has one for each, and n is the size of one. */
bool brownian_noise(void *tree, double from, double to, float *out, size_t n, error *e);

#endif

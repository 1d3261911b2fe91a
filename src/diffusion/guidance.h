/* guidance.h - classifier-free guidance (Ho and Salimans 2021) on the network's two outputs. */
#ifndef SUMI_DIFFUSION_GUIDANCE_H
#define SUMI_DIFFUSION_GUIDANCE_H
#include <stddef.h>
#include <stdbool.h>

typedef struct guidance {
	double scale;     /* 1: the conditional output alone */
	double rescale;   /* 0 … 1: how much of the conditional output's deviation is restored (Lin et al. 2023) */
	double skip_from; /* share of the steps, 0 … 1, from which … */
	double skip_to;   /* … to which guidance is left out; none where the two are equal */
} guidance;

/* Whether this step needs the unconditional output at all. */
bool guidance_is_on(const guidance *g, int step, int steps);
/* out = unconditional + scale·(conditional - unconditional), rescaled for each of `items` latents apart as its
 * deviation asks. Each array is [items][n]; out may be one of the others. */
void guide(const guidance *g, const float *unconditional, const float *conditional, float *out, size_t items, size_t n);

#endif

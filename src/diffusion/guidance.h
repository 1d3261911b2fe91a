/* guidance.h - classifier-free guidance (Ho and Salimans 2021) on the network's two outputs, and what others have made
 * of it. Each method works on what its authors take the outputs for: the guess of x0, the noise, or the velocity. */
#ifndef SUMI_DIFFUSION_GUIDANCE_H
#define SUMI_DIFFUSION_GUIDANCE_H
#include <stddef.h>
#include "diffusion/trajectory.h"

typedef enum guidance_method {
	PLAIN_GUIDANCE,      /* u + scale·(c - u) */
	PROJECTED,           /* APG (Sadat et al. 2024, arXiv 2410.02416), on x0: c + (scale - 1)·update */
	PROJECTED_COMFY,     /* … as ComfyUI has it: c + scale·update */
	PROJECTED_DIFFUSERS, /* … and diffusers: u + scale·update */
	ZERO_STAR,           /* CFG-Zero* (Fan et al. 2025, arXiv 2503.18886): u is scaled to the projection of c on it */
	ZERO_STAR_COMFY,     /* … as ComfyUI has it: by the noises' projection, but x0 is scaled */
	NORM_LIMITED,        /* ComfyUI's CFGNorm, on x0: no position is larger than c has it */
	VELOCITY_RESCALE,    /* ComfyUI's RescaleCFG: guidance.rescale's formula, but always on the velocity */
	DYNAMIC_THRESHOLD    /* sd-dynamic-thresholding, on x0: each channel in the range of a smaller scale, `mimic` */
} guidance_method;

typedef struct guidance {
	double scale;     /* 1: the conditional output alone */
	double rescale;   /* 0 … 1: how much of the conditional output's deviation is restored (Lin et al. 2023) */
	double skip_from; /* share of the steps, 0 … 1, from which … */
	double skip_to;   /* … to which guidance is left out; none where the two are equal */
	guidance_method method;
	double eta, norm, momentum; /* APG: share of the update along c, its largest norm (0: any), of those before */
	double amount;              /* of NORM_LIMITED a factor, of VELOCITY_RESCALE the share, 0 … 1 */
	double mimic, percentile;   /* DYNAMIC_THRESHOLD; percentile of the magnitudes, 0 … 1, that is the range */
} guidance;

/* One latent's outputs. */
typedef struct guided_outputs {
	float *unconditional, *conditional; /* [n] */
	size_t n, channels;                 /* n = positions·channels, channels last */
	const float *x; /* [n] the network's input, its point and what the outputs mean: of the methods */
	path_point at;
	prediction prediction;
	float *average; /* [n] APG with momentum: its sum of updates; zeros to begin with. Else NULL */
	float *scratch; /* [2n]; plain guidance may do without: NULL */
} guided_outputs;

/* Whether this step needs the unconditional output at all. */
bool guidance_is_on(const guidance *g, int step, int steps);
/* The guided output; out may be the unconditional one, whose values are lost in any case. */
void guide(const guidance *g, const guided_outputs *p, float *out);

/* "apg:eta=0,norm=15,momentum=-0.5": a method's name and what it takes; fills those fields. Names: guidance_name().
 * Fails with BAD_USAGE and the nearest name. */
bool guidance_from_text(const char *text, guidance *g, error *e);
const char *guidance_name(int i); /* of a method, from 0; NULL past the last */
/* Whether it keeps guided.average. */
bool guidance_has_memory(const guidance *g);

/* The formulas, on what they are for. */
void guide_plainly(double scale, double rescale, const float *u, const float *c, float *out, size_t n);
/* The update of APG: c - u and momentum times the average of before, cut to the norm, less 1 - eta of what lies along
 * c. average may be NULL. Into out, which is neither. */
void project_update(const guidance *g, const float *u, const float *c, float *average, float *out, size_t n);
/* CFG-Zero*'s factor of u, and what is guided from it. */
double zero_factor(const float *u, const float *c, size_t n);
void guide_from_zero(double scale, double factor, const float *u, const float *c, float *out, size_t n);

#endif

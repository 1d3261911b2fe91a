/* latent.h - latents as the sampler has them, [C,H,W], since noise is drawn in that order, and as networks have
 * them, [H,W,C]; and what an inpainting mask does to them. */
#ifndef SUMI_PIPELINE_LATENT_H
#define SUMI_PIPELINE_LATENT_H
#include <stddef.h>

/* out [places][stride], of which this fills channels first … first + channels − 1 */
void channels_last(float *out, int stride, int first, const float *planes, int channels, size_t places);
void channels_first(float *planes, const float *in, int channels, size_t places);
/* out = mask·out + (1 − mask)·original, for each of `channels` planes; mask [places] */
void keep_unmasked(float *planes, const float *original, const float *mask, int channels, size_t places);

#endif

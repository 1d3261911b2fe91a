/* latent.h - latents are [positions][C] wherever they are, as networks read them; noise is drawn in the order
 * [C][positions].
 */
#ifndef SUMI_PIPELINE_LATENT_H
#define SUMI_PIPELINE_LATENT_H
#include <stddef.h>

/* out [positions][C] from planes [C][positions] */
void channels_last(float *out, const float *planes, int channels, size_t positions);
/* … and back. */
void channels_first(float *planes, const float *in, int channels, size_t positions);

#endif

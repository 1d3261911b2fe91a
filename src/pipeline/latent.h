/* latent.h - latents are [places][C] wherever they are, as networks read them; noise is drawn in the order [C][places].
 */
#ifndef SUMI_PIPELINE_LATENT_H
#define SUMI_PIPELINE_LATENT_H
#include <stddef.h>

/* out [places][C] from planes [C][places] */
void channels_last(float *out, const float *planes, int channels, size_t places);
/* … and back. */
void channels_first(float *planes, const float *in, int channels, size_t places);

#endif

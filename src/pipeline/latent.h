/* latent.h - latents are [positions][C] wherever they are, as networks read them; noise is drawn in the order
 * [C][positions].
 */
#ifndef SUMI_PIPELINE_LATENT_H
#define SUMI_PIPELINE_LATENT_H
#include <stdbool.h>
#include <stddef.h>

/* out [positions][C] from planes [C][positions] */
void channels_last(float *out, const float *planes, int channels, size_t positions);
/* … and back. */
void channels_first(float *planes, const float *in, int channels, size_t positions);

typedef struct latent_size {
	int height, width;
} latent_size;

/* To another size, [height][width][C], as torch's interpolate: "nearest-exact", or "bilinear" without corners aligned
 * and without antialiasing, as A1111 enlarges latents. */
void latent_resize(float *out, latent_size to, const float *in, latent_size from, int channels, bool nearest);

#endif

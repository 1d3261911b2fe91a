/* latent.c - moves between the two layouts. */
#include "pipeline/latent.h"

void channels_last(float *out, int stride, int first, const float *planes, int channels, size_t places)
{
	for (int c = 0; c < channels; c++)
		for (size_t i = 0; i < places; i++)
			out[i * (size_t)stride + (size_t)(first + c)] = planes[(size_t)c * places + i];
}

void channels_first(float *planes, const float *in, int channels, size_t places)
{
	for (int c = 0; c < channels; c++)
		for (size_t i = 0; i < places; i++) planes[(size_t)c * places + i] = in[i * (size_t)channels + (size_t)c];
}

void keep_unmasked(float *planes, const float *original, const float *mask, int channels, size_t places)
{
	for (int c = 0; c < channels; c++)
		for (size_t i = 0; i < places; i++) {
			size_t at = (size_t)c * places + i;
			planes[at] = mask[i] * planes[at] + (1 - mask[i]) * original[at];
		}
}

/* latent.c - moves between the two layouts. */
#include "pipeline/latent.h"

void channels_last(float *out, const float *planes, int channels, size_t positions)
{
	for (size_t i = 0; i < positions; i++)
		for (int c = 0; c < channels; c++) out[i * (size_t)channels + (size_t)c] = planes[(size_t)c * positions + i];
}

void channels_first(float *planes, const float *in, int channels, size_t positions)
{
	for (int c = 0; c < channels; c++)
		for (size_t i = 0; i < positions; i++) planes[(size_t)c * positions + i] = in[i * (size_t)channels + (size_t)c];
}

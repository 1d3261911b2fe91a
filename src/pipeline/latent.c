/* latent.c - moves between the two layouts. */
#include "pipeline/latent.h"

void channels_last(float *out, const float *planes, int channels, size_t places)
{
	for (size_t i = 0; i < places; i++)
		for (int c = 0; c < channels; c++) out[i * (size_t)channels + (size_t)c] = planes[(size_t)c * places + i];
}

void channels_first(float *planes, const float *in, int channels, size_t places)
{
	for (int c = 0; c < channels; c++)
		for (size_t i = 0; i < places; i++) planes[(size_t)c * places + i] = in[i * (size_t)channels + (size_t)c];
}

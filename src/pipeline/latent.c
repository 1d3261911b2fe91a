/* latent.c - moves between the two layouts, and to other sizes. */
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

/* A place lies between two of the source; share: of the second. */
typedef struct between {
	int first, second;
	float share;
} between;

static between source_of(int i, int to, int from, bool nearest)
{
	float scale = (float)from / (float)to, at = ((float)i + 0.5f) * scale - (nearest ? 0 : 0.5f);
	int first = at < 0 ? 0 : (int)at;
	if (first > from - 1) first = from - 1;
	int second = first < from - 1 ? first + 1 : first;
	return (between){ first, second, nearest || at < 0 ? 0 : at - (float)first };
}

void latent_resize(float *out, latent_size to, const float *in, latent_size from, int channels, bool nearest)
{
	for (int y = 0; y < to.height; y++)
		for (int x = 0; x < to.width; x++) {
			between v = source_of(y, to.height, from.height, nearest), u = source_of(x, to.width, from.width, nearest);
			const float *top = in + (size_t)v.first * (size_t)from.width * (size_t)channels;
			const float *bottom = in + (size_t)v.second * (size_t)from.width * (size_t)channels;
			for (int c = 0; c < channels; c++) {
				int left = u.first * channels + c, right = u.second * channels + c;
				float a = top[left] + u.share * (top[right] - top[left]);
				float b = bottom[left] + u.share * (bottom[right] - bottom[left]);
				*out++ = a + v.share * (b - a);
			}
		}
}

/* image_masks.c - masks of image prompts, interpolated. */
#include "pipeline/image_masks.h"
#include "pipeline/picture.h"
#include <math.h>
#include <stdlib.h>

_Static_assert((int)IMAGE_MASKS >= (int)UNET_LEVELS, "a mask for each level");

static int halved(int side, int times)
{
	for (; times > 0; times--) side = (side + 1) / 2;
	return side;
}

void image_mask_places(const unet_config *c, int height, int width, int places[IMAGE_MASKS])
{
	for (int level = 0; level < c->levels; level++) places[level] = halved(height, level) * halved(width, level);
}

/* Four neighbours of a place, and how much of each: Keys' with a = −3/4, as torch has it. */
typedef struct cubic {
	int at[4];
	float weight[4];
} cubic;

static cubic cubic_of(int i, int to, int from)
{
	const float a = -0.75f;
	float place = ((float)i + 0.5f) * ((float)from / (float)to) - 0.5f, first = floorf(place), t = place - first;
	cubic c;
	for (int k = 0; k < 4; k++) {
		float x = fabsf(t + 1 - (float)k);
		int at = (int)first - 1 + k;
		c.at[k] = at < 0 ? 0 : at > from - 1 ? from - 1 : at;
		c.weight[k] = x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
	}
	return c;
}

static void interpolate(const float *in, int height, int width, int rows, int columns, float *out)
{
	for (int y = 0; y < rows; y++)
		for (int x = 0; x < columns; x++) {
			cubic v = cubic_of(y, rows, height), u = cubic_of(x, columns, width);
			float sum = 0;
			for (int k = 0; k < 4; k++) {
				const float *row = in + (size_t)v.at[k] * (size_t)width;
				float along = 0;
				for (int l = 0; l < 4; l++) along += u.weight[l] * row[u.at[l]];
				sum += v.weight[k] * along;
			}
			*out++ = sum;
		}
}

bool image_mask(const sumi_image *mask, int height, int width, const unet_config *c, int latent_height,
    int latent_width, float *out, error *e)
{
	float *whole = mask_of(mask, false, width, height, e);
	for (int level = 0; whole && level < c->levels; level++) {
		int rows = halved(latent_height, level), columns = halved(latent_width, level);
		interpolate(whole, height, width, rows, columns, out);
		out += (size_t)rows * (size_t)columns;
	}
	free(whole);
	return whole != NULL;
}

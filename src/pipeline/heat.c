/* heat.c - see heat.h. */
#include "pipeline/heat.h"
#include "pipeline/latent.h"
#include <stdlib.h>

/* x 0 … 1 → a colour, by straight lines between these. */
static void colour_of(float x, float *rgb)
{
	static const float ramp[5][3] = { { 8, 8, 64 }, { 110, 20, 110 }, { 205, 55, 70 }, { 250, 145, 20 },
		{ 255, 250, 160 } };
	float at = 4 * x;
	int i = at >= 4 ? 3 : at > 0 ? (int)at : 0;
	for (int c = 0; c < 3; c++) rgb[c] = ramp[i][c] + (at - (float)i) * (ramp[i + 1][c] - ramp[i][c]);
}

/* The picture without its colours, and the map's colours over it. */
static void lay_over(sumi_image *out, const sumi_image *picture, const float *map)
{
	const float share = 0.62f; /* of the colours */
	size_t n = (size_t)out->width * (size_t)out->height;
	float low = map[0], high = map[0];
	for (size_t i = 0; i < n; i++) {
		if (map[i] < low) low = map[i];
		if (map[i] > high) high = map[i];
	}
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = picture->pixels + 3 * i;
		float grey = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2], rgb[3];
		colour_of(high > low ? (map[i] - low) / (high - low) : 0, rgb);
		for (int c = 0; c < 3; c++)
			out->pixels[3 * i + (size_t)c] = (unsigned char)(grey + share * (rgb[c] - grey) + 0.5f);
	}
}

sumi_image *heat_over(const sumi_image *p, int which, error *e)
{
	if (!p->attention || p->attention_width < 1 || p->attention_height < 1 || which < 0 || which >= p->attention_count)
		return fail(e, BAD_USAGE, "attention map %d: the picture has %d", which, p->attention ? p->attention_count : 0),
		       NULL;
	latent_size from = { p->attention_height, p->attention_width }, to = { p->height, p->width };
	const float *map = p->attention + (size_t)which * (size_t)from.height * (size_t)from.width;
	float *large = malloc((size_t)p->width * (size_t)p->height * sizeof *large);
	sumi_error own = { 0 };
	sumi_image *out = large ? sumi_image_new(p->width, p->height, NULL, &own) : NULL;
	if (out) {
		latent_resize(large, to, map, from, 1, false);
		lay_over(out, p, large);
	} else
		fail(e, NO_MEMORY, "out of memory for a map of %d×%d", p->width, p->height);
	free(large);
	return out;
}

/* noise.c - one source of noise or the other. */
#include "pipeline/noise.h"
#include <math.h>
#include <strings.h>

bool noise_kind(const char *rng, bool *cuda, error *e)
{
	*cuda = rng && (!strcasecmp(rng, "cuda") || !strcasecmp(rng, "nv"));
	if (!rng || *cuda || !strcasecmp(rng, "cpu")) return true;
	return fail(e, BAD_USAGE, "rng '%.80s' is neither cpu nor cuda", rng);
}

void noise_seed(noise *n, bool cuda, uint64_t seed)
{
	n->cuda = cuda;
	if (cuda)
		n->gpu = (philox){ .seed = seed };
	else
		generator_seed(&n->cpu, seed);
}

void noise_draw(noise *n, float *out, size_t count)
{
	if (n->cuda)
		philox_normal(&n->gpu, out, count);
	else
		random_normal(&n->cpu, out, count);
}

/* The cosine of the angle between two columns. */
static double cosine(const float *a, const float *b, int height, int width)
{
	double aa = 0, bb = 0, ab = 0;
	for (int y = 0; y < height; y++) {
		double u = (double)a[y * width], v = (double)b[y * width];
		aa += u * u, bb += v * v, ab += u * v;
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 1;
}

static void turn_column(float *a, const float *b, double share, bool mixed, int height, int width)
{
	double angle = acos(fmax(-1, fmin(1, cosine(a, b, height, width)))), s = sin(angle);
	double of_a = mixed || s < 1e-6 ? 1 - share : sin((1 - share) * angle) / s;
	double of_b = mixed || s < 1e-6 ? share : sin(share * angle) / s;
	for (int y = 0; y < height; y++) a[y * width] = (float)(of_a * (double)a[y * width] + of_b * (double)b[y * width]);
}

void noise_turn(float *a, const float *b, double share, int channels, int height, int width)
{
	double mean = 0;
	for (int c = 0; c < channels; c++)
		for (int x = 0; x < width; x++) {
			int at = c * height * width + x;
			mean += cosine(a + at, b + at, height, width) / (channels * width);
		}
	for (int c = 0; c < channels; c++)
		for (int x = 0; x < width; x++) {
			int at = c * height * width + x;
			turn_column(a + at, b + at, share, mean > 0.9995, height, width);
		}
}

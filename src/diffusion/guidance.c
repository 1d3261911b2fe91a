/* guidance.c - the step away from the unconditional output. */
#include "diffusion/guidance.h"
#include <math.h>

bool guidance_is_on(const guidance *g, int step, int steps)
{
	double share = (double)step / steps;
	return g->scale != 1 && !(share >= g->skip_from && share < g->skip_to);
}

/* With Bessel's correction, as torch.std has it. */
static double deviation(const float *x, size_t n)
{
	double mean = 0, squares = 0;
	for (size_t i = 0; i < n; i++) mean += (double)x[i];
	mean /= (double)n;
	for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
	return sqrt(squares / (double)(n > 1 ? n - 1 : 1));
}

static void guide_one(const guidance *g, const float *unconditional, const float *conditional, float *out, size_t n)
{
	double wanted = g->rescale > 0 ? deviation(conditional, n) : 0;
	for (size_t i = 0; i < n; i++) out[i] = unconditional[i] + (float)g->scale * (conditional[i] - unconditional[i]);
	double found = g->rescale > 0 ? deviation(out, n) : 0;
	if (!(found > 0)) return;
	double factor = g->rescale * wanted / found + 1 - g->rescale;
	for (size_t i = 0; i < n; i++) out[i] = (float)(factor * (double)out[i]);
}

void guide(const guidance *g, const float *unconditional, const float *conditional, float *out, size_t items, size_t n)
{
	for (size_t i = 0; i < items; i++) guide_one(g, unconditional + i * n, conditional + i * n, out + i * n, n);
}

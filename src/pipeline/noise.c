/* noise.c - one source of noise or the other. */
#include "pipeline/noise.h"
#include <string.h>
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

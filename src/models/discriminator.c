/* discriminator.c - the patch discriminator. */
#include "models/discriminator.h"
#include <stdio.h>

enum { MOST_GROUPS = 32, MOST_FACTOR = 8 };

/* At most 32 groups, each of as many channels. */
static int groups_of(int channels)
{
	int groups = MOST_GROUPS;
	while (channels % groups) groups /= 2;
	return groups;
}

/* "main.I": a convolution of 4×4. */
static tensor convolution(nn *n, int i, tensor x, int out, int stride, bool bias)
{
	char name[32];
	snprintf(name, sizeof name, "main.%d", i);
	return nn_conv2d_strided(n, name, x, out, 4, stride, 1, 1, bias);
}

tensor discriminator(nn *n, const discriminator_config *c, tensor picture)
{
	graph *g = n->g;
	tensor x = cast(g, picture, graph_compute(g));
	x = activate(g, convolution(n, 0, x, c->channels, 2, true), LEAKY_RELU);
	int index = 2;
	for (int layer = 1; layer <= c->layers; layer++, index += 3) {
		int factor = layer < 3 ? 1 << layer : MOST_FACTOR, width = c->channels * factor;
		x = convolution(n, index, x, width, layer < c->layers ? 2 : 1, false);
		char name[32];
		snprintf(name, sizeof name, "main.%d", index + 1);
		x = nn_group_norm(n, name, x, groups_of(width), 1e-5f, LEAKY_RELU);
	}
	return cast(g, convolution(n, index, x, 1, 1, true), REAL);
}

int discriminator_least_side(const discriminator_config *c) { return 3 << c->layers; }

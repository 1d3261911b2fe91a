/* taesd.c - the tiny autoencoder: plain sequences, numbered as the original's layers are. */
#include "models/taesd.h"
#include <stdio.h>

enum { LEVELS = 3, BLOCKS = 3, BLOCK_REACH = 3 }; /* blocks of a level; convolutions of 3×3 in a block */

static tensor numbered_conv(nn *n, int i, tensor x, int out, int stride, bool bias)
{
	char name[16];
	snprintf(name, sizeof name, "%d", i);
	return nn_conv2d_strided(n, name, x, out, 3, stride, 1, 1, bias);
}

static tensor block(nn *n, int i, tensor x, bool pool)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	push(g, "%d", i);
	block_begin(g);
	if (pool) {
		tensor p = nn_conv2d_strided(n, "pool.0", x, 4 * width, 1, 1, 0, 0, false);
		p = nn_group_norm(n, "pool.1", p, 4, 1e-5f, NO_ACTIVATION);
		x = add(g, x, nn_conv2d_strided(n, "pool.3", activate(g, p, RELU), width, 1, 1, 0, 0, false));
	}
	tensor h = activate(g, nn_conv2d(n, "conv.0", x, width, 3), RELU);
	h = activate(g, nn_conv2d(n, "conv.2", h, width, 3), RELU);
	x = activate(g, add(g, nn_conv2d(n, "conv.4", h, width, 3), x), RELU);
	block_end(g);
	pop(g);
	return x;
}

tensor taesd_encode(nn *n, const taesd_config *c, tensor image)
{
	graph *g = n->g;
	int i = 0;
	tensor x = numbered_conv(n, i++, cast(g, image, graph_compute(g)), c->channels, 1, true);
	x = block(n, i++, x, false);
	for (int level = 0; level < LEVELS; level++) {
		x = numbered_conv(n, i++, x, c->channels, 2, false);
		for (int k = 0; k < BLOCKS; k++) x = block(n, i++, x, c->pool && level == 2);
	}
	return cast(g, numbered_conv(n, i, x, c->latent_channels, 1, true), REAL);
}

tensor taesd_decode(nn *n, const taesd_config *c, tensor latent)
{
	graph *g = n->g;
	int i = 0;
	tensor x = affine(g, activate(g, affine(g, latent, 1 / 3.f, 0), TANH), 3, 0); /* 0: soft clamp to ±3 */
	x = numbered_conv(n, ++i, cast(g, x, graph_compute(g)), c->channels, 1, true);
	x = activate(g, x, RELU), i++;
	for (int level = 0; level < LEVELS; level++) {
		for (int k = 0; k < BLOCKS; k++) x = block(n, ++i, x, c->pool && level == 0);
		x = resize_nearest(g, x, 2 * dim(g, x, 1), 2 * dim(g, x, 2)), i++;
		x = numbered_conv(n, ++i, x, c->channels, 1, false);
	}
	x = block(n, ++i, x, false);
	return cast(g, numbered_conv(n, ++i, x, 3, 1, true), REAL);
}

/* Each convolution reaches one place of its level farther, from the picture down to the latent. */
int taesd_decode_reach(void)
{
	int reach = 1 + BLOCK_REACH;
	for (int level = 0; level < LEVELS; level++) reach = (reach + 1 + 1) / 2 + BLOCKS * BLOCK_REACH;
	return reach + 1;
}

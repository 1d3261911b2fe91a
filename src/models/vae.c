/* vae.c - the KL autoencoder. */
#include "models/vae.h"
#include <math.h>
#include <stdio.h>

static const float epsilon = 1e-6f;

int vae_factor(const vae_config *c) { return 1 << (c->levels - 1); }

static tensor residual(nn *n, const vae_config *c, const char *name, tensor x, int out)
{
	graph *g = n->g;
	push(g, "%s", name);
	block_begin(g);
	tensor h = nn_group_norm(n, "norm1", x, c->groups, epsilon, SILU);
	h = nn_conv2d(n, "conv1", h, out, 3);
	h = nn_group_norm(n, "norm2", h, c->groups, epsilon, SILU);
	h = nn_conv2d(n, "conv2", h, out, 3);
	if (dim(g, x, -1) != out) x = nn_conv2d(n, "nin_shortcut", x, out, 1);
	x = add(g, h, x);
	block_end(g);
	pop(g);
	return x;
}

/* Attention of one head over all places. */
static tensor attend(nn *n, const vae_config *c, const char *name, tensor x)
{
	graph *g = n->g;
	shape s = shape_of(g, x);
	int width = dim(g, x, -1);
	push(g, "%s", name);
	block_begin(g);
	tensor h = nn_group_norm(n, "norm", x, c->groups, epsilon, NO_ACTIVATION);
	h = reshape(g, h, shape3(s.d[0], -1, width));
	tensor q = nn_pointwise(n, "q", h, width, 4), k = nn_pointwise(n, "k", h, width, 4);
	h = attention(g, q, k, nn_pointwise(n, "v", h, width, 4), 1, 1 / sqrtf((float)width), false);
	x = reshape(g, add(g, nn_pointwise(n, "proj_out", h, width, 4), reshape(g, x, shape_of(g, h))), s);
	block_end(g);
	pop(g);
	return x;
}

static tensor middle(nn *n, const vae_config *c, tensor x)
{
	int width = dim(n->g, x, -1);
	push(n->g, "mid");
	x = residual(n, c, "block_1", x, width);
	x = attend(n, c, "attn_1", x);
	x = residual(n, c, "block_2", x, width);
	pop(n->g);
	return x;
}

static tensor level_block(nn *n, const vae_config *c, int level, int i, tensor x)
{
	graph *g = n->g;
	push(g, "block");
	char name[16];
	snprintf(name, sizeof name, "%d", i);
	x = residual(n, c, name, x, c->multiplier[level] * c->channels);
	pop(g);
	if (!c->attends[level]) return x;
	push(g, "attn");
	x = attend(n, c, name, x);
	pop(g);
	return x;
}

/* From a level to the next shallower one. */
static tensor enlarged(nn *n, int level, tensor x)
{
	graph *g = n->g;
	push(g, "up.%d", level);
	x = resize_nearest(g, x, 2 * dim(g, x, 1), 2 * dim(g, x, 2));
	x = nn_conv2d(n, "upsample.conv", x, dim(g, x, -1), 3);
	pop(g);
	return x;
}

int vae_shallow_levels(const vae_config *c)
{
	int level = 0;
	while (level < c->levels - 1 && !c->attends[level]) level++;
	return level;
}

/* Counted in places of each level beyond those that lie within one of the features: two convolutions of 3×3 in a
 * residual block, and one that reaches two places to the right from the level above. */
int vae_encode_reach(const vae_config *c)
{
	int shallow = vae_shallow_levels(c), reach = 0;
	for (int level = shallow - 1; level >= 0; level--) reach = 2 * reach + 1 + 2 * c->blocks;
	return (reach + 1 + (1 << shallow) - 1) >> shallow;
}

/* From conv_out to the features: residual blocks and the convolution that follows each enlarging. */
int vae_decode_reach(const vae_config *c)
{
	int shallow = vae_shallow_levels(c), reach = 1;
	for (int level = 0; level < shallow; level++) reach = (reach + 2 * (c->blocks + 1) + 1 + 1) / 2;
	return reach;
}

static tensor down(nn *n, const vae_config *c, tensor x, int first, int end)
{
	graph *g = n->g;
	for (int level = first; level < end; level++) {
		push(g, "down.%d", level);
		for (int i = 0; i < c->blocks; i++) x = level_block(n, c, level, i, x);
		/* zeros below and on the right only */
		if (level < c->levels - 1) x = nn_conv2d_strided(n, "downsample.conv", x, dim(g, x, -1), 3, 2, 0, 1, true);
		pop(g);
	}
	return x;
}

tensor vae_encode_shallow(nn *n, const vae_config *c, tensor image)
{
	graph *g = n->g;
	push(g, "encoder");
	tensor x = nn_conv2d(n, "conv_in", cast(g, image, graph_compute(g)), c->channels, 3);
	x = down(n, c, x, 0, vae_shallow_levels(c));
	pop(g);
	return x;
}

tensor vae_encode_deep(nn *n, const vae_config *c, tensor x)
{
	graph *g = n->g;
	push(g, "encoder");
	x = down(n, c, cast(g, x, graph_compute(g)), vae_shallow_levels(c), c->levels);
	x = nn_group_norm(n, "norm_out", middle(n, c, x), c->groups, epsilon, SILU);
	x = nn_conv2d(n, "conv_out", x, 2 * c->z_channels, 3);
	nn_block(n, x);
	pop(g);
	if (c->quant) x = nn_conv2d(n, "quant_conv", x, 2 * c->latent_channels, 1);
	return cast(g, x, REAL);
}

tensor vae_encode(nn *n, const vae_config *c, tensor image)
{
	return vae_encode_deep(n, c, vae_encode_shallow(n, c, image));
}

/* Levels from the deepest up to `last`; each but `last` with what makes it twice as large. */
static tensor up(nn *n, const vae_config *c, tensor x, int first, int last)
{
	graph *g = n->g;
	for (int level = first; level >= last; level--) {
		push(g, "up.%d", level);
		for (int i = 0; i <= c->blocks; i++) x = level_block(n, c, level, i, x);
		pop(g);
		if (level > last) x = enlarged(n, level, x);
	}
	return x;
}

tensor vae_decode_deep(nn *n, const vae_config *c, tensor latent)
{
	graph *g = n->g;
	tensor x = cast(g, latent, graph_compute(g));
	if (c->quant) x = nn_conv2d(n, "post_quant_conv", x, c->z_channels, 1);
	push(g, "decoder");
	nn_block(n, x);
	x = nn_conv2d(n, "conv_in", x, c->multiplier[c->levels - 1] * c->channels, 3);
	x = up(n, c, middle(n, c, x), c->levels - 1, vae_shallow_levels(c));
	pop(g);
	return x;
}

tensor vae_decode_shallow(nn *n, const vae_config *c, tensor x)
{
	graph *g = n->g;
	int level = vae_shallow_levels(c);
	push(g, "decoder");
	x = cast(g, x, graph_compute(g));
	if (level) x = up(n, c, enlarged(n, level, x), level - 1, 0);
	x = nn_conv2d(n, "conv_out", nn_group_norm(n, "norm_out", x, c->groups, epsilon, SILU), c->out_channels, 3);
	pop(g);
	return cast(g, x, REAL);
}

tensor vae_decode(nn *n, const vae_config *c, tensor latent)
{
	return vae_decode_shallow(n, c, vae_decode_deep(n, c, latent));
}

tensor vae_mean(graph *g, tensor moments) { return slice(g, moments, -1, 0, dim(g, moments, -1) / 2); }

tensor vae_logvar(graph *g, tensor moments)
{
	int channels = dim(g, moments, -1) / 2;
	return activate(g, slice(g, moments, -1, channels, channels), CLAMP_LOGVAR);
}

tensor vae_sample(graph *g, tensor moments, tensor noise)
{
	tensor deviation = activate(g, affine(g, vae_logvar(g, moments), 0.5f, 0), EXP);
	return add(g, vae_mean(g, moments), mul(g, deviation, noise));
}

tensor vae_kl(graph *g, tensor moments)
{
	tensor logvar = vae_logvar(g, moments);
	tensor sum = add(g, activate(g, vae_mean(g, moments), SQUARE), activate(g, logvar, EXP));
	sum = affine(g, sub(g, sum, logvar), 1, -1);
	float values = (float)shape_count(shape_of(g, sum)) / (float)dim(g, sum, 0);
	return affine(g, mean_all(g, sum), 0.5f * values, 0);
}

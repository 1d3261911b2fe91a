/* unet.c - the denoiser. */
#include "models/unet.h"
#include "models/transformer2d.h"
#include "models/unet_changes.h"
#include <string.h>

bool unet_starts_at_zero(const char *name)
{
	return strstr(name, ".out_layers.3.") || strstr(name, ".proj_out.") || !strncmp(name, "out.2.", 6);
}

static tensor over_space(graph *g, tensor e) { return reshape(g, e, shape4(dim(g, e, 0), 1, 1, dim(g, e, 1))); }

static tensor half(graph *g, tensor x) { return pool(g, x, false, 2); }
static tensor twice(graph *g, tensor x) { return resize_nearest(g, x, 2 * dim(g, x, 1), 2 * dim(g, x, 2)); }

typedef tensor resize_fn(graph *g, tensor x);

/* Residual block: the embedding is added between the two convolutions, or scales and shifts the second norm. What goes
 * into the first convolution, and x, may be of another size than x was. */
static tensor resized_residual(
    nn *n, const unet_config *c, const char *name, tensor x, tensor embedding, int out, resize_fn *resize)
{
	graph *g = n->g;
	push(g, "%s", name);
	block_begin(g);
	dtype compute = graph_compute(g), sums = nn_sums(n);
	tensor h = cast(g, nn_group_norm(n, "in_layers.0", x, c->groups, 1e-5f, SILU), compute);
	if (resize) h = resize(g, h), x = resize(g, x);
	h = cast(g, nn_conv2d(n, "in_layers.2", h, out, 3), sums);
	tensor e = over_space(g, nn_linear(n, "emb_layers.1", embedding, c->scale_shift ? 2 * out : out, true));
	if (c->scale_shift) {
		h = nn_group_norm(n, "out_layers.0", h, c->groups, 1e-5f, NO_ACTIVATION);
		h = mul(g, h, affine(g, slice(g, e, -1, 0, out), 1, 1));
		h = activate(g, add(g, h, slice(g, e, -1, out, out)), SILU);
	} else
		h = nn_group_norm(n, "out_layers.0", add(g, h, e), c->groups, 1e-5f, SILU);
	h = nn_conv2d(n, "out_layers.3", cast(g, h, compute), out, 3);
	if (dim(g, x, -1) != out) x = cast(g, nn_conv2d(n, "skip_connection", cast(g, x, compute), out, 1), sums);
	x = add(g, cast(g, h, sums), x);
	block_end(g);
	pop(g);
	return x;
}

static tensor residual(nn *n, const unet_config *c, const char *name, tensor x, tensor embedding, int out)
{
	return resized_residual(n, c, name, x, embedding, out, NULL);
}

static tensor downsample(nn *n, const unet_config *c, tensor x, tensor embedding)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	if (c->resampling == BY_POOLING) return half(g, x);
	if (c->resampling == BY_RESIDUAL_BLOCK) return resized_residual(n, c, "0", x, embedding, width, half);
	x = cast(g, x, graph_compute(g));
	return cast(g, nn_conv2d_strided(n, "0.op", x, width, 3, 2, 1, 1, true), nn_sums(n));
}

static tensor upsample(nn *n, const unet_config *c, const char *name, tensor x, tensor embedding)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	if (c->resampling == BY_POOLING) return twice(g, x);
	if (c->resampling == BY_RESIDUAL_BLOCK) return resized_residual(n, c, name, x, embedding, width, twice);
	push(g, "%s", name);
	x = cast(g, nn_conv2d(n, "conv", cast(g, twice(g, x), graph_compute(g)), width, 3), nn_sums(n));
	pop(g);
	return x;
}

/* Block j of a place, a bit of unet_changes.perturbed. */
static tensor attend(nn *n, const unet_config *c, const unet_half *h, int place, int j, tensor x, int depth)
{
	if (!c->spatial_transformer) return attention_block(n, c, "1", x);
	n->keep_attention = h->changes && h->changes->perturbed >> place & 1 ? h->keep : 0;
	n->image_block = unet_attending_block(c, place, j);
	x = spatial_transformer(n, c, "1", x, h->context, depth);
	n->keep_attention = 0;
	return x;
}

/* The first token of the context, as the vector condition. */
static tensor pooled(graph *g, tensor context)
{
	return reshape(g, slice(g, context, 1, 0, 1), shape2(dim(g, context, 0), dim(g, context, 2)));
}

static tensor time_embedding(nn *n, const unet_config *c, denoiser_inputs in)
{
	graph *g = n->g;
	int width = 4 * c->channels;
	tensor e = cast(g, timestep_embedding(g, in.t, c->channels, 10000), nn_sums(n));
	push(g, "time_embed");
	if (c->guidance) e = add(g, e, nn_linear(n, "cond_proj", cast(g, in.guidance, nn_sums(n)), c->channels, false));
	e = nn_linear(n, "2", activate(g, nn_linear(n, "0", e, width, true), SILU), width, true);
	nn_block(n, e);
	pop(g);
	if (c->vector || c->pooled_context) {
		tensor y = c->pooled_context ? pooled(g, in.context) : in.vector;
		push(g, "label_emb.0");
		tensor h = activate(g, nn_linear(n, "0", cast(g, y, nn_sums(n)), width, true), SILU);
		e = add(g, e, nn_linear(n, "2", h, width, true));
		pop(g);
	}
	return activate(g, e, SILU);
}

/* What adapters add to the result of an input block, or behind these of the middle block. */
static tensor with_features(graph *g, const unet_half *h, tensor x)
{
	tensor added = h->features ? h->features[h->count] : 0;
	return added ? add(g, x, cast(g, added, dtype_of(g, x))) : x;
}

static tensor take_skip(nn *n, unet_half *h, tensor x)
{
	x = with_features(n->g, h, x);
	nn_block(n, h->skips[h->count++] = x);
	return x;
}

/* The input blocks; a shallow network's alone. */
static void go_down(nn *n, const unet_config *c, tensor x, tensor added, unet_half *h)
{
	graph *g = n->g;
	int last = h->changes && h->changes->shallow ? h->changes->branch : UNET_SKIPS;
	push(g, "input_blocks.0");
	x = nn_conv2d(n, "0", x, c->channels, 3);
	if (added) x = add(g, x, cast(g, added, dtype_of(g, x)));
	x = take_skip(n, h, x);
	pop(g);
	for (int level = 0; level < c->levels; level++) {
		for (int i = 0; i < c->blocks[level] && h->count <= last; i++) {
			push(g, "input_blocks.%d", h->count);
			x = residual(n, c, "0", x, h->embedding, c->multiplier[level] * c->channels);
			if (c->attends[level]) x = attend(n, c, h, level, i, x, unet_depth_down(c, level, i));
			x = take_skip(n, h, x);
			pop(g);
		}
		if (level == c->levels - 1 || h->count > last) break;
		push(g, "input_blocks.%d", h->count);
		x = downsample(n, c, x, h->embedding);
		x = take_skip(n, h, x);
		pop(g);
	}
}

static tensor middle(nn *n, const unet_config *c, tensor x, const unet_half *h)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	if (c->middle == NO_MIDDLE) return x;
	push(g, "middle_block");
	x = residual(n, c, "0", x, h->embedding, width);
	if (c->middle == MIDDLE_WHOLE) {
		if (c->middle_depth >= 0) x = attend(n, c, h, PERTURBED_MIDDLE, 0, x, c->middle_depth);
		x = residual(n, c, "2", x, h->embedding, width);
	}
	x = with_features(g, h, x);
	nn_block(n, x);
	pop(g);
	return x;
}

int unet_depth_down(const unet_config *c, int level, int j)
{
	int own = j < UNET_BLOCKS ? c->depth_down[level][j] : 0;
	return own ? own : c->depth[level];
}

int unet_depth_up(const unet_config *c, int level, int j)
{
	int own = j <= UNET_BLOCKS ? c->depth_up[level][j] : 0;
	return own ? own : c->depth[level];
}

int unet_attending_block(const unet_config *c, int place, int j)
{
	int count = 0, up = place > PERTURBED_MIDDLE ? -1 : place - PERTURBED_UP;
	for (int level = 0; level < c->levels; level++) {
		if (place == level) return count + j;
		if (c->attends[level]) count += c->blocks[level];
	}
	if (place == PERTURBED_MIDDLE) return count;
	for (int level = c->levels - 1; level > up; level--)
		if (c->attends[level]) count += c->blocks[level] + 1;
	return count + 1 + j;
}

int unet_attending_blocks(const unet_config *c) { return unet_attending_block(c, PERTURBED_MIDDLE + 1, 0); }

int unet_skips(const unet_config *c)
{
	int count = 0;
	for (int level = 0; level < c->levels; level++) count += c->blocks[level] + 1;
	return count;
}

shape unet_skip_shape(const unet_config *c, int skip, int items, int height, int width)
{
	int level = 0, from = 0; /* the first skip of this level's size */
	while (level < c->levels - 1 && skip > from + c->blocks[level]) {
		from += c->blocks[level++] + 1;
		height = (height + 1) / 2;
		width = (width + 1) / 2;
	}
	int above = level && skip == from ? level - 1 : level; /* what halves a map keeps its channels */
	return shape4(items, height, width, (skip ? c->multiplier[above] : 1) * c->channels);
}

bool unet_encode(nn *n, const unet_config *c, denoiser_inputs in, tensor added, unet_half *h)
{
	graph *g = n->g;
	int count = unet_skips(c);
	*h = (unet_half){ 0 };
	if (count > UNET_SKIPS || c->levels < 1)
		return graph_fail(g, "a U-Net of %d levels with %d input blocks, at most %d", c->levels, count, UNET_SKIPS);
	h->embedding = time_embedding(n, c, in);
	h->changes = in.changes;
	h->keep = in.keep;
	h->features = in.features;
	h->context = in.context ? cast(g, in.context, graph_compute(g)) : 0;
	go_down(n, c, cast(g, in.x, nn_sums(n)), added, h);
	if (!in.changes || !in.changes->shallow) h->middle = middle(n, c, h->skips[h->count - 1], h);
	return true;
}

/* Which pair of FreeU's numbers is for what comes from below to a level, with so many channels; −1: none. */
static int free_u_pair(const unet_config *c, free_u kind, int level, int channels)
{
	if (kind == NO_FREE_U) return -1;
	if (kind == FREE_U_BY_BLOCK) return level >= c->levels - 2 ? c->levels - 1 - level : -1;
	return channels == 4 * c->channels ? 0 : channels == 2 * c->channels ? 1 : -1;
}

static tensor go_up(nn *n, const unet_config *c, tensor x, const unet_half *h)
{
	graph *g = n->g;
	const unet_changes *changes = h->changes;
	int block = 0, count = unet_skips(c), cached = changes ? count - 1 - changes->branch : -1;
	for (int level = c->levels - 1; level >= 0; level--)
		for (int i = 0; i <= c->blocks[level]; i++, block++) {
			count--;
			if (changes && changes->shallow && block < cached) continue;
			if (changes && block == cached && changes->feature) *changes->feature = x;
			push(g, "output_blocks.%d", block);
			tensor skip = h->skips[count];
			x = resize_nearest(g, x, dim(g, skip, 1), dim(g, skip, 2));
			int which = changes ? free_u_pair(c, changes->free_u, level, dim(g, x, 3)) : -1;
			if (which >= 0) free_u_apply(g, changes, which, &x, &skip);
			x = concat(g, x, skip, -1);
			x = residual(n, c, "0", x, h->embedding, c->multiplier[level] * c->channels);
			if (c->attends[level]) x = attend(n, c, h, PERTURBED_UP + level, i, x, unet_depth_up(c, level, i));
			if (level && i == c->blocks[level]) x = upsample(n, c, c->attends[level] ? "2" : "1", x, h->embedding);
			nn_block(n, x);
			pop(g);
		}
	return x;
}

/* What control networks add to the skips, and the last to the middle block's result. */
static void add_controls(graph *g, denoiser_inputs in, unet_half *h)
{
	if (!in.control_count) return;
	bool shallow = h->changes && h->changes->shallow; /* it reads the first of them alone */
	if (in.control_count != h->count + 1 && !shallow)
		graph_fail(g, "%d controls for %d skips and the middle block", in.control_count, h->count);
	for (int i = 0; i < h->count && i < in.control_count; i++)
		h->skips[i] = add(g, h->skips[i], cast(g, in.controls[i], dtype_of(g, h->skips[i])));
	if (!shallow) h->middle = add(g, h->middle, cast(g, in.controls[in.control_count - 1], dtype_of(g, h->middle)));
}

tensor unet(nn *n, const unet_config *c, denoiser_inputs in)
{
	graph *g = n->g;
	unet_half h;
	if (!unet_encode(n, c, in, 0, &h)) return 0;
	add_controls(g, in, &h);
	bool shallow = in.changes && in.changes->shallow;
	tensor x = go_up(n, c, shallow ? cast(g, in.changes->cached, nn_sums(n)) : h.middle, &h);
	x = nn_group_norm(n, "out.0", x, c->groups, 1e-5f, SILU);
	return cast(g, nn_conv2d(n, "out.2", x, c->out_channels, 3), REAL);
}

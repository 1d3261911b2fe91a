/* transformer2d.c - attention over the places of a picture. */
#include "models/transformer2d.h"
#include <math.h>

/* How many heads a map of `width` channels gets, and how wide each is. */
static void heads_of(const unet_config *c, int width, int *heads, int *head_width)
{
	*heads = c->head_width ? width / c->head_width : c->heads;
	if (*heads < 1) *heads = 1;
	*head_width = c->head_width && !c->legacy ? c->head_width : width / *heads;
}

/* [N,H,W,C] → [N,H·W,C] */
static tensor tokens(graph *g, tensor x) { return reshape(g, x, shape3(dim(g, x, 0), -1, dim(g, x, 3))); }

static tensor block(nn *n, const unet_config *c, int i, int width, tensor x, tensor context)
{
	graph *g = n->g;
	int heads, head_width;
	heads_of(c, width, &heads, &head_width);
	push(g, "transformer_blocks.%d", i);
	dtype compute = graph_compute(g), sums = nn_sums(n);
	tensor h = cast(g, nn_layer_norm(n, "norm1", x, 1e-5f), compute);
	x = add(g, cast(g, nn_attention(n, "attn1", h, 0, heads, head_width, "to_out.0"), sums), x);
	h = cast(g, nn_layer_norm(n, "norm2", x, 1e-5f), compute);
	x = add(g, cast(g, nn_attention(n, "attn2", h, context, heads, head_width, "to_out.0"), sums), x);
	h = cast(g, nn_layer_norm(n, "norm3", x, 1e-5f), compute);
	x = add(g, cast(g, nn_feed_forward_geglu(n, "ff", h, 4 * dim(g, x, -1)), sums), x);
	pop(g);
	return x;
}

tensor spatial_transformer(nn *n, const unet_config *c, const char *name, tensor x, tensor context, int depth)
{
	graph *g = n->g;
	shape s = shape_of(g, x);
	int width = dim(g, x, -1), heads, head_width;
	heads_of(c, width, &heads, &head_width);
	int axes_of_projection = c->linear_projection ? 2 : 4;
	if (n->maps) n->maps->rows = s.d[1], n->maps->columns = s.d[2];
	push(g, "%s", name);
	block_begin(g);
	tensor h = tokens(g, cast(g, nn_group_norm(n, "norm", x, c->groups, 1e-6f, NO_ACTIVATION), graph_compute(g)));
	h = cast(g, nn_pointwise(n, "proj_in", h, heads * head_width, axes_of_projection), nn_sums(n));
	for (int i = 0; i < depth; i++) h = block(n, c, i, width, h, context);
	h = cast(g, nn_pointwise(n, "proj_out", cast(g, h, graph_compute(g)), width, axes_of_projection), nn_sums(n));
	x = reshape(g, add(g, h, tokens(g, x)), s); /* added as tokens, so that the sum joins the product */
	block_end(g);
	pop(g);
	return x;
}

/* Rows of a fused qkv, [heads,3,d] in the file, as [3,heads,d]. */
static tensor by_kind(graph *g, tensor w, int heads, int head_width, int in)
{
	tensor y = permute(g, reshape(g, w, shape4(heads, 3, head_width, in)), 1, 0, 2, 3);
	return reshape(g, y, shape2(-1, in));
}

tensor attention_block(nn *n, const unet_config *c, const char *name, tensor x)
{
	graph *g = n->g;
	shape s = shape_of(g, x);
	int width = dim(g, x, -1), heads, head_width;
	heads_of(c, width, &heads, &head_width);
	initial start = { UNIFORM_START, 1 / sqrtf((float)width) };
	push(g, "%s", name);
	block_begin(g);
	tensor h = tokens(g, cast(g, nn_group_norm(n, "norm", x, c->groups, 1e-5f, NO_ACTIVATION), graph_compute(g)));
	push(g, "qkv");
	tensor w = nn_weight(n, "weight", shape3(3 * width, width, 1), start), b = nn_vector(n, "bias", 3 * width, start);
	pop(g);
	w = c->new_order ? reshape(g, w, shape2(3 * width, width)) : by_kind(g, w, heads, width / heads, width);
	if (!c->new_order) b = reshape(g, by_kind(g, b, heads, width / heads, 1), shape1(-1));
	tensor qkv[3];
	for (int i = 0; i < 3; i++)
		qkv[i] = linear(g, h, slice(g, w, 0, i * width, width), slice(g, b, 0, i * width, width));
	h = attention(g, qkv[0], qkv[1], qkv[2], heads, 1 / sqrtf((float)(width / heads)), false);
	x = reshape(g, add(g, cast(g, nn_pointwise(n, "proj_out", h, width, 3), nn_sums(n)), tokens(g, x)), s);
	block_end(g);
	pop(g);
	return x;
}

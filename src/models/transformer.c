/* transformer.c - the text encoder of the latent diffusion paper. In the file, layer 2i is the attention of block i
 * and layer 2i+1 its feed-forward; each has its norm as ".0" and itself as ".1". */
#include "models/transformer.h"

static tensor feed_forward(nn *n, const transformer_config *c, tensor x)
{
	tensor h = nn_linear(n, "1.net.0.0", x, c->widening * c->width, true);
	return nn_linear(n, "1.net.2", activate(n->g, h, GELU), c->width, true);
}

static tensor block(nn *n, const transformer_config *c, int i, tensor x)
{
	graph *g = n->g;
	block_begin(g);
	push(g, "%d", 2 * i);
	tensor h = nn_layer_norm(n, "0", x, c->epsilon);
	x = add(g, x, nn_attention(n, "1", h, 0, c->heads, c->head_width, "to_out"));
	pop(g);
	push(g, "%d", 2 * i + 1);
	x = add(g, x, feed_forward(n, c, nn_layer_norm(n, "0", x, c->epsilon)));
	nn_block(n, x);
	pop(g);
	block_end(g);
	return x;
}

tensor transformer_encode(nn *n, const transformer_config *c, tensor ids)
{
	graph *g = n->g;
	int count = dim(g, ids, -1);
	if (count > c->positions) graph_fail(g, "%d tokens, the text encoder takes %d", count, c->positions);
	tensor x = nn_embedding(n, "token_emb", ids, c->vocabulary, c->width, c->start);
	const initial start = { NORMAL_START, c->start };
	tensor table = nn_parameter(n, "pos_emb.emb.weight", shape2(c->positions, c->width), start);
	x = add(g, x, slice(g, cast(g, table, graph_compute(g)), 0, 0, count));
	push(g, "attn_layers.layers");
	for (int i = 0; i < c->layers; i++) x = block(n, c, i, x);
	pop(g);
	return nn_layer_norm(n, "norm", x, c->epsilon);
}

tensor transformer_logits(nn *n, const transformer_config *c, tensor states)
{
	return nn_linear(n, "to_logits", states, c->vocabulary, true);
}

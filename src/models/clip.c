/* clip.c - the text encoder of CLIP. Sources: openai/CLIP model.py; open_clip transformer.py; transformers
 * modeling_clip.py. */
#include "models/clip.h"
#include <math.h>

/* Names that differ between the two layouts. */
typedef struct names {
	const char *root, *token, *block, *norm1, *norm2, *attention, *widen, *narrow, *final_norm;
} names;
static const names hugging_face = { "text_model", "embeddings.token_embedding", "encoder.layers.%d", "layer_norm1",
	"layer_norm2", "self_attn", "mlp.fc1", "mlp.fc2", "final_layer_norm" };
static const names open_clip = { "", "token_embedding", "transformer.resblocks.%d", "ln_1", "ln_2", "attn", "mlp.c_fc",
	"mlp.c_proj", "ln_final" };

static const names *names_of(const clip_config *c) { return c->fused ? &open_clip : &hugging_face; }

/* OpenCLIP's in_proj holds the weights of q, k and v one below the other. */
static tensor fused_attention(nn *n, tensor x, int heads, float scale, bool causal)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	initial start = { UNIFORM_START, 1 / sqrtf((float)width) };
	tensor w = nn_weight(n, "in_proj_weight", shape2(3 * width, width), start);
	tensor b = nn_vector(n, "in_proj_bias", 3 * width, (initial){ CONSTANT_START, 0 });
	tensor y = lora_linear(g, n->training, "in_proj_weight", x, linear(g, x, w, b));
	tensor q = slice(g, y, -1, 0, width), k = slice(g, y, -1, width, width), v = slice(g, y, -1, 2 * width, width);
	return attention(g, q, k, v, heads, scale, causal);
}

static tensor self_attention(nn *n, const clip_config *c, bool causal, tensor x)
{
	graph *g = n->g;
	float scale = 1 / sqrtf((float)(c->width / c->heads));
	push(g, "%s", names_of(c)->attention);
	tensor y;
	if (c->fused)
		y = fused_attention(n, x, c->heads, scale, causal);
	else {
		tensor q = nn_linear(n, "q_proj", x, c->width, true), k = nn_linear(n, "k_proj", x, c->width, true);
		y = attention(g, q, k, nn_linear(n, "v_proj", x, c->width, true), c->heads, scale, causal);
	}
	y = nn_linear(n, "out_proj", y, c->width, true);
	pop(g);
	return y;
}

tensor clip_block(nn *n, const clip_config *c, int number, bool causal, tensor x)
{
	graph *g = n->g;
	const names *as = names_of(c);
	push(g, as->block, number);
	block_begin(g);
	dtype compute = graph_compute(g), sums = nn_sums(n);
	tensor h = cast(g, nn_layer_norm(n, as->norm1, x, c->epsilon), compute);
	x = add(g, x, cast(g, self_attention(n, c, causal, h), sums));
	h = nn_linear(n, as->widen, cast(g, nn_layer_norm(n, as->norm2, x, c->epsilon), compute), c->inner, true);
	x = add(g, x, cast(g, nn_linear(n, as->narrow, activate(g, h, c->activation), c->width, true), sums));
	block_end(g);
	nn_block(n, x);
	pop(g);
	return x;
}

static tensor embed(nn *n, const clip_config *c, tensor ids)
{
	graph *g = n->g;
	const initial start = { NORMAL_START, 0.01f };
	tensor x = nn_embedding(n, names_of(c)->token, ids, c->vocabulary, c->width, 0.02f);
	const char *name = c->fused ? "positional_embedding" : "embeddings.position_embedding.weight";
	tensor table = cast(g, nn_parameter(n, name, shape2(c->positions, c->width), start), graph_compute(g));
	int count = dim(g, ids, -1);
	if (count > c->positions) graph_fail(g, "%d tokens, the text encoder takes %d", count, c->positions);
	return add(g, x, slice(g, table, 0, 0, count));
}

clip_states clip_encode(nn *n, const clip_config *c, tensor ids, int skip, bool to_end)
{
	graph *g = n->g;
	if (skip < 0 || skip > c->layers) graph_fail(g, "skips %d of %d blocks", skip, c->layers);
	int wanted = c->layers - skip, built = to_end ? c->layers : wanted;
	push(g, "%s", names_of(c)->root);
	tensor x = cast(g, embed(n, c, ids), nn_sums(n)), taken = x;
	for (int i = 0; i < built; i++) {
		x = clip_block(n, c, i, true, x);
		if (i == wanted - 1) taken = x;
	}
	pop(g);
	return (clip_states){ .taken = taken, .last = to_end ? x : 0 };
}

tensor clip_final_norm(nn *n, const clip_config *c, tensor states)
{
	push(n->g, "%s", names_of(c)->root);
	tensor y = nn_layer_norm(n, names_of(c)->final_norm, states, c->epsilon);
	pop(n->g);
	return y;
}

tensor clip_pooled(nn *n, const clip_config *c, tensor states, tensor positions, bool project)
{
	graph *g = n->g;
	tensor y = embedding(g, reshape(g, cast(g, states, graph_compute(g)), shape2(-1, c->width)), positions);
	if (!project) return y;
	initial start = { NORMAL_START, 1 / sqrtf((float)c->width) };
	/* stored [width,projection] by OpenCLIP, transposed by Hugging Face */
	if (c->fused)
		return matmul(g, y, nn_weight(n, "text_projection", shape2(c->width, c->projection), start), false, false,
		    dtype_of(g, y));
	return nn_linear(n, "text_projection", y, c->projection, false);
}

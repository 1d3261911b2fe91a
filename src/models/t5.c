/* t5.c - T5's encoder: pre-norm blocks without biases, root-mean-square norms, a feed-forward gated by GELU; places are
 * known from a bias of the attention's scores alone, which block 0 holds for all. */
#include "models/t5.h"

/* What is added to the scores: [1 or N,heads,T,T] full precision. */
static tensor score_bias(nn *n, const t5_config *c, int batch, int tokens, tensor mask)
{
	graph *g = n->g;
	push(g, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias");
	tensor table = nn_parameter(n, "weight", shape2(c->buckets, c->heads), (initial){ NORMAL_START, 0.02f });
	pop(g);
	tensor bias = embedding(g, table, relative_buckets(g, tokens, tokens, c->buckets, c->distance));
	bias = reshape(g, permute(g, bias, 2, 0, 1, 0), shape4(1, c->heads, tokens, tokens));
	if (!mask) return bias;
	bias = spread(g, bias, shape4(batch, c->heads, tokens, tokens));
	return add(g, bias, reshape(g, affine(g, mask, 1e30f, -1e30f), shape4(batch, 1, 1, tokens)));
}

static tensor self_attention(nn *n, const t5_config *c, tensor x, tensor bias)
{
	graph *g = n->g;
	int inner = c->heads * c->head_width;
	push(g, "SelfAttention");
	tensor q = nn_linear(n, "q", x, inner, false), k = nn_linear(n, "k", x, inner, false);
	x = attention_biased(g, q, k, nn_linear(n, "v", x, inner, false), bias, c->heads, 1);
	x = nn_linear(n, "o", x, c->width, false);
	pop(g);
	return x;
}

static tensor feed_forward(nn *n, const t5_config *c, tensor x)
{
	graph *g = n->g;
	push(g, "DenseReluDense");
	tensor gate = activate(g, nn_linear(n, "wi_0", x, c->inner, false), GELU_TANH);
	x = nn_linear(n, "wo", mul(g, gate, nn_linear(n, "wi_1", x, c->inner, false)), c->width, false);
	pop(g);
	return x;
}

static tensor block(nn *n, const t5_config *c, tensor x, tensor bias)
{
	graph *g = n->g;
	dtype compute = graph_compute(g), sums = dtype_of(g, x);
	block_begin(g);
	push(g, "layer.0");
	tensor h = cast(g, nn_rms_norm(n, "layer_norm", x, c->epsilon), compute);
	x = add(g, cast(g, self_attention(n, c, h, bias), sums), x);
	pop(g);
	push(g, "layer.1");
	h = cast(g, nn_rms_norm(n, "layer_norm", x, c->epsilon), compute);
	x = add(g, cast(g, feed_forward(n, c, h), sums), x);
	pop(g);
	nn_block(n, x);
	block_end(g);
	return x;
}

/* Sums stay in full precision: the largest values of T5-XXL are some 10⁴ times the others. */
tensor t5_encode(nn *n, const t5_config *c, tensor ids, tensor mask)
{
	graph *g = n->g;
	tensor x = cast(g, nn_embedding(n, "shared", ids, c->vocabulary, c->width, 1), REAL);
	tensor bias = score_bias(n, c, dim(g, ids, 0), dim(g, ids, 1), mask);
	for (int i = 0; i < c->layers; i++) {
		push(g, "encoder.block.%d", i);
		x = block(n, c, x, bias);
		pop(g);
	}
	push(g, "encoder");
	x = nn_rms_norm(n, "final_layer_norm", x, c->epsilon);
	pop(g);
	return x;
}

void t5_copy_of_tokens(nn *n, const t5_config *c)
{
	nn_parameter(n, "encoder.embed_tokens.weight", shape2(c->vocabulary, c->width), (initial){ NORMAL_START, 1 });
}

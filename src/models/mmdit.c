/* mmdit.c - the transformer of Stable Diffusion 3. A joint block has two streams, words and picture: each is
 * normalised, shifted and scaled by the time's and the vector's embedding, both attend to both, and each goes through
 * its own feed-forward. The last block gives no words. */
#include "models/mmdit.h"
#include <math.h>
#include <string.h>

enum { SHIFT, SCALE, GATE, MLP_SHIFT, MLP_SCALE, MLP_GATE, SHIFT2, SCALE2, GATE2, MODULATIONS };
enum { FREQUENCIES = 256 }; /* width of the sinusoids of the time */

typedef struct qkv {
	tensor q, k, v; /* [N,T,width] */
} qkv;

typedef struct stream { /* a block's tensors of the text or of the picture */
	const char *name;
	tensor x;              /* [N,T,width], the sums */
	tensor m[MODULATIONS]; /* [N,1,width] */
	bool last;             /* nothing reads these words any more */
	tensor keep;           /* [1,1,1] times what the block adds; 0: all of it */
	qkv joint, own;
} stream;

bool mmdit_starts_at_zero(const char *name)
{
	return strstr(name, "adaLN_modulation.") || !strncmp(name, "final_layer.linear.", 19);
}

/* Two linear layers with SiLU between them. */
static tensor embed(nn *n, const char *name, tensor x, int width)
{
	graph *g = n->g;
	push(g, "%s", name);
	x = nn_linear(n, "mlp.2", activate(g, nn_linear(n, "mlp.0", x, width, true), SILU), width, true);
	nn_block(n, x);
	pop(g);
	return x;
}

/* norm(x)·(1 + scale) + shift, in what is computed in */
static tensor modulate(nn *n, tensor normed, tensor shift, tensor scale)
{
	graph *g = n->g;
	return cast(g, add(g, mul(g, normed, affine(g, scale, 1, 1)), shift), graph_compute(g));
}

/* SiLU(embedding) → `count` tensors [N,1,width] */
static void modulations(nn *n, tensor embedding, int width, int count, tensor *m)
{
	graph *g = n->g;
	tensor all = nn_linear(n, "adaLN_modulation.1", cast(g, embedding, graph_compute(g)), count * width, true);
	all = cast(g, all, dtype_of(g, embedding));
	all = reshape(g, all, shape3(dim(g, all, 0), 1, count * width));
	for (int i = 0; i < count; i++) m[i] = slice(g, all, -1, i * width, width);
}

static tensor norm_heads(nn *n, const mmdit_config *c, const char *name, tensor x)
{
	graph *g = n->g;
	if (!c->qk_norm) return x;
	shape s = shape_of(g, x);
	x = reshape(g, x, shape4(s.d[0], s.d[1], c->heads, c->width / c->heads));
	return reshape(g, nn_rms_norm(n, name, x, 1e-6f), s);
}

static qkv project(nn *n, const mmdit_config *c, const char *name, tensor x)
{
	graph *g = n->g;
	push(g, "%s", name);
	tensor all = nn_linear(n, "qkv", x, 3 * c->width, true);
	qkv r = { slice(g, all, -1, 0, c->width), slice(g, all, -1, c->width, c->width),
		slice(g, all, -1, 2 * c->width, c->width) };
	r.q = norm_heads(n, c, "ln_q", r.q);
	r.k = norm_heads(n, c, "ln_k", r.k);
	pop(g);
	return r;
}

static float scale_of(const mmdit_config *c) { return 1 / sqrtf((float)(c->width / c->heads)); }

static tensor attend(nn *n, const mmdit_config *c, qkv s)
{
	return attention(n->g, s.q, s.k, s.v, c->heads, scale_of(c), false);
}

static void before_attention(nn *n, const mmdit_config *c, stream *s, tensor embedding, bool twice)
{
	graph *g = n->g;
	push(g, "%s", s->name);
	modulations(n, embedding, c->width, s->last ? 2 : twice ? MODULATIONS : SHIFT2, s->m);
	tensor h = layer_norm(g, s->x, 0, 0, 1e-6f);
	s->joint = project(n, c, "attn", modulate(n, h, s->m[SHIFT], s->m[SCALE]));
	if (twice) s->own = project(n, c, "attn2", modulate(n, h, s->m[SHIFT2], s->m[SCALE2]));
	pop(g);
}

/* x + gate·proj(h) */
static tensor gated(nn *n, const stream *s, const char *name, tensor h, tensor gate)
{
	graph *g = n->g;
	tensor x = s->x;
	dtype sums = dtype_of(g, x);
	if (s->keep) gate = mul(g, cast(g, gate, REAL), s->keep);
	return add(g, x, mul(g, cast(g, nn_linear(n, name, h, dim(g, x, -1), true), sums), cast(g, gate, sums)));
}

static void after_attention(nn *n, const mmdit_config *c, stream *s, tensor attended, bool twice)
{
	graph *g = n->g;
	if (s->last) return;
	push(g, "%s", s->name);
	s->x = gated(n, s, "attn.proj", attended, s->m[GATE]);
	if (twice) s->x = gated(n, s, "attn2.proj", attend(n, c, s->own), s->m[GATE2]);
	tensor h = modulate(n, layer_norm(g, s->x, 0, 0, 1e-6f), s->m[MLP_SHIFT], s->m[MLP_SCALE]);
	h = activate(g, nn_linear(n, "mlp.fc1", h, 4 * c->width, true), GELU_TANH);
	s->x = gated(n, s, "mlp.fc2", h, s->m[MLP_GATE]);
	pop(g);
}

static void joint_block(nn *n, const mmdit_config *c, int i, stream *words, stream *picture, tensor embedding)
{
	graph *g = n->g;
	push(g, "joint_blocks.%d", i);
	block_begin(g);
	words->last = i == c->depth - 1;
	before_attention(n, c, words, embedding, false);
	before_attention(n, c, picture, embedding, c->twice[i]);
	qkv a = words->joint, b = picture->joint;
	tensor k = concat(g, a.k, b.k, 1);
	tensor h = attend(n, c, (qkv){ concat(g, a.q, b.q, 1), k, concat(g, a.v, b.v, 1) });
	word_maps_add(g, n->maps, b.q, k, c->heads, scale_of(c));
	int count = dim(g, a.q, 1);
	after_attention(n, c, words, slice(g, h, 1, 0, count), false);
	after_attention(n, c, picture, slice(g, h, 1, count, dim(g, b.q, 1)), c->twice[i]);
	block_end(g);
	push(g, "context_block");
	if (!words->last) nn_block(n, words->x);
	pop(g);
	push(g, "x_block");
	nn_block(n, picture->x);
	pop(g);
	pop(g);
}

/* The middle rows × columns of the table of positions, [1,rows·columns,width]. */
static tensor positions(nn *n, const mmdit_config *c, int rows, int columns)
{
	graph *g = n->g;
	tensor table = nn_parameter(
	    n, "pos_embed", shape3(1, c->positions * c->positions, c->width), (initial){ SINUSOID_START, c->spacing });
	table = reshape(g, table, shape3(c->positions, c->positions, c->width));
	table = slice(g, table, 0, (c->positions - rows) / 2, rows);
	table = slice(g, cast(g, table, REAL), 1, (c->positions - columns) / 2, columns);
	return reshape(g, table, shape3(1, rows * columns, c->width));
}

/* [N,rows·columns,patch·patch·C] → [N,rows·patch,columns·patch,C] */
static tensor unpatch(graph *g, const mmdit_config *c, tensor x, int rows, int columns)
{
	int batch = dim(g, x, 0), p = c->patch;
	x = reshape(g, x, shape4(batch * rows, columns, p, p * c->channels));
	return reshape(g, permute(g, x, 0, 2, 1, 3), shape4(batch, rows * p, columns * p, c->channels));
}

static bool fits(graph *g, const mmdit_config *c, tensor x)
{
	int height = dim(g, x, 1), width = dim(g, x, 2), most = c->patch * c->positions;
	if (c->depth > MMDIT_BLOCKS || c->depth < 1)
		return graph_fail(g, "a transformer of %d blocks, at most %d", c->depth, MMDIT_BLOCKS);
	return (height % c->patch == 0 && width % c->patch == 0 && height <= most && width <= most) ||
	       graph_fail(
	           g, "a latent of %d×%d: the transformer takes multiples of %d up to %d", width, height, c->patch, most);
}

tensor mmdit(nn *n, const mmdit_config *c, denoiser_inputs in)
{
	graph *g = n->g;
	dtype compute = graph_compute(g), sums = nn_sums(n);
	if (!in.x || !fits(g, c, in.x)) return 0;
	int rows = dim(g, in.x, 1) / c->patch, columns = dim(g, in.x, 2) / c->patch;
	if (n->maps) n->maps->rows = rows, n->maps->columns = columns;
	tensor x =
	    nn_conv2d_strided(n, "x_embedder.proj", cast(g, in.x, compute), c->width, c->patch, c->patch, 0, 0, true);
	x = reshape(g, x, shape3(dim(g, x, 0), rows * columns, c->width));
	x = add(g, cast(g, x, sums), cast(g, positions(n, c, rows, columns), sums));
	tensor e = embed(n, "t_embedder", cast(g, timestep_embedding(g, in.t, FREQUENCIES, 10000), sums), c->width);
	e = activate(g, add(g, e, embed(n, "y_embedder", cast(g, in.vector, sums), c->width)), SILU);
	tensor context = nn_linear(n, "context_embedder", cast(g, in.context, compute), c->width, true);
	stream words = { .name = "context_block", .x = cast(g, context, sums) }, picture = { .name = "x_block", .x = x };
	for (int i = 0; i < c->depth; i++) {
		if (c->left_out[i] && !in.keep) continue;
		words.keep = picture.keep = c->left_out[i] ? in.keep : 0;
		joint_block(n, c, i, &words, &picture, e);
	}
	push(g, "final_layer");
	tensor m[2];
	modulations(n, e, c->width, 2, m);
	x = modulate(n, layer_norm(g, picture.x, 0, 0, 1e-6f), m[SHIFT], m[SCALE]);
	x = nn_linear(n, "linear", x, c->patch * c->patch * c->channels, true);
	pop(g);
	return unpatch(g, c, cast(g, x, REAL), rows, columns);
}

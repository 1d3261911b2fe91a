/* ip_adapter.c - pictures to tokens, and the numbers of a U-Net's transformers. */
#include "models/ip_adapter.h"
#include "models/unet_changes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_WIDTH = 64 }; /* of the resampler */

/* ── what a file says ── */

typedef struct reading {
	tensor_lookup *lookup;
	void *context;
} reading;

static bool find_tensor(const reading *r, shape *s, int axes, const char *format, int i)
{
	enum { LARGEST = 1 << 20 };
	char key[96];
	dtype d;
	snprintf(key, sizeof key, format, i);
	bool found = r->lookup(r->context, key, &d, s, NULL) && s->n == axes;
	for (int k = 0; found && k < axes; k++) found = s->d[k] > 0 && s->d[k] <= LARGEST;
	return found;
}

static bool check_tokens(const ip_adapter_config *c, error *e)
{
	enum { MOST_TOKENS = 4096 };
	return (c->tokens > 0 && c->tokens <= MOST_TOKENS) ||
	       fail(e, BAD_FILE, "an IP-Adapter of %d tokens: 1 to %d", c->tokens, MOST_TOKENS);
}

static bool read_resampler(const reading *r, ip_adapter_config *c, error *e)
{
	enum { DEEPEST = 64 };
	shape latents, in, q, widen;
	if (!find_tensor(r, &latents, 3, "image_proj.latents", 0) ||
	    !find_tensor(r, &in, 2, "image_proj.proj_in.weight", 0) ||
	    !find_tensor(r, &q, 2, "image_proj.layers.0.0.to_q.weight", 0) ||
	    !find_tensor(r, &widen, 2, "image_proj.layers.0.1.1.weight", 0))
		return fail(e, BAD_FILE, "not an IP-Adapter: its image_proj.… is of no kind that is known");
	c->kind = IP_PLUS;
	c->in = in.d[1];
	c->tokens = latents.d[1];
	c->width = latents.d[2];
	c->heads = q.d[0] / HEAD_WIDTH;
	c->inner = widen.d[0];
	while (c->depth < DEEPEST && find_tensor(r, &q, 2, "image_proj.layers.%d.0.to_q.weight", c->depth)) c->depth++;
	if (c->heads < 1)
		return fail(e, BAD_FILE, "an IP-Adapter whose resampler has heads of other than %d numbers", HEAD_WIDTH);
	return check_tokens(c, e);
}

bool ip_adapter_recognise(tensor_lookup *lookup, void *context, ip_adapter_config *c, error *e)
{
	const reading r = { lookup, context };
	shape s, k;
	*c = (ip_adapter_config){ 0 };
	if (!find_tensor(&r, &k, 2, "ip_adapter.1.to_k_ip.weight", 0))
		return fail(e, BAD_FILE, "not an IP-Adapter: no tensor 'ip_adapter.1.to_k_ip.weight'");
	c->context = k.d[1];
	if (find_tensor(&r, &s, 2, "ip_adapter.%d.to_q_lora.down.weight", 0) ||
	    find_tensor(&r, &s, 2, "image_proj.perceiver_resampler.proj_in.weight", 0) ||
	    (find_tensor(&r, &s, 1, "image_proj.norm.weight", 0) && find_tensor(&r, &s, 2, "image_proj.proj.2.weight", 0)))
		return fail(
		    e, BAD_FILE, "an IP-Adapter for a face's identity (FaceID), which no picture alone gives: not read");
	if (find_tensor(&r, &s, 2, "image_proj.proj.weight", 0)) {
		c->kind = IP_BASE;
		c->in = s.d[1];
		c->tokens = s.d[0] / c->context;
		return check_tokens(c, e);
	}
	if (find_tensor(&r, &s, 2, "image_proj.proj.0.weight", 0) &&
	    find_tensor(&r, &k, 1, "image_proj.proj.3.weight", 0)) {
		c->kind = IP_FULL;
		c->in = s.d[1];
		return true;
	}
	return read_resampler(&r, c, e);
}

bool ip_adapter_fits_vision(const ip_adapter_config *c, const clip_vision_config *v, error *e)
{
	bool base = c->kind == IP_BASE;
	int gives = base ? v->blocks.projection : v->blocks.width;
	if (gives == c->in) return true;
	const char *what = base ? "an embedding" : "states", *which = "";
	if (c->in == (base ? 1024 : 1280)) which = " (ViT-H)";
	if (c->in == (base ? 1280 : 1664)) which = " (ViT-bigG)";
	if (c->in == (base ? 768 : 1024)) which = " (ViT-L)";
	return fail(e, BAD_FILE, "gives %s of %d numbers; the IP-Adapter reads %d%s", what, gives, c->in, which);
}

/* ── pictures to tokens ── */

static tensor norm(nn *n, const char *name, tensor x) { return nn_layer_norm(n, name, x, 1e-5f); }

/* Queries attend to the picture's states and to themselves, without biases. */
static tensor perceive(nn *n, const ip_adapter_config *c, tensor states, tensor queries)
{
	graph *g = n->g;
	dtype compute = graph_compute(g);
	int inner = c->heads * HEAD_WIDTH;
	push(g, "0");
	tensor x = cast(g, norm(n, "norm1", states), compute), y = cast(g, norm(n, "norm2", queries), compute);
	tensor q = nn_linear(n, "to_q", y, inner, false);
	tensor kv = nn_linear(n, "to_kv", concat(g, x, y, 1), 2 * inner, false);
	tensor k = slice(g, kv, -1, 0, inner), v = slice(g, kv, -1, inner, inner);
	y = attention(g, q, k, v, c->heads, 1 / sqrtf(HEAD_WIDTH), false);
	y = nn_linear(n, "to_out", y, c->width, false);
	pop(g);
	return add(g, queries, cast(g, y, nn_sums(n)));
}

static tensor feed_forward(nn *n, const ip_adapter_config *c, tensor x)
{
	graph *g = n->g;
	push(g, "1");
	tensor y = cast(g, norm(n, "0", x), graph_compute(g));
	y = activate(g, nn_linear(n, "1", y, c->inner, false), GELU);
	y = nn_linear(n, "3", y, c->width, false);
	pop(g);
	return add(g, x, cast(g, y, nn_sums(n)));
}

static tensor resample(nn *n, const ip_adapter_config *c, tensor states)
{
	graph *g = n->g;
	const initial start = { NORMAL_START, 1 / sqrtf((float)c->width) };
	shape s = shape3(dim(g, states, 0), c->tokens, c->width);
	tensor queries = cast(g, nn_parameter(n, "latents", shape3(1, c->tokens, c->width), start), nn_sums(n));
	queries = spread(g, queries, s);
	states = cast(g, nn_linear(n, "proj_in", cast(g, states, graph_compute(g)), c->width, true), nn_sums(n));
	for (int i = 0; i < c->depth; i++) {
		push(g, "layers.%d", i);
		queries = feed_forward(n, c, perceive(n, c, states, queries));
		pop(g);
	}
	return norm(n, "norm_out", nn_linear(n, "proj_out", cast(g, queries, graph_compute(g)), c->context, true));
}

/* [N,in] → [N,tokens,context] */
static tensor project(nn *n, const ip_adapter_config *c, tensor x)
{
	tensor y = nn_linear(n, "proj", x, c->tokens * c->context, true);
	return norm(n, "norm", reshape(n->g, y, shape3(dim(n->g, x, 0), c->tokens, c->context)));
}

static tensor project_states(nn *n, const ip_adapter_config *c, tensor x)
{
	tensor y = activate(n->g, nn_linear(n, "proj.0", cast(n->g, x, graph_compute(n->g)), c->in, true), GELU);
	return norm(n, "proj.3", nn_linear(n, "proj.2", y, c->context, true));
}

tensor ip_adapter_tokens(nn *n, const ip_adapter_config *c, const clip_vision_config *v, tensor image, bool blank)
{
	graph *g = n->g;
	tensor x;
	push(g, "vision");
	x = c->kind == IP_BASE ? clip_vision_embedding(n, v, image) : clip_vision_penultimate(n, v, image);
	pop(g);
	if (c->kind == IP_BASE && blank) x = concat(g, x, fill(g, dtype_of(g, x), shape2(1, c->in), 0), 0);
	push(g, "image_proj");
	x = c->kind == IP_BASE ? project(n, c, x) : c->kind == IP_PLUS ? resample(n, c, x) : project_states(n, c, x);
	pop(g);
	return cast(g, x, REAL);
}

/* ── transformers of a U-Net ── */

static int count_down(const unet_config *u, int block) /* before this input block */
{
	int count = 0, at = 1;
	for (int level = 0; level < u->levels; at += u->blocks[level++] + 1)
		for (int i = 0; i < u->blocks[level] && u->attends[level]; i++)
			if (at + i < block) count += unet_depth_down(u, level, i);
	return count;
}

static int count_up(const unet_config *u, int block) /* before this output block */
{
	int count = 0, at = 0;
	for (int level = u->levels - 1; level >= 0; at += u->blocks[level--] + 1)
		for (int i = 0; i <= u->blocks[level] && u->attends[level]; i++)
			if (at + i < block) count += unet_depth_up(u, level, i);
	return count;
}

int ip_adapter_layers(const unet_config *u)
{
	int middle = u->middle == MIDDLE_WHOLE && u->middle_depth > 0 ? u->middle_depth : 0;
	return count_down(u, UNET_SKIPS) + count_up(u, UNET_SKIPS) + middle;
}

int ip_adapter_layer(const unet_config *u, const char *name)
{
	int block = 0, i = 0;
	if (sscanf(name, "input_blocks.%d.1.transformer_blocks.%d.", &block, &i) == 2) return count_down(u, block) + i;
	int down = count_down(u, UNET_SKIPS);
	if (sscanf(name, "output_blocks.%d.1.transformer_blocks.%d.", &block, &i) == 2)
		return down + count_up(u, block) + i;
	if (sscanf(name, "middle_block.1.transformer_blocks.%d.", &i) == 1) return down + count_up(u, UNET_SKIPS) + i;
	return -1;
}

/* ── blocks ── */

/* A block of the U-Net by diffusers' name: how many transformers it has, and the number of the first. */
typedef struct named_block {
	int count, first;
} named_block;

static named_block block_named(const unet_config *u, const char *name, size_t length)
{
	char text[16];
	int i = 0, n = 0;
	snprintf(text, sizeof text, "%.*s", length < sizeof text ? (int)length : 0, name);
	if (!strcmp(text, "mid") && u->middle == MIDDLE_WHOLE && u->middle_depth > 0)
		return (named_block){ 1, unet_attending_block(u, PERTURBED_MIDDLE, 0) };
	bool down = sscanf(text, "down_%d%n", &i, &n) == 1, up = !down && sscanf(text, "up_%d%n", &i, &n) == 1;
	if ((!down && !up) || text[n] || i < 0 || i >= u->levels) return (named_block){ 0 };
	int level = up ? u->levels - 1 - i : i;
	if (!u->attends[level]) return (named_block){ 0 };
	int place = up ? PERTURBED_UP + level : level;
	return (named_block){ u->blocks[level] + up, unet_attending_block(u, place, 0) };
}

static void list_blocks(const unet_config *u, char *text, size_t size)
{
	static const char *const kinds[] = { "down", "mid", "up" };
	size_t used = 0;
	*text = 0;
	for (int k = 0; k < 3; k++)
		for (int i = 0; i < (k == 1 ? 1 : u->levels) && used < size; i++) {
			char name[16];
			snprintf(name, sizeof name, k == 1 ? "mid" : "%s_%d", kinds[k], i);
			int count = block_named(u, name, strlen(name)).count;
			if (count)
				used += (size_t)snprintf(
				    text + used, size - used, count > 1 ? "%s%s (%d)" : "%s%s", used ? ", " : "", name, count);
		}
}

static bool refuse_blocks(const unet_config *u, const char *text, error *e)
{
	char list[400];
	list_blocks(u, list, sizeof list);
	return fail(e, BAD_USAGE,
	    "blocks '%.80s': NAME=X,NAME=X:X:…, each X 0 to 10, one for a block or one for each of its transformers, of %s",
	    text, list);
}

/* "NAME=X:X"; what follows it, or NULL. */
static const char *read_block(const unet_config *u, const char *at, float *weights)
{
	const char *equals = strchr(at, '=');
	named_block b = equals ? block_named(u, at, (size_t)(equals - at)) : (named_block){ 0 };
	int given = 0;
	for (at = equals; b.count && at && (*at == ':' || !given); given++) {
		int n = 0;
		float x = 0;
		if (given == b.count || sscanf(++at, "%f%n", &x, &n) != 1 || !(x >= 0 && x <= 10)) return NULL;
		weights[b.first + given] = x;
		at += n;
	}
	for (int i = 1; given == 1 && i < b.count; i++) weights[b.first + i] = weights[b.first];
	return given && (given == 1 || given == b.count) && (!*at || *at == ',') ? at : NULL;
}

bool ip_adapter_blocks_from_text(const char *text, const unet_config *u, float weights[IP_BLOCKS], error *e)
{
	static const struct {
		const char *name, *is;
	} known[] = { { "style", "up_0=0:1:0" }, { "layout", "down_2=0:1" } };
	memset(weights, 0, IP_BLOCKS * sizeof *weights);
	for (const char *at = text; at;) {
		const char *next = NULL;
		for (int i = 0; i < 2 && !next; i++) {
			size_t n = strlen(known[i].name);
			if (strncmp(at, known[i].name, n) || (at[n] && at[n] != ',')) continue;
			if (u->levels != 3 || !read_block(u, known[i].is, weights))
				return fail(e, BAD_USAGE, "blocks '%s' are known of SDXL: write them as down_2=0:1", known[i].name);
			next = at + n;
		}
		if (!next) next = read_block(u, at, weights);
		if (!next) return refuse_blocks(u, text, e);
		at = *next ? next + 1 : NULL;
	}
	return true;
}

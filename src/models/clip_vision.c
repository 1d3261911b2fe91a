/* clip_vision.c - patches, a class token, and CLIP's blocks without a mask. */
#include "models/clip_vision.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Names that differ between the two layouts. */
typedef struct names {
	const char *root, *patches, *class_token, *positions, *before, *after;
} names;
static const names hugging_face = { "vision_model", "embeddings.patch_embedding", "embeddings.class_embedding",
	"embeddings.position_embedding.weight", "pre_layrnorm", "post_layernorm" };
static const names open_clip = { "visual", "conv1", "class_embedding", "positional_embedding", "ln_pre", "ln_post" };

static const names *names_of(const clip_vision_config *c) { return c->blocks.fused ? &open_clip : &hugging_face; }

/* ── what a file says ── */

typedef struct reading {
	clip_vision_config *c;
	tensor_lookup *lookup;
	void *context;
} reading;

/* Whether there is such a tensor, with so many axes, within the encoder's own root. */
static bool find_tensor(const reading *r, shape *s, int axes, const char *format, int i)
{
	enum { LARGEST = 1 << 20 };
	char name[64], key[128];
	dtype d;
	snprintf(name, sizeof name, format, i);
	snprintf(key, sizeof key, "%s%s.%s", r->c->prefix, names_of(r->c)->root, name);
	bool found = r->lookup(r->context, key, &d, s, NULL) && s->n == axes;
	for (int k = 0; found && k < axes; k++) found = s->d[k] > 0 && s->d[k] <= LARGEST;
	return found;
}

static bool find_patches(const reading *r, shape *s)
{
	static const char *const prefixes[] = { "", "image_encoder.", "clip_vision.", "clip.", "model." };
	char name[64];
	for (int i = 0; i < 10; i++) {
		snprintf(r->c->prefix, sizeof r->c->prefix, "%s", prefixes[i / 2]);
		r->c->blocks.fused = i % 2;
		snprintf(name, sizeof name, "%s.weight", names_of(r->c)->patches);
		if (find_tensor(r, s, 4, name, 0) && s->d[1] == 3 && s->d[2] == s->d[3] && s->d[2] <= 256) return true;
	}
	return false;
}

static int projection_of(const reading *r)
{
	shape s;
	char key[64];
	dtype d;
	int width = r->c->blocks.width;
	if (r->c->blocks.fused) return find_tensor(r, &s, 2, "proj", 0) && s.d[0] == width ? s.d[1] : 0;
	snprintf(key, sizeof key, "%svisual_projection.weight", r->c->prefix);
	return r->lookup(r->context, key, &d, &s, NULL) && s.n == 2 && s.d[1] == width && s.d[0] > 0 ? s.d[0] : 0;
}

/* ViT-L and smaller have heads of 64 numbers, and OpenAI's files their own activation; ViT-H, ViT-g and ViT-bigG have
 * 16 heads. */
static bool read_heads(clip_config *b, const char *configuration, error *e)
{
	json_t *whole = configuration ? json_loads(configuration, 0, NULL) : NULL;
	const json_t *inner = json_object_get(whole, "vision_config"), *j = inner ? inner : whole;
	const json_t *heads = json_object_get(j, "num_attention_heads"), *act = json_object_get(j, "hidden_act");
	const char *name = json_string_value(act);
	json_int_t given = json_is_integer(heads) ? json_integer_value(heads) : 0;
	b->heads = given > 0 && given <= b->width ? (int)given : b->width <= 1024 ? (b->width + 63) / 64 : 16;
	bool quick = name ? !strcmp(name, "quick_gelu") : b->width <= 1024 && !b->fused;
	bool known = !name || quick || !strcmp(name, "gelu");
	if (!known) fail(e, BAD_FILE, "a CLIP vision tower with the activation '%.40s', which is not known", name);
	b->activation = quick ? GELU_QUICK : GELU;
	json_decref(whole);
	return known && (b->width % b->heads == 0 ||
	                    fail(e, BAD_FILE, "a CLIP vision tower of %d numbers in %d heads", b->width, b->heads));
}

bool clip_vision_recognise(
    tensor_lookup *lookup, void *context, const char *configuration, clip_vision_config *c, error *e)
{
	enum { MOST_LAYERS = 256, LARGEST_SIDE = 2048 };
	reading r = { c, lookup, context };
	shape s;
	*c = (clip_vision_config){ .blocks = { .epsilon = 1e-5f } };
	clip_config *b = &c->blocks;
	if (!find_patches(&r, &s)) return fail(e, BAD_FILE, "not a CLIP vision tower: no patch embedding in it");
	b->width = s.d[0];
	c->patch = s.d[2];
	if (!find_tensor(&r, &s, 2, names_of(c)->positions, 0) || s.d[0] > 1 << 16)
		return fail(e, BAD_FILE, "a CLIP vision tower without its positions");
	c->grid = (int)lrint(sqrt(s.d[0] - 1));
	if (c->grid < 1 || c->grid * c->grid + 1 != s.d[0])
		return fail(e, BAD_FILE, "a CLIP vision tower of %d positions: a square and 1 were expected", s.d[0]);
	if (clip_vision_side(c) > LARGEST_SIDE)
		return fail(e, BAD_FILE, "a CLIP vision tower for pictures of %d pixels to a side: at most %d",
		    clip_vision_side(c), LARGEST_SIDE);
	const char *norm = b->fused ? "transformer.resblocks.%d.ln_1.weight" : "encoder.layers.%d.layer_norm1.weight";
	while (b->layers < MOST_LAYERS && find_tensor(&r, &s, 1, norm, b->layers)) b->layers++;
	const char *widen = b->fused ? "transformer.resblocks.%d.mlp.c_fc.weight" : "encoder.layers.%d.mlp.fc1.weight";
	if (!find_tensor(&r, &s, 2, widen, 0)) return fail(e, BAD_FILE, "a CLIP vision tower without blocks");
	b->inner = s.d[0];
	b->projection = projection_of(&r);
	return read_heads(b, configuration, e);
}

/* ── the network ── */

int clip_vision_side(const clip_vision_config *c) { return c->patch * c->grid; }
int clip_vision_tokens(const clip_vision_config *c) { return c->grid * c->grid + 1; }

/* A class token in front of the patches, and positions. */
static tensor embed(nn *n, const clip_vision_config *c, tensor image)
{
	graph *g = n->g;
	const names *as = names_of(c);
	const initial start = { NORMAL_START, 0.02f };
	int width = c->blocks.width, items = dim(g, image, 0), count = clip_vision_tokens(c);
	tensor x = cast(g, image, graph_compute(g));
	x = nn_conv2d_strided(n, as->patches, x, width, c->patch, c->patch, 0, 0, false);
	x = reshape(g, x, shape3(items, count - 1, width));
	tensor first = cast(g, nn_parameter(n, as->class_token, shape1(width), start), graph_compute(g));
	first = spread(g, reshape(g, first, shape3(1, 1, width)), shape3(items, 1, width));
	tensor places = cast(g, nn_parameter(n, as->positions, shape2(count, width), start), graph_compute(g));
	return add(g, concat(g, first, x, 1), places);
}

static tensor states(nn *n, const clip_vision_config *c, tensor image, int layers)
{
	graph *g = n->g;
	tensor x = nn_layer_norm(n, names_of(c)->before, embed(n, c, image), c->blocks.epsilon);
	x = cast(g, x, nn_sums(n));
	for (int i = 0; i < layers; i++) x = clip_block(n, &c->blocks, i, false, x);
	return x;
}

tensor clip_vision_penultimate(nn *n, const clip_vision_config *c, tensor image)
{
	push(n->g, "%s", names_of(c)->root);
	tensor x = states(n, c, image, c->blocks.layers > 0 ? c->blocks.layers - 1 : 0);
	pop(n->g);
	return x;
}

tensor clip_vision_embedding(nn *n, const clip_vision_config *c, tensor image)
{
	graph *g = n->g;
	int width = c->blocks.width, items = dim(g, image, 0);
	push(g, "%s", names_of(c)->root);
	tensor x = slice(g, states(n, c, image, c->blocks.layers), 1, 0, 1);
	x = nn_layer_norm(n, names_of(c)->after, reshape(g, x, shape2(items, width)), c->blocks.epsilon);
	x = cast(g, x, graph_compute(g));
	if (c->blocks.fused) { /* stored [width,projection] */
		const initial start = { NORMAL_START, 1 / sqrtf((float)width) };
		tensor w = nn_weight(n, "proj", shape2(width, c->blocks.projection), start);
		x = matmul(g, x, w, false, false, dtype_of(g, x));
	}
	pop(g);
	return c->blocks.fused ? x : nn_linear(n, "visual_projection", x, c->blocks.projection, false);
}

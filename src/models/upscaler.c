/* upscaler.c - the networks, and what the tensors of a file say of their sizes. */
#include "models/upscaler.h"
#include <stdio.h>
#include <string.h>

enum { MOST_BLOCKS = 256, WIDEST = 4096 };

/* ── names ── */

bool upscaler_key(const upscaler_config *c, const char *name, char *key, size_t size)
{
	static const struct {
		const char *name, *esrgan;
	} trunk[] = { { "conv_body.", "trunk_conv." }, { "conv_up1.", "upconv1." }, { "conv_up2.", "upconv2." },
		{ "conv_hr.", "HRconv." } };
	const char *rest = strrchr(name, '.');
	int block, dense, conv, up, at = 0;
	bool inner = sscanf(name, "body.%d.rdb%d.conv%d%n", &block, &dense, &conv, &at) == 3 && at;
	if (c->kind == COMPACT || c->names == BASICSR_NAMES || !rest)
		return snprintf(key, size, "%s%s", c->prefix, name) < (int)size;
	if (c->names == ESRGAN_NAMES) {
		if (inner)
			return snprintf(key, size, "%sRRDB_trunk.%d.RDB%d.conv%d%s", c->prefix, block, dense, conv, rest) <
			       (int)size;
		for (size_t i = 0; i < sizeof trunk / sizeof *trunk; i++)
			if (!strncmp(name, trunk[i].name, strlen(trunk[i].name)))
				return snprintf(key, size, "%s%s%s", c->prefix, trunk[i].esrgan, rest + 1) < (int)size;
		return snprintf(key, size, "%s%s", c->prefix, name) < (int)size;
	}
	if (inner)
		return snprintf(key, size, "%smodel.1.sub.%d.RDB%d.conv%d.0%s", c->prefix, block, dense, conv, rest) <
		       (int)size;
	if (!strncmp(name, "conv_body.", 10))
		return snprintf(key, size, "%smodel.1.sub.%d%s", c->prefix, c->blocks, rest) < (int)size;
	int layer = !strncmp(name, "conv_first.", 11)      ? 0
	            : sscanf(name, "conv_up%d.", &up) == 1 ? 3 * up
	            : !strncmp(name, "conv_hr.", 8)        ? 3 * c->doublings + 2
	                                                   : 3 * c->doublings + 4;
	return snprintf(key, size, "%smodel.%d%s", c->prefix, layer, rest) < (int)size;
}

/* ── what a file holds ── */

typedef struct reading {
	tensor_lookup *lookup;
	void *context;
	const upscaler_config *c;
} reading;

/* Whether the file has a convolution of this name, and its channels out and in. */
static bool convolution(const reading *r, const char *name, int *out, int *in)
{
	char key[160];
	dtype d;
	shape s;
	if (!upscaler_key(r->c, name, key, sizeof key) || !r->lookup(r->context, key, &d, &s, NULL)) return false;
	if (s.n != 4 || s.d[2] != 3 || s.d[3] != 3 || s.d[0] < 1 || s.d[1] < 1 || s.d[0] > WIDEST || s.d[1] > WIDEST)
		return false;
	*out = s.d[0];
	*in = s.d[1];
	return true;
}

static bool has(const reading *r, const char *format, int i)
{
	char name[64];
	int out, in;
	snprintf(name, sizeof name, format, i);
	return convolution(r, name, &out, &in);
}

/* Blocks are counted first, for where MODEL_NAMES puts the last convolutions depends on it. */
static bool read_rrdb(const reading *r, upscaler_config *c)
{
	int in, out, first;
	if (!convolution(r, "conv_first.weight", &c->width, &first) ||
	    !convolution(r, "body.0.rdb1.conv1.weight", &c->growth, &in) || in != c->width)
		return false;
	while (c->blocks < MOST_BLOCKS && has(r, "body.%d.rdb1.conv1.weight", c->blocks)) c->blocks++;
	/* Behind the body, MODEL_NAMES counts by threes: a convolution for each doubling, then two */
	if (c->names != MODEL_NAMES)
		c->doublings = 2;
	else
		while (c->doublings < 4 && has(r, "conv_up%d.weight", c->doublings + 1)) c->doublings++;
	for (c->unshuffle = 1; c->unshuffle <= 8 && 3 * c->unshuffle * c->unshuffle != first;) c->unshuffle *= 2;
	if (!convolution(r, "conv_last.weight", &out, &in) || out != 3 || in != c->width) return false;
	c->scale = (1 << c->doublings) / c->unshuffle;
	return c->scale >= 1;
}

static bool read_compact(const reading *r, upscaler_config *c)
{
	int in, out;
	char key[64];
	if (!convolution(r, "body.0.weight", &c->width, &in) || in != 3) return false;
	while (c->blocks < MOST_BLOCKS && has(r, "body.%d.weight", 2 * c->blocks + 4)) c->blocks++;
	snprintf(key, sizeof key, "body.%d.weight", 2 * c->blocks + 2);
	if (!convolution(r, key, &out, &in) || in != c->width) return false;
	for (c->scale = 1; c->scale <= 8 && 3 * c->scale * c->scale != out;) c->scale++;
	return c->scale <= 8;
}

bool upscaler_recognise(tensor_lookup *lookup, void *context, upscaler_config *c, error *e)
{
	static const char *const prefixes[] = { "", "params_ema.", "params." };
	reading r = { lookup, context, c };
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		for (upscaler_names names = BASICSR_NAMES; names <= MODEL_NAMES; names++) {
			*c = (upscaler_config){ .kind = RRDB, .names = names };
			strcpy(c->prefix, prefixes[i]);
			if (read_rrdb(&r, c)) return true;
			*c = (upscaler_config){ .kind = COMPACT };
			strcpy(c->prefix, prefixes[i]);
			if (read_compact(&r, c)) return true;
		}
	return fail(e, BAD_FILE, "not an upscaler that is known: RRDBNet (ESRGAN, Real-ESRGAN) or SRVGGNetCompact");
}

int upscaler_inputs(const upscaler_config *c) { return c->kind == RRDB ? 3 * c->unshuffle * c->unshuffle : 3; }

/* ── the networks ── */

static tensor small(graph *g, tensor x) { return affine(g, x, 0.2f, 0); }

static tensor numbered(nn *n, const char *format, int i, tensor x, int out)
{
	char name[24];
	snprintf(name, sizeof name, format, i);
	return nn_conv2d(n, name, x, out, 3);
}

/* Each convolution reads all that came before it; the last one's result is a fifth of what is added. */
static tensor dense_block(nn *n, const upscaler_config *c, int number, tensor x)
{
	graph *g = n->g;
	push(g, "rdb%d", number);
	tensor all = cast(g, x, graph_compute(g));
	for (int i = 1; i <= 4; i++)
		all = concat(g, all, activate(g, numbered(n, "conv%d", i, all, c->growth), LEAKY_RELU), -1);
	tensor y = cast(g, numbered(n, "conv%d", 5, all, c->width), nn_sums(n));
	pop(g);
	return add(g, small(g, y), x);
}

static tensor rrdb(nn *n, const upscaler_config *c, tensor image)
{
	graph *g = n->g;
	dtype compute = graph_compute(g);
	tensor first = cast(g, nn_conv2d(n, "conv_first", cast(g, image, compute), c->width, 3), nn_sums(n)), x = first;
	for (int i = 0; i < c->blocks; i++) {
		tensor y = x;
		push(g, "body.%d", i);
		for (int k = 1; k <= 3; k++) y = dense_block(n, c, k, y);
		pop(g);
		x = add(g, small(g, y), x);
	}
	x = add(g, first, cast(g, nn_conv2d(n, "conv_body", cast(g, x, compute), c->width, 3), nn_sums(n)));
	x = cast(g, x, compute);
	for (int i = 1; i <= c->doublings; i++) {
		x = resize_nearest(g, x, 2 * dim(g, x, 1), 2 * dim(g, x, 2));
		x = activate(g, numbered(n, "conv_up%d", i, x, c->width), LEAKY_RELU);
	}
	x = activate(g, nn_conv2d(n, "conv_hr", x, c->width, 3), LEAKY_RELU);
	return cast(g, nn_conv2d(n, "conv_last", cast(g, x, nn_sums(n)), 3, 3), REAL);
}

/* x where it is positive, and x times a slope of its channel where it is not. */
static tensor prelu(nn *n, int layer, tensor x, int width)
{
	graph *g = n->g;
	char name[24];
	snprintf(name, sizeof name, "body.%d.weight", layer);
	tensor slope = nn_vector(n, name, width, (initial){ CONSTANT_START, 0.25f });
	slope = cast(g, reshape(g, slope, shape4(1, 1, 1, width)), dtype_of(g, x));
	tensor below = mul(g, activate(g, affine(g, x, -1, 0), RELU), slope);
	return sub(g, activate(g, x, RELU), below);
}

static tensor compact(nn *n, const upscaler_config *c, tensor image)
{
	graph *g = n->g;
	tensor x = cast(g, image, graph_compute(g));
	for (int i = 0; i <= c->blocks; i++) x = prelu(n, 2 * i + 1, numbered(n, "body.%d", 2 * i, x, c->width), c->width);
	x = cast(g, x, nn_sums(n));
	return cast(g, numbered(n, "body.%d", 2 * c->blocks + 2, x, 3 * c->scale * c->scale), REAL);
}

tensor upscaler_network(nn *n, const upscaler_config *c, tensor x)
{
	return c->kind == RRDB ? rrdb(n, c, x) : compact(n, c, x);
}

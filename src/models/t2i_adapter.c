/* t2i_adapter.c - the two kinds of T2I-Adapters, and how their files name them. */
#include "models/t2i_adapter.h"
#include <stdio.h>
#include <string.h>

enum { MOST_BLOCKS = 16, LATENT_SQUARE = 8 };

/* ── names ── */

bool t2i_adapter_key(const t2i_adapter_config *c, const char *name, char *key, size_t size)
{
	int output = 0, block = 0, at = 0;
	if (!c->diffusers_names) return snprintf(key, size, "%s%s", c->prefix, name) < (int)size;
	if (c->light && sscanf(name, "body.%d.body.%d.%n", &output, &block, &at) == 2 && at)
		return snprintf(key, size, "%sbody.%d.resnets.%d.%s", c->prefix, output, block, name + at) < (int)size;
	if (c->light || sscanf(name, "body.%d.%n", &block, &at) != 1 || !at)
		return snprintf(key, size, "%s%s", c->prefix, name) < (int)size;
	output = block / c->blocks;
	if (strncmp(name + at, "block", 5))
		return snprintf(key, size, "%sbody.%d.%s", c->prefix, output, name + at) < (int)size;
	return snprintf(key, size, "%sbody.%d.resnets.%d.%s", c->prefix, output, block % c->blocks, name + at) < (int)size;
}

/* ── what the U-Net says ── */

/* A level's output belongs to its last residual block; where that is not followed by a transformer, to what the level
 * gives, which has been halved. Where the first is of that kind (SDXL), there is one for the middle block too. */
static void follow_unet(const unet_config *u, t2i_adapter_config *c)
{
	int first = 1; /* skip of this level */
	for (int level = 0; level < u->levels; first += u->blocks[level++] + 1)
		c->place[level] = first + u->blocks[level] - (u->attends[level] || level == u->levels - 1);
	c->outputs = u->levels;
	if (!u->attends[0] && u->levels > 1) c->place[c->outputs++] = unet_skips(u);
	int size = 1 << u->levels, before = size;
	for (int i = 0; i < c->outputs; i++) {
		shape s = unet_skip_shape(u, c->place[i], 1, size, size);
		c->width[i] = s.d[3];
		c->halves[i] = i && s.d[1] < before;
		if (i == 0) c->square = LATENT_SQUARE * (size / s.d[1]);
		before = s.d[1];
	}
}

/* ── what the file says ── */

typedef struct reading {
	t2i_adapter_config *c;
	tensor_lookup *lookup;
	void *context;
} reading;

/* The shape of a convolution's weight, by the name that the network has for it. */
static bool convolution(const reading *r, shape *s, const char *format, int a, int b)
{
	enum { WIDEST = 1 << 16 };
	char name[64], key[128];
	dtype d;
	snprintf(name, sizeof name, format, a, b);
	bool found = t2i_adapter_key(r->c, name, key, sizeof key) && r->lookup(r->context, key, &d, s, NULL) && s->n == 4;
	for (int i = 0; found && i < 4; i++) found = s->d[i] > 0 && s->d[i] <= WIDEST;
	return found;
}

/* Under which prefix and names there is a first block; false: nowhere. */
static bool find_names(const reading *r)
{
	static const char *const prefixes[] = { "", "adapter.", "t2i_adapter." };
	t2i_adapter_config *c = r->c;
	shape s;
	c->blocks = MOST_BLOCKS; /* whatever it is, block 0 belongs to output 0 */
	for (int i = 0; i < 9; i++) {
		snprintf(c->prefix, sizeof c->prefix, "%s", prefixes[i / 3]);
		c->diffusers_names = i % 3 == 1;
		c->light = i % 3 == 2;
		if (!convolution(r, &s, c->light ? "body.%d.body.%d.block1.weight" : "body.%d.block1.weight", 0, 0)) continue;
		/* diffusers has one name for the blocks of both kinds */
		if (c->diffusers_names) c->light = !convolution(r, &s, "conv_in.weight", 0, 0);
		return true;
	}
	return false;
}

bool t2i_adapter_is_in(tensor_lookup *lookup, void *context)
{
	t2i_adapter_config c = { 0 };
	return find_names(&(reading){ &c, lookup, context });
}

static int count_blocks(const reading *r)
{
	shape s;
	int count = 0;
	const char *name = r->c->light ? "body.0.body.%d.block1.weight" : "body.%d.block1.weight";
	while (count < MOST_BLOCKS * T2I_OUTPUTS && convolution(r, &s, name, count, 0)) count++;
	return r->c->light || r->c->diffusers_names ? count : count / r->c->outputs;
}

/* Of each output the width that the U-Net has there. */
static bool check_widths(const reading *r, error *e)
{
	const t2i_adapter_config *c = r->c;
	shape s;
	for (int i = 0; i < c->outputs; i++) {
		bool there = c->light ? convolution(r, &s, "body.%d.out_conv.weight", i, 0)
		                      : convolution(r, &s, "body.%d.block1.weight", i * c->blocks, 0);
		if (!there)
			return fail(e, BAD_FILE,
			    "a T2I-Adapter for a U-Net of another kind: it has not the %d maps of features "
			    "that this one reads",
			    c->outputs);
		if (s.d[0] != c->width[i])
			return fail(e, BAD_FILE, "a T2I-Adapter whose map %d has %d channels; the U-Net reads %d", i + 1, s.d[0],
			    c->width[i]);
	}
	return true;
}

bool t2i_adapter_recognise(const unet_config *u, tensor_lookup *lookup, void *context, t2i_adapter_config *c, error *e)
{
	reading r = { c, lookup, context };
	shape s;
	*c = (t2i_adapter_config){ 0 };
	if (!find_names(&r)) return fail(e, BAD_FILE, "not a T2I-Adapter");
	follow_unet(u, c);
	c->blocks = count_blocks(&r);
	if (c->blocks < 1 || c->blocks > MOST_BLOCKS)
		return fail(e, BAD_FILE, "a T2I-Adapter of %d blocks for each of the %d maps that this U-Net reads: 1 to %d",
		    c->blocks, c->outputs, MOST_BLOCKS);
	if (!convolution(&r, &s, c->light ? "body.0.in_conv.weight" : "conv_in.weight", 0, 0))
		return fail(e, BAD_FILE, "a T2I-Adapter without its first convolution");
	int area = c->square * c->square;
	c->hint_channels = s.d[1] / area;
	if (s.d[1] != area && s.d[1] != 3 * area)
		return fail(e, BAD_FILE,
		    "a T2I-Adapter that reads %d numbers at a time; for this U-Net it should be %d or %d, of squares of %d "
		    "pixels",
		    s.d[1], area, 3 * area, c->square);
	if (!check_widths(&r, e)) return false;
	c->kernel = !c->light && convolution(&r, &s, "body.0.block2.weight", 0, 0) && s.d[2] == 3 ? 3 : 1;
	for (int i = 0; i < c->outputs && !c->diffusers_names; i++)
		c->strided |= convolution(&r, &s, "body.%d.down_opt.op.weight", c->light ? i : i * c->blocks, 0);
	return true;
}

/* ── the network ── */

int t2i_adapter_inputs(const t2i_adapter_config *c) { return c->hint_channels * c->square * c->square; }

/* The last row or column once more where their number is odd, so that the mean of what is left at the edge is its own.
 */
static tensor even(graph *g, tensor x, int axis)
{
	int n = dim(g, x, axis);
	return n % 2 ? concat(g, x, slice(g, x, axis, n - 1, 1), axis) : x;
}

static tensor halve(nn *n, const t2i_adapter_config *c, tensor x)
{
	graph *g = n->g;
	if (!c->strided) return pool(g, even(g, even(g, x, 1), 2), false, 2);
	x = cast(g, x, graph_compute(g));
	return cast(g, nn_conv2d_strided(n, "down_opt.op", x, dim(g, x, -1), 3, 2, 1, 1, true), nn_sums(n));
}

static tensor convolve(nn *n, const char *name, tensor x, int out, int size)
{
	return cast(n->g, nn_conv2d(n, name, cast(n->g, x, graph_compute(n->g)), out, size), nn_sums(n));
}

static tensor residual(nn *n, tensor x, int size)
{
	int width = dim(n->g, x, -1);
	tensor h = activate(n->g, convolve(n, "block1", x, width, 3), RELU);
	return add(n->g, convolve(n, "block2", h, width, size), x);
}

static tensor full_map(nn *n, const t2i_adapter_config *c, int output, tensor x)
{
	graph *g = n->g;
	for (int i = 0; i < c->blocks; i++) {
		push(g, "body.%d", output * c->blocks + i);
		if (i == 0 && c->halves[output]) x = halve(n, c, x);
		if (dim(g, x, -1) != c->width[output]) x = convolve(n, "in_conv", x, c->width[output], c->kernel);
		x = residual(n, x, c->kernel);
		pop(g);
	}
	return x;
}

static tensor light_map(nn *n, const t2i_adapter_config *c, int output, tensor x)
{
	graph *g = n->g;
	push(g, "body.%d", output);
	if (c->halves[output]) x = halve(n, c, x);
	x = convolve(n, "in_conv", x, c->width[output] / 4, 1);
	for (int i = 0; i < c->blocks; i++) {
		push(g, "body.%d", i);
		x = residual(n, x, 3);
		pop(g);
	}
	x = convolve(n, "out_conv", x, c->width[output], 1);
	pop(g);
	return x;
}

bool t2i_adapter(nn *n, const t2i_adapter_config *c, tensor hint, tensor *out)
{
	tensor x = cast(n->g, hint, nn_sums(n));
	if (!c->light) x = convolve(n, "conv_in", x, c->width[0], 3);
	for (int i = 0; i < c->outputs; i++) {
		x = c->light ? light_map(n, c, i, x) : full_map(n, c, i, x);
		out[i] = cast(n->g, x, REAL);
	}
	return graph_error(n->g)->status == OK;
}

bool t2i_adapter_build_dry(nn *n, const t2i_adapter_config *c)
{
	tensor out[T2I_OUTPUTS];
	int side = 1 << (c->outputs - 1);
	return t2i_adapter(n, c, input(n->g, "hint", REAL, shape4(1, side, side, t2i_adapter_inputs(c))), out);
}

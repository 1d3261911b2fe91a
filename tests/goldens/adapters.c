/* adapters.c - T2I-Adapters of both kinds and layouts, their maps; IP-Adapters of three kinds with vision towers of two
 * layouts, their tokens; and what Stable Diffusion 1 and SDXL give with them. The files are written here, with weights
 * that follow from their names as adapters.py has them. */
#include "trial.h"
#include "checkpoint/control.h"
#include "checkpoint/ip_adapter_file.h"
#include "io/weights.h"
#include "models/config.h"
#include "pipeline/image_masks.h"
#include "pipeline/picture.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bench {
	const char *name; /* "sd1" */
	family f;
	arrays unet;
	const arrays *io;
	const json_t *shapes;
	report *r;
} bench;

/* ── files ── */

static uint32_t crc32_of(const char *text)
{
	uint32_t crc = ~0u;
	for (; *text; text++) {
		crc ^= (uint8_t)*text;
		for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* Uniform in −1 … 1. */
static double weight_at(uint32_t name, size_t i)
{
	uint32_t h = (uint32_t)i * 2654435761u + name;
	h = (h ^ h >> 16) * 2246822519u;
	h = (h ^ h >> 13) * 3266489917u;
	h ^= h >> 16;
	return (h >> 8) / 8388608.0 - 1;
}

static void fill_values(const char *name, shape s, float *values)
{
	size_t n = shape_count(s);
	uint32_t crc = crc32_of(name);
	double bound = s.n > 1 ? sqrt(3.0 * s.d[0] / (double)n) : 0.5;
	for (size_t i = 0; i < n; i++) values[i] = (float)(weight_at(crc, i) * bound);
}

static shape shape_from(const json_t *axes)
{
	shape s = { .n = (int)json_array_size(axes) };
	for (int i = 0; i < s.n && i < MAX_DIMS; i++) s.d[i] = (int)json_integer_value(json_array_get(axes, (size_t)i));
	return s;
}

/* A tensor of its own name; or rows of others, one below the other; or another, transposed. */
static bool append(weights_writer *out, const char *name, const json_t *entry, error *e)
{
	const json_t *of = json_object_get(entry, "of");
	shape s = shape_from(of ? json_object_get(entry, "shape") : entry);
	size_t n = shape_count(s), count = of ? json_array_size(of) : 1;
	bool transposed = json_is_true(json_object_get(entry, "transposed"));
	float *values = malloc(n * sizeof *values), *other = malloc(n * sizeof *other);
	shape one = transposed ? shape2(s.d[1], s.d[0]) : s;
	one.d[0] /= (int)count;
	for (size_t i = 0; i < count; i++)
		fill_values(of ? json_string_value(json_array_get(of, i)) : name, one, values + i * (n / count));
	for (size_t i = 0; transposed && i < n; i++)
		other[i] = values[i % (size_t)s.d[1] * (size_t)s.d[0] + i / (size_t)s.d[1]];
	bool fine = weights_writer_append(out, transposed ? other : values, n * sizeof *values, e);
	free(values);
	free(other);
	return fine;
}

/* The original's name of a tensor of diffusers' T2IAdapter. */
static void original_name(const char *key, int blocks, bool light, char *name, size_t size)
{
	int output, block, at = 0;
	key += strlen("adapter.");
	if (sscanf(key, "body.%d.resnets.%d.%n", &output, &block, &at) == 2 && at)
		light ? snprintf(name, size, "body.%d.body.%d.%s", output, block, key + at)
		      : snprintf(name, size, "body.%d.%s", output * blocks + block, key + at);
	else if (!light && sscanf(key, "body.%d.%n", &output, &at) == 1 && at)
		snprintf(name, size, "body.%d.%s", output * blocks, key + at);
	else
		snprintf(name, size, "%s", key);
}

/* Writes the tensors of shapes.json's entry; blocks > 0: under the original's names. */
static bool write_file(const json_t *tensors, const char *path, int blocks, error *e)
{
	const char *key;
	json_t *axes;
	weights_writer *out = weights_writer_new(path, e);
	bool fine = out && tensors, light = !json_object_get(tensors, "adapter.conv_in.weight");
	for (int write = 0; fine && write < 2; write++) json_object_foreach((json_t *)(uintptr_t)tensors, key, axes)
		{
			char name[160];
			int64_t sides[MAX_DIMS];
			const json_t *whole = json_object_get(axes, "shape");
			shape s = shape_from(whole ? whole : axes);
			for (int i = 0; i < s.n; i++) sides[i] = s.d[i];
			snprintf(name, sizeof name, "%s", key);
			if (blocks) original_name(key, blocks, light, name, sizeof name);
			fine = fine && (write ? append(out, key, axes, e) : weights_writer_declare(out, name, F32, s.n, sides, e));
		}
	if (out && fine) return weights_writer_finish(out, e);
	weights_writer_abort(out);
	return false;
}

/* ── a T2I-Adapter ── */

typedef struct binding {
	const bench *b;
	control_file *control[2];
} binding;

static bool bind(void *context, const char *name, shape s, dtype *d, const void **at, error *e)
{
	const binding *y = context;
	shape found;
	int which = name[0] == '1';
	if (name[0] == '0' || name[0] == '1') return control_bind(y->control[which], name + 2, s, d, at, e);
	return (array_find(&y->b->unet, name, d, &found, at) && shape_same(s, found)) || fail(e, BAD_FILE, "no '%s'", name);
}

/* As much of the goldens' hint to a side, as the adapter reads it: squares as channels. */
static tensor golden_hint(trial *t, const bench *b, const t2i_adapter_config *c, int side, float **values)
{
	dtype d;
	shape s;
	const void *data;
	if (!array_find(b->io, "hint", &d, &s, &data)) return 0;
	const uint8_t *pixels = data;
	int q = c->square, squares = side / q, inputs = t2i_adapter_inputs(c);
	shape to = shape4(s.d[0], inputs, squares, squares);
	*values = calloc(shape_count(to), sizeof **values);
	for (size_t i = 0; i < shape_count(s); i++) {
		int column = (int)(i % (size_t)s.d[3]), row = (int)(i / (size_t)s.d[3] % (size_t)s.d[2]);
		int plane = (int)(i / (size_t)s.d[3] / (size_t)s.d[2]), color = c->hint_channels == 3 ? plane % 3 : 0;
		if (row >= side || column >= side) continue;
		int channel = plane / 3 * inputs + color * q * q + row % q * q + column % q;
		(*values)[(size_t)((channel * squares + row / q) * squares + column / q)] +=
		    (float)pixels[i] / (float)(255 * 3 / c->hint_channels);
	}
	return trial_value(t, "hint", F32, to, *values);
}

static void build_maps(trial *t, const binding *y, int which, int side, tensor *out, float **hint)
{
	nn *n = trial_nn(t);
	push(n->g, "%d", which);
	control_build(n, y->control[which], (denoiser_inputs){ 0 },
	    golden_hint(t, y->b, control_adapter(y->control[which]), side, hint), out);
	pop(n->g);
}

/* Adds an adapter's maps of the whole hint to what the U-Net is to add. */
static void add_maps(trial *t, const binding *y, int which, float share, tensor *features, float **hint)
{
	graph *g = trial_nn(t)->g;
	const t2i_adapter_config *c = control_adapter(y->control[which]);
	tensor out[T2I_OUTPUTS];
	build_maps(t, y, which, 64, out, hint);
	for (int i = 0; i < c->outputs; i++) {
		tensor *to = &features[c->place[i]], scaled = affine(g, out[i], share, 0);
		*to = *to ? add(g, *to, scaled) : scaled;
	}
}

/* Of odd sides. */
static void run_maps(const binding *y, const char *topic, const char *name)
{
	float *hint = NULL;
	tensor out[T2I_OUTPUTS];
	trial *t = trial_new(topic, REAL, NULL, NULL, 0);
	trial_bind(t, bind, (void *)(uintptr_t)y);
	build_maps(t, y, 0, 48, out, &hint);
	for (int i = 0; i < control_adapter(y->control[0])->outputs; i++)
		trial_expect(t, out[i], y->b->io, "t2i.%s.map.%d", name, i);
	trial_end(t, y->b->r, 2e-5);
	free(hint);
}

static tensor denoise(trial *t, const bench *b, const tensor *features)
{
	denoiser_inputs in = { .x = trial_input(t, b->io, "%s.x", b->name),
		.t = trial_input(t, b->io, "%s.t", b->name),
		.context = trial_input(t, b->io, "%s.context", b->name),
		.vector = trial_input(t, b->io, "%s.y", b->name),
		.features = features };
	return family_denoise(trial_nn(t), &b->f, in);
}

static control_file *open_adapter(const bench *b, const char *name, int blocks)
{
	error e = { 0 };
	char path[] = "/tmp/sumi-golden-XXXXXX", key[64];
	int file = mkstemp(path);
	if (file >= 0) close(file);
	snprintf(key, sizeof key, "t2i.%s", name);
	control_file *c =
	    write_file(json_object_get(b->shapes, key), path, blocks, &e) ? control_open(path, &b->f, &e) : NULL;
	unlink(path);
	if (!c) {
		printf("      %s: %s\n", name, e.text);
		report_error(b->r, key, INFINITY, 0);
	}
	return c;
}

/* blocks: of the original's layout; 0: diffusers'. */
static void run_adapter(const bench *b, const char *name, int blocks)
{
	static const char *const golden[] = { "1.0", "0.6" };
	binding y = { b, { open_adapter(b, name, blocks) } };
	char topic[64];
	snprintf(topic, sizeof topic, "adapters/t2i %s%s", name, blocks ? " original" : "");
	if (y.control[0]) run_maps(&y, topic, name);
	for (int i = 0; y.control[0] && i < 2; i++) {
		float *hint = NULL;
		tensor features[UNET_SKIPS + 1] = { 0 };
		trial *t = trial_new(topic, REAL, NULL, NULL, 0);
		trial_bind(t, bind, &y);
		add_maps(t, &y, 0, (float)atof(golden[i]), features, &hint);
		trial_expect(t, denoise(t, b, features), b->io, "t2i.%s.out_%s", name, golden[i]);
		trial_end(t, b->r, 2e-5);
		free(hint);
	}
	control_close(y.control[0]);
}

/* Two at once. */
static void run_both(const bench *b)
{
	float *hint[2] = { NULL };
	tensor features[UNET_SKIPS + 1] = { 0 };
	binding y = { b, { open_adapter(b, "sd1.full", 0), open_adapter(b, "sd1.light", 4) } };
	if (y.control[0] && y.control[1]) {
		trial *t = trial_new("adapters/t2i two", REAL, NULL, NULL, 0);
		trial_bind(t, bind, &y);
		add_maps(t, &y, 0, 0.7f, features, &hint[0]);
		add_maps(t, &y, 1, 0.3f, features, &hint[1]);
		trial_expect(t, denoise(t, b, features), b->io, "t2i.sd1.both.out");
		trial_end(t, b->r, 2e-5);
	}
	for (int i = 0; i < 2; i++) {
		control_close(y.control[i]);
		free(hint[i]);
	}
}

/* ── IP-Adapters ── */

typedef struct prompting {
	const bench *b;
	ip_adapter_file *files[2];
} prompting;

static bool bind_prompting(void *context, const char *name, shape s, dtype *d, const void **at, error *e)
{
	const prompting *y = context;
	shape found;
	if (name[0] == '0' || name[0] == '1') return ip_adapter_bind(y->files[name[0] == '1'], 0, name + 2, s, d, at, e);
	for (int i = 0; i < 2 && y->files[i]; i++)
		if (ip_adapter_bind(y->files[i], i, name, s, d, at, e)) return true;
	if (failed(e)) return false;
	return (array_find(&y->b->unet, name, d, &found, at) && shape_same(s, found)) || fail(e, BAD_FILE, "no '%s'", name);
}

static ip_adapter_file *open_ip_adapter(const bench *b, const char *kind, const char *vision)
{
	error e = { 0 };
	char folder[] = "/tmp/sumi-golden-XXXXXX", path[64], tower[64], config[64], key[32];
	bool fine = mkdtemp(folder) != NULL;
	snprintf(path, sizeof path, "%s/ip", folder);
	snprintf(tower, sizeof tower, "%s/model.safetensors", folder);
	snprintf(config, sizeof config, "%s/config.json", folder);
	snprintf(key, sizeof key, "ip.%s.%s", b->name, kind);
	FILE *f = fopen(config, "w");
	if (f) fputs("{\"num_attention_heads\":2,\"hidden_act\":\"gelu\"}", f), fclose(f);
	fine = fine && write_file(json_object_get(b->shapes, key), path, 0, &e) &&
	       write_file(json_object_get(b->shapes, vision), tower, 0, &e);
	ip_adapter_file *a = fine ? ip_adapter_open(path, folder, &b->f, &e) : NULL;
	unlink(path);
	unlink(tower);
	unlink(config);
	rmdir(folder);
	if (!a) {
		printf("      %s: %s\n", key, e.text);
		report_error(b->r, key, INFINITY, 0);
	}
	return a;
}

/* An image and, of those that read states, a blank one → tokens of the blank and of the image. */
static tensor tokens_of(trial *t, const prompting *y, int which, const char *pixels)
{
	graph *g = trial_nn(t)->g;
	const ip_adapter_file *a = y->files[which];
	const ip_adapter_config *c = ip_adapter_config_of(a);
	tensor image = trial_input(t, y->b->io, "%s", pixels), blank = fill(g, REAL, shape_of(g, image), 0);
	if (c->kind != IP_BASE) image = concat(g, image, blank, 0);
	push(g, "%d", which);
	tensor both = ip_adapter_tokens(trial_nn(t), c, ip_adapter_vision(a), image, true);
	pop(g);
	return concat(g, slice(g, both, 0, 1, 1), slice(g, both, 0, 0, 1), 0);
}

static void run_ip_adapter(const bench *b, const char *name, const char *first, const char *second, const char *vision)
{
	static const float strengths[2] = { 1, 0.6f };
	prompting y = { b, { open_ip_adapter(b, first, vision), second ? open_ip_adapter(b, second, vision) : NULL } };
	char topic[64];
	snprintf(topic, sizeof topic, "adapters/ip %s", vision);
	for (int k = 0; y.files[0] && (!second || y.files[1]) && k < 2; k++) {
		trial *t = trial_new(topic, REAL, NULL, NULL, 0);
		nn *n = trial_nn(t);
		image_prompt prompts[2] = { 0 };
		trial_bind(t, bind_prompting, &y);
		for (int i = 0; i < 2 && y.files[i]; i++) {
			prompts[i].tokens = tokens_of(t, &y, i, "pixel_values");
			prompts[i].strengths = fill(n->g, REAL, shape1(2 * IP_BLOCKS), i ? 0.5f : strengths[k]);
			prompts[i].weights = i;
		}
		if (!k && !second) trial_expect(t, prompts[0].tokens, b->io, "ip.%s.%s.tokens", b->name, name);
		n->images = prompts;
		n->image_count = second ? 2 : 1;
		trial_expect(t, denoise(t, b, NULL), b->io, "ip.%s.%s.out_%s", b->name, name, k ? "0.6" : "1.0");
		trial_end(t, b->r, 2e-5);
	}
	ip_adapter_close(y.files[0]);
	ip_adapter_close(y.files[1]);
}

/* ── several images, masks, blocks ── */

typedef struct variant {
	trial *t;
	prompting y;
	tensor tokens[2]; /* of the two images */
	nn *n;
	image_prompt prompts[2];
	float *masks[2];
	char topic[64];
} variant;

static variant *variant_new(const bench *b, const char *kind, const char *what)
{
	static const char *const pixels[] = { "pixel_values", "pixel_values_2" };
	variant *v = calloc(1, sizeof *v);
	snprintf(v->topic, sizeof v->topic, "adapters/ip %s", what);
	v->y = (prompting){ b, { open_ip_adapter(b, kind, "vision") } };
	v->t = trial_new(v->topic, REAL, NULL, NULL, 0);
	v->n = trial_nn(v->t);
	trial_bind(v->t, bind_prompting, &v->y);
	for (int i = 0; i < 2 && v->y.files[0]; i++) v->tokens[i] = tokens_of(v->t, &v->y, 0, pixels[i]);
	v->n->images = v->prompts;
	return v;
}

static tensor even_strengths(graph *g, float x) { return fill(g, REAL, shape1(2 * IP_BLOCKS), x); }

static void variant_end(variant *v, const char *kind, const char *what)
{
	const bench *b = v->y.b;
	if (v->y.files[0]) trial_expect(v->t, denoise(v->t, b, NULL), b->io, "ip.%s.%s.%s", b->name, kind, what);
	trial_end(v->t, b->r, 2e-5);
	ip_adapter_close(v->y.files[0]);
	free(v->masks[0]);
	free(v->masks[1]);
	free(v);
}

static void run_two_images(const bench *b, const char *kind)
{
	variant *v = variant_new(b, kind, "two images");
	graph *g = v->n->g;
	v->prompts[0] =
	    (image_prompt){ concat(g, v->tokens[0], v->tokens[1], 1), even_strengths(g, 0.7f), .mask_count = 0 };
	v->n->image_count = 1;
	variant_end(v, kind, "two");
}

/* The goldens' mask, or its reverse, at all sizes, for two items. */
static float *mask_values(const bench *b, bool reverse, size_t *count)
{
	enum { SIDE = 64, LATENT = 8 };
	dtype d;
	shape s;
	const void *data;
	int places[IMAGE_MASKS];
	error e = { 0 };
	if (!array_find(b->io, "mask", &d, &s, &data)) return NULL;
	const uint8_t *grey = data;
	size_t n = shape_count(s), at = 0;
	uint8_t *pixels = malloc(3 * n);
	for (size_t i = 0; i < 3 * n; i++) pixels[i] = (uint8_t)(reverse ? 255 - grey[i / 3] : grey[i / 3]);
	const sumi_image mask = { .size = sizeof mask, .width = s.d[1], .height = s.d[0], .pixels = pixels };
	const unet_config *u = &b->f.denoiser.unet;
	image_mask_places(u, LATENT, LATENT, places);
	for (int i = 0; i < u->levels; i++) at += (size_t)places[i];
	float *one = malloc(at * sizeof *one), *two = malloc(2 * at * sizeof *two), *from = one;
	if (!image_mask(&mask, SIDE, SIDE, u, LATENT, LATENT, one, &e)) printf("      mask: %s\n", e.text);
	for (int i = 0; i < u->levels; from += places[i++])
		for (int k = 0; k < 2; k++)
			memcpy(two + 2 * (from - one) + k * places[i], from, (size_t)places[i] * sizeof *two);
	*count = 2 * at;
	free(pixels);
	free(one);
	return two;
}

/* An image in each of two regions, by the same weights. */
static void run_masks(const bench *b, const char *kind)
{
	variant *v = variant_new(b, kind, "masks");
	graph *g = v->n->g;
	int places[IMAGE_MASKS], levels = b->f.denoiser.unet.levels;
	image_mask_places(&b->f.denoiser.unet, 8, 8, places);
	for (int i = 0; i < 2; i++) {
		image_prompt *p = &v->prompts[i];
		size_t n = 0, at = 0;
		v->masks[i] = mask_values(b, i, &n);
		*p = (image_prompt){ v->tokens[i], even_strengths(g, i ? 0.4f : 0.7f), .mask_count = levels };
		tensor all = trial_value(v->t, i ? "mask 1" : "mask 0", F32, shape1((int)n), v->masks[i]);
		for (int k = 0; k < levels; at += 2 * (size_t)places[k++])
			p->masks[k] = view(g, all, at, shape3(2, places[k], 1));
	}
	v->n->image_count = 2;
	variant_end(v, kind, "masks");
}

static void run_blocks(const bench *b, const char *kind, const char *text)
{
	variant *v = variant_new(b, kind, "blocks");
	graph *g = v->n->g;
	error e = { 0 };
	float scales[IP_BLOCKS];
	image_prompt *p = &v->prompts[0];
	if (!ip_adapter_blocks_from_text(text, &b->f.denoiser.unet, scales, &e)) printf("      %s\n", e.text);
	*p = (image_prompt){ .tokens = v->tokens[0] };
	for (int i = 0; i < unet_attending_blocks(&b->f.denoiser.unet); i++) {
		tensor one = fill(g, REAL, shape1(2), scales[i]);
		p->strengths = i ? concat(g, p->strengths, one, 0) : one;
		p->absent |= (uint64_t)(scales[i] == 0) << i;
	}
	v->n->image_count = 1;
	variant_end(v, kind, "blocks");
}

/* The tower's own results, and how pictures come to it. */
static void run_vision(const bench *b, const char *vision)
{
	prompting y = { b, { open_ip_adapter(b, "base", vision) } };
	char topic[64];
	snprintf(topic, sizeof topic, "adapters/%s", vision);
	if (!y.files[0]) return;
	trial *t = trial_new(topic, REAL, NULL, NULL, 0);
	nn *n = trial_nn(t);
	trial_bind(t, bind_prompting, &y);
	push(n->g, "0.vision");
	const clip_vision_config *c = ip_adapter_vision(y.files[0]);
	tensor image = trial_input(t, b->io, "pixel_values");
	trial_expect(t, clip_vision_embedding(n, c, image), b->io, "image_embeds");
	trial_expect(t, clip_vision_penultimate(n, c, image), b->io, "penultimate");
	pop(n->g);
	trial_end(t, b->r, 2e-5);
	ip_adapter_close(y.files[0]);
}

static void run_picture(const bench *b)
{
	enum { SIDE = 16 };
	dtype d;
	shape s;
	const void *pixels;
	float found[3 * SIDE * SIDE];
	size_t n = 0;
	const float *expected = array_of(b->io, &n, "pixel_values");
	if (!expected || n != 3 * SIDE * SIDE || !array_find(b->io, "image", &d, &s, &pixels)) return;
	const sumi_image image = {
		.size = sizeof image, .width = s.d[1], .height = s.d[0], .pixels = (uint8_t *)(uintptr_t)pixels
	};
	double worst = clip_picture(&image, SIDE, found, NULL) ? 0 : INFINITY;
	for (size_t i = 0; i < n; i++)
		worst = worse(worst, fabs((double)found[i] - (double)expected[i % 3 * SIDE * SIDE + i / 3]));
	report_error(b->r, "adapters/pixel_values", worst, 1e-6);
}

static void run_ip_adapters(const bench *b)
{
	static const char *const towers[] = { "vision", "vision.open_clip" };
	for (int i = 0; i < 2; i++) {
		run_ip_adapter(b, "base", "base", NULL, towers[i]);
		run_ip_adapter(b, "plus", "plus", NULL, towers[i]);
	}
	run_ip_adapter(b, "full", "full", NULL, towers[0]);
	run_ip_adapter(b, "base+plus", "base", "plus", towers[0]);
	for (int i = 0; i < 2; i++) {
		const char *kind = i ? "plus" : "base";
		run_two_images(b, kind);
		run_masks(b, kind);
		run_blocks(
		    b, kind, b->f.denoiser.unet.levels == 4 ? "down_1=0.5,mid=0.25,up_2=0:1:0.3" : "down_2=0:0.8,up_0=0.5");
	}
}

/* ── both models ── */

static bool open_unet(bench *b, const char *base, const char *config, const char *path, error *e)
{
	json_t *json = json_of(config);
	const json_t *unet = json_object_get(json, "unet");
	b->f = *family_by_name(base, e);
	snprintf(b->f.prefix[DENOISER], PREFIX_LENGTH, "model.diffusion_model");
	bool fine = json && unet_config_from_json(unet ? unet : json, &b->f.denoiser.unet, e);
	b->unet = arrays_open(path);
	json_decref(json);
	return fine;
}

void golden_adapters(const char *dir, report *r)
{
	error e = { 0 };
	arrays io = arrays_open(path_of(dir, "adapters/io.safetensors"));
	json_t *shapes = json_of(path_of(dir, "adapters/shapes.json"));
	bench sd1 = { .name = "sd1", .io = &io, .shapes = shapes, .r = r },
	      sdxl = { .name = "sdxl", .io = &io, .shapes = shapes, .r = r };
	if (io.header &&
	    open_unet(&sd1, "sd1", path_of(dir, "sd1/config.json"), path_of(dir, "sd1/model.safetensors"), &e) &&
	    open_unet(&sdxl, "sdxl", path_of(dir, "unet/distilled.config.json"), path_of(dir, "unet/distilled.safetensors"),
	        &e)) {
		run_adapter(&sd1, "sd1.full", 0);
		run_adapter(&sd1, "sd1.full", 2);
		run_adapter(&sd1, "sd1.grey", 1);
		run_adapter(&sd1, "sd1.light", 0);
		run_adapter(&sd1, "sd1.light", 4);
		run_adapter(&sdxl, "sdxl.full", 0);
		run_adapter(&sdxl, "sdxl.full", 2);
		run_both(&sd1);
		run_picture(&sd1);
		run_vision(&sd1, "vision");
		run_vision(&sd1, "vision.open_clip");
		run_ip_adapters(&sd1);
		run_ip_adapters(&sdxl);
	}
	if (failed(&e)) report_uncovered(r, "adapters", e.text);
	arrays_close(&sd1.unet);
	arrays_close(&sdxl.unet);
	arrays_close(&io);
	json_decref(shapes);
}

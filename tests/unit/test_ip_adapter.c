/* test_ip_adapter.c - IP-Adapters as a caller has them: of each kind, with vision towers in both layouts, in a file or
 * a folder, several at once, in batches and sessions; and files that do not go together. */
#include "tiny.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/ip_adapter_file.h"
#include <math.h>
#include <sys/stat.h>

enum { SIDE = 16, WIDTH = 32 };
static unsigned char colours[2][3 * 24 * 20];
static const sumi_image pictures[2] = {
	{ .size = sizeof pictures[0], .width = 24, .height = 20, .pixels = colours[0] },
	{ .size = sizeof pictures[1], .width = 20, .height = 24, .pixels = colours[1] },
};

static const ip_adapter_config base = { .kind = IP_BASE, .in = 24, .context = 16, .tokens = 4 },
                               plus = { .kind = IP_PLUS,
	                               .in = WIDTH,
	                               .context = 16,
	                               .tokens = 3,
	                               .width = 8,
	                               .depth = 2,
	                               .heads = 1,
	                               .inner = 16 },
                               full = { .kind = IP_FULL, .in = WIDTH, .context = 16 };
static const clip_vision_config tower = {
	.blocks = { .width = WIDTH,
	    .layers = 2,
	    .heads = 1,
	    .inner = 48,
	    .activation = GELU_QUICK,
	    .epsilon = 1e-5f,
	    .projection = 24 },
	.patch = 4,
	.grid = 4,
};

/* ── files ── */

typedef struct writing {
	const ip_adapter_config *c;
	const clip_vision_config *v;
	family f;
	bool vision, values;
	const char *left_out; /* how names begin that are not written */
	weights_writer *out;
} writing;

/* The name in the file of what the networks read; false: it is in the other file. */
static bool file_key(const writing *y, const char *name, char *key, size_t size)
{
	const char *at = strstr(name, ".attn2.to_");
	if (!strncmp(name, "vision.", 7)) return y->vision && snprintf(key, size, "%s%s", y->v->prefix, name + 7) > 0;
	if (!strncmp(name, "image_proj.", 11)) return !y->vision && snprintf(key, size, "%s", name) > 0;
	if (y->vision || !at || !strstr(at, "_ip.0.weight")) return false;
	int layer = ip_adapter_layer(&y->f.denoiser.unet, name);
	assert_true(layer >= 0);
	return snprintf(key, size, "ip_adapter.%d.to_%c_ip.weight", 2 * layer + 1, at[10]) > 0;
}

static void write_tensor(void *context, const char *name, shape s, initial start)
{
	const writing *y = context;
	error e = { 0 };
	char key[160];
	int64_t sides[MAX_DIMS];
	size_t n = shape_count(s);
	uint32_t state = 1;
	(void)start;
	if (!file_key(y, name, key, sizeof key) || (y->left_out && !strncmp(key, y->left_out, strlen(y->left_out)))) return;
	for (int i = 0; i < s.n; i++) sides[i] = s.d[i];
	if (!y->values) {
		assert_true(weights_writer_declare(y->out, key, F32, s.n, sides, &e));
		return;
	}
	float *values = malloc(n * sizeof *values), bound = s.n > 1 ? 2 * sqrtf((float)s.d[0] / (float)n) : 1;
	for (const char *c = name; *c; c++) state = state * 31 + (unsigned char)*c;
	for (size_t i = 0; i < n; i++) {
		state = state * 1664525 + 1013904223;
		values[i] = ((float)(state >> 8) / 8388608 - 1) * bound;
	}
	assert_true(weights_writer_append(y->out, values, n * sizeof *values, &e));
	free(values);
}

static const char *write_file(const char *name, writing y)
{
	error e = { 0 };
	const char *path = scratch_path(name);
	checkpoint *of = checkpoint_open(TINY_SD1, &e);
	assert_non_null(of);
	y.f = *checkpoint_family(of);
	checkpoint_close(of);
	y.out = weights_writer_new(path, &e);
	for (int i = 0; i < 2; i++) {
		nn n = { .g = graph_new(REAL), .parameter = write_tensor, .context = &y };
		graph *g = n.g;
		y.values = i;
		ip_adapter_tokens(&n, y.c, y.v, input(g, "image", REAL, shape4(1, SIDE, SIDE, 3)), false);
		const image_prompt prompt = { .tokens = input(g, "tokens", REAL, shape3(1, 1, y.c->context)),
			.strengths = input(g, "strengths", REAL, shape1(IP_BLOCKS)) };
		n.images = &prompt;
		n.image_count = 1;
		denoiser_build_dry(&n, &y.f.denoiser);
		assert_int_equal(graph_error(g)->status, OK);
		graph_free(g);
	}
	assert_true(weights_writer_finish(y.out, &e));
	return path;
}

static const char *write_adapter(const char *name, const ip_adapter_config *c, const char *left_out)
{
	return write_file(name, (writing){ .c = c, .v = &tower, .left_out = left_out });
}

static const char *write_tower(const char *name, const clip_vision_config *v, const char *left_out)
{
	const ip_adapter_config *c = v->blocks.projection ? &base : &plus; /* of which the tower's whole length is named */
	return write_file(name, (writing){ .c = c, .v = v, .vision = true, .left_out = left_out });
}

/* ── drawing ── */

static sumi_model *open_model(void)
{
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < sizeof colours[k]; i++)
			colours[k][i] = (unsigned char)(i / 30 % 2 ? 240 - 90 * k : 30 * k);
	return tiny_open(TINY_SD1);
}

static sumi_ip_adapter prompt(const char *path, const char *vision, double strength)
{
	sumi_ip_adapter a = sumi_ip_adapter_defaults();
	a.path = path;
	a.vision = vision;
	a.image = &pictures[0];
	a.strength = strength;
	return a;
}

static sumi_options with(const sumi_ip_adapter *const *list, int count)
{
	sumi_options o = tiny_square();
	o.ip_adapters = list;
	o.ip_adapter_count = count;
	return o;
}

static sumi_image *draw(sumi_model *m, const sumi_ip_adapter *const *list, int count)
{
	sumi_options o = with(list, count);
	return tiny_picture(m, &o);
}

static void strength_and_steps(void **state)
{
	(void)state;
	const char *file = write_adapter("style.safetensors", &base, NULL),
	           *vision = write_tower("v.safetensors", &tower, NULL);
	sumi_model *m = open_model();
	sumi_ip_adapter whole = prompt(file, vision, 1), half = prompt(file, vision, 0.5), none = prompt(file, vision, 0),
	                early = prompt(file, vision, 1), other = prompt(file, vision, 1);
	early.to = 0.5;
	other.image = &pictures[1];
	sumi_image *all[] = { draw(m, NULL, 0), draw(m, (const sumi_ip_adapter *const[]){ &whole }, 1),
		draw(m, (const sumi_ip_adapter *const[]){ &half, &half }, 2),
		draw(m, (const sumi_ip_adapter *const[]){ &none }, 1), draw(m, (const sumi_ip_adapter *const[]){ &early }, 1),
		draw(m, (const sumi_ip_adapter *const[]){ &other }, 1) };
	assert_true(tiny_farthest(all[0], all[1]) > 2);
	assert_true(tiny_farthest(all[1], all[2]) <= 1);
	assert_int_equal(tiny_farthest(all[0], all[3]), 0);
	assert_true(tiny_farthest(all[0], all[4]) > 0 && tiny_farthest(all[1], all[4]) > 0);
	assert_true(tiny_farthest(all[1], all[5]) > 0);
	assert_non_null(strstr(all[4]->parameters,
	    "ControlNet 0: \"Module: ip-adapter_clip_h, Model: style, Weight: 1, Resize Mode: Just Resize, Guidance Start: "
	    "0, Guidance End: 0.5, Control Mode: Balanced\""));
	for (int i = 0; i < 6; i++) sumi_image_free(all[i]);
	sumi_close(m);
}

/* Two pictures of one adapter are one prompt: their order does not matter, and one of them twice is as it is once. */
static void several_images(void **state)
{
	(void)state;
	const char *file = write_adapter("a.safetensors", &plus, NULL),
	           *vision = write_tower("v.safetensors", &tower, NULL);
	const sumi_image *const lists[][2] = { { &pictures[0], &pictures[1] }, { &pictures[1], &pictures[0] },
		{ &pictures[0], &pictures[0] } };
	sumi_model *m = open_model();
	sumi_image *made[6];
	for (int i = 0; i < 6; i++) {
		sumi_ip_adapter a = prompt(file, vision, 1);
		a.image = i < 3 ? NULL : &pictures[i == 4];
		if (i < 3) a.images = lists[i], a.image_count = 2;
		if (i == 5) a.images = lists[0], a.image_count = 1; /* before `image` */
		made[i] = draw(m, (const sumi_ip_adapter *const[]){ &a }, 1);
	}
	assert_true(tiny_farthest(made[0], made[1]) <= 1 && tiny_farthest(made[2], made[3]) <= 1);
	assert_true(tiny_farthest(made[0], made[3]) > 1 && tiny_farthest(made[0], made[4]) > 1);
	assert_int_equal(tiny_farthest(made[3], made[5]), 0);
	for (int i = 0; i < 6; i++) sumi_image_free(made[i]);
	sumi_close(m);
}

/* A white mask is none, a black one leaves the adapter out, and two halves are two prompts, each where it is. */
static void masks(void **state)
{
	(void)state;
	enum { LENGTH = 64 };
	static unsigned char white[3 * LENGTH * LENGTH], black[3 * LENGTH * LENGTH], left[3 * LENGTH * LENGTH],
	    right[3 * LENGTH * LENGTH];
	unsigned char *const pixels[] = { white, black, left, right };
	sumi_image masks[4];
	memset(white, 255, sizeof white);
	for (int i = 0; i < 3 * LENGTH * LENGTH; i++)
		right[i] = (unsigned char)~(left[i] = i / 3 % LENGTH < LENGTH / 2 ? 255 : 0);
	for (int i = 0; i < 4; i++)
		masks[i] = (sumi_image){ .size = sizeof masks[i], .width = LENGTH, .height = LENGTH, .pixels = pixels[i] };
	const char *file = write_adapter("a.safetensors", &base, NULL),
	           *vision = write_tower("v.safetensors", &tower, NULL);
	sumi_model *m = open_model();
	sumi_ip_adapter whole = prompt(file, vision, 1), one = whole, other = whole;
	sumi_image *without = draw(m, NULL, 0), *everywhere = draw(m, (const sumi_ip_adapter *const[]){ &whole }, 1);
	one.mask = &masks[0];
	sumi_image *all = draw(m, (const sumi_ip_adapter *const[]){ &one }, 1);
	one.mask = &masks[1];
	sumi_image *none = draw(m, (const sumi_ip_adapter *const[]){ &one }, 1);
	one.mask = &masks[2], other.mask = &masks[3];
	sumi_image *half = draw(m, (const sumi_ip_adapter *const[]){ &one }, 1);
	sumi_image *both = draw(m, (const sumi_ip_adapter *const[]){ &one, &other }, 2);
	other.image = &pictures[1];
	sumi_image *two = draw(m, (const sumi_ip_adapter *const[]){ &one, &other }, 2);
	assert_int_equal(tiny_farthest(everywhere, all), 0);
	assert_int_equal(tiny_farthest(without, none), 0);
	assert_true(tiny_farthest(half, everywhere) > 1 && tiny_farthest(half, without) > 1);
	assert_true(tiny_farthest(both, everywhere) <= 2); /* the halves shoot over at the edge, in both directions alike */
	assert_true(tiny_farthest(two, everywhere) > 1 && tiny_farthest(two, half) > 1);
	sumi_image *const made[] = { without, everywhere, all, none, half, both, two };
	for (int i = 0; i < 7; i++) sumi_image_free(made[i]);
	sumi_close(m);
}

/* A block with 0 is left out, numbers multiply the strength. */
static void blocks(void **state)
{
	(void)state;
	static const char *const texts[] = { NULL, "down_0=1,down_1=1,down_2=1,mid=1,up_1=1,up_2=1,up_3=1", "mid=0",
		"mid=1", "down_1=0.5:0.5", "down_1=0.5", "down_1=0.5:0" };
	const char *file = write_adapter("a.safetensors", &base, NULL),
	           *vision = write_tower("v.safetensors", &tower, NULL);
	sumi_model *m = open_model();
	sumi_image *without = draw(m, NULL, 0), *made[7];
	for (int i = 0; i < 7; i++) {
		sumi_ip_adapter a = prompt(file, vision, 1);
		a.blocks = texts[i];
		made[i] = draw(m, (const sumi_ip_adapter *const[]){ &a }, 1);
	}
	assert_int_equal(tiny_farthest(made[0], made[1]), 0);
	assert_int_equal(tiny_farthest(without, made[2]), 0);
	assert_true(tiny_farthest(without, made[3]) > 0 && tiny_farthest(made[3], made[0]) > 0);
	assert_int_equal(tiny_farthest(made[4], made[5]), 0);
	assert_true(tiny_farthest(made[4], made[6]) > 0);
	for (int i = 0; i < 7; i++) sumi_image_free(made[i]);
	sumi_image_free(without);
	sumi_close(m);
}

/* As InstantStyle's names are in diffusers, and what is no block. */
static void block_names(void **state)
{
	(void)state;
	static const char *const wrong[] = { "", ",", "down_0", "down_0=", "down_0=1", "up_3=1", "down_1=1:2:3", "mid=1:1",
		"mid=11", "mid=-1", "mid=nan", "mid=1,", "mid=1;up_0=1", "=1", "down_12345678901234567=1", "up_-2147483648=1" };
	const unet_config *sd1 = &family_by_name("sd1", NULL)->denoiser.unet,
	                  *xl = &family_by_name("sdxl", NULL)->denoiser.unet;
	float w[IP_BLOCKS];
	error e = { 0 };
	assert_int_equal(unet_attending_blocks(sd1), 16);
	assert_int_equal(unet_attending_blocks(xl), 11);
	assert_true(ip_adapter_blocks_from_text("style,layout", xl, w, &e));
	for (int i = 0; i < 11; i++) assert_true(w[i] == (i == 3 || i == 6)); /* down 4, the middle, up 6 */
	assert_true(ip_adapter_blocks_from_text("up_1=2:0:0.5,mid=1", xl, w, &e));
	for (int i = 0; i < 11; i++) assert_true(w[i] == (i == 4 ? 1 : i == 8 ? 2 : i == 10 ? 0.5f : 0));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		e = (error){ 0 };
		assert_false(ip_adapter_blocks_from_text(wrong[i], xl, w, &e));
		assert_says(e, "of down_1 (2), down_2 (2), mid, up_0 (3), up_1 (3)");
	}
	e = (error){ 0 };
	assert_false(ip_adapter_blocks_from_text("style", sd1, w, &e));
	assert_says(e, "'style' are known of SDXL");
}

/* Each kind, and the tower as OpenCLIP names it: what is read differs, so pictures do. */
static void kinds_and_layouts(void **state)
{
	(void)state;
	const ip_adapter_config *const kinds[] = { &base, &plus, &full };
	static const char *const prefixes[] = { "", "image_encoder." };
	sumi_model *m = open_model();
	sumi_image *made[6];
	for (int i = 0; i < 6; i++) {
		clip_vision_config v = tower;
		v.blocks.fused = i % 2;
		strcpy(v.prefix, prefixes[i % 2]);
		char file[160], vision[160];
		strcpy(file, write_adapter("a.safetensors", kinds[i / 2], NULL));
		strcpy(vision, write_tower("v.safetensors", &v, NULL));
		sumi_ip_adapter a = prompt(file, vision, 1);
		made[i] = draw(m, (const sumi_ip_adapter *const[]){ &a }, 1);
		for (int k = 0; k < i; k++) assert_true(tiny_farthest(made[i], made[k]) > 0);
	}
	for (int i = 0; i < 6; i++) sumi_image_free(made[i]);
	sumi_close(m);
}

/* A folder's config.json says how many heads there are. */
static void folders(void **state)
{
	(void)state;
	static const char heads[] = "{\"num_attention_heads\": 4}", strange[] = "{\"hidden_act\": \"mish\"}";
	char folder[160], inner[200];
	strcpy(folder, scratch_path("folder"));
	snprintf(inner, sizeof inner, "%s/image_encoder", folder);
	assert_true(!mkdir(folder, 0777) && !mkdir(inner, 0777));
	write_tower("folder/image_encoder/model.safetensors", &tower, NULL);
	const char *file = write_adapter("a.safetensors", &base, NULL);
	sumi_model *m = open_model();
	sumi_ip_adapter one = prompt(file, folder, 1), same = prompt(file, inner, 1);
	sumi_image *a = draw(m, (const sumi_ip_adapter *const[]){ &one }, 1);
	sumi_image *b = draw(m, (const sumi_ip_adapter *const[]){ &same }, 1);
	assert_int_equal(tiny_farthest(a, b), 0);
	scratch_write("folder/image_encoder/config.json", heads, sizeof heads - 1);
	sumi_image *c = draw(m, (const sumi_ip_adapter *const[]){ &one }, 1);
	assert_true(tiny_farthest(a, c) > 0);
	scratch_write("folder/image_encoder/config.json", strange, sizeof strange - 1);
	sumi_options o = with((const sumi_ip_adapter *const[]){ &one }, 1);
	tiny_refused(m, &o, SUMI_BAD_FILE, "activation 'mish'");
	sumi_image_free(a);
	sumi_image_free(b);
	sumi_image_free(c);
	sumi_close(m);
}

/* Of other images, strengths and steps, with a control network, with AND, unguided, by DeepCache: as each is alone. */
static void batches_and_sessions(void **state)
{
	(void)state;
	enum { COUNT = 10 };
	const char *file = write_adapter("a.safetensors", &base, NULL),
	           *second = write_adapter("b.safetensors", &plus, NULL),
	           *vision = write_tower("v.safetensors", &tower, NULL);
	sumi_model *m = open_model();
	sumi_ip_adapter one = prompt(file, vision, 1), other = prompt(file, vision, 0.7),
	                more = prompt(second, vision, 0.5);
	other.image = &pictures[1];
	other.from = 0.25;
	sumi_ip_adapter two = one, there = one, partly = one, again = there;
	two.images = (const sumi_image *const[]){ &pictures[1], &pictures[0] }, two.image_count = 2;
	there.mask = &pictures[0], again.mask = &pictures[1], again.image = &pictures[1];
	partly.blocks = "mid=2,up_1=1:0:1";
	sumi_control net = sumi_control_defaults();
	net.path = GOLDEN_DIR "/controlnet/sd1.safetensors";
	net.image = &pictures[0];
	const sumi_ip_adapter *const first[] = { &one }, *const next[] = { &other }, *const both[] = { &other, &more },
	                             *const several[] = { &two, &more }, *const places[] = { &there, &again },
	                             *const some[] = { &partly };
	const sumi_control *const nets[] = { &net };
	sumi_options o[COUNT] = { with(first, 1), with(next, 1), with(NULL, 0), with(both, 2), with(first, 1),
		with(first, 1), with(both, 2), with(several, 2), with(places, 2), with(some, 1) };
	for (int i = 0; i < COUNT; i++) o[i].seed = 5 + i;
	o[4].prompt = "a red fox AND a house";
	o[5].guidance = 1;
	o[1].deep_cache = "2";
	o[6].controls = nets, o[6].control_count = 1;
	tiny_alike(m, o, COUNT);
	sumi_close(m);
}

static void refused(sumi_model *m, const sumi_ip_adapter *a, sumi_status expected, const char *words)
{
	const sumi_ip_adapter *const list[] = { a };
	sumi_options o = with(list, 1);
	tiny_refused(m, &o, expected, words);
}

static void refusals(void **state)
{
	(void)state;
	const char *file = write_adapter("a.safetensors", &base, NULL),
	           *vision = write_tower("v.safetensors", &tower, NULL);
	sumi_model *m = open_model();
	sumi_ip_adapter a = prompt(NULL, vision, 1);
	refused(m, &a, SUMI_BAD_USAGE, "no path of its file");
	a = prompt(file, NULL, 1);
	refused(m, &a, SUMI_BAD_USAGE, "no path of its CLIP vision tower");
	a = prompt(file, vision, 11);
	refused(m, &a, SUMI_BAD_USAGE, "IP-Adapter strength 11");
	a = prompt(file, vision, 1), a.from = 0.7, a.to = 0.3;
	refused(m, &a, SUMI_BAD_USAGE, "from 0.7 to 0.3");
	a = prompt(file, vision, 1), a.image = NULL;
	refused(m, &a, SUMI_BAD_USAGE, "no picture");
	a = prompt(file, vision, 1), a.size = 3;
	refused(m, &a, SUMI_BAD_USAGE, "sumi_ip_adapter");
	refused(m, NULL, SUMI_BAD_USAGE, "IP-Adapter 1 of 1");
	a = prompt(file, vision, 1), a.image_count = 2;
	refused(m, &a, SUMI_BAD_USAGE, "2 pictures for an IP-Adapter: 1 to 16");
	a.images = (const sumi_image *const[]){ &pictures[0], NULL };
	refused(m, &a, SUMI_BAD_USAGE, "no picture");
	a.image_count = 17;
	refused(m, &a, SUMI_BAD_USAGE, "17 pictures");
	a = prompt(file, vision, 1), a.blocks = "up_0=1";
	refused(m, &a, SUMI_BAD_USAGE, "blocks 'up_0=1'");
	a = prompt(file, vision, 1), a.mask = &(sumi_image){ .size = 3 };
	refused(m, &a, SUMI_BAD_USAGE, "sumi_image: its size is 3");
	a = prompt(vision, vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "not an IP-Adapter");
	a = prompt(file, file, 1);
	refused(m, &a, SUMI_BAD_FILE, "not a CLIP vision tower");
	a = prompt(scratch_path("nowhere"), vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "nowhere");
	sumi_close(m);
}

/* Files that are whole, and do not go with each other or with the model. */
static void misfits(void **state)
{
	(void)state;
	char file[160], vision[160];
	strcpy(file, write_adapter("a.safetensors", &base, NULL));
	strcpy(vision, write_tower("v.safetensors", &tower, NULL));
	sumi_model *m = open_model();
	ip_adapter_config c = base;
	c.context = 24;
	sumi_ip_adapter a = prompt(write_adapter("b.safetensors", &c, NULL), vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "for text states of 24 numbers");
	clip_vision_config wide = tower;
	c = full, c.in = wide.blocks.width = 48;
	a = prompt(write_file("b.safetensors", (writing){ .c = &c, .v = &wide }), vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "gives states of 32 numbers; the IP-Adapter reads 48");
	a = prompt(write_adapter("b.safetensors", &base, "ip_adapter.31."), vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "for a U-Net of 15 transformers");
	a = prompt(write_adapter("b.safetensors", &base, "ip_adapter.5.to_v_ip"), vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "no tensor 'ip_adapter.5.to_v_ip.weight'");
	a = prompt(write_adapter("b.safetensors", &plus, "image_proj.layers.1.1.3"), vision, 1);
	refused(m, &a, SUMI_BAD_FILE, "no tensor 'image_proj.layers.1.1.3.weight'");
	a = prompt(file, write_tower("w.safetensors", &tower, "visual_projection"), 1);
	refused(m, &a, SUMI_BAD_FILE, "gives an embedding of 0 numbers; the IP-Adapter reads 24");
	a = prompt(file, write_tower("w.safetensors", &tower, "vision_model.embeddings.position"), 1);
	refused(m, &a, SUMI_BAD_FILE, "without its positions");
	a = prompt(file, write_tower("w.safetensors", &tower, "vision_model.encoder.layers.1.mlp.fc2.bias"), 1);
	refused(m, &a, SUMI_BAD_FILE, "no tensor 'vision_model.encoder.layers.1.mlp.fc2.bias'");
	sumi_close(m);
	error e = { 0 };
	assert_null(ip_adapter_open(file, vision, family_by_name("sd3-medium", NULL), &e));
	assert_says(e, "IP-Adapters are for U-Nets");
}

/* Of the published models, as diffusers lists their attention. */
static void numbers(void **state)
{
	(void)state;
	const unet_config *sd1 = &family_by_name("sd1", NULL)->denoiser.unet,
	                  *xl = &family_by_name("sdxl", NULL)->denoiser.unet;
	assert_int_equal(ip_adapter_layers(sd1), 16);
	assert_int_equal(ip_adapter_layers(xl), 70);
	assert_int_equal(ip_adapter_layer(sd1, "input_blocks.1.1.transformer_blocks.0.attn2"), 0);
	assert_int_equal(ip_adapter_layer(sd1, "input_blocks.8.1.transformer_blocks.0.attn2"), 5);
	assert_int_equal(ip_adapter_layer(sd1, "output_blocks.3.1.transformer_blocks.0.attn2"), 6);
	assert_int_equal(ip_adapter_layer(sd1, "middle_block.1.transformer_blocks.0.attn2"), 15);
	assert_int_equal(ip_adapter_layer(xl, "input_blocks.5.1.transformer_blocks.1.attn2"), 3);
	assert_int_equal(ip_adapter_layer(xl, "output_blocks.0.1.transformer_blocks.9.attn2"), 33);
	assert_int_equal(ip_adapter_layer(xl, "middle_block.1.transformer_blocks.9.attn2"), 69);
	assert_int_equal(ip_adapter_layer(xl, "out.0"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(strength_and_steps),
		IN_SCRATCH(several_images),
		IN_SCRATCH(masks),
		IN_SCRATCH(blocks),
		cmocka_unit_test(block_names),
		IN_SCRATCH(kinds_and_layouts),
		IN_SCRATCH(folders),
		IN_SCRATCH(batches_and_sessions),
		IN_SCRATCH(refusals),
		IN_SCRATCH(misfits),
		cmocka_unit_test(numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

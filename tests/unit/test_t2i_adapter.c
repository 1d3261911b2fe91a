/* test_t2i_adapter.c - T2I-Adapters as a caller has them: recognised among control networks in every layout, with these
 * and with each other, in batches and sessions; and files that fit no model. */
#include "tiny.h"
#include "checkpoint/control.h"
#include "io/weights.h"
#include <math.h>

static const t2i_adapter_config full = { .outputs = 4,
	.width = { 32, 32, 64, 64 },
	.halves = { false, true, true, true },
	.square = 8,
	.hint_channels = 3,
	.blocks = 1,
	.kernel = 1 };

/* ── files ── */

typedef struct writing {
	const t2i_adapter_config *c;
	weights_writer *out;
	bool values;
	const char *left_out; /* the network's name of a tensor */
} writing;

/* From the network's name of the tensor, so that all layouts hold the same values. */
static void write_tensor(void *context, const char *name, shape s, initial start)
{
	const writing *y = context;
	error e = { 0 };
	char key[160];
	int64_t sides[MAX_DIMS];
	size_t n = shape_count(s);
	uint32_t state = 1;
	(void)start;
	if (y->left_out && !strcmp(name, y->left_out)) return;
	assert_true(t2i_adapter_key(y->c, name, key, sizeof key));
	for (int i = 0; i < s.n; i++) sides[i] = s.d[i];
	if (!y->values) {
		assert_true(weights_writer_declare(y->out, key, F32, s.n, sides, &e));
		return;
	}
	float *values = malloc(n * sizeof *values), bound = 2 * sqrtf((float)s.d[0] / (float)n);
	for (const char *c = name; *c; c++) state = state * 31 + (unsigned char)*c;
	for (size_t i = 0; i < n; i++) {
		state = state * 1664525 + 1013904223;
		values[i] = ((float)(state >> 8) / 8388608 - 1) * (s.n > 1 ? bound : 0.1f);
	}
	assert_true(weights_writer_append(y->out, values, n * sizeof *values, &e));
	free(values);
}

static const char *write_adapter(const char *name, const t2i_adapter_config *c, const char *left_out)
{
	error e = { 0 };
	const char *path = scratch_path(name);
	writing y = { c, weights_writer_new(path, &e), false, left_out };
	for (int i = 0; i < 2; i++) {
		nn n = { .g = graph_new(REAL), .parameter = write_tensor, .context = &y };
		y.values = i;
		assert_true(t2i_adapter_build_dry(&n, c));
		graph_free(n.g);
	}
	assert_true(weights_writer_finish(y.out, &e));
	return path;
}

/* ── drawing ── */

/* The shallow networks of DeepCache read the maps of their own places, or none. */
static void in_shallow_networks(void **state)
{
	(void)state;
	static const char *const given[] = { "2", "2:11", "2:11" };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control early = tiny_control(write_adapter("cached.safetensors", &full, NULL), 1);
	early.to = 0.5;
	const sumi_control *const one[] = { &early };
	sumi_options o[3];
	for (int i = 0; i < 3; i++) {
		o[i] = tiny_controlled(one, i < 2);
		o[i].deep_cache = given[i];
	}
	tiny_alike(m, o, 3);
	sumi_image *controlled = tiny_picture(m, &o[1]), *plain = tiny_picture(m, &o[2]);
	assert_true(tiny_farthest(controlled, plain) > 0);
	sumi_image_free(controlled);
	sumi_image_free(plain);
	sumi_close(m);
}

static void strength_and_steps(void **state)
{
	(void)state;
	const char *path = write_adapter("sketch.safetensors", &full, NULL);
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control whole = tiny_control(path, 1), half = tiny_control(path, 0.5), none = tiny_control(path, 0),
	             early = tiny_control(path, 1), between = tiny_control(path, 1);
	early.to = 0.5;
	between.from = 0.45, between.to = 0.55; /* no step of four lies within */
	sumi_image *all[] = { tiny_controlled_picture(m, NULL, 0),
		tiny_controlled_picture(m, (const sumi_control *const[]){ &whole }, 1),
		tiny_controlled_picture(m, (const sumi_control *const[]){ &half, &half }, 2),
		tiny_controlled_picture(m, (const sumi_control *const[]){ &none }, 1),
		tiny_controlled_picture(m, (const sumi_control *const[]){ &between }, 1),
		tiny_controlled_picture(m, (const sumi_control *const[]){ &early }, 1) };
	assert_true(tiny_farthest(all[0], all[1]) > 8);
	assert_true(tiny_farthest(all[1], all[2]) <= 1);
	assert_int_equal(tiny_farthest(all[0], all[3]), 0);
	assert_int_equal(tiny_farthest(all[0], all[4]), 0);
	assert_true(tiny_farthest(all[0], all[5]) > 0 && tiny_farthest(all[1], all[5]) > 0);
	assert_non_null(
	    strstr(all[5]->parameters, "ControlNet 0: \"Module: none, Model: sketch, Weight: 1, Resize Mode: Just "
	                               "Resize, Guidance Start: 0, Guidance End: 0.5, Control Mode: Balanced\""));
	for (int i = 0; i < 6; i++) sumi_image_free(all[i]);
	sumi_close(m);
}

/* The same weights under each set of names, of both kinds. */
static void layouts(void **state)
{
	(void)state;
	static const char *const prefixes[] = { "", "adapter.", "t2i_adapter." };
	sumi_model *m = tiny_open(TINY_SD1);
	for (int light = 0; light < 2; light++) {
		sumi_image *first = NULL;
		for (int i = 0; i < 6; i++) {
			t2i_adapter_config c = full;
			c.light = light;
			c.blocks = 2;
			c.diffusers_names = i % 2;
			strcpy(c.prefix, prefixes[i / 2]);
			sumi_control one = tiny_control(write_adapter("a.safetensors", &c, NULL), 1);
			sumi_image *p = tiny_controlled_picture(m, (const sumi_control *const[]){ &one }, 1);
			if (first) assert_int_equal(tiny_farthest(first, p), 0);
			if (first)
				sumi_image_free(p);
			else
				first = p;
		}
		sumi_image_free(first);
	}
	sumi_close(m);
}

/* What a file may have otherwise: one channel of hint, wider second convolutions, strided halving. */
static void variants(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *made[6];
	for (int i = 0; i < 6; i++) {
		t2i_adapter_config c = full;
		c.hint_channels = i == 1 ? 1 : 3;
		c.kernel = i == 2 ? 3 : 1;
		c.strided = i == 3;
		sumi_control one = tiny_control(write_adapter("a.safetensors", &c, NULL), 1);
		if (i == 4) one.mode = "prompt";
		if (i == 5) one.canny_low = 100, one.canny_high = 200;
		made[i] = tiny_controlled_picture(m, (const sumi_control *const[]){ &one }, 1);
		for (int k = 0; k < i; k++) assert_true(tiny_farthest(made[i], made[k]) > 0);
	}
	for (int i = 0; i < 6; i++) sumi_image_free(made[i]);
	sumi_close(m);
}

/* With a control network and without, in each mode, of several prompts at once: as each is alone. */
static void batches_and_sessions(void **state)
{
	(void)state;
	enum { COUNT = 6 };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control one = tiny_control(write_adapter("a.safetensors", &full, NULL), 1), other = one,
	             net = tiny_control(GOLDEN_DIR "/controlnet/sd1.safetensors", 0.5);
	other.mode = "control";
	other.strength = 0.7;
	other.from = 0.25;
	const sumi_control *const first[] = { &one }, *const second[] = { &other }, *const both[] = { &net, &other };
	sumi_options o[COUNT] = { tiny_controlled(first, 1), tiny_controlled(second, 1), tiny_controlled(NULL, 0),
		tiny_controlled(both, 2), tiny_controlled(both, 2), tiny_controlled(first, 1) };
	for (int i = 0; i < COUNT; i++) o[i].seed = 5 + i;
	o[5].prompt = "a red fox AND a house";
	tiny_alike(m, o, COUNT);
	sumi_close(m);
}

/* SDXL's reads squares of 16 pixels, which do not always divide the picture; its last map is the middle block's. */
static void sdxl(void **state)
{
	(void)state;
	const t2i_adapter_config c = { .outputs = 3,
		.width = { 32, 64, 64 },
		.square = 16,
		.hint_channels = 3,
		.blocks = 2,
		.kernel = 1,
		.diffusers_names = true };
	char path[160];
	strcpy(path, write_adapter("xl.safetensors", &c, NULL));
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_control one = tiny_control(path, 1);
	const sumi_control *const list[] = { &one };
	for (int side = 64; side <= 72; side += 8) {
		sumi_options o = tiny_controlled(NULL, 0);
		o.width = side;
		sumi_image *plain = tiny_picture(m, &o);
		o.controls = list, o.control_count = 1;
		sumi_image *p = tiny_picture(m, &o);
		assert_true(tiny_farthest(plain, p) > 0);
		sumi_image_free(plain);
		sumi_image_free(p);
	}
	sumi_close(m);
	sumi_model *other = tiny_open(TINY_SD1);
	sumi_options o = tiny_controlled(list, 1);
	tiny_refused(other, &o, SUMI_BAD_FILE, "reads 768 numbers at a time; for this U-Net it should be 64 or 192");
	sumi_close(other);
}

static void refused(sumi_model *m, const t2i_adapter_config *c, const char *left_out, const char *words)
{
	sumi_control one = tiny_control(write_adapter("bad.safetensors", c, left_out), 1);
	const sumi_control *const list[] = { &one };
	sumi_options o = tiny_controlled(list, 1);
	tiny_refused(m, &o, SUMI_BAD_FILE, words);
}

static void refusals(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	t2i_adapter_config c = full;
	refused(m, &c, "body.2.in_conv.weight", "no tensor 'body.2.in_conv.weight'");
	refused(m, &c, "conv_in.weight", "without its first convolution");
	refused(m, &c, "body.1.block1.bias", "no tensor 'body.1.block1.bias'");
	c.width[3] = 32;
	refused(m, &c, NULL, "whose map 4 has 32 channels; the U-Net reads 64");
	c = full, c.outputs = 3;
	refused(m, &c, NULL, "of 0 blocks for each of the 4 maps");
	c.diffusers_names = true;
	refused(m, &c, NULL, "has not the 4 maps");
	c = full, c.hint_channels = 2;
	refused(m, &c, NULL, "reads 128 numbers at a time");
	sumi_close(m);
	error e = { 0 };
	assert_null(control_open(write_adapter("a.safetensors", &full, NULL), family_by_name("sd3-medium", NULL), &e));
	assert_says(e, "control networks are for U-Nets");
}

/* What people take for a control network, each by a tensor of its own. */
static void others(void **state)
{
	(void)state;
	static const char *const names[][2] = { { "lora_controlnet", "differences from the model (Control-LoRA)" },
		{ "style_embedding", "a T2I-Adapter for styles" }, { "task_embedding", "a fuser of CoAdapters" },
		{ "ip_adapter.1.to_k_ip.weight", "an IP-Adapter, not a control network" } };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		error e = { 0 };
		const float value = 1;
		weights_writer *out = weights_writer_new(scratch_path("other.safetensors"), &e);
		assert_true(weights_writer_declare(out, names[i][0], F32, 1, (const int64_t[]){ 1 }, &e));
		assert_true(weights_writer_append(out, &value, sizeof value, &e) && weights_writer_finish(out, &e));
		assert_null(control_open(scratch_path("other.safetensors"), family_by_name("sd1", NULL), &e));
		assert_int_equal(e.status, BAD_FILE);
		assert_says(e, names[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(strength_and_steps),
		IN_SCRATCH(in_shallow_networks),
		IN_SCRATCH(layouts),
		IN_SCRATCH(variants),
		IN_SCRATCH(batches_and_sessions),
		IN_SCRATCH(sdxl),
		IN_SCRATCH(refusals),
		IN_SCRATCH(others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

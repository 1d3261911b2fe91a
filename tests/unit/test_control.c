/* test_control.c - control networks as a caller has them: in both layouts, several at once, in batches and sessions, at
 * any strength and in part of the steps; and files that are none. */
#include "tiny.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/control.h"
#include "io/weights.h"
#include <jansson.h>

static const char *const network = GOLDEN_DIR "/controlnet/sd1.safetensors";

static sumi_control control(double strength) { return tiny_control(network, strength); }

/* Each way to control, against the plain picture and the fully controlled one. */
static void strength_and_steps(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control whole = control(1), half = control(0.5), none = control(0), early = control(1), twice = control(1);
	early.to = 0.5;
	twice.from = 0.45, twice.to = 0.55; /* no step of four lies within */
	sumi_image *plain = tiny_controlled_picture(m, NULL, 0);
	sumi_image *full = tiny_controlled_picture(m, (const sumi_control *const[]){ &whole }, 1);
	sumi_image *halves = tiny_controlled_picture(m, (const sumi_control *const[]){ &half, &half }, 2);
	sumi_image *nothing = tiny_controlled_picture(m, (const sumi_control *const[]){ &none }, 1);
	sumi_image *begun = tiny_controlled_picture(m, (const sumi_control *const[]){ &early }, 1);
	sumi_image *between = tiny_controlled_picture(m, (const sumi_control *const[]){ &twice }, 1);
	assert_true(tiny_farthest(plain, full) > 8);
	assert_true(tiny_farthest(full, halves) <= 1);
	assert_int_equal(tiny_farthest(plain, nothing), 0);
	assert_int_equal(tiny_farthest(plain, between), 0);
	assert_true(tiny_farthest(plain, begun) > 0 && tiny_farthest(full, begun) > 0);
	assert_non_null(
	    strstr(begun->parameters, "ControlNet 0: \"Module: none, Model: sd1, Weight: 1, Resize Mode: Just "
	                              "Resize, Guidance Start: 0, Guidance End: 0.5, Control Mode: Balanced\""));
	sumi_image *all[] = { plain, full, halves, nothing, begun, between };
	for (int i = 0; i < 6; i++) sumi_image_free(all[i]);
	sumi_close(m);
}

/* One file twice, with a picture for each. */
static void two_hints_of_a_network(void **state)
{
	(void)state;
	static unsigned char grey[3 * 64 * 64];
	memset(grey, 128, sizeof grey);
	const sumi_image other = { .size = sizeof other, .width = 64, .height = 64, .pixels = grey };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control a = control(0.5), b = control(0.5);
	b.image = &other;
	sumi_image *ab = tiny_controlled_picture(m, (const sumi_control *const[]){ &a, &b }, 2);
	sumi_image *ba = tiny_controlled_picture(m, (const sumi_control *const[]){ &b, &a }, 2);
	sumi_image *bb = tiny_controlled_picture(m, (const sumi_control *const[]){ &b, &b }, 2);
	assert_true(tiny_farthest(ab, ba) <= 1);
	assert_true(tiny_farthest(ab, bb) > 0);
	sumi_image *all[] = { ab, ba, bb };
	for (int i = 0; i < 3; i++) sumi_image_free(all[i]);
	sumi_close(m);
}

static void modes_and_edges(void **state)
{
	(void)state;
	static const char *const modes[] = { NULL, "prompt", "control", "guess" };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *made[5];
	for (int i = 0; i < 5; i++) {
		sumi_control c = control(1);
		c.mode = i < 4 ? modes[i] : NULL;
		if (i == 4) c.canny_low = 100, c.canny_high = 200;
		made[i] = tiny_controlled_picture(m, (const sumi_control *const[]){ &c }, 1);
		for (int k = 0; k < i; k++) assert_true(tiny_farthest(made[i], made[k]) > 0);
	}
	assert_non_null(strstr(made[4]->parameters, "Module: canny, Threshold A: 100, Threshold B: 200, Model: sd1"));
	for (int i = 0; i < 5; i++) sumi_image_free(made[i]);
	sumi_close(m);
}

static void take_warning(void *context, sumi_level level, const char *line)
{
	if (level == SUMI_WARNING && strstr(line, "without the control networks")) ++*(int *)context;
}

/* They lead until the refiner takes over, and it is said. */
static void not_in_a_refiner(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control whole = control(1), half = control(1);
	half.to = 0.5;
	const sumi_control *const all[] = { &whole }, *const some[] = { &half };
	int warnings = 0;
	sumi_listener l = sumi_listener_defaults();
	l.context = &warnings;
	l.note = take_warning;
	sumi_options o = tiny_controlled(all, 1);
	o.listener = &l;
	sumi_image *alone = tiny_picture(m, &o);
	assert_int_equal(warnings, 0);
	o.refiner = TINY_SD1;
	o.refiner_start = 0.5;
	sumi_image *refined = tiny_picture(m, &o);
	assert_int_equal(warnings, 1);
	o.controls = some;
	sumi_image *same = tiny_picture(m, &o);
	assert_true(tiny_same(refined, same) && !tiny_same(refined, alone));
	sumi_image_free(alone);
	sumi_image_free(refined);
	sumi_image_free(same);
	sumi_close(m);
}

/* What is drawn together or again has the bytes that it has alone. */
static void batches_and_sessions(void **state)
{
	(void)state;
	enum { COUNT = 4 };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control one = control(1), other = control(0.7);
	other.mode = "control";
	other.from = 0.25;
	const sumi_control *const first[] = { &one }, *const second[] = { &other };
	sumi_options o[COUNT] = { tiny_controlled(first, 1), tiny_controlled(second, 1), tiny_controlled(NULL, 0),
		tiny_controlled(second, 1) };
	for (int i = 0; i < COUNT; i++) o[i].seed = 5 + i;
	o[3].init = tiny_stripes();
	tiny_alike(m, o, COUNT);
	sumi_close(m);
}

static bool is_one_of(const char *name, const char *const *beginnings)
{
	for (; beginnings && *beginnings; beginnings++)
		if (!strncmp(name, *beginnings, strlen(*beginnings))) return true;
	return false;
}

/* Copies the network, also under the names that a map of diffusers' gives; what begins so is left out. */
static const char *renamed(const char *name, bool diffusers, const char *const *without)
{
	error e = { 0 };
	const char *path = scratch_path(name);
	weights *in = weights_open(network, &e);
	weights_writer *out = weights_writer_new(path, &e);
	json_t *map = json_load_file(GOLDEN_DIR "/controlnet/sd1.keymap.json", 0, NULL);
	assert_true(in && out && map);
	for (int write = 0; write < 2; write++)
		for (size_t i = 0; i < weights_count(in); i++) {
			const weight *w = weights_at(in, i);
			const char *key, *to = diffusers ? NULL : w->name;
			json_t *original;
			json_object_foreach(map, key, original) if (!to && !strcmp(json_string_value(original), w->name)) to = key;
			assert_non_null(to);
			if (is_one_of(to, without)) continue;
			assert_true(write ? weights_writer_append(out, w->data, w->bytes, &e)
			                  : weights_writer_declare(out, to, w->dtype, w->ndims, w->shape, &e));
		}
	assert_true(weights_writer_finish(out, &e));
	weights_close(in);
	json_decref(map);
	return path;
}

static void layouts(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	char path[160];
	strcpy(path, renamed("diffusers.safetensors", true, NULL));
	sumi_control original = control(1), other = control(1);
	other.path = path;
	sumi_image *a = tiny_controlled_picture(m, (const sumi_control *const[]){ &original }, 1);
	sumi_image *b = tiny_controlled_picture(m, (const sumi_control *const[]){ &other }, 1);
	assert_int_equal(tiny_farthest(a, b), 0);
	sumi_image_free(a);
	sumi_image_free(b);
	sumi_close(m);
}

/* A middle block of one residual block, as of SSD-1B: in both layouts. */
static void small_middle(void **state)
{
	(void)state;
	static const char *const left_out[2][3] = { { "control_model.middle_block.1.", "control_model.middle_block.2." },
		{ "mid_block.attentions.", "mid_block.resnets.1." } };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *plain = tiny_controlled_picture(m, NULL, 0), *image[2];
	error e = { 0 };
	checkpoint *of = checkpoint_open(GOLDEN_DIR "/sd1/model.safetensors", &e);
	assert_non_null(of);
	for (int i = 0; i < 2; i++) {
		const char *path = renamed("small.safetensors", i, left_out[i]);
		control_file *c = control_open(path, checkpoint_family(of), &e);
		if (!c) fail_saying("%s\n", e.text);
		assert_int_equal(control_config(c)->unet.middle, MIDDLE_RESIDUAL);
		assert_string_equal(control_doubt(c), "");
		control_close(c);
		sumi_control how = control(1);
		how.path = path;
		image[i] = tiny_controlled_picture(m, (const sumi_control *const[]){ &how }, 1);
	}
	assert_true(tiny_farthest(plain, image[0]) > 8);
	assert_int_equal(tiny_farthest(image[0], image[1]), 0);
	checkpoint_close(of);
	for (int i = 0; i < 2; i++) sumi_image_free(image[i]);
	sumi_image_free(plain);
	sumi_close(m);
}

static void refuses(sumi_model *m, const sumi_control *c, sumi_status expected, const char *words)
{
	const sumi_control *const list[] = { c };
	sumi_options o = tiny_controlled(list, 1);
	tiny_refused(m, &o, expected, words);
}

static void refusals(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_control c = control(1);
	c.path = NULL;
	refuses(m, &c, SUMI_BAD_USAGE, "no path");
	c = control(1), c.image = NULL;
	refuses(m, &c, SUMI_BAD_USAGE, "no picture");
	c = control(-1);
	refuses(m, &c, SUMI_BAD_USAGE, "strength -1");
	c = control(1), c.from = 0.7, c.to = 0.3;
	refuses(m, &c, SUMI_BAD_USAGE, "from 0.7 to 0.3");
	c = control(1), c.mode = "loud";
	refuses(m, &c, SUMI_BAD_USAGE, "mode 'loud'");
	c = control(1), c.canny_low = 300, c.canny_high = 200;
	refuses(m, &c, SUMI_BAD_USAGE, "300 and 200");
	c = control(1), c.size = 5;
	refuses(m, &c, SUMI_BAD_USAGE, "sumi_control");
	refuses(m, NULL, SUMI_BAD_USAGE, "control 1 of 1");
	c = control(1), c.path = scratch_path("nowhere");
	refuses(m, &c, SUMI_BAD_FILE, "nowhere");
	c = control(1), c.path = GOLDEN_DIR "/sd1/model.safetensors";
	refuses(m, &c, SUMI_BAD_FILE, "not a control network");
	static const char *const lacking[][2] = { { "controlnet_mid_block.bias", "middle_block_out.0.bias" },
		{ "mid_block.resnets.0.norm1.weight", "middle_block.0.in_layers.0.weight" },
		{ "mid_block.resnets.1.norm1.weight", "middle_block.2.in_layers.0.weight" } };
	for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
		c = control(1);
		c.path = renamed("lacking.safetensors", true, (const char *const[]){ lacking[i][0], NULL });
		refuses(m, &c, SUMI_BAD_FILE, lacking[i][1]);
	}
	sumi_close(m);
}

/* A family of other text states, and one without a U-Net. */
static void other_families(void **state)
{
	(void)state;
	error e = { 0 };
	assert_null(control_open(network, family_by_name("sd2.1", NULL), &e));
	assert_says(e, "for text states of 16 numbers; sd2.1 has 1024");
	e = (error){ 0 };
	assert_null(control_open(network, family_by_name("sd3-medium", NULL), &e));
	assert_says(e, "control networks are for U-Nets");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strength_and_steps),
		cmocka_unit_test(two_hints_of_a_network),
		cmocka_unit_test(modes_and_edges),
		cmocka_unit_test(not_in_a_refiner),
		cmocka_unit_test(batches_and_sessions),
		IN_SCRATCH(layouts),
		IN_SCRATCH(small_middle),
		IN_SCRATCH(refusals),
		cmocka_unit_test(other_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_inpaint.c - what A1111 does with a mask: blurred, inverted, filled, cut out and put back, soft; and what is
 * around a picture. What is not painted keeps its bytes, and where painting ends no seam is seen. */
#include "tiny.h"
#include "io/blur.h"
#include <limits.h>
#include <math.h>

static sumi_image *new_picture(int width, int height)
{
	sumi_error e = { 0 };
	sumi_image *p = sumi_image_new(width, height, NULL, &e);
	assert_non_null(p);
	return p;
}

static unsigned char *at(const sumi_image *p, int x, int y) { return p->pixels + 3 * (y * p->width + x); }

/* Smooth colours, so that any seam is the drawing's. */
static sumi_image *scene(int width, int height)
{
	sumi_image *p = new_picture(width, height);
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			at(p, x, y)[0] = (unsigned char)(60 + 120 * x / width);
			at(p, x, y)[1] = (unsigned char)(200 - 100 * y / height);
			at(p, x, y)[2] = 120;
		}
	return p;
}

/* Grey in a rectangle of a black picture. */
static sumi_image *mask_of(int width, int height, int left, int top, int right, int bottom, int grey)
{
	sumi_image *p = new_picture(width, height);
	for (int y = top; y < bottom; y++)
		for (int x = left; x < right; x++) memset(at(p, x, y), grey, 3);
	return p;
}

static sumi_options begin(const sumi_image *init, const sumi_image *mask)
{
	sumi_options o = sumi_defaults();
	o.prompt = "a cat";
	o.steps = 4;
	o.init = init;
	o.mask = mask;
	o.strength = 0.9;
	return o;
}

/* How many pixels changed in the rectangle, and outside of it. */
static void changed(const sumi_image *a, const sumi_image *b, int l, int t, int r, int bottom, int found[2])
{
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	found[0] = found[1] = 0;
	for (int y = 0; y < a->height; y++)
		for (int x = 0; x < a->width; x++) {
			bool outside = x < l || x >= r || y < t || y >= bottom;
			found[outside] += memcmp(at(a, x, y), at(b, x, y), 3) != 0;
		}
}

static void expect_changes(sumi_model *m, const sumi_options *o, int l, int t, int r, int b)
{
	int found[2];
	sumi_image *p = tiny_picture(m, o);
	changed(p, o->init, l, t, r, b, found);
	if (found[1] || found[0] < (r - l) * (b - t) / 4)
		fail_saying("%d pixels changed inside, %d outside\n", found[0], found[1]);
	sumi_image_free(p);
}

/* The blur of 4 reaches 2.5 · 4 pixels, as OpenCV's kernel does. */
static void outside_not_a_bit_changes(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(96, 96), *mask = mask_of(96, 96, 32, 32, 64, 64, 255);
	sumi_options o = begin(init, mask);
	expect_changes(m, &o, 32, 32, 64, 64);
	o.mask_blur = 4;
	expect_changes(m, &o, 32 - 10, 32 - 10, 64 + 10, 64 + 10);
	static const char *const fills[] = { "original", "fill", "latent noise", "Latent Nothing" };
	sumi_image *filled[4];
	for (int i = 0; i < 4; i++) {
		o.mask_fill = fills[i];
		expect_changes(m, &o, 22, 22, 74, 74);
		filled[i] = tiny_picture(m, &o);
		for (int k = 0; k < i; k++) assert_false(tiny_same(filled[i], filled[k]));
	}
	for (int i = 0; i < 4; i++) sumi_image_free(filled[i]);
	sumi_image_free(init);
	sumi_image_free(mask);
	sumi_close(m);
}

static void inverted_masks_paint_the_rest(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(96, 64), *mask = mask_of(96, 64, 0, 0, 64, 64, 255);
	sumi_options o = begin(init, mask);
	o.mask_inverted = true;
	expect_changes(m, &o, 64, 0, 96, 64);
	sumi_image_free(init);
	sumi_image_free(mask);
	sumi_close(m);
}

/* A large picture, of which a part is drawn; the text says it as A1111 does. */
static void only_what_is_masked_is_drawn(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(301, 203), *mask = mask_of(301, 203, 200, 40, 240, 70, 255);
	sumi_options o = begin(init, mask);
	o.only_masked = true;
	o.mask_padding = 16;
	o.mask_blur = 4;
	o.width = o.height = 96;
	expect_changes(m, &o, 190, 30, 250, 80);
	sumi_image *p = tiny_picture(m, &o);
	assert_int_equal(p->width, 301);
	assert_int_equal(p->height, 203);
	assert_non_null(strstr(p->parameters, "Size: 96x96, "));
	assert_non_null(strstr(
	    p->parameters, "Denoising strength: 0.9, Mask blur: 4, Inpaint area: Only masked, Masked area padding: 16"));
	o.mask_padding = 0; /* other surroundings */
	sumi_image *close = tiny_picture(m, &o);
	assert_false(tiny_same(p, close));
	sumi_image_free(close);
	sumi_image_free(p);
	sumi_image_free(init);
	sumi_image_free(mask);
	sumi_close(m);
}

/* The mean difference of neighbours across a column. */
static double step_across(const sumi_image *p, int x, int top, int bottom)
{
	double sum = 0;
	for (int y = top; y < bottom; y++)
		for (int c = 0; c < 3; c++) sum += abs(at(p, x, y)[c] - at(p, x - 1, y)[c]);
	return sum / (3.0 * (bottom - top));
}

/* The mean difference across the mask's two vertical edges (the steepest column within the blur) over the same
 * picture's steepest columns inside of the mask. */
static double seam_of(const sumi_image *p, int left, int right, int top, int bottom)
{
	double edge = 0, inside = 0.5;
	for (int d = -8; d <= 8; d++)
		edge = fmax(edge, fmax(step_across(p, left + d, top, bottom), step_across(p, right + d, top, bottom)));
	for (int x = left + 10; x < right - 10; x++) inside = fmax(inside, step_across(p, x, top, bottom));
	return edge / inside;
}

static void no_seam_on(const char *path, int side, const char *prompt)
{
	sumi_model *m = tiny_open(path);
	int from = side / 4, to = side * 3 / 4;
	sumi_image *init = scene(side, side), *mask = mask_of(side, side, from, from, to, to, 255);
	sumi_options o = begin(init, mask);
	o.prompt = prompt;
	o.strength = 0.6;
	o.steps = 6;
	sumi_image *hard = tiny_picture(m, &o);
	o.mask_blur = 4;
	sumi_image *soft = tiny_picture(m, &o);
	double seams[2] = { seam_of(hard, from, to, from + 8, to - 8), seam_of(soft, from, to, from + 8, to - 8) };
	int found[2];
	print_message("%s: the steepest column at the mask's edge over the steepest inside: %.2f hard, %.2f blurred\n",
	    path, seams[0], seams[1]);
	changed(hard, init, from, from, to, to, found);
	assert_true(found[0] > 0 && !found[1]);
	changed(soft, init, from - 10, from - 10, to + 10, to + 10, found);
	assert_true(found[0] > 0 && !found[1]);
	assert_true(seams[1] <= 1.3 && seams[1] <= seams[0]);
	sumi_image_free(hard);
	sumi_image_free(soft);
	sumi_image_free(init);
	sumi_image_free(mask);
	sumi_close(m);
}

static void no_seam_is_seen(void **state)
{
	(void)state;
	no_seam_on(SOURCE_DIR "/models/emoji.safetensors", 128, "smiling cat");
	no_seam_on(TINY_SD1, 128, "a cat");
	no_seam_on(tiny_file("sdxl", TINY_SDXL), 128, "a cat");
	no_seam_on(tiny_file("sdxl-inpainting", TINY_SDXL_INPAINTING), 128, "a cat");
}

/* The mean change in a column of 32 pixels. */
static double change_in(const sumi_image *a, const sumi_image *b, int left)
{
	double sum = 0;
	for (int y = 0; y < a->height; y++)
		for (int x = left + 8; x < left + 24; x++)
			for (int c = 0; c < 3; c++) sum += abs(at(a, x, y)[c] - at(b, x, y)[c]);
	return sum / (3.0 * 16 * a->height);
}

static void grey_changes_less(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(96, 64), *mask = mask_of(96, 64, 32, 0, 64, 64, 90);
	for (int y = 0; y < 64; y++)
		for (int x = 64; x < 96; x++) memset(at(mask, x, y), 255, 3);
	sumi_options o = begin(init, mask);
	o.mask_soft = true;
	o.steps = 10;
	sumi_image *p = tiny_picture(m, &o);
	double black = change_in(p, init, 0), grey = change_in(p, init, 32), white = change_in(p, init, 64);
	print_message("changed by %.1f where the mask is black, %.1f where grey, %.1f where white\n", black, grey, white);
	assert_true(black == 0 && grey > 0 && grey < white);
	assert_non_null(strstr(p->parameters, "Soft mask: true"));
	sumi_image_free(p);
	sumi_image_free(init);
	sumi_image_free(mask);
	sumi_close(m);
}

static void pictures_are_extended(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(64, 48);
	sumi_options o = begin(init, NULL);
	o.extend_left = 16;
	o.extend_down = 20; /* rounded up to a multiple of 8 */
	o.mask_fill = "fill";
	sumi_image *p = tiny_picture(m, &o);
	assert_int_equal(p->width, 80);
	assert_int_equal(p->height, 72);
	for (int y = 0; y < 48; y++) assert_memory_equal(at(p, 16, y), at(init, 0, y), 3 * 64);
	assert_non_null(strstr(p->parameters, "Extend: \"16,0,0,20\""));
	sumi_image_free(p);
	sumi_image_free(init);
	sumi_close(m);
}

static int warnings;
static void note(void *context, sumi_level level, const char *line)
{
	(void)context, (void)line;
	warnings += level == SUMI_WARNING;
}

/* Strength 0: what is begun from, through the autoencoder. */
static void shapes_are_kept_or_said(void **state)
{
	(void)state;
	static const char *const modes[] = { NULL, "resize", "crop", "pad" };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(128, 64);
	sumi_listener l = sumi_listener_defaults();
	l.note = note;
	sumi_options o = begin(init, NULL);
	o.listener = &l;
	o.width = o.height = 64;
	o.strength = 0;
	sumi_image *made[4];
	for (int i = 0; i < 4; i++) {
		o.resize_mode = modes[i];
		warnings = 0;
		made[i] = tiny_picture(m, &o);
		assert_int_equal(warnings, i < 2);
		assert_int_equal(made[i]->width, 64);
	}
	assert_memory_equal(made[0]->pixels, made[1]->pixels, 64 * 64 * 3);
	assert_memory_not_equal(made[1]->pixels, made[2]->pixels, 64 * 64 * 3);
	assert_memory_not_equal(made[2]->pixels, made[3]->pixels, 64 * 64 * 3);
	/* what is cropped and not resized is the middle */
	sumi_image *middle = new_picture(64, 64);
	for (int y = 0; y < 64; y++) memcpy(at(middle, 0, y), at(init, 32, y), 3 * 64);
	o = begin(middle, NULL);
	o.strength = 0;
	sumi_image *whole = tiny_picture(m, &o);
	assert_true(tiny_same(made[2], whole));
	sumi_image_free(whole);
	sumi_image_free(middle);
	for (int i = 0; i < 4; i++) sumi_image_free(made[i]);
	sumi_image_free(init);
	sumi_close(m);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_image *init = scene(64, 64), *black = mask_of(64, 64, 0, 0, 0, 0, 255);
	sumi_options o = begin(init, black);
	o.only_masked = true;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "covers nothing");
	o.only_masked = false;
	o.mask_fill = "water";
	tiny_refused(m, &o, SUMI_BAD_USAGE, "latent noise");
	o = begin(init, NULL);
	o.resize_mode = "stretch";
	tiny_refused(m, &o, SUMI_BAD_USAGE, "crop");
	o.resize_mode = NULL;
	o.mask_inverted = true;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "needs a mask");
	o = begin(init, black);
	o.mask_blur = NAN;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "blur");
	o.mask_blur = 0;
	o.extend_left = -8;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "extended");
	o.extend_left = o.extend_right = INT_MAX; /* their sum is -2 */
	tiny_refused(m, &o, SUMI_BAD_USAGE, "extended");
	o = begin(NULL, black);
	tiny_refused(m, &o, SUMI_BAD_USAGE, "begin from");
	sumi_image_free(init);
	sumi_image_free(black);
	sumi_close(m);
}

static void tiny_pictures_are_blurred(void **state)
{
	(void)state;
	uint8_t one[1] = { 77 }, row[3] = { 0, 255, 0 };
	error e = { 0 };
	assert_true(blur_gaussian(one, 1, 1, 1, 4, &e) && blur_pillow(one, 1, 1, 1, 256, &e));
	assert_int_equal(one[0], 77);
	assert_true(blur_gaussian(row, 1, 3, 1, 40, &e) && blur_pillow(row, 1, 3, 1, 0.5, &e));
	assert_int_equal(row[0], row[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(outside_not_a_bit_changes),
		cmocka_unit_test(inverted_masks_paint_the_rest), cmocka_unit_test(only_what_is_masked_is_drawn),
		IN_SCRATCH(no_seam_is_seen), cmocka_unit_test(grey_changes_less), cmocka_unit_test(pictures_are_extended),
		cmocka_unit_test(shapes_are_kept_or_said), cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(tiny_pictures_are_blurred) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_upscale.c - enlarging as a caller has it: tiles are what the whole is as far as the network sees, any size is
 * taken, memory decides how large tiles are, and what is no upscaler is refused. */
#include "tiny.h"
#include "base/resources.h"
#include "io/weights.h"

#define FOLDER GOLDEN_DIR "/upscale/"

static sumi_upscaler *open_network(const char *path, uint64_t max_memory)
{
	sumi_error e = { 0 };
	sumi_upscaler_options o = sumi_upscaler_defaults();
	o.type = "f32";
	o.threads = 1;
	o.max_memory = max_memory;
	sumi_upscaler *u = sumi_upscaler_open(path, &o, &e);
	if (!u) fail_saying("%s\n", e.text);
	return u;
}

static sumi_image *made_of_waves(int width, int height)
{
	sumi_image *p = sumi_image_new(width, height, NULL, NULL);
	assert_non_null(p);
	for (int i = 0; i < 3 * width * height; i++)
		p->pixels[i] = (unsigned char)((i % 3 + 2) * (i / 3 % width) * 3 + i / 3 / width * 5 * (i % 3 + 1));
	return p;
}

static sumi_image *enlarged(const sumi_upscaler *u, const sumi_image *p, int tile, int pad)
{
	sumi_error e = { 0 };
	sumi_upscale_options o = sumi_upscale_defaults();
	o.tile = tile;
	o.tile_pad = pad;
	sumi_image *made = sumi_upscale(u, p, &o, &e);
	if (!made) fail_saying("%s\n", e.text);
	assert_int_equal(made->width, p->width * sumi_upscaler_scale(u));
	assert_int_equal(made->height, p->height * sumi_upscaler_scale(u));
	return made;
}

/* Four convolutions see four pixels to each side: with as many around them, tiles are the whole. */
static void tiles(void **state)
{
	(void)state;
	sumi_upscaler *u = open_network(FOLDER "compact_x2.safetensors", 0);
	assert_int_equal(sumi_upscaler_scale(u), 2);
	sumi_image *p = made_of_waves(45, 33), *whole = enlarged(u, p, 0, 0);
	for (int tile = 8; tile < 50; tile += 13) {
		sumi_image *made = enlarged(u, p, tile, 4), *cut = enlarged(u, p, tile, 0);
		assert_int_equal(tiny_farthest(made, whole), 0);
		assert_true((tile < 45) == (tiny_farthest(cut, whole) > 0));
		sumi_image_free(made);
		sumi_image_free(cut);
	}
	assert_string_equal(whole->parameters, "Postprocess upscale by: 2, Postprocess upscaler: compact_x2");
	sumi_image_free(whole);
	sumi_image_free(p);
	sumi_upscaler_close(u);
}

/* A network that reads squares of four pixels takes any size; a side that is a multiple is not changed by the next. */
static void sizes(void **state)
{
	(void)state;
	sumi_upscaler *u = open_network(FOLDER "rrdb_x1_unshuffle_new.safetensors", 0);
	static const int sides[][2] = { { 1, 1 }, { 3, 9 }, { 16, 2 }, { 13, 12 } };
	for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
		sumi_image *p = made_of_waves(sides[i][0], sides[i][1]), *made = enlarged(u, p, 0, 0),
		           *tiled = enlarged(u, p, 8, 3);
		sumi_image_free(made);
		sumi_image_free(tiled);
		sumi_image_free(p);
	}
	sumi_upscaler_close(u);
}

/* Stops where there are very many. */
static int count_tiles(void *context, const char *stage, int step, int steps)
{
	assert_string_equal(stage, "upscale");
	*(int *)context = steps;
	return step == 1 && steps > 1000;
}

/* Less memory means smaller tiles, and too little is refused. */
static void memory(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	int count = 0;
	sumi_listener l = sumi_listener_defaults();
	l.context = &count;
	l.progress = count_tiles;
	sumi_upscale_options o = sumi_upscale_defaults();
	o.listener = &l;
	sumi_image *p = made_of_waves(200, 150);
	sumi_upscaler *free_one = open_network(FOLDER "rrdb_x4_old.safetensors", 0);
	sumi_image *whole = sumi_upscale(free_one, p, &o, &e);
	assert_int_equal(count, 1);
	sumi_image_free(whole);
	sumi_upscaler *tight = open_network(FOLDER "rrdb_x4_old.safetensors", memory_resident() + (20 << 20));
	sumi_image *tiled = sumi_upscale(tight, p, &o, &e);
	if (!tiled) fail_saying("%s\n", e.text);
	assert_true(count > 1);
	sumi_image_free(tiled);
	sumi_upscaler *none = open_network(FOLDER "rrdb_x4_old.safetensors", 1 << 20);
	assert_null(sumi_upscale(none, p, &o, &e));
	assert_int_equal(e.status, SUMI_NO_MEMORY);
	assert_says(e, "to enlarge tiles of");
	o.tile = 8;
	e = (sumi_error){ 0 };
	sumi_image *wide = made_of_waves(400, 300);
	assert_null(sumi_upscale(free_one, wide, &o, &e)); /* 50·38 tiles: the listener stops it */
	assert_int_equal(e.status, SUMI_STOPPED);
	sumi_image_free(wide);
	sumi_image_free(p);
	sumi_upscaler_close(free_one);
	sumi_upscaler_close(tight);
	sumi_upscaler_close(none);
}

/* A copy in which a tensor is left out, or has another shape. */
static const char *changed(const char *without, const char *reshaped)
{
	error e = { 0 };
	const char *path = scratch_path("changed.safetensors");
	weights *in = weights_open(FOLDER "rrdb_x4_old.safetensors", &e);
	weights_writer *out = weights_writer_new(path, &e);
	assert_true(in && out);
	for (int write = 0; write < 2; write++)
		for (size_t i = 0; i < weights_count(in); i++) {
			const weight *w = weights_at(in, i);
			int64_t shape[4];
			memcpy(shape, w->shape, sizeof shape);
			if (without && !strcmp(w->name, without)) continue;
			if (reshaped && !strcmp(w->name, reshaped)) shape[0] /= 2, shape[1] *= 2;
			assert_true(write ? weights_writer_append(out, w->data, w->bytes, &e)
			                  : weights_writer_declare(out, w->name, w->dtype, w->ndims, shape, &e));
		}
	assert_true(weights_writer_finish(out, &e));
	weights_close(in);
	return path;
}

static void refuses(const char *path, const char *words)
{
	sumi_error e = { 0 };
	assert_null(sumi_upscaler_open(path, NULL, &e));
	assert_int_equal(e.status, SUMI_BAD_FILE);
	assert_says(e, words);
}

static void refusals(void **state)
{
	(void)state;
	refuses(scratch_path("nowhere"), "nowhere");
	refuses(TINY_SD1, "not an upscaler that is known");
	refuses(changed("model.10.weight", NULL), "not an upscaler that is known");
	refuses(changed("model.1.sub.1.RDB2.conv3.0.bias", NULL), "no tensor 'model.1.sub.1.RDB2.conv3.0.bias'");
	refuses(changed(NULL, "model.1.sub.1.RDB2.conv3.0.weight"), "has another shape");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(tiles), cmocka_unit_test(sizes), cmocka_unit_test(memory),
		IN_SCRATCH(refusals) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

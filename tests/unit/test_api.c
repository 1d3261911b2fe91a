/* test_api.c - the border of the library: structs that carry their size, pictures in memory, names, refusals. */
#include "scratch.h"
#include <sumi.h>

static void a_struct_says_its_size(void **state)
{
	struct {
		sumi_options known;
		long long more;
	} newer;
	sumi_error e = { 0 };
	sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", NULL, &e);
	(void)state;
	assert_non_null(m);
	sumi_options_init(&newer.known, sizeof newer);
	newer.known.prompt = "a red fox";
	newer.known.steps = 1;
	assert_int_equal(newer.known.size, sizeof newer);
	sumi_image *image = sumi_generate(m, &newer.known, &e); /* zeros that are not known are fine */
	assert_non_null(image);
	sumi_image_free(image);
	newer.more = 1;
	assert_null(sumi_generate(m, &newer.known, &e));
	assert_says(e, "sumi_options: byte ");
	assert_int_equal(e.status, SUMI_BAD_USAGE);

	e = (sumi_error){ 0 };
	sumi_options none = { .prompt = "a red fox", .steps = 1 };
	assert_null(sumi_generate(m, &none, &e));
	assert_says(e, "begin with the defaults");

	e = (sumi_error){ 0 };
	sumi_options older; /* a program that knew nothing behind `guidance` */
	sumi_options_init(&older, offsetof(sumi_options, guidance_rescale));
	older.prompt = "a red fox";
	older.steps = 1;
	older.strength = 17; /* lies behind its end: not read */
	image = sumi_generate(m, &older, &e);
	if (!image) fail_saying("%s\n", e.text);
	sumi_image_free(image);
	sumi_close(m);
}

static void pictures_go_to_memory_and_back(void **state)
{
	static const char *const formats[] = { "png", "jpeg", "webp" };
	unsigned char pixels[8 * 4 * 3];
	sumi_error e = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(40 + i);
	sumi_image *a = sumi_image_new(8, 4, pixels, &e);
	assert_non_null(a);
	a->parameters = strdup("a fox\nSteps: 1, Sampler: Euler, Seed: 3");
	for (int i = 0; i < 3; i++) {
		unsigned char *bytes;
		size_t count;
		if (!sumi_image_encode(a, formats[i], 100, &bytes, &count, &e)) fail_saying("%s\n", e.text);
		sumi_image *b = sumi_image_decode(bytes, count, &e);
		if (!b) fail_saying("%s\n", e.text);
		assert_int_equal(b->width, 8);
		assert_int_equal(b->height, 4);
		assert_string_equal(b->parameters, a->parameters);
		if (i != 1) assert_memory_equal(b->pixels, pixels, sizeof pixels);
		int width, height;
		assert_true(sumi_image_size_of(bytes, count, &width, &height));
		assert_int_equal(width * 100 + height, 804);
		sumi_image_free(b);
		sumi_free(bytes);
	}
	unsigned char *bytes;
	size_t count;
	assert_false(sumi_image_encode(a, "bmp", 0, &bytes, &count, &e));
	assert_says(e, "bmp");
	e = (sumi_error){ 0 };
	assert_null(sumi_image_decode("no picture", 10, &e));
	assert_int_equal(e.status, SUMI_BAD_FILE);
	sumi_image_free(a);
}

static void a_picture_without_pixels_is_refused(void **state)
{
	unsigned char pixels[48] = { 0 };
	sumi_error e = { 0 };
	sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", NULL, &e);
	(void)state;
	sumi_image bad[] = { { .size = sizeof *bad, .width = 4, .height = 4 },
		{ .size = sizeof *bad, .width = -5, .height = 3, .pixels = pixels },
		{ .width = 4, .height = 4, .pixels = pixels } };
	sumi_options o = sumi_defaults();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e = (sumi_error){ 0 };
		o.init = &bad[i];
		assert_null(sumi_generate(m, &o, &e));
		assert_int_equal(e.status, SUMI_BAD_USAGE);
		e = (sumi_error){ 0 };
		assert_false(sumi_image_write(&bad[i], "/tmp/none.png", &e));
		const sumi_image *list[] = { &bad[i] };
		e = (sumi_error){ 0 };
		assert_null(sumi_image_grid(list, 1, 1, 0, &e));
		assert_int_equal(e.status, SUMI_BAD_USAGE);
	}
	sumi_close(m);
}

static void a_picture_is_resized_and_its_edges_are_found(void **state)
{
	sumi_error e = { 0 };
	sumi_image *p = sumi_image_new(32, 16, NULL, &e);
	(void)state;
	assert_non_null(p);
	for (int y = 0; y < 16; y++) memset(p->pixels + 3 * (32 * y + 16), 255, 48); /* black, white from column 16 on */
	p->seed = 5;
	sumi_image *small = sumi_image_resize(p, 8, 4, &e), *edges = sumi_image_edges(p, 100, 200, &e);
	assert_non_null(small);
	assert_non_null(edges);
	assert_int_equal(small->width, 8);
	assert_int_equal(small->height, 4);
	assert_int_equal(small->seed, 5);
	assert_int_equal(small->pixels[0], 0);
	assert_int_equal(small->pixels[3 * 7], 255);
	int white = 0;
	for (int x = 0; x < 32; x++) white += edges->pixels[3 * (32 * 8 + x)] == 255;
	assert_int_equal(white, 1);
	assert_true(edges->pixels[3 * (32 * 8 + 15)] == 255 || edges->pixels[3 * (32 * 8 + 16)] == 255);
	sumi_image_free(p);
	sumi_image_free(small);
	sumi_image_free(edges);
}

static void a_cancel_stops_a_call(void **state)
{
	sumi_error e = { 0 };
	sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", NULL, &e);
	sumi_options o = sumi_defaults();
	(void)state;
	o.cancel = sumi_cancel_new();
	o.steps = 1;
	sumi_image *image = sumi_generate(m, &o, &e);
	assert_non_null(image);
	sumi_image_free(image);
	sumi_cancel_ask(o.cancel);
	assert_null(sumi_generate(m, &o, &e));
	assert_int_equal(e.status, SUMI_STOPPED);
	sumi_cancel_free(o.cancel);
	sumi_close(m);
}

static void what_comes_of_a_failure_is_harmless(void **state)
{
	sumi_error e = { 0 };
	int width = 7, height = 7;
	(void)state;
	sumi_model *m = sumi_open("/no/such/file", NULL, &e);
	sumi_options o = sumi_defaults();
	assert_null(m);
	sumi_image *image = sumi_generate(m, &o, &e);
	assert_null(image);
	assert_false(sumi_image_write(image, "/tmp/none.png", &e));
	assert_says(e, "/no/such/file"); /* the first failure is reported */
	sumi_model_size(m, &width, &height);
	assert_int_equal(width + height, 0);
	assert_string_equal(sumi_model_family(m), "");
	sumi_image_free(image);
	sumi_evaluation_free(NULL);
	sumi_cancel_free(NULL);
	sumi_cancel_ask(NULL);
	sumi_close(m);
}

static void names_are_listed(void **state)
{
	(void)state;
	assert_string_equal(sumi_type_name(0), "f32");
	assert_null(sumi_type_name(3));
	assert_null(sumi_type_name(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_struct_says_its_size),
		cmocka_unit_test(pictures_go_to_memory_and_back),
		cmocka_unit_test(a_picture_without_pixels_is_refused),
		cmocka_unit_test(a_picture_is_resized_and_its_edges_are_found),
		cmocka_unit_test(a_cancel_stops_a_call),
		cmocka_unit_test(what_comes_of_a_failure_is_harmless),
		cmocka_unit_test(names_are_listed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

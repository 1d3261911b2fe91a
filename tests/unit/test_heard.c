/* test_heard.c - where words are heard: maps of attention against probabilities computed one by one, what the maps of
 * words have to do with each other, and that no picture changes by being asked. */
#include "tiny.h"
#include "backend/backend.h"
#include "pipeline/denoise.h"
#include "pipeline/encode.h"
#include <math.h>

/* ── the network's part ── */

enum { BATCH = 2, PLACES = 15, KEYS = 11, TOKENS = 9, HEADS = 3, WIDTH = 4, WORDS = 6, ALL = HEADS * WIDTH };

static float number(int i) { return (float)sin(i * 12.9898 + 4) * 2; }

/* Σ over a word's tokens of softmax(q·k/√d), the mean over heads */
static double expected(const float *q, const float *k, const float *marks, int n, int place, int word)
{
	double mean = 0;
	for (int h = 0; h < HEADS; h++) {
		double p[KEYS], sum = 0, share = 0;
		for (int j = 0; j < KEYS; j++) {
			double dot = 0;
			for (int d = 0; d < WIDTH; d++)
				dot += (double)q[(n * PLACES + place) * ALL + h * WIDTH + d] *
				       (double)k[(n * KEYS + j) * ALL + h * WIDTH + d];
			sum += p[j] = exp(dot / sqrt(WIDTH));
		}
		for (int j = 0; j < TOKENS; j++) share += (double)marks[(n * TOKENS + j) * WORDS + word] * p[j] / sum;
		mean += share / HEADS;
	}
	return mean;
}

static void as_probabilities(void **state)
{
	(void)state;
	error e = { 0 };
	float q[BATCH * PLACES * ALL], k[BATCH * KEYS * ALL], marks[BATCH * TOKENS * WORDS], out[BATCH * PLACES * WORDS];
	graph *g = graph_new(REAL);
	tensor tq = input(g, "q", REAL, shape3(BATCH, PLACES, ALL)), tk = input(g, "k", REAL, shape3(BATCH, KEYS, ALL));
	word_maps y = { .marks = input(g, "marks", REAL, shape3(BATCH, TOKENS, WORDS)), .rows = 3, .columns = 5 };
	word_maps_add(g, &y, tq, tk, HEADS, 1 / sqrtf(WIDTH));
	word_maps_add(g, &y, tq, tk, HEADS, 1 / sqrtf(WIDTH)); /* a second layer: the sum */
	word_maps_join(g, &y);
	keep(g, y.all);
	for (int i = 0; i < BATCH * PLACES * ALL; i++) q[i] = number(i);
	for (int i = 0; i < BATCH * KEYS * ALL; i++) k[i] = number(i + 7000);
	for (int i = 0; i < BATCH * TOKENS * WORDS; i++) marks[i] = i % 5 == 0 || i % 7 == 3;
	if (!graph_compile(g, backend_cpu(), 2, &e) || !graph_allocate(g, NULL, NULL, &e) || !graph_write(g, tq, q, &e) ||
	    !graph_write(g, tk, k, &e) || !graph_write(g, y.marks, marks, &e) || !graph_run(g, NULL, NULL, &e) ||
	    !graph_read(g, y.all, out, &e))
		fail_saying("%s\n", e.text);
	assert_int_equal(y.layers, 2);
	assert_int_equal(y.count, 1);
	for (int n = 0; n < BATCH; n++)
		for (int place = 0; place < PLACES; place++)
			for (int word = 0; word < WORDS; word++)
				assert_true(fabs((double)out[(n * PLACES + place) * WORDS + word] -
				                 2 * expected(q, k, marks, n, place, word)) < 1e-5);
	graph_free(g);
}

/* ── in pictures ── */

static const char *const words[] = { "red", "fox", "red fox", "snow" };

static sumi_options asked(int count)
{
	sumi_options o = tiny_options(3);
	o.prompt = "a (red:1.3) fox, snow";
	o.width = o.height = 64;
	o.attention_words = words;
	o.attention_count = count;
	return o;
}

static const float *map(const sumi_image *p, int i)
{
	return p->attention + (size_t)i * (size_t)p->attention_width * (size_t)p->attention_height;
}

static size_t places(const sumi_image *p) { return (size_t)p->attention_width * (size_t)p->attention_height; }

/* A phrase is heard as much as its words together; words are heard differently; the picture stays as it was. */
static void of_model(const char *path, int side, const char *type)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = type;
	sumi_model *m = sumi_open(path, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options o = asked(4), plain = asked(0);
	sumi_image *p = tiny_picture(m, &o), *before = tiny_picture(m, &plain);
	double phrase = 0, apart = 0, most = 0, near = strcmp(type, "f32") ? 4e-3 : 1e-6;
	tiny_expect_same(before, p);
	assert_null(before->attention);
	assert_int_equal(p->attention_count, 4);
	assert_int_equal(p->attention_width, side);
	assert_int_equal(p->attention_height, side);
	for (size_t i = 0; i < places(p); i++) {
		double red = (double)map(p, 0)[i], fox = (double)map(p, 1)[i];
		phrase = fmax(phrase, fabs(red + fox - (double)map(p, 2)[i]));
		apart = fmax(apart, fabs(red - fox));
		for (int w = 0; w < 4; w++) {
			assert_true(map(p, w)[i] >= 0 && map(p, w)[i] <= 1);
			most = fmax(most, (double)map(p, w)[i]);
		}
	}
	assert_true(phrase < near);
	assert_true(apart > 1e-5);
	assert_true(most > 1e-3);
	sumi_image *heat = sumi_image_attention(p, 1, &e);
	assert_true(heat && heat->width == p->width && heat->height == p->height && !tiny_same(heat, p));
	assert_null(sumi_image_attention(p, 4, &e));
	assert_says(e, "the picture has 4");
	sumi_image_free(heat);
	sumi_image_free(before);
	sumi_image_free(p);
	sumi_close(m);
}

static void of_families(void **state)
{
	(void)state;
	of_model(TINY_SD1, 8, "f32");
	of_model(TINY_SD1, 8, "bf16");
	of_model(tiny_file("sdxl", TINY_SDXL), 8, "f32");
	of_model(tiny_file("sd3", TINY_SD3), 8, "f32");
}

/* All tokens as one word, in both branches of AND: every place gives all of its attention to it. */
static void all_that_there_is(void **state)
{
	(void)state;
	error e = { 0 };
	model *m = tiny_open(TINY_SD1);
	sumi_options o = asked(1);
	o.prompt = "red AND red house";
	job one = { 0 }, *j = &one;
	session *s = session_open(m, 0, false, &e);
	if (!s || !job_prepare(j, s, NULL, &o, &e) || !encode_prompts(s, &j, 1, NULL, &e)) fail_saying("%s\n", e.text);
	for (int i = 0; i < j->text.text_count * j->text.tokens; i++) j->text.marks[i] = 1;
	denoiser d = { .session = s, .jobs = &j, .count = 1, .steps = j->path.count };
	float *x = calloc(2 * j->positions * (size_t)j->channels, sizeof *x), *out = x + j->positions * (size_t)j->channels;
	path_point at = { 700, 0.3, 0.7 };
	if (!denoiser_begin(&d, NULL, &e) || !denoiser_call(&d, 0, at, x, out, NULL, &e) ||
	    !denoiser_call(&d, 1, at, x, out, NULL, &e) || !denoiser_maps(&d, &j, &e))
		fail_saying("%s\n", e.text);
	for (size_t i = 0; i < j->positions; i++) assert_true(fabs((double)j->maps[i] - 1) < 1e-5);
	denoiser_end(&d);
	job_free(j);
	session_close(s);
	free(x);
	sumi_close(m);
}

/* Pictures that ask for other words, drawn together, get what each gets alone. */
static void in_batches(void **state)
{
	(void)state;
	enum { MANY = 3 };
	sumi_error e = { 0 };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o[MANY];
	const sumi_options *list[MANY];
	sumi_image *many[MANY];
	for (int i = 0; i < MANY; i++) {
		o[i] = asked(i ? 1 : 2);
		o[i].seed = i;
		o[i].attention_words = words + i;
		list[i] = &o[i];
	}
	o[2].attention_words = words + 3;
	o[2].prompt = "[a|snow] red fox, [snow|ice]"; /* from step to step */
	sumi_session *s = sumi_session_open(m, NULL, &e);
	if (!sumi_session_draw_batch(s, list, MANY, many, &e)) fail_saying("%s\n", e.text);
	for (int i = 0; i < MANY; i++) {
		sumi_image *one = tiny_picture(m, &o[i]);
		tiny_expect_same(one, many[i]);
		assert_int_equal(one->attention_count, i ? 1 : 2);
		assert_memory_equal(
		    one->attention, many[i]->attention, places(one) * (size_t)one->attention_count * sizeof(float));
		sumi_image_free(one);
		sumi_image_free(many[i]);
	}
	sumi_session_close(s);
	sumi_close(m);
}

/* With a second pass they are its own; with a refiner, of both networks. */
static void in_two_passes(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1), *xl = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_options o = asked(2);
	o.hires_scale = 1.5;
	sumi_image *p = tiny_picture(m, &o);
	assert_int_equal(p->attention_width, 12);
	sumi_image_free(p);
	o.hires_scale = 0;
	sumi_image *alone = tiny_picture(xl, &o);
	o.refiner = tiny_file("refiner", TINY_REFINER);
	o.refiner_start = 0.5;
	p = tiny_picture(xl, &o);
	assert_memory_not_equal(alone->attention, p->attention, places(p) * sizeof(float));
	for (size_t i = 0; i < places(p); i++) assert_true(p->attention[i] > 0 && p->attention[i] < 1);
	sumi_image_free(p);
	sumi_image_free(alone);
	sumi_close(m);
	sumi_close(xl);
}

static void what_is_refused(void **state)
{
	(void)state;
	static const char *const other[] = { "red", "dog" }, *const none[] = { "" };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o = asked(2);
	o.attention_words = other;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "\"dog\" is none of the words");
	o.negative_prompt = "dog"; /* that is not where a picture hears it */
	tiny_refused(m, &o, SUMI_BAD_USAGE, "\"dog\" is none of the words");
	o.attention_words = none;
	o.attention_count = 1;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "\"\" is none");
	o.attention_count = 65;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "at most 64");
	o.attention_words = NULL;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "at most 64");
	sumi_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_probabilities),
		IN_SCRATCH(of_families),
		IN_SCRATCH(all_that_there_is),
		IN_SCRATCH(in_batches),
		IN_SCRATCH(in_two_passes),
		IN_SCRATCH(what_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_sessions.c - sessions and batches: whatever is drawn together, again, or in another thread has the bytes that it
 * has alone; previews are near what comes of them; what is not finite is an error that names the weight. */
#include "tiny.h"
#include "base/file.h"
#include "checkpoint/model.h"
#include "io/weights.h"
#include <math.h>
#include <pthread.h>

static sumi_model *open_tiny(const char *type)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = type;
	how.threads = 1;
	sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	return m;
}

static sumi_options small(const char *prompt)
{
	sumi_options o = sumi_defaults();
	o.prompt = prompt;
	o.steps = 2;
	o.width = o.height = 32;
	return o;
}

static void a_batch_draws_what_each_is_alone(void **state)
{
	static const char *const types[] = { "f32", "bf16" };
	static const char *const samplers[] = { "DPM++ 2M SDE", "Euler a" };
	(void)state;
	for (int t = 0; t < 2; t++) {
		sumi_model *m = open_tiny(types[t]);
		for (int k = 0; k < 2; k++) {
			sumi_options o[3];
			for (int i = 0; i < 3; i++) {
				o[i] = small(i == 1 ? "two cups of (tea:1.3), on a table" : "a red fox");
				o[i].seed = 7 + i;
				o[i].sampler = samplers[k];
				o[i].guidance = i == 2 ? 4 : 7;
			}
			tiny_alike(m, o, 3);
		}
		sumi_close(m);
	}
}

/* Blends, variations, AND, unguided ones, pictures to begin from and masks, in one batch. */
static void a_batch_may_be_mixed(void **state)
{
	unsigned char pixels[32 * 32 * 3], white[32 * 32 * 3] = { 0 };
	sumi_error e = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(i * 7 + i / 96);
	memset(white, 255, sizeof white / 2);
	sumi_image *init = sumi_image_new(32, 32, pixels, &e), *mask = sumi_image_new(32, 32, white, &e);
	sumi_model *m = open_tiny("f32");
	sumi_options o[12];
	for (int i = 0; i < 12; i++) o[i] = small("a red fox");
	o[1].prompt_to = "a blue bird";
	o[1].blend = 0.3;
	o[2].variation_seed = 5;
	o[2].variation_strength = 0.4;
	o[3].prompt = "a fox AND a bird:0.6";
	o[4].prompt = "a bird AND a fox";
	o[5].guidance = 1;
	o[6].guidance = 0;
	o[7].init = o[8].init = o[9].init = init;
	o[8].mask = mask;
	o[9].strength = 0.5;
	o[10].steps = 3;
	o[11].guidance = 1;
	o[11].seed = 3;
	tiny_alike(m, o, 12);
	sumi_close(m);
	sumi_image_free(init);
	sumi_image_free(mask);
}

static void a_small_budget_drops_the_oldest(void **state)
{
	sumi_error e = { 0 };
	sumi_model *m = open_tiny("f32");
	sumi_options o = small("a red fox");
	(void)state;
	sumi_session *s = sumi_session_open(m, NULL, &e);
	sumi_image *a = sumi_session_draw(s, &o, &e);
	assert_non_null(a);
	uint64_t all = sumi_session_bytes(s);
	sumi_session_close(s);
	sumi_session_options budget = sumi_session_defaults();
	budget.max_memory = 1 << 20;
	s = sumi_session_open(m, &budget, &e);
	assert_null(sumi_session_draw(s, &o, &e));
	assert_int_equal(e.status, SUMI_NO_MEMORY);
	assert_says(e, "32×32");
	sumi_session_close(s);
	e = (sumi_error){ 0 };
	/* another size as well: more is kept, until what is older is in the way */
	s = sumi_session_open(m, NULL, &e);
	for (int i = 0; i < 2; i++) {
		o.width = i ? 64 : 32;
		sumi_image *b = sumi_session_draw(s, &o, &e);
		assert_non_null(b);
		if (!i) tiny_expect_same(a, b);
		sumi_image_free(b);
	}
	assert_true(sumi_session_bytes(s) > all);
	sumi_session_trim(s, all);
	assert_true(sumi_session_bytes(s) <= all);
	sumi_session_close(s);
	sumi_image_free(a);
	sumi_close(m);
}

/* ── threads ── */

typedef struct worker {
	sumi_model *m;
	sumi_image *pictures[3];
} worker;

static void *work(void *context)
{
	worker *w = context;
	sumi_error e = { 0 };
	sumi_session *s = sumi_session_open(w->m, NULL, &e);
	for (int i = 0; i < 3; i++) {
		sumi_options o = small(i ? "a red fox" : "two cups of tea");
		o.seed = 5 + i;
		w->pictures[i] = sumi_session_draw(s, &o, &e);
	}
	sumi_session_close(s);
	return NULL;
}

static void two_sessions_draw_from_two_threads(void **state)
{
	sumi_model *m = open_tiny("f32");
	worker w[2] = { { .m = m }, { .m = m } };
	pthread_t threads[2];
	(void)state;
	for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
	for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++) {
		assert_non_null(w[0].pictures[i]);
		assert_non_null(w[1].pictures[i]);
		tiny_expect_same(w[0].pictures[i], w[1].pictures[i]);
		for (int k = 0; k < 2; k++) sumi_image_free(w[k].pictures[i]);
	}
	sumi_close(m);
}

/* ── previews ── */

typedef struct seen {
	int count, last_index, last_step, width;
	unsigned char pixels[256 * 256 * 3];
} seen;

static void on_preview(void *context, int index, int step, const sumi_image *picture)
{
	seen *s = context;
	s->count++;
	s->last_index = index;
	s->last_step = step;
	s->width = picture->width;
	memcpy(s->pixels, picture->pixels, (size_t)picture->width * (size_t)picture->height * 3);
}

/* How far the means of the squares of a picture are from a preview, and from its mean colour: as sums of squares. */
static void distances(const sumi_image *p, const seen *s, double *near, double *far)
{
	int side = s->width, factor = p->width / side;
	double mean[3] = { 0 };
	for (int i = 0; i < p->width * p->height * 3; i++) mean[i % 3] += p->pixels[i] / (double)(p->width * p->height);
	*near = *far = 0;
	for (int y = 0; y < side; y++)
		for (int x = 0; x < side; x++)
			for (int c = 0; c < 3; c++) {
				double sum = 0;
				for (int v = 0; v < factor; v++)
					for (int u = 0; u < factor; u++)
						sum += p->pixels[((y * factor + v) * p->width + x * factor + u) * 3 + c];
				sum /= factor * factor;
				*near += pow(sum - s->pixels[(y * side + x) * 3 + c], 2);
				*far += pow(sum - mean[c], 2);
			}
}

/* Also where a batch is drawn in groups: the index is that of the options. */
static void previews_say_whose_they_are(void **state)
{
	static seen s;
	sumi_error e = { 0 };
	sumi_model *m = open_tiny("f32");
	sumi_session *session = sumi_session_open(m, NULL, &e);
	sumi_listener l = sumi_listener_defaults();
	sumi_options o[2] = { small("a red fox"), small("a red fox") };
	const sumi_options *list[] = { &o[0], &o[1] };
	sumi_image *pictures[2];
	(void)state;
	l.preview = on_preview;
	l.context = &s;
	o[0].listener = &l;
	o[1].steps = 3; /* another path: a group of its own, drawn last */
	if (!sumi_session_draw_batch(session, list, 2, pictures, &e)) fail_saying("%s\n", e.text);
	assert_int_equal(s.count, 1 + 2);
	assert_int_equal(s.last_index, 1);
	for (int i = 0; i < 2; i++) sumi_image_free(pictures[i]);
	sumi_session_close(session);
	sumi_close(m);
}

static void previews_are_near_the_picture(void **state)
{
	static seen s;
	sumi_error e = { 0 };
	sumi_listener l = sumi_listener_defaults();
	sumi_model_options how = sumi_model_defaults();
	how.threads = 1;
	sumi_model *m = sumi_open(SOURCE_DIR "/models/emoji.safetensors", &how, &e);
	sumi_options o = sumi_defaults();
	double near, far;
	(void)state;
	if (!m) fail_saying("%s\n", e.text);
	l.preview = on_preview;
	l.context = &s;
	o.listener = &l;
	o.prompt = "smiling cat with heart-eyes";
	o.steps = 10;
	sumi_image *plain = sumi_generate(m, &o, &e);
	if (!plain) fail_saying("%s\n", e.text);
	assert_int_equal(s.count, 9);
	assert_int_equal(s.last_step, 9);
	assert_int_equal(s.last_index, 0);
	distances(plain, &s, &near, &far);
	assert_true(near < far / 4);
	o.preview = "decoder";
	sumi_image *again = sumi_generate(m, &o, &e);
	assert_non_null(again);
	assert_int_equal(s.width, plain->width);
	tiny_expect_same(plain, again); /* previews change nothing */
	distances(plain, &s, &near, &far);
	assert_true(near < far / 10);
	o.preview = "crayon";
	assert_null(sumi_generate(m, &o, &e));
	assert_says(e, "crayon");
	sumi_image_free(plain);
	sumi_image_free(again);
	sumi_close(m);
}

/* ── what is not finite ── */

static void a_weight_that_is_no_number_is_named(void **state)
{
	static const char *const names[] = { "model.diffusion_model.middle_block.0.in_layers.2.weight",
		"first_stage_model.decoder.conv_in.weight", "cond_stage_model.transformer.text_model.final_layer_norm.weight" };
	(void)state;
	for (int i = 0; i < 3; i++) {
		sumi_error e = { 0 };
		error own = { 0 };
		size_t size;
		weights *w = weights_open(GOLDEN_DIR "/sd1/model.safetensors", &own);
		const weight *bad = w ? weights_find(w, names[i]) : NULL;
		if (!bad) fail_saying("no %s\n", names[i]);
		char *all = whole_file(GOLDEN_DIR "/sd1/model.safetensors", 1 << 28, &size, &own);
		assert_non_null(all);
		char *at = memmem(all, size, bad->data, 128);
		assert_non_null(at);
		memset(at, 0xff, 9 * 2); /* a whole kernel: of its edges, a map of one pixel may use none */
		scratch_write("model.safetensors", all, size);
		free(all);
		weights_close(w);
		all = whole_file(GOLDEN_DIR "/sd1/config.json", 1 << 20, &size, &own);
		assert_non_null(all);
		scratch_write("config.json", all, size);
		free(all);
		sumi_model *m = sumi_open(scratch_path("model.safetensors"), NULL, &e);
		if (!m) fail_saying("%s\n", e.text);
		sumi_options o = small("a red fox");
		assert_null(sumi_generate(m, &o, &e));
		if (!strstr(e.text, names[i])) fail_saying("%s\n", e.text);
		assert_says(e, "NaN");
		assert_int_equal(e.status, SUMI_BAD_FILE);
		sumi_close(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_draws_what_each_is_alone),
		cmocka_unit_test(a_batch_may_be_mixed),
		cmocka_unit_test(a_small_budget_drops_the_oldest),
		cmocka_unit_test(two_sessions_draw_from_two_threads),
		cmocka_unit_test(previews_say_whose_they_are),
		cmocka_unit_test(previews_are_near_the_picture),
		cmocka_unit_test(a_weight_that_is_no_number_is_named),
	};
	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

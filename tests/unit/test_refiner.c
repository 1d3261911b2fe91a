/* test_refiner.c - a second model finishes the picture: from the right step on, with prompts and sizes of its own, in
 * sessions and batches as alone; what cannot refine is refused before anything is computed. */
#include "tiny.h"
#include "base/resources.h"

static sumi_image *refined(sumi_model *m, const char *refiner, double start, double score)
{
	sumi_options o = tiny_options(5);
	o.refiner = refiner;
	o.refiner_start = start;
	o.aesthetic_score = score;
	return tiny_picture(m, &o);
}

/* Handing over to the same model changes nothing: latent, history and prompts go on as they were. */
static void a_model_refines_its_own_as_it_would_have_gone_on(void **state)
{
	(void)state;
	const char *path = tiny_file("sdxl", TINY_SDXL);
	sumi_model *m = tiny_open(path);
	sumi_options o = tiny_options(6);
	o.sampler = "DPM++ 2M";
	o.prompt = "a red fox AND a [blue:green:0.5] bird";
	o.prompt_to = "a cup AND a tree";
	o.blend = 0.3;
	sumi_image *alone = tiny_picture(m, &o);
	for (int i = 0; i < 3; i++) {
		o.refiner = path;
		o.refiner_start = 0.5 * i;
		sumi_image *both = tiny_picture(m, &o);
		assert_true(tiny_same(alone, both));
		sumi_image_free(both);
	}
	sumi_image_free(alone);
	sumi_close(m);
}

static void it_takes_over_and_reads_its_score(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	const char *refiner = tiny_file("refiner", TINY_REFINER);
	sumi_image *p[] = { refined(m, NULL, 0.8, 6), refined(m, refiner, 1, 6), refined(m, refiner, 0.5, 6),
		refined(m, refiner, 0, 6), refined(m, refiner, 0.5, 1) };
	assert_true(tiny_same(p[0], p[1]));
	for (int a = 1; a < 5; a++)
		for (int b = 1; b < a; b++) assert_false(tiny_same(p[a], p[b]));
	assert_null(strstr(p[0]->parameters, "Refiner"));
	assert_non_null(strstr(p[2]->parameters, "Refiner: refiner, Refiner switch at: 0.5"));
	for (int i = 0; i < 5; i++) sumi_image_free(p[i]);
	sumi_close(m);
}

/* ── when ── */

typedef struct log {
	int step, loaded_at; /* steps done; at the last loading while denoising */
	bool denoises;
} log;

static int watch(void *context, const char *stage, int step, int steps)
{
	log *y = context;
	(void)steps;
	if (!strcmp(stage, "denoise")) y->denoises = true, y->step = step;
	if (!strcmp(stage, "load") && y->denoises && y->step < 10 && y->loaded_at < 0) y->loaded_at = y->step;
	return 0;
}

/* Uniform steps lie at 999, 888, … 111, 0 of 1000: the last fifth begins with the ninth, the last half with the sixth.
 */
static void it_begins_by_the_training_times(void **state)
{
	static const struct {
		double start;
		int at;
	} cases[] = { { 0.8, 8 }, { 0.5, 5 }, { 0.9, 9 }, { 0.85, 8 }, { 1, -1 } };
	(void)state;
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	const char *refiner = tiny_file("refiner", TINY_REFINER);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		log y = { .loaded_at = -1 };
		sumi_listener l = sumi_listener_defaults();
		l.context = &y;
		l.progress = watch;
		sumi_options o = tiny_options(10);
		o.refiner = refiner;
		o.refiner_start = cases[i].start;
		o.schedule = "uniform";
		o.listener = &l;
		sumi_image_free(tiny_picture(m, &o));
		assert_int_equal(y.loaded_at, cases[i].at);
	}
	sumi_close(m);
}

/* ── sessions and batches ── */

static void a_batch_of_some_that_are_refined(void **state)
{
	(void)state;
	enum { MANY = 5 };
	sumi_error e = { 0 };
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	char refiner[160];
	strcpy(refiner, tiny_file("refiner", TINY_REFINER));
	sumi_options o[MANY];
	const sumi_options *list[MANY];
	sumi_image *many[MANY];
	for (int i = 0; i < MANY; i++) {
		o[i] = tiny_options(3);
		o[i].seed = i;
		o[i].refiner = i == 1 ? NULL : i == 4 ? tiny_file("sdxl", TINY_SDXL) : refiner;
		o[i].refiner_start = i == 3 ? 0.3 : 0.6;
		list[i] = &o[i];
	}
	sumi_session *s = sumi_session_open(m, NULL, &e);
	for (int round = 0; round < 2; round++) {
		if (!sumi_session_draw_batch(s, list, MANY, many, &e)) fail_saying("%s\n", e.text);
		for (int i = 0; i < MANY; i++) {
			sumi_image *one = tiny_picture(m, &o[i]);
			tiny_expect_same(one, many[i]);
			sumi_image_free(one);
			sumi_image_free(many[i]);
		}
	}
	uint64_t kept = sumi_session_bytes(s);
	sumi_session_trim(s, kept / 2);
	assert_true(sumi_session_bytes(s) <= kept / 2);
	sumi_session_close(s);
	sumi_close(m);
}

/* A session draws by the file that is there now. */
static void another_file_is_opened(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_options o = tiny_options(3);
	char next[160];
	strcpy(next, scratch_path("next.safetensors"));
	o.refiner = tiny_file("changing", TINY_REFINER);
	o.refiner_start = 0.3;
	sumi_session *s = sumi_session_open(m, NULL, &e);
	sumi_image *before = sumi_session_draw(s, &o, &e);
	if (!before) fail_saying("%s\n", e.text);
	assert_true(sumi_init(scratch_path("changing.json"), 2, "f32", false, next, NULL, &e));
	assert_int_equal(rename(next, o.refiner), 0);
	sumi_image *after = sumi_session_draw(s, &o, &e), *alone = tiny_picture(m, &o);
	if (!after) fail_saying("%s\n", e.text);
	assert_true(tiny_same(alone, after));
	assert_false(tiny_same(before, after));
	sumi_session_close(s);
	sumi_image_free(before);
	sumi_image_free(after);
	sumi_image_free(alone);
	sumi_close(m);
}

/* Where there is room for one of both at a time, one makes room for the other. */
static void a_small_budget_holds_one_at_a_time(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_options o = tiny_options(3);
	o.width = o.height = 128;
	o.refiner = tiny_file("refiner", TINY_REFINER);
	o.refiner_start = 0.5;
	sumi_image *expected = tiny_picture(m, &o);
	sumi_session *s = sumi_session_open(m, NULL, &e);
	sumi_image_free(sumi_session_draw(s, &o, &e));
	uint64_t all = sumi_session_bytes(s);
	sumi_session_close(s);
	/* the least that is enough, found by what is refused */
	sumi_session_options budget = sumi_session_defaults();
	budget.max_memory = 1 << 20;
	uint64_t taken = memory_resident(); /* which sessions count as well */
	s = sumi_session_open(m, &budget, &e);
	assert_null(sumi_session_draw(s, &o, &e));
	assert_int_equal(e.status, SUMI_NO_MEMORY);
	double mib = 0;
	assert_int_equal(sscanf(e.text, "memory: %lf MiB are needed", &mib), 1);
	sumi_session_close(s);
	e = (sumi_error){ 0 };
	budget.max_memory = (uint64_t)((mib + 1) * (1 << 20)) - taken + memory_resident();
	s = sumi_session_open(m, &budget, &e);
	for (int i = 0; i < 2; i++) {
		sumi_image *p = sumi_session_draw(s, &o, &e);
		if (!p) fail_saying("%s\n", e.text);
		assert_true(tiny_same(expected, p));
		assert_true(sumi_session_bytes(s) < all);
		sumi_image_free(p);
	}
	sumi_session_close(s);
	sumi_image_free(expected);
	sumi_close(m);
}

/* ── what cannot be ── */

static void wrong_pairs_are_refused(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	char refiner[160];
	strcpy(refiner, tiny_file("refiner", TINY_REFINER));
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL)), *r = tiny_open(refiner);
	sumi_options o = tiny_options(2);
	tiny_refused(r, &o, SUMI_BAD_USAGE, "a refiner finishes what another model began");
	sumi_image *grey = sumi_image_new(64, 64, NULL, &e);
	o.init = grey;
	sumi_image_free(tiny_picture(r, &o));
	o.init = NULL;
	o.refiner = GOLDEN_DIR "/sd1/model.safetensors";
	tiny_refused(m, &o, SUMI_BAD_USAGE, "0.18215");
	o.refiner = "no-such-file.safetensors";
	tiny_refused(m, &o, SUMI_BAD_FILE, "no-such-file");
	o.refiner = tiny_file("sd3", TINY_SD3);
	tiny_refused(m, &o, SUMI_BAD_USAGE, "16 channels");
	o.refiner = refiner;
	o.refiner_start = 1.5;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "start of the refiner 1.5");
	sumi_image_free(grey);
	sumi_close(r);
	sumi_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(a_model_refines_its_own_as_it_would_have_gone_on),
		IN_SCRATCH(it_takes_over_and_reads_its_score),
		IN_SCRATCH(it_begins_by_the_training_times),
		IN_SCRATCH(a_batch_of_some_that_are_refined),
		IN_SCRATCH(another_file_is_opened),
		IN_SCRATCH(a_small_budget_holds_one_at_a_time),
		IN_SCRATCH(wrong_pairs_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

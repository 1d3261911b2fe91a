/* test_latents.c - the latents that a listener is told of: Euler's rule leads from each to the next, for each picture
 * of a batch; and the tokens of a text as each encoder's table has them. */
#include "tiny.h"
#include "text/byte_pair.h"
#include "text/tokenizer.h"
#include <jansson.h>
#include <math.h>

enum { STEPS = 4, PICTURES = 2, MOST = 4096 };

typedef struct told {
	int step; /* the last that was told; −1: none */
	size_t n;
	double signal, noise, off;
	float noisy[MOST];
} told;

static void take_latent(void *context, int index, int step, const sumi_latent *l)
{
	told *t = (told *)context + index;
	size_t n = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
	assert_true(index >= 0 && index < PICTURES && n <= MOST);
	assert_int_equal(step, t->step + 1);
	assert_true((l->clean == NULL) == (step == 0));
	for (size_t i = 0; step && i < n; i++) {
		/* in units of the signal: x' = x + (σ' − σ)·(x − clean)/σ */
		double x = (double)t->noisy[i] / t->signal, from = t->noise / t->signal, to = l->noise / l->signal;
		double expected = l->signal * (x + (to - from) * (x - (double)l->clean[i]) / from);
		t->off = fmax(t->off, fabs(expected - (double)l->noisy[i]));
	}
	t->step = step;
	t->n = n;
	t->signal = l->signal;
	t->noise = l->noise;
	memcpy(t->noisy, l->noisy, n * sizeof *t->noisy);
}

static void from_step_to_step(void **state)
{
	(void)state;
	static const char *const samplers[] = { "Euler", "DDIM" };
	for (int s = 0; s < 2; s++) {
		sumi_error e = { 0 };
		sumi_model *m = tiny_open(TINY_SD1);
		told t[PICTURES] = { { .step = -1 }, { .step = -1 } };
		sumi_listener l = sumi_listener_defaults();
		sumi_options o[PICTURES];
		const sumi_options *list[PICTURES];
		sumi_image *pictures[PICTURES];
		l.context = t;
		l.latent = take_latent;
		for (int i = 0; i < PICTURES; i++) {
			o[i] = tiny_options(STEPS);
			o[i].sampler = samplers[s];
			o[i].width = o[i].height = 64;
			o[i].seed = i;
			o[i].listener = &l;
			list[i] = &o[i];
		}
		sumi_session *session = sumi_session_open(m, NULL, &e);
		if (!sumi_session_draw_batch(session, list, PICTURES, pictures, &e)) fail_saying("%s\n", e.text);
		for (int i = 0; i < PICTURES; i++) {
			assert_int_equal(t[i].step, STEPS);
			assert_true(t[i].off < 1e-3);
			assert_true(t[i].noise < 0.05);
			sumi_image_free(pictures[i]);
		}
		assert_memory_not_equal(t[0].noisy, t[1].noisy, t[0].n * sizeof *t->noisy);
		sumi_session_close(session);
		sumi_close(m);
	}
}

static void put(void *context, int encoder, int id, const char *text)
{
	char *to = context;
	snprintf(strchr(to, 0), 1000 - strlen(to), "%d:%d:%s ", encoder, id, text);
}

static void tokens_of_each_encoder(void **state)
{
	(void)state;
	static const struct {
		const char *name, *config, *expected;
	} cases[] = {
		{ "sdxl", TINY_SDXL,
		    "0:320:a</w> 0:736:red</w> 0:3240:fox</w> 0:267:,</w> 1:320:a</w> 1:736:red</w> 1:3240:fox</w> "
		    "1:267:,</w> " },
		{ "sd3", TINY_SD3,
		    "0:320:a</w> 0:736:red</w> 0:3240:fox</w> 0:267:,</w> 1:320:a</w> 1:736:red</w> 1:3240:fox</w> 1:267:,</w> "
		    "2:3:\xe2\x96\x81 2:9:a 2:1131:\xe2\x96\x81red 2:3:\xe2\x96\x81 2:20400:fox 2:6:, " },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		sumi_error e = { 0 };
		char text[1000] = "";
		sumi_model *m = tiny_open(tiny_file(cases[i].name, cases[i].config));
		if (!sumi_prompt_tokens(m, "a red fox,", put, text, &e)) fail_saying("%s\n", e.text);
		assert_string_equal(text, cases[i].expected);
		assert_false(sumi_prompt_tokens(m, "\xff", put, text, &e));
		sumi_close(m);
	}
}

/* As CLIP's files name them, where every byte is a character that can be printed; each 71st. */
static void clip_by_its_vocabulary(void **state)
{
	(void)state;
	error e = { 0 };
	tokenizer *t = tokenizer_open(CLIP, NULL, 0, &e);
	char *json = byte_pair_vocabulary(&e), text[256], cut[4];
	json_t *all = json_loads(json, 0, NULL), *number;
	const char *name;
	int compared = 0;
	json_object_foreach(all, name, number)
	{
		int32_t id = (int32_t)json_integer_value(number);
		bool plain = id % 71 == 0;
		for (const char *c = name; *c; c++) plain = plain && (unsigned char)*c < 128;
		if (!plain) continue;
		tokenizer_token(t, id, text, sizeof text);
		assert_string_equal(text, name);
		tokenizer_token(t, id, cut, sizeof cut);
		assert_true(strlen(cut) <= 3 && !strncmp(cut, name, strlen(cut)));
		compared++;
	}
	assert_true(compared > 300);
	tokenizer_token(t, 49406, text, sizeof text);
	assert_string_equal(text, "<|startoftext|>");
	tokenizer_token(t, 49408, text, sizeof text);
	assert_string_equal(text, "");
	tokenizer_token(t, -1, text, sizeof text);
	assert_string_equal(text, "");
	json_decref(all);
	free(json);
	tokenizer_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_step_to_step),
		IN_SCRATCH(tokens_of_each_encoder),
		cmocka_unit_test(clip_by_its_vocabulary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_described.c - what changes a picture stands in its parameters; what does not, does not; and what of a prompt is
 * not read is said. */
#include "tiny.h"
#include "models/families.h"

static const char *described(sumi_model *m, const sumi_options *o)
{
	static char text[2048];
	sumi_image *p = tiny_picture(m, o);
	snprintf(text, sizeof text, "%s", p->parameters);
	sumi_image_free(p);
	return text;
}

static void has(const char *text, const char *words)
{
	if (!strstr(text, words)) fail_saying("no \"%s\" in: %s\n", words, text);
}

static void lacks(const char *text, const char *words)
{
	if (strstr(text, words)) fail_saying("\"%s\" in: %s\n", words, text);
}

static void what_sdxl_reads(void **state)
{
	static const char *const names[] = { "Original size", "Crop", "Target size", "core:", "Zero negative", "Shift",
		"Prediction", "Sampling method" };
	(void)state;
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_options o = tiny_options(1);
	const char *text = described(m, &o);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) lacks(text, names[i]);
	o.original_width = 640;
	o.crop_top = 8;
	o.target_width = 320, o.target_height = 200;
	o.zero_negative = true;
	o.refiner = tiny_file("refiner", TINY_REFINER);
	o.aesthetic_score = 7;
	o.negative_aesthetic_score = 1.5;
	text = described(m, &o);
	has(text,
	    "Original size: 640x64, Crop: 0x8, Target size: 320x200, Aesthetic score: 7, Negative aesthetic score: 1.5");
	has(text, "Zero negative: True");
	sumi_close(m);
}

static void flow_prediction_and_scheduler(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	sumi_model *m = tiny_open(tiny_file("sd3", TINY_SD3));
	sumi_options o = tiny_options(1);
	lacks(described(m, &o), "Shift");
	o.flow_shift = 2.5;
	o.original_width = 640;
	has(described(m, &o), "Shift: 2.5");
	lacks(described(m, &o), "Original");
	sumi_close(m);
	sumi_model_options how = sumi_model_defaults();
	how.prediction = "v";
	m = sumi_open(GOLDEN_DIR "/sd1/diffusers", &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	o = tiny_options(1);
	o.width = o.height = 32;
	o.sampler = "model";
	has(described(m, &o), "Prediction: v");
	has(described(m, &o), "Sampling method: model");
	sumi_close(m);
}

/* ── prompts that are too long ── */

typedef struct warnings {
	int count;
	char last[300];
} warnings;

static void keep_warning(void *context, sumi_level level, const char *line)
{
	warnings *w = context;
	if (level != SUMI_WARNING) return;
	w->count++;
	snprintf(w->last, sizeof w->last, "%s", line);
}

/* `words` words with BREAK behind each of the first `breaks` of them. */
static warnings warnings_of(sumi_model *m, int words, int breaks)
{
	warnings w = { 0 };
	char *prompt = calloc((size_t)words + (size_t)breaks, 8);
	for (int i = 0; i < words; i++) strcat(prompt, i < breaks ? "cat BREAK " : "cat ");
	sumi_listener l = sumi_listener_defaults();
	l.context = &w;
	l.note = keep_warning;
	sumi_options o = tiny_options(1);
	o.prompt = prompt;
	o.width = o.height = 32;
	o.guidance = 1;
	o.listener = &l;
	sumi_image_free(tiny_picture(m, &o));
	free(prompt);
	return w;
}

static void lost_words_are_said(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(GOLDEN_DIR "/sd1/model.safetensors");
	assert_int_equal(warnings_of(m, 16 * 75, 0).count, 0);
	warnings w = warnings_of(m, 16 * 75 + 2, 0);
	assert_int_equal(w.count, 1);
	has(w.last, "last 2 tokens are not read by the text encoder");
	assert_int_equal(warnings_of(m, 16, 15).count, 0);
	w = warnings_of(m, 18, 17);
	assert_int_equal(w.count, 1);
	has(w.last, "last 2 tokens");
	w = warnings_of(m, 16 * 75 + 3, 1); /* the first chunk holds one word: 74 and 3 more are lost */
	has(w.last, "last 77 tokens");
	sumi_close(m);
}

static void wrong_previews_are_refused_first(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	sumi_model_options small = sumi_model_defaults();
	small.max_memory = 1 << 20;
	sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", &small, &e);
	sumi_options o = tiny_options(1);
	o.preview = "sharp";
	assert_null(sumi_generate(m, &o, &e));
	assert_says(e, "preview 'sharp': linear, taesd or decoder"); /* not that there is no memory */
	sumi_close(m);
}

static void families_by_any_case(void **state)
{
	(void)state;
	error e = { 0 };
	assert_string_equal(family_by_name("SDXL", &e)->name, "sdxl");
	assert_string_equal(family_by_name("Sd3.5-Large-Turbo", &e)->name, "sd3.5-large");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(what_sdxl_reads),
		IN_SCRATCH(flow_prediction_and_scheduler),
		IN_SCRATCH(lost_words_are_said),
		IN_SCRATCH(wrong_previews_are_refused_first),
		IN_SCRATCH(families_by_any_case),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_finite.c - a number that is none, in any file that a picture is made with: the failure names the file and the
 * tensor. */
#include "tiny.h"
#include "io/weights.h"
#include "checkpoint/control.h"
#include "pipeline/finite.h"

/* A copy of the file in which every tensor of this name's ending is NaN; its path. */
static const char *spoiled(const char *path, const char *ending, const char *as)
{
	error e = { 0 };
	weights *in = weights_open(path, &e);
	weights_writer *out = in ? weights_writer_new(scratch_path(as), &e) : NULL;
	int count = 0;
	if (!out) fail_saying("%s\n", e.text);
	for (int write = 0; write < 2; write++)
		for (size_t i = 0; i < weights_count(in); i++) {
			const weight *w = weights_at(in, i);
			size_t n = strlen(w->name), m = strlen(ending);
			bool spoil = n >= m && !strcmp(w->name + n - m, ending) && dtype_is_float(w->dtype);
			char *all = malloc(w->bytes + 1);
			assert_non_null(all);
			memcpy(all, w->data, w->bytes);
			if (spoil) memset(all, 0xff, w->bytes);
			count += spoil;
			assert_true(write ? weights_writer_append(out, all, w->bytes, &e)
			                  : weights_writer_declare(out, w->name, w->dtype, w->ndims, w->shape, &e));
			free(all);
		}
	assert_true(weights_writer_finish(out, &e));
	assert_true(count > 0);
	weights_close(in);
	return scratch_path(as);
}

static void is_named(const sumi_error *e, const char *file, const char *weight_name)
{
	assert_int_equal(e->status, SUMI_BAD_FILE);
	assert_says(*e, file);
	assert_says(*e, weight_name);
	assert_says(*e, "NaN");
	assert_says(*e, "not finite");
}

static void of_a_lora(void **state)
{
	(void)state;
	static const char *const parts[] = { ".lora_down.weight", ".alpha" };
	for (int i = 0; i < 2; i++) {
		const char *path = spoiled(GOLDEN_DIR "/lora/kohya.safetensors", parts[i], "lora.safetensors");
		sumi_error e = { 0 };
		sumi_model_options o = sumi_model_defaults();
		o.loras = &path;
		o.lora_count = 1;
		sumi_model *m = sumi_open(TINY_SD1, &o, &e);
		if (!m) fail_saying("%s\n", e.text);
		sumi_options how = tiny_options(1);
		how.width = how.height = 64;
		assert_null(sumi_generate(m, &how, &e));
		is_named(&e, "lora.safetensors", parts[i]);
		sumi_close(m);
	}
	sumi_error e = { 0 };
	sumi_model_options o = sumi_model_defaults(); /* of the prompt */
	o.lora_folder = scratch;
	sumi_model *m = sumi_open(TINY_SD1, &o, &e);
	assert_non_null(m);
	sumi_options how = tiny_options(1);
	how.width = how.height = 64;
	how.prompt = "a red fox<lora:lora>";
	assert_null(sumi_generate(m, &how, &e));
	is_named(&e, "lora.safetensors", ".alpha");
	sumi_close(m);
}

static void of_a_control_network(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	unsigned char pixels[64 * 64 * 3] = { 0 };
	const char *path =
	    spoiled(GOLDEN_DIR "/controlnet/sd1.safetensors", "input_blocks.0.0.weight", "control.safetensors");
	sumi_control c = sumi_control_defaults();
	sumi_image image = { .size = sizeof image, .width = 64, .height = 64, .pixels = pixels };
	c.path = path;
	c.image = &image;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options how = tiny_options(1);
	how.width = how.height = 64;
	const sumi_control *controls[] = { &c };
	how.controls = controls;
	how.control_count = 1;
	assert_null(sumi_generate(m, &how, &e));
	is_named(&e, "control.safetensors", "input_blocks.0.0.weight");
	sumi_close(m);
}

/* One that is being trained lies in memory: there is no file to look through. */
static void of_no_file(void **state)
{
	(void)state;
	error e = { BAD_FILE, "the latent: not finite" };
	control_file *c = control_in_memory(&(controlnet_config){ 0 }, NULL, NULL, &e);
	assert_non_null(c);
	assert_false(blame_file(control_weights(c), &e));
	assert_string_equal(e.text, "the latent: not finite");
	control_close(c);
}

static void of_an_upscaler(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	const char *path = spoiled(GOLDEN_DIR "/upscale/compact_x2.safetensors", "body.0.bias", "upscaler.safetensors");
	assert_null(sumi_upscaler_open(path, NULL, &e));
	is_named(&e, "upscaler.safetensors", "body.0.bias");
}

static void take_warning(void *context, sumi_level level, const char *text)
{
	if (level == SUMI_WARNING) snprintf(context, 300, "%s", text);
}

/* A word whose numbers are none is not used, and the reason given where the prompt holds it. */
static void of_a_learned_word(void **state)
{
	(void)state;
	error own = { 0 };
	sumi_error e = { 0 };
	float vector[16] = { 0 };
	const int64_t width = 16;
	char warning[300] = "";
	vector[7] = 1 / vector[0];
	weights_writer *out = weights_writer_new(scratch_path("zork.safetensors"), &own);
	assert_true(out && weights_writer_declare(out, "emb_params", F32, 1, &width, &own) &&
	            weights_writer_append(out, vector, sizeof vector, &own) && weights_writer_finish(out, &own));
	sumi_listener l = sumi_listener_defaults();
	l.note = take_warning;
	l.context = warning;
	sumi_model_options o = sumi_model_defaults();
	o.embedding_folder = scratch;
	sumi_model *m = sumi_open(TINY_SD1, &o, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options how = tiny_options(1);
	how.width = how.height = 64;
	how.prompt = "a zork";
	how.listener = &l;
	sumi_image *picture = sumi_generate(m, &how, &e);
	if (!picture) fail_saying("%s\n", e.text);
	if (!strstr(warning, "zork") || !strstr(warning, "NaN or infinite")) fail_saying("%s\n", warning);
	sumi_image_free(picture);
	sumi_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(of_a_lora),
		IN_SCRATCH(of_a_control_network),
		cmocka_unit_test(of_no_file),
		IN_SCRATCH(of_an_upscaler),
		IN_SCRATCH(of_a_learned_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

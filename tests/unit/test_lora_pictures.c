/* test_lora_pictures.c - LoRAs that Sumi trained on tiny models of SDXL and Stable Diffusion 3, against the pictures
 * that diffusers' pipelines draw with them (tests/diffusers/loras.py made both: golden/loras). No byte differs by more
 * than 1, and without the LoRA the picture is another. */
#include "scratch.h"
#include "checkpoint/files.h"
#include "checkpoint/model.h"
#include "io/picture.h"

static const char prompt[] = "A photograph of an astronaut riding a horse";

static sumi_image *draw(const char *file, const char *added, double guidance)
{
	error e = { 0 };
	sumi_error own = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.threads = 1;
	how.type = "f32";
	how.loras = &added;
	how.lora_count = added != NULL;
	model *m = model_open(file, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options o = sumi_defaults();
	o.prompt = prompt;
	o.negative_prompt = "hello world";
	o.guidance = guidance;
	o.steps = 5;
	o.seed = 7;
	o.sampler = "euler";
	o.schedule = "uniform";
	sumi_image *image = sumi_generate(m, &o, &own);
	if (!image) fail_saying("%s\n", own.text);
	model_close(m);
	return image;
}

static int farthest(const sumi_image *image, const picture *p)
{
	int most = 0;
	assert_int_equal(image->width, p->width);
	assert_int_equal(image->height, p->height);
	for (int i = 0; i < p->width * p->height * 3; i++) {
		int off = abs(image->pixels[i] - p->rgb[i]);
		if (off > most) most = off;
	}
	return most;
}

static void try_one(const char *name, const char *keys, double guidance)
{
	error e = { 0 };
	picture p;
	char config[300], trained[300], png[300];
	snprintf(config, sizeof config, GOLDEN_DIR "/loras/%s.json", name);
	snprintf(trained, sizeof trained, GOLDEN_DIR "/loras/%s-%s.safetensors", name, keys);
	snprintf(png, sizeof png, GOLDEN_DIR "/loras/%s-%s.png", name, keys);
	const char *file = scratch_path("model.safetensors");
	if (!file_init(config, 42, "f32", false, file, NULL, &e)) fail_saying("%s\n", e.text);
	if (!picture_read(&p, png, 1 << 20, &e)) fail_saying("%s\n", e.text);
	sumi_image *with = draw(file, trained, guidance), *without = draw(file, NULL, guidance);
	assert_true(farthest(with, &p) <= 1);
	assert_true(farthest(without, &p) > 50);
	sumi_image_free(with);
	sumi_image_free(without);
	picture_free(&p);
}

static void test_sdxl(void **state)
{
	(void)state;
	try_one("tiny-sdxl", "kohya", 5);
}

static void test_stable_diffusion_3(void **state)
{
	(void)state;
	try_one("tiny-sd3", "peft", 4.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = { IN_SCRATCH(test_sdxl), IN_SCRATCH(test_stable_diffusion_3) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

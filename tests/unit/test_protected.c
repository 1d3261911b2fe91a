/* test_protected.c - whole pictures on a backend whose memory the host cannot touch (protected.h): sumi_generate() and
 * sessions keep to the graph's ways in and out, and draw the bytes of the CPU. */
#include "tiny.h"
#include "../protected.h"
#include "backend/backend.h"
#include "checkpoint/model.h"

static int seen; /* previews: the sum of their bytes */

static void take_preview(void *context, int index, int step, const sumi_image *picture)
{
	(void)context, (void)index, (void)step;
	for (int i = 0; i < picture->width * picture->height * 3; i++) seen += picture->pixels[i];
}

/* By sumi_generate(), and twice in a session, whose second picture runs what was recorded. */
static void same_on_both(model *m, sumi_options o)
{
	sumi_error e = { 0 };
	sumi_listener l = sumi_listener_defaults();
	l.preview = take_preview;
	o.listener = &l;
	m->backend = backend_cpu();
	seen = 0;
	sumi_image *expected = tiny_picture(m, &o);
	int previews = seen;
	assert_true(previews > 0);
	m->backend = backend_protected();
	protected_counts before = protected_counted();
	for (int i = 0; i < 3; i++) {
		static sumi_session *s;
		if (i == 1) s = sumi_session_open(m, NULL, &e);
		seen = 0;
		sumi_image *p = i ? sumi_session_draw(s, &o, &e) : sumi_generate(m, &o, &e);
		if (!p) fail_saying("%s\n", e.text);
		assert_true(tiny_same(expected, p));
		assert_int_equal(seen, previews);
		sumi_image_free(p);
		if (i == 2) sumi_session_close(s);
	}
	protected_counts after = protected_counted();
	assert_true(after.kernels > before.kernels && after.uploads > before.uploads && after.replays > before.replays);
	sumi_image_free(expected);
}

static void stable_diffusion(void **state)
{
	static const char *const types[] = { "f32", "bf16" };
	(void)state;
	unsigned char pixels[32 * 32 * 3], half[32 * 32 * 3] = { 0 };
	sumi_error e = { 0 };
	for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(i * 7 + i / 96);
	memset(half, 255, sizeof half / 2);
	sumi_image *init = sumi_image_new(32, 32, pixels, &e), *mask = sumi_image_new(32, 32, half, &e);
	for (int t = 0; t < 2; t++) {
		sumi_model_options how = sumi_model_defaults();
		how.type = types[t];
		sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", &how, &e);
		if (!m) fail_saying("%s\n", e.text);
		sumi_options o = tiny_options(3);
		o.width = o.height = 32;
		o.sampler = "DPM++ 2M SDE";
		o.prompt = "a (red:1.3) fox AND a bird";
		o.preview = t ? "decoder" : "linear";
		same_on_both(m, o);
		o.init = init;
		o.mask = mask;
		o.prompt_to = "a cup AND a tree";
		o.blend = 0.5;
		same_on_both(m, o);
		sumi_close(m);
	}
	sumi_image_free(init);
	sumi_image_free(mask);
}

static void sdxl_with_its_refiner(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_options o = tiny_options(4);
	o.refiner = tiny_file("refiner", TINY_REFINER);
	o.refiner_start = 0.5;
	same_on_both(m, o);
	sumi_close(m);
}

static void stable_diffusion_3_skipping_layers(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(tiny_file("sd3", TINY_SD3));
	sumi_options o = tiny_options(4);
	o.skip_layers = "1,2";
	o.skip_layer_end = 0.8;
	same_on_both(m, o);
	sumi_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(stable_diffusion),
		IN_SCRATCH(sdxl_with_its_refiner),
		IN_SCRATCH(stable_diffusion_3_skipping_layers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

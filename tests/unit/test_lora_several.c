/* test_lora_several.c - LoRAs of every kind at once: several in one prompt are what they are one after another. */
#include "scratch.h"
#include "converting.h"
#include "io/weights.h"
#include <sumi.h>

#define MODEL GOLDEN_DIR "/sd1/model.safetensors"
#define KINDS GOLDEN_DIR "/lycoris/"

static const char *const kinds[] = { "loha:0.9", "lokr:0.8", "locon_tucker:0.7", "dora_out:0.6", "dora_in:1",
	"doha_dokr:0.5", "ia3:0.9", "oft_constraint_rescaled:0.8", "boft_rescaled:0.7", "full:-0.5", "glora:1.2:0.4" };
enum { KINDS_COUNT = sizeof kinds / sizeof *kinds };

static void argument(const char *kind, char *out, size_t size)
{
	const char *colon = strchr(kind, ':');
	snprintf(out, size, KINDS "%.*s.safetensors%s", (int)(colon - kind), kind, colon);
}

static void merge(const char *from, const char *to, const char *const *loras, int count)
{
	error e = { 0 };
	if (!convert_with(from, to, loras, count, "f32", NULL, false, &e)) fail_saying("%s\n", e.text);
}

/* One file with all of them, and one that took them in turn: every tensor is the same, and most layers changed. */
static void merged_as_one_after_another(void **state)
{
	(void)state;
	static char arguments[KINDS_COUNT][300];
	const char *all[KINDS_COUNT];
	error e = { 0 };
	char base[200], at[200], to[200];
	snprintf(base, sizeof base, "%s", scratch_path("base.safetensors"));
	snprintf(at, sizeof at, "%s", base);
	merge(MODEL, base, NULL, 0); /* the file's f16 would round in between */
	for (int i = 0; i < KINDS_COUNT; i++) {
		argument(kinds[i], arguments[i], sizeof arguments[i]);
		all[i] = arguments[i];
		snprintf(to, sizeof to, "%s", scratch_path(i % 2 ? "odd.safetensors" : "even.safetensors"));
		merge(at, to, &all[i], 1);
		strcpy(at, to);
	}
	merge(base, scratch_path("all.safetensors"), all, KINDS_COUNT);
	weights *x = weights_open(scratch_path("all.safetensors"), &e), *y = weights_open(at, &e),
	        *z = weights_open(base, &e);
	assert_true(x && y && z);
	int changed = 0;
	for (size_t i = 0; i < weights_count(x); i++) {
		const weight *w = weights_at(x, i), *v = weights_find(y, w->name), *u = weights_find(z, w->name);
		assert_true(v && u);
		if (memcmp(w->data, v->data, w->bytes)) fail_saying("%s differs\n", w->name);
		changed += memcmp(w->data, u->data, w->bytes) != 0;
	}
	if (changed < 25) fail_saying("%d changed\n", changed);
	weights_close(x), weights_close(y), weights_close(z);
}

static sumi_image *draw(const char *file, const char *prompt)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.threads = 1;
	how.type = "f32";
	how.lora_folder = KINDS;
	sumi_model *m = sumi_open(file, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options o = sumi_defaults();
	o.prompt = prompt;
	o.width = o.height = 64;
	o.steps = 2;
	sumi_image *image = sumi_generate(m, &o, &e);
	if (!image) fail_saying("%s\n", e.text);
	sumi_close(m);
	return image;
}

/* All in one prompt draw what the file does into which they are merged. */
static void drawn_as_merged(void **state)
{
	(void)state;
	char prompt[1000] = "a fox";
	for (int i = 0; i < KINDS_COUNT; i++)
		snprintf(prompt + strlen(prompt), sizeof prompt - strlen(prompt), "<lora:%s>", kinds[i]);
	sumi_image *a = draw(scratch_path("base.safetensors"), prompt), *b = draw(scratch_path("all.safetensors"), "a fox"),
	           *without = draw(scratch_path("base.safetensors"), "a fox");
	assert_memory_equal(a->pixels, b->pixels, 64 * 64 * 3);
	assert_memory_not_equal(a->pixels, without->pixels, 64 * 64 * 3);
	sumi_image_free(a), sumi_image_free(b), sumi_image_free(without);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(merged_as_one_after_another),
		cmocka_unit_test(drawn_as_merged) };
	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

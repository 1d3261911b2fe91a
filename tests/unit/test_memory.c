/* test_memory.c - memory is known before it is taken: plans of full-size models, whose files are holes, and what small
 * ones take against what was planned. */
#include "tiny.h"
#include "base/resources.h"
#include "models/families.h"
#include <jansson.h>
#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void); /* gcc brings no header that declares it */
#endif

/* ── full size ── */

typedef struct layout {
	json_t *header;
	uint64_t bytes;
} layout;

static void add_tensor(void *context, const parameter *p)
{
	layout *y = context;
	uint64_t bytes = 2;
	if (p->optional || p->buffer) return;
	json_t *t = json_object(), *sides = json_array();
	for (int i = 0; i < p->shape.n; i++) {
		json_array_append_new(sides, json_integer(p->shape.d[i]));
		bytes *= (uint64_t)p->shape.d[i];
	}
	json_object_set_new(t, "dtype", json_string("BF16"));
	json_object_set_new(t, "shape", sides);
	json_object_set_new(t, "data_offsets", json_pack("[I,I]", (json_int_t)y->bytes, (json_int_t)(y->bytes + bytes)));
	json_object_set_new(y->header, p->name, t);
	y->bytes += bytes;
}

/* A file of bf16 that has all weights, of all components, and no blocks on the disk but for its header. */
static const char *hollow_file(const char *name)
{
	error e = { 0 };
	char file[64];
	layout y = { json_object(), 0 };
	for (role r = 0; r < FAMILY_ROLES; r++) family_parameters(family_by_name(name, &e), r, add_tensor, &y, &e);
	char *text = json_dumps(y.header, JSON_COMPACT);
	uint64_t length = strlen(text);
	snprintf(file, sizeof file, "%s.safetensors", name);
	const char *path = scratch_write(file, &length, sizeof length);
	FILE *f = fopen(path, "ab");
	assert_int_equal(fwrite(text, 1, length, f), length);
	fclose(f);
	assert_int_equal(truncate(path, (off_t)(sizeof length + length + y.bytes)), 0);
	free(text);
	json_decref(y.header);
	return path;
}

/* What drawing would take, in MiB, from the refusal that says so before anything is computed. */
static double needed(const char *path, sumi_options o, uint64_t mib_allowed)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = "bf16";
	how.max_memory = mib_allowed << 20;
	sumi_model *m = sumi_open(path, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	assert_null(sumi_generate(m, &o, &e));
	assert_int_equal(e.status, SUMI_NO_MEMORY);
	double mib = 0;
	assert_int_equal(sscanf(e.text, "memory: %lf MiB are needed", &mib), 1);
	sumi_close(m);
	return mib;
}

static void full_sizes_fit(void **state)
{
	(void)state;
	sumi_options o = sumi_defaults();
	o.prompt = "a red fox";
	o.hashes = false;
	double sdxl = needed(hollow_file("sdxl"), o, 256), sd3 = needed(hollow_file("sd3.5-medium"), o, 256);
	o.width = o.height = 512;
	double large = needed(hollow_file("sd3.5-large"), o, 256);
	print_message("planned: SDXL %.0f MiB, SD 3.5 medium %.0f, large at 512×512 %.0f\n", sdxl, sd3, large);
	assert_true(sdxl > 4900 && sdxl < 8192); /* its denoiser has 2.6 billion weights */
	assert_true(sd3 > 8500 && sd3 < 12288);  /* T5 has 4.8 billion */
	assert_true(large > 8500 && large < 12288);
}

/* ── what is taken ── */

static void ignore_preview(void *context, int index, int step, const sumi_image *picture)
{
	(void)context, (void)index, (void)step, (void)picture;
}

static void take_peak(void *context, sumi_level level, const char *line)
{
	(void)level;
	double *p = context;
	if (strstr(line, "measured")) sscanf(line, "memory: peak %lf MiB planned, %lf MiB measured", &p[0], &p[1]);
}

static void taken_as_planned(const char *path, int side, const char *refiner)
{
	double peak[2] = { 0 };
	sumi_listener l = sumi_listener_defaults();
	l.context = peak;
	l.note = take_peak;
	sumi_model *m = tiny_open(path);
	sumi_options o = tiny_options(2);
	o.width = o.height = side;
	o.refiner = refiner;
	o.refiner_start = 0.5;
	o.listener = &l;
	sumi_image_free(tiny_picture(m, &o));
	sumi_close(m);
	print_message("planned %.1f MiB, measured %.1f\n", peak[0], peak[1]);
	/* malloc keeps blocks below 32 MiB that were freed, and uses them again */
	assert_true(peak[0] > 50);
	assert_true(peak[1] < 1.05 * peak[0] + 16 && peak[1] > 0.95 * peak[0] - 16);
}

static void peaks_are_as_planned(void **state)
{
	(void)state;
	taken_as_planned(tiny_file("sdxl", TINY_SDXL), 512, tiny_file("refiner", TINY_REFINER));
	taken_as_planned(tiny_file("sd3", TINY_SD3), 384, NULL);
}

/* A preview by the decoder has its values while the denoiser has its own, and the process says so before it draws. */
static void previews_are_planned(void **state)
{
	(void)state;
	double need[2];
	for (int i = 0; i < 2; i++) {
		sumi_listener l = sumi_listener_defaults();
		sumi_options o = tiny_options(2);
		o.width = o.height = 128;
		o.preview = i ? "decoder" : "linear";
		l.preview = ignore_preview;
		o.listener = &l;
		need[i] = needed(tiny_file("sdxl", TINY_SDXL), o, 1);
	}
	assert_true(need[1] > need[0] + 0.5);
}

/* The address sanitizer keeps what was freed for a while, but counts it. */
static uint64_t held(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __sanitizer_get_current_allocated_bytes();
#else
	return memory_resident();
#endif
}

/* What was compiled to know its memory, and did not fit, is not kept. */
static void refused_sizes_leave_nothing(void **state)
{
	enum { FEW = 4, SIZES = 40 };
	(void)state;
	sumi_model *m = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_session_options budget = sumi_session_defaults();
	budget.max_memory = 1 << 20;
	sumi_session *s = sumi_session_open(m, &budget, NULL);
	uint64_t before = 0;
	for (int i = 0; i < SIZES; i++) {
		sumi_error e = { 0 };
		sumi_options o = tiny_options(2);
		o.width = 256 + 8 * i;
		assert_null(sumi_session_draw(s, &o, &e));
		assert_int_equal(e.status, SUMI_NO_MEMORY);
		if (i == FEW) before = held();
	}
	assert_true(held() < before + (4 << 20));
	sumi_session_close(s);
	sumi_close(m);
}

int main(void)
{
	setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0", 1); /* by default it keeps 1024, each with its code */
	setenv("DNNL_PRIMITIVE_CACHE_CAPACITY", "0", 1);
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(full_sizes_fit),
		IN_SCRATCH(peaks_are_as_planned),
		IN_SCRATCH(previews_are_planned),
		IN_SCRATCH(refused_sizes_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

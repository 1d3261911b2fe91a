/* test_sampling.c - every sampler on every kind of prediction and with every schedule, from noise, from a picture and
 * under a mask, as a program draws: the picture must be near that of a fine Euler run of the same schedule, which
 * sumi_generate() makes; the others a session does, which compiles once. The networks' weights are random, which is all
 * the same to a solver. What has no meaning is refused.
 */
#include "scratch.h"
#include "diffusion/sampler.h"
#include "sumi.h"
#include <math.h>

enum { SIZE = 16, STEPS = 20, FEW = 4, FINE = 80 };
typedef enum mode { PLAIN, INIT, MASK, MODES } mode;
static const char *const mode_names[] = { "from noise", "from a picture", "under a mask" };

static sumi_image *start, *mask;

/* Half of the mask is white. */
static int make_pictures(void **state)
{
	unsigned char pixels[SIZE * SIZE * 3], half[SIZE * SIZE * 3];
	for (int i = 0; i < SIZE * SIZE; i++)
		for (int c = 0; c < 3; c++) {
			pixels[3 * i + c] = (unsigned char)(128 + 100 * sin(0.3 * i + c));
			half[3 * i + c] = i % SIZE < SIZE / 2 ? 255 : 0;
		}
	start = sumi_image_new(SIZE, SIZE, pixels, NULL);
	mask = sumi_image_new(SIZE, SIZE, half, NULL);
	return scratch_make(state);
}

static int free_pictures(void **state)
{
	sumi_image_free(start);
	sumi_image_free(mask);
	return scratch_remove(state);
}

/* The values of a tensor of the file become factor·value + what `add` has for their place, in turn. */
static void change(const char *path, const char *name, float factor, const float *add, int count)
{
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	uint64_t length = 0;
	assert_int_equal(fread(&length, 8, 1, f), 1);
	char *header = calloc(1, (size_t)length + 1);
	assert_int_equal(fread(header, 1, (size_t)length, f), length);
	const char *entry = strstr(header, name), *offsets = entry ? strstr(entry, "\"data_offsets\"") : NULL;
	long from = 0, to = 0, data = 8 + (long)length;
	assert_non_null(offsets);
	assert_int_equal(sscanf(strchr(offsets, '['), "[%ld,%ld]", &from, &to), 2);
	float *values = malloc((size_t)(to - from));
	size_t n = (size_t)(to - from) / sizeof *values;
	assert_int_equal(fseek(f, data + from, SEEK_SET), 0);
	assert_int_equal(fread(values, sizeof *values, n, f), n);
	for (size_t i = 0; i < n; i++) values[i] = factor * values[i] + (count ? add[i % (size_t)count] : 0);
	assert_int_equal(fseek(f, data + from, SEEK_SET), 0);
	assert_int_equal(fwrite(values, sizeof *values, n, f), n);
	free(values);
	free(header);
	fclose(f);
}

/* Random weights make a guess of x0 that jumps with the noise in x, so that no two solvers agree; this one is mostly a
 * colour. */
static void calm(const char *path)
{
	static const float colour[4] = { 1, -0.7f, 0.5f, -1.2f };
	change(path, "model.diffusion_model.out.2.weight\"", 0.05f, NULL, 0);
	change(path, "model.diffusion_model.out.2.bias\"", 1, colour, 4);
}

static sumi_model *tiny_model(const char *meaning)
{
	char json[1024];
	sumi_error e = { 0 };
	int n = snprintf(json, sizeof json,
	    "{\"unet\":{\"model_channels\":32,\"channel_mult\":[1],\"num_res_blocks\":1,\"attention_resolutions\":[],"
	    "\"context_dim\":32,\"num_heads\":2},\"dd\":{\"ch\":32,\"ch_mult\":[1,1],\"num_res_blocks\":1},"
	    "\"text\":{\"hidden_size\":32,\"intermediate_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
	    "\"vocab_size\":49408},\"prediction_type\":\"%s\",\"size\":%d}",
	    meaning, SIZE);
	const char *path = scratch_write("tiny.json", json, (size_t)n), *file = scratch_path("tiny.safetensors");
	if (!sumi_init(path, 3, "f32", false, file, NULL, &e)) print_error("%s\n", e.text);
	if (!strcmp(meaning, "sample")) calm(file);
	sumi_model_options o = sumi_model_defaults();
	o.type = "f32";
	o.threads = 1;
	sumi_model *m = sumi_open(file, &o, &e);
	if (!m) print_error("%s\n", e.text);
	assert_non_null(m);
	return m;
}

/* By the session, or where that is NULL by sumi_generate(). */
static sumi_image *draw(
    sumi_model *m, sumi_session *session, mode how, const char *sampler, const char *schedule, int steps, sumi_error *e)
{
	sumi_options o = sumi_defaults();
	o.prompt = "";
	o.guidance = 1;
	o.sampler = sampler;
	o.schedule = schedule;
	o.steps = steps;
	o.width = o.height = SIZE;
	o.eta = 0; /* where a sampler has it, no fresh noise */
	o.strength = 0.75;
	if (how != PLAIN) o.init = start;
	if (how == MASK) o.mask = mask;
	return session ? sumi_session_draw(session, &o, e) : sumi_generate(m, &o, e);
}

typedef struct comparison {
	double off;      /* mean difference of a value, of 255 */
	bool constant;   /* all pixels are one */
	double mean_off; /* difference of the means */
} comparison;

static comparison compare(const sumi_image *a, const sumi_image *b)
{
	comparison c = { .constant = true };
	int n = SIZE * SIZE * 3;
	for (int i = 0; i < n; i++) {
		c.off += fabs((double)a->pixels[i] - b->pixels[i]) / n;
		c.mean_off += ((double)a->pixels[i] - b->pixels[i]) / n;
		if (a->pixels[i] != a->pixels[i % 3]) c.constant = false;
	}
	return c;
}

/* Those that draw noise without an eta that turns it off. */
static bool is_random(sampler_kind k) { return k == DDPM || k == LCM || k == LCM_SIGMAS || k == RESTART; }

typedef struct bench {
	sumi_model *model;
	sumi_session *session;
	const char *meaning;
	mode how;
	bool flow;
	sumi_image *fine[SPACINGS]; /* by Euler; NULL: not drawn yet */
} bench;

static const sumi_image *fine_picture(bench *b, sigma_spacing s)
{
	sumi_error e = { 0 };
	if (!b->fine[s]) b->fine[s] = draw(b->model, NULL, b->how, "Euler", spacing_name(s), FINE, &e);
	assert_non_null(b->fine[s]);
	return b->fine[s];
}

static void check(bench *b, sampler_kind k, const char *schedule, int steps)
{
	sumi_error e = { 0 };
	sigma_spacing s = sampler_default_spacing(k, b->flow);
	if (schedule) assert_true(spacing_from_name(schedule, &s, NULL));
	sumi_image *got = draw(b->model, b->session, b->how, sampler_name(k), schedule, steps, &e);
	bool refused =
	    (b->flow && (k == TCD || (s >= ALIGN_YOUR_STEPS_SPACING && s <= ALIGN_YOUR_STEPS_XL_ZERO_SPACING))) ||
	    (!sampler_takes_spacing(k, b->flow) && s != sampler_default_spacing(k, b->flow));
	if (refused) {
		assert_null(got);
		assert_int_equal(e.status, SUMI_BAD_USAGE);
		assert_true(strstr(e.text, spacing_name(s)) || strstr(e.text, sampler_name(k)));
		return;
	}
	if (!got) print_error("%s: %s\n", sampler_name(k), e.text);
	assert_non_null(got);
	comparison c = compare(got, fine_picture(b, s));
	/* the one leaves half of the noise to its last step, the other is as precise as its tolerance */
	bool rough = s == LINEAR_QUADRATIC_SPACING || k == DPM_ADAPTIVE;
	bool near = steps == FEW   ? fabs(c.mean_off) < 48 && c.off < 64 /* as far as so few steps come */
	            : is_random(k) ? fabs(c.mean_off) < 30
	                           : c.off < (rough                ? 20
	                                         : b->how == PLAIN ? 4
	                                                           : 8);
	if (c.constant || !near)
		print_error("%s, %s, %s, %s: %s, off by %.2f, its mean by %.2f, of 255\n", b->meaning, mode_names[b->how],
		    sampler_name(k), spacing_name(s), c.constant ? "of one colour" : "a picture", c.off, c.mean_off);
	assert_true(near && !c.constant);
	sumi_image_free(got);
}

/* Under the sanitizer, which is ten times slower, one pair of ten is drawn. */
#ifdef __SANITIZE_ADDRESS__
enum { ONE_OF = 10 };
#else
enum { ONE_OF = 1 };
#endif

/* Each sampler with its own schedule and with one of the others in turn, and Euler with all. */
static void draw_finely(bench *b)
{
	for (int k = 0; k < SAMPLERS; k++) {
		check(b, (sampler_kind)k, NULL, STEPS);
		check(b, (sampler_kind)k, spacing_name((sigma_spacing)((k + 3 * (int)b->how) % SPACINGS)), STEPS);
	}
	for (int s = 0; s < SPACINGS; s++) check(b, EULER, spacing_name((sigma_spacing)s), STEPS);
}

/* Every sampler with every schedule, in so few steps that it takes seconds: a picture, neither black nor burnt, or
 * refused. */
static void draw_pairs(bench *b)
{
	for (int n = 0; n < SAMPLERS * SPACINGS; n++)
		if ((n + (int)b->how * SAMPLERS * SPACINGS) % ONE_OF == 0)
			check(b, (sampler_kind)(n / SPACINGS), spacing_name((sigma_spacing)(n % SPACINGS)), FEW);
}

static void every_sampler_draws(const char *meaning, bool finely)
{
	bench b = { .model = tiny_model(meaning), .meaning = meaning, .flow = !strcmp(meaning, "flow") };
	b.session = sumi_session_open(b.model, NULL, NULL);
	for (int how = 0; how < MODES; how++) {
		b.how = (mode)how;
		if (finely) draw_finely(&b);
		draw_pairs(&b);
		for (int s = 0; s < SPACINGS; s++) sumi_image_free(b.fine[s]);
		memset(b.fine, 0, sizeof b.fine);
	}
	sumi_session_close(b.session);
	sumi_close(b.model);
}

static void noise(void **unused) { (void)unused, every_sampler_draws("epsilon", true); }
static void velocity(void **unused) { (void)unused, every_sampler_draws("v_prediction", ONE_OF == 1); }
static void clean_latent(void **unused) { (void)unused, every_sampler_draws("sample", ONE_OF == 1); }
static void flow(void **unused) { (void)unused, every_sampler_draws("flow", true); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noise),
		cmocka_unit_test(velocity),
		cmocka_unit_test(clean_latent),
		cmocka_unit_test(flow),
	};
	return cmocka_run_group_tests(tests, make_pictures, free_pictures);
}

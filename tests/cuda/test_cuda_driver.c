/* test_cuda_driver.c - the whole of Sumi with --device cuda, on the recording device in place of NVIDIA's driver
 * (host_driver.c): tiny models of Stable Diffusion 1, XL and 3 draw and are trained as on the CPU, and the device's
 * books balance: each buffer allocated is freed once, none is used afterwards, nothing but work is recorded. Skipped
 * where the driver is not in LD_LIBRARY_PATH, or the build holds no kernels.
 *
 *     test_cuda_driver [all|NAME]     all: every kind of training, which takes minutes; NAME: one of the tests */
#include "../unit/squares.h"
#include "../unit/tiny.h"
#include "host_device.h"
#include <dlfcn.h>
#include <sumi.h>

enum { SKIPPED = 77, STEPS = 3, MOST_OPTIONS = 24 };

static host_gpu_books books(void)
{
	host_gpu_books (*read)(void);
	void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD), *symbol = dlsym(driver, "host_gpu_read_books");
	memcpy(&read, &symbol, sizeof read);
	return read();
}

/* Since `before` work was recorded and replayed, and nothing is left of it. */
static void expect_balance(host_gpu_books before)
{
	host_gpu_books after = books();
	assert_int_equal(after.faults, before.faults);
	assert_int_equal(after.alive, before.alive);
	assert_true(after.allocated > before.allocated);
	assert_int_equal(after.allocated - before.allocated, after.freed - before.freed);
	assert_true(after.recordings > before.recordings && after.replays > before.replays);
}

/* ── drawing ── */

static sumi_model *open_on(const char *path, const char *device_name, const char *type)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.device = device_name;
	how.type = type;
	sumi_model *m = sumi_open(path, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	return m;
}

static sumi_image *draw_on(const char *path, const char *device_name, const char *type, const sumi_options *o)
{
	sumi_model *m = open_on(path, device_name, type);
	sumi_image *p = tiny_picture(m, o);
	sumi_close(m);
	return p;
}

/* By sumi_generate(), whose second step is recorded and replayed. */
static void draws_as_the_cpu(const char *path, const char *type, sumi_options o, int most)
{
	sumi_image *expected = draw_on(path, "cpu", type, &o);
	host_gpu_books before = books();
	sumi_image *alone = draw_on(path, "cuda", type, &o);
	if (tiny_farthest(expected, alone) > most) fail_saying("%s differs by %d\n", path, tiny_farthest(expected, alone));
	expect_balance(before);
	sumi_image_free(alone);
	sumi_image_free(expected);
}

static sumi_options small(int side)
{
	sumi_options o = tiny_options(2);
	o.width = o.height = side;
	return o;
}

static void draws_sd1(void **state)
{
	(void)state;
	draws_as_the_cpu(TINY_SD1, "f32", small(32), 1);
}

static void draws_sdxl(void **state)
{
	(void)state;
	draws_as_the_cpu(tiny_file("sdxl", TINY_SDXL), "f32", small(32), 1);
}

static void draws_sd3(void **state)
{
	(void)state;
	draws_as_the_cpu(tiny_file("sd3", TINY_SD3), "f32", small(32), 1);
}

/* A session's second picture replays what was recorded for its first. */
static void draws_again_in_a_session(void **state)
{
	sumi_error e = { 0 };
	sumi_options o = small(32);
	(void)state;
	sumi_image *alone = draw_on(TINY_SD1, "cuda", "f32", &o);
	host_gpu_books before = books();
	sumi_model *m = open_on(TINY_SD1, "cuda:0", "f32");
	sumi_session *s = sumi_session_open(m, NULL, &e);
	for (int i = 0; i < 2; i++) {
		sumi_image *p = sumi_session_draw(s, &o, &e);
		if (!p) fail_saying("%s\n", e.text);
		assert_true(tiny_same(alone, p));
		sumi_image_free(p);
	}
	sumi_session_close(s);
	sumi_close(m);
	expect_balance(before);
	sumi_image_free(alone);
}

/* ── weights that the device has no room for ── */

typedef struct told {                 /* by -v */
	double values, weights, streamed; /* of the denoiser, MiB */
	double planned, measured;
} told;

static void take_note(void *context, sumi_level level, const char *text)
{
	told *t = context;
	(void)level;
	if (strstr(text, "weights more"))
		sscanf(text, "memory: denoise %lf", &t->streamed);
	else
		sscanf(text, "memory: denoise %lf MiB values, %lf MiB weights,", &t->values, &t->weights);
	sscanf(text, "memory: peak %lf MiB planned, %lf MiB measured", &t->planned, &t->measured);
}

static sumi_image *draw_within(const char *path, const char *type, double mib, told *t)
{
	sumi_listener l = sumi_listener_defaults();
	sumi_options o = small(32);
	*t = (told){ 0 };
	l.note = take_note;
	l.context = t;
	o.listener = &l;
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.device = "cuda";
	how.type = type;
	how.max_memory = (uint64_t)(mib * (1 << 20));
	sumi_model *m = sumi_open(path, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_image *p = tiny_picture(m, &o);
	sumi_close(m);
	return p;
}

/* The same bytes with half of the denoiser's weights, whichever of the two streams comes late. */
static void streams(const char *path, const char *type)
{
	static const char *const late[] = { "main", "other" };
	told whole, part;
	sumi_image *expected = draw_within(path, type, 0, &whole);
	assert_true(whole.weights > 1 && whole.streamed == 0);
	for (int i = 0; i < 2; i++) {
		host_gpu_books before = books();
		setenv("SUMI_HOST_GPU_LATE", late[i], 1);
		sumi_image *p = draw_within(path, type, whole.values + whole.weights / 2, &part);
		unsetenv("SUMI_HOST_GPU_LATE");
		assert_true(part.streamed > whole.weights / 4);
		assert_true(part.planned <= whole.values + whole.weights / 2 + 0.1 && part.planned < whole.planned);
		assert_true(part.measured <= part.planned);
		if (!tiny_same(expected, p)) fail_saying("%s differs where %s work is late\n", path, late[i]);
		expect_balance(before);
		sumi_image_free(p);
	}
	sumi_image_free(expected);
}

static void streams_weights(void **state)
{
	(void)state;
	streams(TINY_SD1, "f32");
}

static void streams_weights_in_bf16(void **state)
{
	(void)state;
	streams(TINY_SD1, "bf16");
}

static void draws_in_bf16(void **state)
{
	(void)state;
	draws_as_the_cpu(TINY_SD1, "bf16", small(64), 12);
	draws_as_the_cpu(tiny_file("sdxl", TINY_SDXL), "bf16", small(64), 12);
	draws_as_the_cpu(tiny_file("sd3", TINY_SD3), "bf16", small(64), 12);
}

/* ── training ── */

/* Three pictures. Of 32×32 ones the tiny model's groups may hardly vary: then rounding decides what the gradient is, 15
 * or 26 by the instructions of the CPU alone. So runs are on 64×64. */
static void write_pictures(const char *folder, int kind)
{
	error e = { 0 };
	mkdir(scratch_path(folder), 0777);
	for (int i = 0; i < 3; i++) {
		char file[64];
		picture p;
		assert_true(picture_new(&p, 32, 32, &e));
		for (int k = 0; k < 32 * 32 * 3; k++) p.rgb[k] = (uint8_t)(k * (i + 3 + kind) % 251);
		snprintf(file, sizeof file, "%s/%d.png", folder, i);
		assert_true(picture_write(&p, scratch_path(file), NULL, 0, &e));
		picture_free(&p);
		snprintf(file, sizeof file, "%s/%d.txt", folder, i);
		scratch_write(file, "a small picture", (size_t)(3 + 2 * i));
	}
}

typedef struct losses {
	int count;
	double loss[STEPS], norm[STEPS];
} losses;

static bool hear(void *context, const training_progress *p)
{
	losses *l = context;
	assert_true(p->step >= 1 && p->step <= STEPS);
	l->loss[p->step - 1] = p->loss;
	l->norm[p->step - 1] = p->gradient_norm;
	l->count++;
	return true;
}

static losses train_on(const char *device_name, training_job job, const char *const *settings)
{
	const char *list[MOST_OPTIONS] = { "train_data_dir=set", "train_batch_size=1", "resolution=64",
		"learning_rate=1e-4", "threads=1", "max_train_steps=3", "seed=7" };
	char on[32];
	int n = 7;
	losses l = { 0 };
	error e = { 0 };
	train_options o;
	snprintf(on, sizeof on, "device=%s", device_name);
	list[n++] = on;
	while (*settings && n < MOST_OPTIONS - 1) list[n++] = *settings++;
	write_pictures("set", 0);
	set_options(&o, job, list);
	if (!train_run(job, &o, &(training_listener){ .progress = hear, .context = &l }, &e)) fail_saying("%s\n", e.text);
	train_options_free(&o);
	return l;
}

static void expect_near(const char *what, int step, double found, double wanted, double tolerance)
{
	if (!(fabs(found - wanted) <= tolerance * fabs(wanted)))
		fail_saying("%s of step %d: %g instead of %g\n", what, step + 1, found, wanted);
}

/* The losses, and so how the weights have changed, and the first step's gradient. Later ones of the tiny model hang on
 * rounding: on CPUs of other instructions they are 1 to 15 % larger or smaller when all of it is trained. */
static void trains_as_the_cpu(training_job job, double tolerance, const char *const *settings)
{
	losses wanted = train_on("cpu", job, settings);
	host_gpu_books before = books();
	losses found = train_on("cuda", job, settings);
	expect_balance(before);
	assert_int_equal(wanted.count, STEPS);
	assert_int_equal(found.count, STEPS);
	for (int i = 0; i < STEPS; i++) expect_near("loss", i, found.loss[i], wanted.loss[i], tolerance);
	expect_near("gradient", 0, found.norm[0], wanted.norm[0], 10 * tolerance);
}
#define TRAINS(job, tolerance, ...) trains_as_the_cpu(job, tolerance, (const char *const[]){ __VA_ARGS__, NULL })
#define ON_SD1 "model=" TINY_SD1

static void trains_a_lora(void **state)
{
	(void)state;
	TRAINS(TRAIN_LORA, 1e-4, ON_SD1, "output=lora.safetensors", "network_dim=2", "validation_prompts=a fox",
	    "validation_inference_steps=1");
	assert_true(!access(scratch_path("lora.training/sample-3.png"), R_OK));
}

static void trains_all_of_sd1(void **state)
{
	(void)state;
	TRAINS(TRAIN_DIFFUSION, 1e-4, ON_SD1, "output=whole.safetensors", "use_ema=true", "train_text_encoder=true",
	    "gradient_accumulation_steps=2");
	TRAINS(TRAIN_DIFFUSION, 2e-2, ON_SD1, "output=narrow.safetensors", "mixed_precision=bf16",
	    "gradient_checkpointing=true", "optimizer=adamw8bit");
}

static void trains_with_each_optimizer(void **state)
{
	(void)state;
	TRAINS(TRAIN_LORA, 1e-4, ON_SD1, "output=a.safetensors", "network_dim=2", "optimizer=adafactor");
	TRAINS(TRAIN_LORA, 1e-4, ON_SD1, "output=b.safetensors", "network_dim=2", "optimizer=sgd");
	TRAINS(TRAIN_LORA, 1e-4, ON_SD1, "output=c.safetensors", "network_dim=64", "optimizer=adamw8bit");
}

static void trains_sdxl_and_sd3(void **state)
{
	(void)state;
	tiny_file("sdxl", TINY_SDXL);
	tiny_file("sd3", TINY_SD3);
	TRAINS(TRAIN_LORA, 1e-4, "model=sdxl.safetensors", "output=xl.safetensors", "network_dim=2",
	    "train_text_encoder=true");
	TRAINS(TRAIN_LORA, 1e-4, "model=sd3.safetensors", "output=three.safetensors", "network_dim=2");
	TRAINS(TRAIN_DIFFUSION, 1e-4, "model=sd3.safetensors", "output=whole3.safetensors");
}

static void trains_a_word(void **state)
{
	(void)state;
	TRAINS(
	    TRAIN_EMBEDDING, 1e-4, ON_SD1, "output=word.safetensors", "placeholder_token=<sq>", "initializer_token=square");
}

static void trains_an_autoencoder(void **state)
{
	(void)state;
	TRAINS(TRAIN_AUTOENCODER, 1e-3, ON_SD1, "output=vae.safetensors", "disc_weight=0.5", "disc_start=2",
	    "disc_layers=1", "disc_channels=8");
}

static void trains_a_control_network(void **state)
{
	char hints[4300];
	(void)state;
	write_pictures("hints", 4);
	snprintf(hints, sizeof hints, "conditioning_data_dir=%s", scratch_path("hints"));
	TRAINS(TRAIN_CONTROLNET, 1e-4, ON_SD1, "output=control.safetensors", hints);
}

/* A checkpoint is made of what lies on the device, and goes back there. */
static void resumes(void **state)
{
	(void)state;
	host_gpu_books before = books();
	const char *const through[] = { ON_SD1, "output=x.safetensors", "network_dim=2", NULL },
	                  *const first[] = { ON_SD1, "output=y.safetensors", "network_dim=2", "max_train_steps=2", NULL },
	                  *const rest[] = { ON_SD1, "output=y.safetensors", "network_dim=2",
		                  "resume_from_checkpoint=latest", NULL };
	losses whole = train_on("cuda", TRAIN_LORA, through);
	train_on("cuda", TRAIN_LORA, first);
	losses last = train_on("cuda", TRAIN_LORA, rest);
	assert_int_equal(last.count, 1);
	assert_true(last.loss[2] == whole.loss[2] && last.norm[2] == whole.norm[2]);
	expect_balance(before);
}

/* Refused before the start, with the figure; --plan takes nothing. */
static void plans_for_the_device(void **state)
{
	host_gpu_books before = books();
	void (*limit)(uint64_t);
	void *symbol = dlsym(dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD), "host_gpu_set_memory");
	error e = { 0 };
	train_options o;
	(void)state;
	memcpy(&limit, &symbol, sizeof limit);
	limit(8 << 20);
	write_pictures("set", 0);
	set_options(&o, TRAIN_DIFFUSION,
	    (const char *const[]){
	        ON_SD1, "train_data_dir=set", "output=no.safetensors", "resolution=64", "device=cuda", NULL });
	assert_false(train_run(TRAIN_DIFFUSION, &o, NULL, &e));
	assert_int_equal(e.status, NO_MEMORY);
	assert_non_null(strstr(e.text, "cuda:0, host, over the shim has 8 MiB"));
	error none = { 0 };
	o.plan = true;
	if (!train_run(TRAIN_DIFFUSION, &o, NULL, &none)) fail_saying("%s\n", none.text);
	train_options_free(&o);
	assert_int_equal(books().allocated, before.allocated);
	limit(UINT64_MAX);
}

/* ── what is asked of a GPU that is not there ── */
static void refuses_other_gpus(void **state)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	(void)state;
	how.device = "cuda:1";
	assert_null(sumi_open(TINY_SD1, &how, &e));
	assert_non_null(strstr(e.text, "no GPU 1: there are 1"));
}

int main(int argc, char **argv)
{
	if (!strstr(sumi_devices(), "host, over the shim") || strstr(sumi_devices(), "no kernels")) {
		printf("skipped: the recording driver is not in LD_LIBRARY_PATH, or this build holds no kernels\n");
		return SKIPPED;
	}
	const struct CMUnitTest some[] = { IN_SCRATCH(draws_sd1), IN_SCRATCH(draws_sdxl), IN_SCRATCH(draws_sd3),
		IN_SCRATCH(streams_weights), IN_SCRATCH(trains_a_lora), IN_SCRATCH(plans_for_the_device),
		IN_SCRATCH(refuses_other_gpus) };
	const struct CMUnitTest rest[] = { IN_SCRATCH(draws_again_in_a_session), IN_SCRATCH(draws_in_bf16),
		IN_SCRATCH(streams_weights_in_bf16), IN_SCRATCH(trains_sdxl_and_sd3), IN_SCRATCH(trains_a_word),
		IN_SCRATCH(trains_an_autoencoder), IN_SCRATCH(trains_a_control_network), IN_SCRATCH(trains_with_each_optimizer),
		IN_SCRATCH(resumes), IN_SCRATCH(trains_all_of_sd1) };
	if (argc > 1 && strcmp(argv[1], "all")) cmocka_set_test_filter(argv[1]);
	int failed_tests = cmocka_run_group_tests(some, NULL, NULL);
	if (argc > 1) failed_tests += cmocka_run_group_tests(rest, NULL, NULL);
	return failed_tests;
}

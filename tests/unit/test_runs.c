/* test_runs.c - whole runs of a tiny model: from pictures and from a cache, stopped, resumed, and gone wrong. */
#include "scratch.h"
#include "base/file.h"
#include "io/picture.h"
#include "io/weights.h"
#include "train/data/cache.h"
#include "train/run/events.h"
#include "train/run/jobs.h"
#include <math.h>

static const char model[] = GOLDEN_DIR "/sd1/model.safetensors";
enum { PICTURES = 5, SIDE = 32 };

static void write_pictures(void)
{
	error e = { 0 };
	for (int i = 0; i < PICTURES; i++) {
		picture p;
		char name[32];
		assert_true(picture_new(&p, SIDE, SIDE, &e));
		for (int k = 0; k < SIDE * SIDE * 3; k++) p.rgb[k] = (uint8_t)(k * (i + 3) % 251);
		snprintf(name, sizeof name, "%d.png", i);
		assert_true(picture_write(&p, scratch_path(name), NULL, 0, &e));
		snprintf(name, sizeof name, "%d.txt", i);
		scratch_write(name, "a small picture", (size_t)(3 + 2 * i));
		picture_free(&p);
	}
}

typedef struct heard {
	char notes[4096];
	int64_t stop_at;
} heard;

static void note(void *context, const char *line)
{
	heard *h = context;
	size_t n = strlen(h->notes);
	snprintf(h->notes + n, sizeof h->notes - n, "%s\n", line);
}

static bool go_on(void *context, const training_progress *p)
{
	const heard *h = context;
	return p->step != h->stop_at;
}

/* Options as "name=value" texts, after those that every run here has. */
static bool run(training_job job, heard *h, error *e, const char *const *texts)
{
	static const char *const common[] = { "dataloader_threads=2", "threads=1", "resolution=32", NULL };
	static const char *const training[] = { "train_batch_size=2", "log_steps=1", "learning_rate=1e-3", NULL };
	const char *const *lists[] = { common, job == TRAIN_CACHE ? common : training, texts };
	train_options o;
	*e = (error){ 0 };
	assert_true(train_options_make(&o, job, e));
	assert_true(train_options_set(&o, job, "model", model, e));
	assert_true(train_options_set(&o, job, "train_data_dir", scratch, e));
	for (int l = 0; l < 3; l++)
		for (int i = 0; lists[l][i]; i++) {
			char name[64];
			const char *value = strchr(lists[l][i], '=') + 1;
			snprintf(name, sizeof name, "%.*s", (int)(value - 1 - lists[l][i]), lists[l][i]);
			if (!strncmp(value, "@/", 2)) value = scratch_path(value + 2);
			assert_true(train_options_set(&o, job, name, value, e));
		}
	training_listener l = { .progress = go_on, .note = note, .context = h };
	bool fine = train_run(job, &o, &l, e);
	train_options_free(&o);
	return fine;
}
#define RUN(job, h, e, ...) run(job, h, e, (const char *const[]){ __VA_ARGS__, NULL })

static char *content(const char *name, size_t *bytes)
{
	error e = { 0 };
	char *text = whole_file(scratch_path(name), 1 << 28, bytes, &e);
	if (!text) fail_saying("%s\n", e.text);
	return text;
}

static bool is_there(const char *name) { return !access(scratch_path(name), R_OK); }

/* The losses in a log: what stands before the third comma of each line. */
static void same_losses(const char *one, const char *other)
{
	size_t n;
	char *a = content(one, &n), *b = content(other, &n), *x = a, *y = b;
	for (int line = 0; *x && *y; line++) {
		int until = 0, commas = 0;
		while (x[until] && commas < 3) commas += x[until++] == ',';
		assert_memory_equal(x, y, (size_t)until);
		x = strchr(x, '\n') + 1;
		y = strchr(y, '\n') + 1;
	}
	assert_true(!*x && !*y);
	free(a);
	free(b);
}

/* ── caches ── */
static void test_a_cache_stands_in_for_its_pictures(void **state)
{
	(void)state;
	write_pictures();
	scratch_write("broken.jpg", "no picture", 10);
	heard h = { .notes = "" };
	error e;
	assert_true(RUN(TRAIN_CACHE, &h, &e, "output=@/cache", "cache_precision=f32"));
	assert_non_null(strstr(h.notes, "broken.jpg"));
	assert_non_null(strstr(h.notes, "5 latents and text states"));
	unlink(scratch_path("broken.jpg")); /* the order of an epoch depends on their number */
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "max_train_steps=4", "caption_dropout=0.3"));
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/b.safetensors", "max_train_steps=4", "caption_dropout=0.3",
	    "train_data_dir=@/cache"));
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/c.safetensors", "max_train_steps=4", "caption_dropout=0.3",
	    "cache_latents=false"));
	same_losses("a.training/log.csv", "b.training/log.csv");
	same_losses("a.training/log.csv", "c.training/log.csv");
	assert_false(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/d.safetensors", "train_data_dir=@/cache", "random_flip=true"));
	assert_says(e, "neither cropped nor mirrored");
}

static void test_buckets_are_cached(void **state)
{
	(void)state;
	write_pictures();
	error e = { 0 };
	for (int i = 0; i < 4; i++) {
		picture p;
		char name[32];
		assert_true(picture_new(&p, i % 2 ? 64 : 16, i % 2 ? 16 : 64, &e));
		memset(p.rgb, 50 * i, 64 * 16 * 3);
		snprintf(name, sizeof name, "long%d.png", i);
		assert_true(picture_write(&p, scratch_path(name), NULL, 0, &e));
		picture_free(&p);
	}
	heard h = { .notes = "" };
#define BUCKETS "bucket_step=8", "bucket_min=16", "bucket_max=64"
	assert_true(RUN(TRAIN_CACHE, &h, &e, "output=@/cache", "cache_text=false", BUCKETS));
	cache *c = cache_open(scratch_path("cache"), &e);
	assert_non_null(c);
	assert_int_equal(cache_count(c), PICTURES + 4);
	float *moments = calloc(64 * 64, sizeof *moments);
	assert_false(cache_moments(c, 0, 1, 1, moments, &e));
	cache_close(c);
	free(moments);
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "max_train_steps=8", "train_data_dir=@/cache"));
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/b.safetensors", "max_train_steps=3", BUCKETS));
	assert_true(is_there("b.cache/metadata.jsonl"));
}

/* The model with one byte of a tensor changed, and its configuration. */
static void write_changed(const char *name, const char *tensor_name, const void *bytes, size_t n)
{
	error e = { 0 };
	size_t size;
	char *whole = whole_file(model, 1 << 28, &size, &e),
	     *config = whole_file(GOLDEN_DIR "/sd1/config.json", 1 << 20, NULL, &e);
	weights *w = weights_open(model, &e);
	uint64_t header;
	assert_true(whole && w);
	memcpy(&header, whole, sizeof header);
	const weight *t = weights_need(w, tensor_name, &e);
	if (!t) fail_saying("%s\n", e.text);
	memcpy(whole + 8 + header + ((const char *)t->data - (const char *)weights_at(w, 0)->data), bytes, n);
	scratch_write(name, whole, size);
	char config_name[64];
	snprintf(config_name, sizeof config_name, "%.*s.json", (int)(strchr(name, '.') - name), name);
	if (config) scratch_write(config_name, config, strlen(config));
	weights_close(w);
	free(whole);
	free(config);
}

static void test_caches_of_other_models_are_refused(void **state)
{
	(void)state;
	write_pictures();
	heard h = { .notes = "" };
	error e;
	float other = 0.125f;
	assert_true(RUN(TRAIN_CACHE, &h, &e, "output=@/cache"));
	write_changed("vae.safetensors", "first_stage_model.encoder.conv_in.weight", &other, sizeof other);
	write_changed(
	    "text.safetensors", "cond_stage_model.transformer.text_model.final_layer_norm.weight", &other, sizeof other);
	write_changed("decoder.safetensors", "first_stage_model.decoder.conv_in.weight", &other, sizeof other);
	assert_false(
	    RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "train_data_dir=@/cache", "model=@/vae.safetensors"));
	assert_says(e, "another autoencoder");
	assert_false(
	    RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "train_data_dir=@/cache", "model=@/text.safetensors"));
	assert_says(e, "another text encoder");
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "train_data_dir=@/cache", "max_train_steps=1",
	    "model=@/decoder.safetensors"));
	h.notes[0] = 0;
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/b.safetensors", "train_data_dir=@/cache", "max_train_steps=1",
	    "train_text_encoder=true"));
	assert_non_null(strstr(h.notes, "its text states are not used"));
	assert_int_equal(unlink(scratch_path("cache/metadata.jsonl")), 0);
	assert_null(cache_open(scratch_path("cache"), &e));
	assert_says(e, "no cache");
}

/* ── how runs end ── */
static void test_stop_and_resume(void **state)
{
	(void)state;
	write_pictures();
	heard h = { .notes = "" }, stopping = { .notes = "", .stop_at = 3 };
	error e;
#define STEPS "max_train_steps=5", "use_ema=true", "checkpointing_steps=2"
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", STEPS));
	assert_false(RUN(TRAIN_DIFFUSION, &stopping, &e, "output=@/b.safetensors", STEPS));
	assert_int_equal(e.status, STOPPED);
	assert_true(is_there("b.training/checkpoint-3.safetensors"));
	assert_false(is_there("b.safetensors"));
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/b.safetensors", STEPS, "resume_from_checkpoint=latest"));
	size_t n, m;
	char *a = content("a.safetensors", &n), *b = content("b.safetensors", &m);
	assert_int_equal(n, m);
	assert_memory_equal(a, b, n);
	free(a);
	free(b);
	same_losses("a.training/log.csv", "b.training/log.csv");
}

static void test_checkpoints_are_limited(void **state)
{
	(void)state;
	write_pictures();
	heard h = { .notes = "" };
	error e;
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "max_train_steps=5", "checkpointing_steps=1",
	    "checkpoints_total_limit=2"));
	for (int i = 1; i <= 5; i++) {
		char name[64];
		snprintf(name, sizeof name, "a.training/checkpoint-%d.safetensors", i);
		assert_int_equal(is_there(name), i > 3);
	}
}

/* A weight that is no number, and a run that explodes: both name step and tensor, and the last checkpoint stays. */
static void test_not_a_number(void **state)
{
	(void)state;
	write_pictures();
	heard h = { .notes = "" };
	error e;
	float bad = NAN;
	write_changed("nan.safetensors", "model.diffusion_model.out.2.bias", &bad, sizeof bad);
	assert_false(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "model=@/nan.safetensors"));
	assert_says(e, "step 0: the weight 'model.diffusion_model.out.2.bias' is not finite");
	assert_false(is_there("a.training/checkpoint-1.safetensors"));
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/b.safetensors", "max_train_steps=2"));
	size_t n, m;
	char *before = content("b.training/checkpoint-2.safetensors", &n);
	assert_false(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/b.safetensors", "max_train_steps=9", "learning_rate=100",
	    "adam_weight_decay=100", "max_grad_norm=0", "resume_from_checkpoint=latest"));
	assert_says(e, "not finite");
	assert_says(e, "step ");
	assert_says(e, "'");
	char *after = content("b.training/checkpoint-2.safetensors", &m);
	assert_int_equal(n, m);
	assert_memory_equal(before, after, n);
	free(before);
	free(after);
}

/* ── TensorBoard ── */
static uint32_t masked(const void *bytes, size_t n)
{
	uint32_t c = crc32c(bytes, n);
	return (c >> 15 | c << 17) + 0xa282ead8u;
}

static void test_events(void **state)
{
	(void)state;
	assert_int_equal(crc32c("123456789", 9), 0xe3069283u); /* RFC 3720's check value */
	error e = { 0 };
	events *v = events_open(scratch, 8, &e);
	assert_non_null(v);
	assert_true(events_numbers(v, 300, 2, (const char *const[]){ "loss", "rate" }, (double[]){ 0.5, 2 }, &e));
	events_close(v);
	DIR *d = opendir(scratch);
	char name[300] = "";
	for (struct dirent *f; (f = readdir(d));)
		if (strstr(f->d_name, "events.out.tfevents.")) snprintf(name, sizeof name, "%s", f->d_name);
	closedir(d);
	size_t size, at = 0;
	char *bytes = content(name, &size);
	int records = 0;
	while (at < size) {
		uint64_t length;
		uint32_t head, sum;
		memcpy(&length, bytes + at, 8);
		memcpy(&head, bytes + at + 8, 4);
		assert_int_equal(head, masked(bytes + at, 8));
		assert_true(length < size - at - 12);
		memcpy(&sum, bytes + at + 12 + length, 4);
		assert_int_equal(sum, masked(bytes + at + 12, length));
		if (records == 0)
			assert_memory_equal(bytes + at + 12 + 9,
			    "\x1a\x0d"
			    "brain.Event:2",
			    15);
		if (records == 1) assert_memory_equal(bytes + at + 12 + 9, "\x10\x08\x3a\x02\x08\x01", 6);
		if (records == 2)
			assert_memory_equal(bytes + at + 12 + 9,
			    "\x10\xac\x02\x2a\x1a\x0a\x0b\x0a\x04"
			    "loss\x15\0\0\0\x3f\x0a\x0b\x0a\x04"
			    "rate\x15\0\0\0\x40",
			    31);
		at += 12 + length + 4;
		records++;
	}
	assert_int_equal(records, 3);
	free(bytes);
}

static void test_benchmark_trains_nothing(void **state)
{
	(void)state;
	write_pictures();
	heard h = { .notes = "" };
	error e;
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "benchmark_loader=7", "cache_latents=false"));
	assert_non_null(strstr(h.notes, "the loader alone: 14 pictures"));
	assert_false(is_there("a.safetensors"));
	assert_true(RUN(TRAIN_DIFFUSION, &h, &e, "output=@/a.safetensors", "profile=1", "max_train_steps=2"));
	assert_true(is_there("a.training/profile.txt"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { IN_SCRATCH(test_a_cache_stands_in_for_its_pictures),
		IN_SCRATCH(test_buckets_are_cached), IN_SCRATCH(test_caches_of_other_models_are_refused),
		IN_SCRATCH(test_stop_and_resume), IN_SCRATCH(test_checkpoints_are_limited), IN_SCRATCH(test_not_a_number),
		IN_SCRATCH(test_events), IN_SCRATCH(test_benchmark_trains_nothing) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

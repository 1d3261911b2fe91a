/* test_allocation.c - memory that is not there: allocations fail one by one while a model is opened, draws and is
 * trained. Each failure must come back as SUMI_NO_MEMORY, or do no harm; the sanitizers see what is left behind.
 *
 * A place of the code that allocates is known by its return address. A first run finds the places; then each fails,
 * once the first time it is reached and once from the last time on, as when memory has run out. Under the sanitizers,
 * which have a malloc of their own, the calls of Sumi's own code are wrapped by the linker; elsewhere those of the
 * libraries fail too. */
#include "sumi.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "scratch.h"

enum { MOST_PLACES = 4096, OFTEN = 64 };

typedef struct place {
	void *address;
	int times; /* it was reached */
} place;

static struct {
	pthread_mutex_t lock;
	bool counting, failing;
	place places[MOST_PLACES];
	int count;
	void *address; /* of the place that fails … */
	int after;     /* … when it has been reached so often */
	bool on;       /* from then on everything fails */
	bool failed;   /* something did */
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool exempt(void *address);

static bool fails(void *address)
{
	if (!state.counting && !state.failing) return false;
	bool answer = false;
	pthread_mutex_lock(&state.lock);
	if (exempt(address))
		;
	else if (state.counting) {
		int i = 0;
		while (i < state.count && state.places[i].address != address) i++;
		if (i < MOST_PLACES) {
			if (i == state.count) state.places[state.count++] = (place){ address, 0 };
			state.places[i].times++;
		}
	} else if (state.failing) {
		if (address == state.address && state.after-- == 0) answer = true;
		if (state.failed && state.on) answer = true;
		if (answer) state.failed = true;
	}
	pthread_mutex_unlock(&state.lock);
	if (answer) errno = ENOMEM;
	return answer;
}

#define HERE __builtin_return_address(0)
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x)
{
	return fails(HERE) ? EAGAIN : __real_pthread_create(t, a, f, x);
}

#ifdef SANITIZED
#define NAME(f) __wrap_##f
#define REAL_ONE(f) __real_##f
static bool exempt(void *address)
{
	(void)address;
	return false;
}
#else
#define NAME(f) f
#define REAL_ONE(f) __libc_##f
#include <dlfcn.h>
/* libgomp ends the process where it finds no memory for the settings of a thread, a few bytes; no program can prevent
 * that from outside. Nor is what loads libraries ours. */
static bool exempt(void *address)
{
	Dl_info of;
	return dladdr(address, &of) && of.dli_fname &&
	       (strstr(of.dli_fname, "libgomp") || strstr(of.dli_fname, "ld-linux"));
}
#endif

void *REAL_ONE(malloc)(size_t n);
void *REAL_ONE(calloc)(size_t n, size_t size);
void *REAL_ONE(realloc)(void *p, size_t n);
void *NAME(malloc)(size_t n);
void *NAME(calloc)(size_t n, size_t size);
void *NAME(realloc)(void *p, size_t n);
int NAME(posix_memalign)(void **p, size_t step, size_t n);
void *NAME(malloc)(size_t n) { return fails(HERE) ? NULL : REAL_ONE(malloc)(n); }
void *NAME(calloc)(size_t n, size_t size) { return fails(HERE) ? NULL : REAL_ONE(calloc)(n, size); }
void *NAME(realloc)(void *p, size_t n) { return fails(HERE) ? NULL : REAL_ONE(realloc)(p, n); }

#ifdef SANITIZED
int __real_posix_memalign(void **p, size_t step, size_t n);
int __wrap_posix_memalign(void **p, size_t step, size_t n)
{
	return fails(HERE) ? ENOMEM : __real_posix_memalign(p, step, n);
}
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) { return fails(HERE) ? NULL : __real_strdup(text); }
char *__real_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n) { return fails(HERE) ? NULL : __real_strndup(text, n); }
#else
char *strdup(const char *text)
{
	char *copy = fails(HERE) ? NULL : __libc_malloc(strlen(text) + 1);
	return copy ? strcpy(copy, text) : NULL;
}
char *strndup(const char *text, size_t n)
{
	size_t length = strnlen(text, n);
	char *copy = fails(HERE) ? NULL : __libc_calloc(length + 1, 1);
	return copy ? memcpy(copy, text, length) : NULL;
}
void *__libc_memalign(size_t step, size_t n);
int posix_memalign(void **p, size_t step, size_t n)
{
	void *made = fails(HERE) ? NULL : __libc_memalign(step, n);
	if (made) *p = made;
	return made ? 0 : ENOMEM;
}
#endif

static bool every; /* place, as it takes minutes: `test_allocation --all`. Otherwise each seventh */

/* ── the work ── */

typedef sumi_status job(sumi_error *e);

static sumi_status draw(sumi_error *e)
{
	sumi_model_options m = sumi_model_defaults();
	m.threads = 2;
	sumi_model *model = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", &m, e);
	sumi_options o = sumi_defaults();
	o.prompt = "a (red:1.2) cat";
	o.steps = 2;
	o.width = o.height = 64;
	sumi_image *picture = sumi_generate(model, &o, e), *again = NULL;
	unsigned char *bytes = NULL;
	size_t count = 0;
	if (sumi_image_encode(picture, "png", 0, &bytes, &count, e)) again = sumi_image_decode(bytes, count, e);
	sumi_free(bytes);
	bytes = NULL;
	if (sumi_image_encode(again, "jpeg", 0, &bytes, &count, e)) sumi_image_free(sumi_image_decode(bytes, count, e));
	sumi_free(bytes);
	bytes = NULL;
	if (sumi_image_encode(again, "webp", 0, &bytes, &count, e)) sumi_image_free(sumi_image_decode(bytes, count, e));
	sumi_free(bytes);
	sumi_image_free(again);
	sumi_image_free(picture);
	sumi_close(model);
	return e->status;
}

static sumi_status train(sumi_error *e)
{
	char output[128], data[128];
	snprintf(output, sizeof output, "%s/lora.safetensors", scratch);
	snprintf(data, sizeof data, "%s/pictures", scratch);
	sumi_training *run = sumi_training_new("lora", e);
	sumi_training_set(run, "model", GOLDEN_DIR "/sd1/model.safetensors", e);
	sumi_training_set(run, "train_data_dir", data, e);
	sumi_training_set(run, "output", output, e);
	sumi_training_set(run, "resolution", "64", e);
	sumi_training_set(run, "max_train_steps", "1", e);
	sumi_training_set(run, "threads", "2", e);
	sumi_training_run(run, NULL, e);
	sumi_training_free(run);
	return e->status;
}

/* How many failures were reported as something else than what they are. */
static int fail_each(job *work, int stride)
{
	sumi_error e = { 0 };
	assert_int_equal(work(&e), SUMI_OK); /* what is made once for the process */
	state.count = 0;
	state.counting = true;
	work(&e);
	state.counting = false;
	if (e.status) print_message("%s\n", e.text);
	assert_int_equal(e.status, SUMI_OK);
	assert_true(state.count > 50 && state.count < MOST_PLACES);
	int wrong = 0, came_back = 0, harmless = 0;
	for (int i = 0; i < state.count; i++)
		for (int last = 0; last < 2; last++) {
			if ((2 * i + last) % stride) continue;
			state.address = state.places[i].address;
			state.after = last ? state.places[i].times - 1 : 0;
			state.on = last;
			state.failed = false;
			sumi_error got = { 0 };
			state.failing = true;
			sumi_status status = work(&got);
			state.failing = false;
			if (!state.failed) continue; /* it is reached less often than in the first run */
			came_back += status == SUMI_NO_MEMORY;
			harmless += status == SUMI_OK;
			if (status != SUMI_NO_MEMORY && status != SUMI_OK) {
				wrong++;
				print_message("place %d of %d (%p, %s): status %d: %s\n", i, state.count, state.address,
				    last ? "all from its last time on" : "its first time", status, got.text);
			}
		}
	print_message("%d places: %d failures came back, %d did no harm, %d were reported as something else\n", state.count,
	    came_back, harmless, wrong);
	assert_true(came_back > 0);
	return wrong;
}

static void test_drawing(void **unused)
{
	(void)unused;
	assert_int_equal(fail_each(draw, every ? 1 : 7), 0);
}

static void test_training(void **unused)
{
	(void)unused;
	char path[160];
	snprintf(path, sizeof path, "%s/pictures", scratch);
	assert_int_equal(mkdir(path, 0777), 0);
	for (int i = 0; i < 2; i++) {
		sumi_image *picture = sumi_image_new(64, 64, NULL, NULL);
		snprintf(path, sizeof path, "%s/pictures/%d.png", scratch, i);
		assert_true(sumi_image_write(picture, path, NULL));
		sumi_image_free(picture);
		snprintf(path, sizeof path, "%s/pictures/%d.txt", scratch, i);
		FILE *caption = fopen(path, "w");
		fputs("a cat", caption);
		fclose(caption);
	}
	assert_int_equal(fail_each(train, every ? 1 : 7), 0);
}

int main(int argc, char **argv)
{
	every = argc > 1 && !strcmp(argv[1], "--all");
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_drawing),
		cmocka_unit_test_setup_teardown(test_training, scratch_make, scratch_remove) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

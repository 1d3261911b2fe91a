/* test_concurrent.c - several threads of one process draw at once, each from its own model: the same bytes as alone. Run under
 * ThreadSanitizer too (`make test-threads`). */
#include "sumi.h"
#include "scratch.h"
#include <pthread.h>

enum { CALLERS = 3 };

static sumi_image *draw(int seed)
{
	sumi_model_options m = sumi_model_defaults();
	m.threads = 2;
	sumi_model *model = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", &m, NULL);
	sumi_options o = sumi_defaults();
	o.prompt = "a cat";
	o.steps = 3;
	o.width = o.height = 64;
	o.seed = seed;
	sumi_image *picture = sumi_generate(model, &o, NULL);
	sumi_close(model);
	return picture;
}

static void *draw_one(void *seed) { return draw(*(int *)seed); }

static void test_same_bytes(void **state)
{
	(void)state;
	pthread_t callers[CALLERS];
	int seeds[CALLERS];
	for (int i = 0; i < CALLERS; i++) {
		seeds[i] = i;
		assert_int_equal(pthread_create(&callers[i], NULL, draw_one, &seeds[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++) {
		void *drawn;
		pthread_join(callers[i], &drawn);
		sumi_image *together = drawn, *alone = draw(seeds[i]);
		assert_non_null(together);
		assert_non_null(alone);
		assert_memory_equal(together->pixels, alone->pixels, (size_t)(alone->width * alone->height * 3));
		sumi_image_free(together);
		sumi_image_free(alone);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_bytes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

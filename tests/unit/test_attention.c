/* test_attention.c - attention keeps no table of scores, neither forward nor backward: what a graph needs grows with
 * the number of tokens and not with its square. */
#include "scratch.h"
#include "backend/backend.h"

/* Bytes of all values, scratch included, of attention over T tokens and its three gradients. */
static size_t arena_of(dtype compute, int tokens, int heads, int width)
{
	error e = { 0 };
	graph *g = graph_new(compute);
	shape s = shape3(1, tokens, heads * width);
	tensor wrt[] = { input(g, "q", compute, s), input(g, "k", compute, s), input(g, "v", compute, s) }, out[3];
	tensor y = attention(g, wrt[0], wrt[1], wrt[2], heads, 0.15f, false);
	assert_true(gradients(g, mean_all(g, cast(g, y, REAL)), wrt, 3, out));
	if (!graph_compile(g, backend_cpu(), 2, &e)) fail_saying("%s\n", e.text);
	size_t bytes = graph_arena_bytes(g);
	graph_free(g);
	return bytes;
}

static void test_no_table_of_scores(void **state)
{
	(void)state;
	static const int shapes[][2] = { { 8, 40 }, { 4, 80 }, { 1, 160 } };
	static const dtype types[] = { F32, BF16 };
	for (int i = 0; i < 3; i++)
		for (int d = 0; d < 2; d++) {
			int heads = shapes[i][0], width = shapes[i][1];
			size_t once = arena_of(types[d], 8192, heads, width), twice = arena_of(types[d], 16384, heads, width);
			size_t table = (size_t)16384 * 16384 * 2; /* of one head, in bf16 */
			if (twice > 2 * once + once / 10 || twice >= table)
				fail_saying("%zu bytes; %zu for half the tokens, a table alone has %zu\n", twice, once, table);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_table_of_scores) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

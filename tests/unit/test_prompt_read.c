/* test_prompt_read.c - what sumi_prompt_read() and sumi_image_parameters() say, of small models and of a picture. */
#include "tiny.h"
#include <stdio.h>

typedef struct heard {
	char text[512]; /* "a |1.00 red|1.30" */
} heard;

static void hear(void *context, const char *text, size_t length, double weight)
{
	heard *h = context;
	size_t n = strlen(h->text);
	snprintf(h->text + n, sizeof h->text - n, "%.*s|%.2f;", (int)length, text, weight);
}

static void expect(const sumi_model *m, const char *prompt, int tokens, int room, const char *pieces)
{
	sumi_error e = { 0 };
	heard h = { "" };
	int found = -1, found_room = -1;
	if (!sumi_prompt_read(m, prompt, &found, &found_room, hear, &h, &e)) fail_saying("%s\n", e.text);
	if (found != tokens || found_room != room || strcmp(h.text, pieces))
		fail_saying("%s: %d of %d, %s\n", prompt, found, found_room, h.text);
}

static void test_clip(void **state)
{
	(void)state;
	char long_prompt[512] = "";
	for (int i = 0; i < 80; i++) strcat(long_prompt, "cat ");
	sumi_model *m = tiny_open(TINY_SD1);
	expect(m, "", 0, 75, "");
	expect(m, "a red fox", 3, 75, "a red fox|1.00;");
	expect(m, "a (red:1.3) [fox] \\(x\\)", 6, 75, "a |1.00;red|1.30; |1.00;fox|0.91; (x)|1.00;");
	expect(m, "((fox))<lora:not there:0.5>", 1, 75, "fox|1.21;");
	expect(m, "a [cat:dog:0.5]", 2, 75, "a cat|1.00;");
	expect(m, "cat BREAK dog", 2, 150, "cat |1.00; dog|1.00;");
	expect(m, "a cat AND a big dog:0.5", 3, 75, "a cat |1.00; a big dog|1.00;");
	sumi_error e = { 0 };
	int tokens = 0, room = 0;
	assert_true(sumi_prompt_read(m, long_prompt, &tokens, &room, NULL, NULL, &e));
	assert_int_equal(tokens, 80);
	assert_int_equal(room, 150);
	assert_false(sumi_prompt_read(m, "\xff", NULL, NULL, NULL, NULL, &e));
	assert_int_equal(e.status, SUMI_BAD_USAGE);
	sumi_close(m);
}

/* Of three encoders CLIP's chunk is what a prompt has to fit into. */
static void test_sd3(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(tiny_file("tiny-sd3", TINY_SD3));
	expect(m, "a red fox", 3, 75, "a red fox|1.00;");
	sumi_close(m);
}

static void test_picture(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	int width = 0, height = 0;
	sumi_image *p = sumi_image_new(7, 5, NULL, &e);
	p->parameters = strdup("a fox\nSteps: 3");
	const char *path = scratch_path("fox.png");
	assert_true(sumi_image_write(p, path, &e));
	char *text = sumi_image_parameters(path, &width, &height, &e);
	assert_string_equal(text, "a fox\nSteps: 3");
	assert_int_equal(width, 7);
	assert_int_equal(height, 5);
	sumi_free(text);
	sumi_image_free(p);
	assert_null(sumi_image_parameters(scratch_write("no.png", "x", 1), NULL, NULL, &e));
	assert_int_equal(e.status, SUMI_BAD_FILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_clip), cmocka_unit_test(test_sd3),
		cmocka_unit_test(test_picture) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

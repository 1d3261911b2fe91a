/* test_masks.c - what of a mask is painted: where it is white; where it has transparency, what was drawn on. */
#include "scratch.h"
#include "pipeline/picture.h"

/* Columns of a row: each a grey and an alpha, shown on white as a file is read. */
static void expect(const int greys[4], const int alphas[4], const float painted[4])
{
	unsigned char pixels[12], alpha[4];
	for (int i = 0; i < 4; i++) {
		for (int c = 0; c < 3; c++)
			pixels[3 * i + c] = (unsigned char)((greys[i] * alphas[i] + 255 * (255 - alphas[i]) + 127) / 255);
		alpha[i] = (unsigned char)alphas[i];
	}
	sumi_image mask = { .size = sizeof mask, .width = 4, .height = 1, .pixels = pixels, .alpha = alpha };
	error e = { 0 };
	float *found = mask_of(&mask, false, 4, 1, &e);
	assert_non_null(found);
	for (int i = 0; i < 4; i++)
		if (found[i] != painted[i]) fail_saying("column %d: %g\n", i, (double)found[i]);
	free(found);
}

static void transparency_is_not_painted(void **state)
{
	(void)state;
	const float first_two[4] = { 1, 1, 0, 0 };
	expect((int[]){ 255, 255, 0, 0 }, (int[]){ 255, 255, 255, 255 }, first_two);  /* opaque */
	expect((int[]){ 255, 255, 0, 0 }, (int[]){ 255, 255, 0, 0 }, first_two);      /* white on nothing */
	expect((int[]){ 255, 200, 255, 0 }, (int[]){ 255, 250, 0, 0 }, first_two);    /* "nothing" may be white itself */
	expect((int[]){ 0, 0, 0, 255 }, (int[]){ 255, 255, 0, 0 }, first_two);        /* black on nothing: the strokes */
	expect((int[]){ 90, 20, 0, 0 }, (int[]){ 255, 200, 100, 0 }, first_two);      /* dark, with a soft edge */
	expect((int[]){ 255, 255, 0, 255 }, (int[]){ 255, 255, 255, 20 }, first_two); /* white and black: black stays */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(transparency_is_not_painted) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

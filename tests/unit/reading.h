/* reading.h - for tests of the readers of weights. */
#ifndef SUMI_TESTS_READING_H
#define SUMI_TESTS_READING_H
#include "scratch.h"
#include "io/weights.h"

/* It is not opened, with a message that names the file and has these words. */
static void refused(const char *path, const char *words)
{
	error e = { 0 };
	weights *w = weights_open(path, &e);
	if (w) fail_saying("opened, expected: %s\n", words);
	assert_int_equal(e.status, BAD_FILE);
	assert_says(e, path);
	assert_says(e, words);
}

#endif

/* test_json.c - JSON as Python writes it reads, and what is no JSON stays none. */
#include "base/json.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void numbers_that_are_not_finite_read_as_null(void **unused)
{
	(void)unused;
	static const struct {
		const char *python, *standard;
	} same[] = {
		{ "{\"a\": -Infinity, \"b\": [NaN, Infinity,NaN]}", "{\"a\": null, \"b\": [null, null, null]}" },
		{ "{\"NaN\": \"-Infinity \\\" NaN\", \"n\": NaN}", "{\"NaN\": \"-Infinity \\\" NaN\", \"n\": null}" },
		{ "[NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN]", "[null,null,null,null,null,null,null,null,null]" },
		{ "{\"model_max_length\": 1000000000000000019884624838656, \"x\": -7}",
		    "{\"model_max_length\": 1000000000000000019884624838656.0, \"x\": -7}" },
		{ "[12345678901234567890123,NaN]", "[12345678901234567890123.0,null]" },
	};
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		json_t *read = json_from_python(same[i].python, strlen(same[i].python), NULL);
		json_t *expected = json_loads(same[i].standard, 0, NULL);
		assert_non_null(expected);
		assert_true(json_equal(read, expected));
		json_decref(read);
		json_decref(expected);
	}
}

static void nonsense_stays_nonsense(void **unused)
{
	(void)unused;
	static const char *const bad[] = { "", "N", "Na", "-", "-Inf", "{\"a: NaN", "[NaN", "{NaN: 1}", "xNaN", "[1 NaN]",
		"\"\\", "[NaN]\xff" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_error_t why;
		char *exact = malloc(strlen(bad[i]) + 1); /* so that the sanitizer sees a read past the end */
		memcpy(exact, bad[i], strlen(bad[i]));
		assert_null(json_from_python(exact, strlen(bad[i]), &why));
		free(exact);
	}
	json_error_t why;
	const char *text = "{\"a\": NaN,\n\"b\": oh}";
	assert_null(json_from_python(text, strlen(text), &why));
	assert_int_equal(why.line, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_that_are_not_finite_read_as_null),
		cmocka_unit_test(nonsense_stays_nonsense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

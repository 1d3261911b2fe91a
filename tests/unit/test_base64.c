/* test_base64.c - the examples of RFC 4648, every length and byte there and back, and what is not base64. */
#include "base/base64.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void as_in_the_standard(void **state)
{
	static const char *const texts[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char *text = base64_encode("foobar", i);
		assert_string_equal(text, texts[i]);
		free(text);
	}
}

static void there_and_back(void **state)
{
	unsigned char bytes[256];
	(void)state;
	for (int i = 0; i < 256; i++) bytes[i] = (unsigned char)(i * 151 + 7);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		size_t count = 0;
		char *text = base64_encode(bytes, n);
		assert_non_null(text);
		unsigned char *back = base64_decode(text, &count);
		assert_int_equal(count, n);
		assert_memory_equal(back, bytes, n);
		free(back);
		free(text);
	}
}

static void as_clients_write_it(void **state)
{
	static const char *const same[] = { "Zm8", "Zm8=", "data:image/png;base64,Zm8=", "Z\r\nm8=\n", " Zm 8=" };
	static const char *const wrong[] = { "Z", "Zm9vY", "Zm8!", "Zm8=Zm8=", "data:image/png,Zm8=", "Zm_v" };
	size_t count;
	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		unsigned char *bytes = base64_decode(same[i], &count);
		assert_int_equal(count, 2);
		assert_memory_equal(bytes, "fo", 2);
		free(bytes);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_null(base64_decode(wrong[i], &count));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_in_the_standard),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(as_clients_write_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

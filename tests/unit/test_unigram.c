/* test_unigram.c - T5's tokenizer beyond the goldens: special tokens, padding, spaces, and time that grows linearly. */
#include "text/tokenizer.h"
#include "text/unigram.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static tokenizer *t5;

static int open_it(void **state)
{
	(void)state;
	t5 = tokenizer_open(T5, NULL, 0, NULL);
	return !t5;
}

static int close_it(void **state)
{
	(void)state;
	tokenizer_close(t5);
	return 0;
}

static void encodes_to(const char *text, const int32_t *ids, size_t count)
{
	int32_t found[64];
	size_t n;
	assert_true(tokenizer_encode(t5, text, strlen(text), found, 64, &n, NULL));
	assert_int_equal(n, count);
	if (count) assert_memory_equal(found, ids, count * sizeof *ids);
}
#define ENCODES(text, ...) \
	encodes_to(text, (const int32_t[]){ __VA_ARGS__ }, sizeof((const int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t))

static void padding_follows_the_end(void **state)
{
	(void)state;
	int32_t ids[8];
	size_t dropped = 9;
	assert_true(tokenizer_encode_padded(t5, "cat", 3, ids, 8, &dropped, NULL));
	assert_int_equal(dropped, 0);
	assert_memory_equal(ids, ((const int32_t[]){ 1712, 1, 0, 0, 0, 0, 0, 0 }), sizeof ids);
	assert_true(tokenizer_encode_padded(t5, "cat cat cat cat", 15, ids, 3, &dropped, NULL));
	assert_int_equal(dropped, 2);
	assert_memory_equal(ids, ((const int32_t[]){ 1712, 1712, 1 }), 3 * sizeof *ids);
	assert_int_equal(tokenizer_start(t5), -1);
	assert_int_equal(tokenizer_end(t5), 1);
	assert_int_equal(tokenizer_pad(t5), 0);
	assert_int_equal(tokenizer_size(t5), 32100);
}

static void special_tokens_are_read(void **state)
{
	(void)state;
	ENCODES("<pad></s><unk>", 0, 1, 2);
	ENCODES("<extra_id_0><extra_id_99>", 32099, 32000);
	ENCODES("cat<pad>cat", 1712, 0, 1712);
	int32_t ids[16];
	size_t count; /* no such number, and numbers are not written with a zero before them */
	assert_true(tokenizer_encode(t5, "<extra_id_100>", 14, ids, 16, &count, NULL) && count > 1);
	assert_true(tokenizer_encode(t5, "<extra_id_05>", 13, ids, 16, &count, NULL) && count > 1);
	assert_true(tokenizer_encode(t5, "<extra_id_", 10, ids, 16, &count, NULL) && count > 1);
}

static void spaces_do_not_count(void **state)
{
	(void)state;
	encodes_to("", NULL, 0);
	encodes_to(" \t\n", NULL, 0);
	ENCODES("cat  \n", 1712);
	ENCODES(" cat", 1712);
	ENCODES("cat    cat", 1712, 1712);
}

static void unknown_characters_are_one_token(void **state)
{
	(void)state;
	ENCODES("猫猫猫", 3, 2);
	ENCODES("猫 猫", 3, 2, 3, 2);
}

static void bad_text_is_an_error(void **state)
{
	(void)state;
	error e = { 0 };
	size_t count;
	assert_false(tokenizer_encode(t5, "a\xff", 2, NULL, 0, &count, &e));
	assert_int_equal(e.status, BAD_USAGE);
	assert_non_null(strstr(e.text, "1"));
	e = (error){ 0 };
	assert_null(tokenizer_open(T5, "a\n", 2, &e));
	assert_int_equal(e.status, BAD_USAGE);
}

static double seconds_for(size_t length)
{
	char *text = malloc(length);
	assert_non_null(text);
	memset(text, 'a', length);
	size_t count;
	clock_t begin = clock();
	assert_true(tokenizer_encode(t5, text, length, NULL, 0, &count, NULL));
	free(text);
	assert_true(count > length / 16);
	return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

static void time_is_linear(void **state)
{
	(void)state;
	enum { LONG = 1 << 16 };
	double small = seconds_for(LONG), large = seconds_for(16 * LONG);
	assert_true(large < 64 * (small + 0.002)); /* quadratic would be 256 times as long */
}

static int digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	return (int)(strchr(digits, c) - digits);
}

static unsigned char *from_base64(const char *text)
{
	size_t n = strlen(text);
	unsigned char *bytes = malloc(n), *at = bytes;
	assert_int_equal(n % 4, 0);
	for (size_t i = 0; i < n; i += 4) {
		int four = digit(text[i]) << 18 | digit(text[i + 1]) << 12;
		if (text[i + 2] != '=') four |= digit(text[i + 2]) << 6;
		if (text[i + 3] != '=') four |= digit(text[i + 3]);
		*at++ = (unsigned char)(four >> 16);
		*at++ = (unsigned char)(four >> 8);
		*at++ = (unsigned char)four;
	}
	return bytes;
}

static uint32_t unit_at(const unsigned char *map, size_t i)
{
	const unsigned char *p = map + 4 + 4 * i;
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* As Darts-clone looks up a whole key; NULL: it has no normal form. */
static const char *form_of(const unsigned char *map, const char *key)
{
	uint32_t size = map[0] | (uint32_t)map[1] << 8 | (uint32_t)map[2] << 16, unit = unit_at(map, 0);
	size_t at = 0;
	for (; *key; key++) {
		at ^= unit >> 10 << ((unit & 1 << 9) >> 6) ^ (unsigned char)*key;
		unit = unit_at(map, at);
		if ((unit & 0x800000ffu) != (unsigned char)*key) return NULL;
	}
	if (!(unit & 1 << 8)) return NULL;
	at ^= unit >> 10 << ((unit & 1 << 9) >> 6);
	return (const char *)map + 4 + size + (unit_at(map, at) & 0x7fffffff);
}

/* tokenizer.json: every piece, and the normal forms that Python's tokenizers look up. */
static void as_a_file(void **state)
{
	(void)state;
	error e = { 0 };
	char *text = unigram_json(&e);
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	assert_non_null(j);
	const json_t *vocabulary = json_object_get(json_object_get(j, "model"), "vocab");
	assert_int_equal(json_array_size(vocabulary), 32100);
	assert_string_equal(json_string_value(json_array_get(json_array_get(vocabulary, 32099), 0)), "<extra_id_0>");
	const json_t *normalizer = json_object_get(j, "normalizer");
	unsigned char *map = from_base64(json_string_value(json_object_get(normalizer, "precompiled_charsmap")));
	assert_string_equal(form_of(map, "\xe2\x85\xa7"), "VIII"); /* Ⅷ */
	assert_string_equal(form_of(map, "\xc2\xb2"), "2");        /* ² */
	assert_string_equal(form_of(map, "\xef\xbc\xa1"), "A");    /* Ａ */
	assert_string_equal(form_of(map, "\t"), " ");
	assert_null(form_of(map, "a"));
	assert_null(form_of(map, "\xe2\x85"));
	free(map);
	json_decref(j);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(padding_follows_the_end),
		cmocka_unit_test(special_tokens_are_read),
		cmocka_unit_test(spaces_do_not_count),
		cmocka_unit_test(unknown_characters_are_one_token),
		cmocka_unit_test(bad_text_is_an_error),
		cmocka_unit_test(time_is_linear),
		cmocka_unit_test(as_a_file),
	};
	return cmocka_run_group_tests(tests, open_it, close_it);
}

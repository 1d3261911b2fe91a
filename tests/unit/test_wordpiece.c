/* test_wordpiece.c - WordPiece over a vocabulary of the caller's, and its errors. */
#include "text/tokenizer.h"
#include "text/wordpiece_learn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static const char small[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\ncat\n##s\n##al\n##og\nc\n##a\n##t\n,\n日\n";

static void expect(const tokenizer *t, const char *text, const int32_t *ids, size_t n)
{
	int32_t found[64];
	size_t count;
	assert_true(tokenizer_encode(t, text, strlen(text), found, 64, &count, NULL));
	assert_int_equal(count, n);
	assert_memory_equal(found, ids, n * sizeof *ids);
}

#define EXPECT(t, text, ...) \
	expect(t, text, (const int32_t[]){ __VA_ARGS__ }, sizeof(int32_t[]){ __VA_ARGS__ } / sizeof(int32_t))

static void longest_piece_wins(void **state)
{
	(void)state;
	tokenizer *t = tokenizer_open(WORDPIECE, small, sizeof small - 1, NULL);
	assert_non_null(t);
	EXPECT(t, "Cats, CATALOG", 4, 5, 11, 4, 6, 7);
	EXPECT(t, "cab cat", 1, 4); /* a word is unknown as a whole */
	EXPECT(t, "cats日cat", 4, 5, 12, 4);
	EXPECT(t, "[CLS] [SEP]", 2, 3);
	EXPECT(t, "c\u00e1t", 4); /* the accent goes */
	int32_t ids[6];
	size_t dropped;
	assert_true(tokenizer_encode_padded(t, "cats", 4, ids, 6, &dropped, NULL));
	assert_memory_equal(ids, ((int32_t[]){ 2, 4, 5, 3, 0, 0 }), sizeof ids);
	assert_int_equal(tokenizer_size(t), 13);
	tokenizer_close(t);
}

static void line_ends_do_not_matter(void **state)
{
	(void)state;
	const char text[] = "[UNK]\r\n[CLS]\r\n[SEP]\r\ncat";
	tokenizer *t = tokenizer_open(WORDPIECE, text, sizeof text - 1, NULL);
	assert_non_null(t);
	EXPECT(t, "cat dog", 3, 0);
	assert_int_equal(tokenizer_size(t), 4);
	assert_int_equal(tokenizer_pad(t), 0);
	tokenizer_close(t);
}

static void bad_vocabularies_are_refused(void **state)
{
	(void)state;
	const char *const wrong[] = { "", "cat\ndog\n", "[UNK]\n[CLS]\ncat\n", "\n\n\n", "[unk]\n[cls]\n[sep]\n" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		error e = { 0 };
		assert_null(tokenizer_open(WORDPIECE, wrong[i], strlen(wrong[i]), &e));
		assert_int_equal(e.status, BAD_FILE);
		assert_non_null(strstr(e.text, "vocabulary"));
	}
}

static void long_words_are_unknown_and_fast(void **state)
{
	(void)state;
	tokenizer *t = tokenizer_open(WORDPIECE, NULL, 0, NULL);
	assert_non_null(t);
	assert_int_equal(tokenizer_size(t), 30522);
	size_t n = 300 * 1024, count;
	char *text = malloc(n);
	memset(text, 'a', n);
	clock_t start = clock();
	int32_t id;
	assert_true(tokenizer_encode(t, text, n, &id, 1, &count, NULL));
	assert_int_equal(count, 1);
	assert_int_equal(id, 100);
	memset(text, '.', n);
	assert_true(tokenizer_encode(t, text, n, &id, 1, &count, NULL));
	assert_int_equal(count, n);
	assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
	free(text);
	error e = { 0 };
	assert_false(tokenizer_encode(t, "cat\xff", 4, NULL, 0, &count, &e));
	assert_non_null(strstr(e.text, "offset 3 "));
	tokenizer_close(t);
}

static void a_vocabulary_is_learned(void **state)
{
	(void)state;
	const char *const captions[] = { "low low low low low", "lower lower", "newest newest newest newest newest newest",
		"widest, widest widest" };
	const char *const shuffled[] = { captions[2], captions[0], captions[3], captions[1] };
	/* 5 special tokens, 5 characters that begin a word (, l n w) and 8 that continue one; then es 9, est 9, and of the
	 * pairs with 7 the older pieces: lo 7, low 7 */
	const char golden[] =
	    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n,\nl\nn\nw\n##d\n##e\n##i\n##o\n##r\n##s\n##t\n##w\n##es\n"
	    "##est\nlo\nlow\n";
	size_t length, again;
	error e = { 0 };
	char *one = wordpiece_learn(captions, 4, 21, &length, &e), *two = wordpiece_learn(shuffled, 4, 21, &again, &e);
	assert_non_null(one);
	assert_string_equal(one, golden);
	assert_string_equal(one, two);
	assert_int_equal(length, sizeof golden - 1);
	tokenizer *t = tokenizer_open(WORDPIECE, one, length, &e);
	assert_non_null(t);
	EXPECT(t, "lowest", 20, 18);
	tokenizer_close(t);
	free(one);
	free(two);
}

static void learning_ends_where_nothing_repeats(void **state)
{
	(void)state;
	const char *const captions[] = { "cat", "", "\u732b [CLS]" };
	size_t length;
	char *text = wordpiece_learn(captions, 3, 1000, &length, NULL);
	assert_string_equal(text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nc\n\u732b\n##a\n##t\n");
	free(text);
	text = wordpiece_learn(captions, 3, 7, &length, NULL);
	assert_string_equal(text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nc\n\u732b\n");
	free(text);
	text = wordpiece_learn(NULL, 0, 7, &length, NULL);
	assert_string_equal(text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
	free(text);
	error e = { 0 };
	assert_null(wordpiece_learn(captions, 3, 5, &length, &e));
	assert_int_equal(e.status, BAD_USAGE);
	e.status = OK;
	assert_null(wordpiece_learn((const char *const[]){ "cat", "caf\xe9" }, 2, 50, &length, &e));
	assert_non_null(strstr(e.text, "caption 1: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longest_piece_wins),
		cmocka_unit_test(line_ends_do_not_matter),
		cmocka_unit_test(bad_vocabularies_are_refused),
		cmocka_unit_test(a_vocabulary_is_learned),
		cmocka_unit_test(learning_ends_where_nothing_repeats),
		cmocka_unit_test(long_words_are_unknown_and_fast),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

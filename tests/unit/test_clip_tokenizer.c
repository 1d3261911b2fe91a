/* test_clip_tokenizer.c - CLIP's tokenizer beyond the goldens: errors, truncation, long and hostile prompts. */
#include "text/tokenizer.h"
#include "text/unicode.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { LONG = 64 * 1024 };

static tokenizer *clip, *openclip;

static int open_all(void **state)
{
	(void)state;
	clip = tokenizer_open(CLIP, NULL, 0, NULL);
	openclip = tokenizer_open(OPENCLIP, NULL, 0, NULL);
	return !clip || !openclip;
}

static int close_all(void **state)
{
	(void)state;
	tokenizer_close(clip);
	tokenizer_close(openclip);
	tokenizer_close(NULL);
	return 0;
}

static void padding_is_the_models(void **state)
{
	(void)state;
	const int32_t cat[] = { 49406, 320, 1125, 539, 320, 2368, 49407 };
	int32_t ids[TEXT_CONTEXT];
	size_t dropped = 9;
	const char *text = "a photo of a cat";
	assert_true(tokenizer_encode_padded(clip, text, strlen(text), ids, TEXT_CONTEXT, &dropped, NULL));
	assert_memory_equal(ids, cat, sizeof cat);
	assert_int_equal(ids[7], 49407);
	assert_int_equal(ids[76], 49407);
	assert_int_equal(dropped, 0);
	assert_true(tokenizer_encode_padded(openclip, text, strlen(text), ids, TEXT_CONTEXT, &dropped, NULL));
	assert_memory_equal(ids, cat, sizeof cat);
	assert_int_equal(ids[7], 0);
	assert_int_equal(ids[76], 0);
	assert_int_equal(tokenizer_size(clip), 49408);
	assert_int_equal(tokenizer_pad(clip), 49407);
	assert_int_equal(tokenizer_pad(openclip), 0);
}

static void long_prompts_are_cut_and_counted(void **state)
{
	(void)state;
	char text[80 * 4 + 1] = "";
	for (int i = 0; i < 80; i++) strcat(text, "cat ");
	int32_t ids[TEXT_CONTEXT];
	size_t dropped;
	assert_true(tokenizer_encode_padded(clip, text, strlen(text), ids, TEXT_CONTEXT, &dropped, NULL));
	assert_int_equal(dropped, 5);
	assert_int_equal(ids[75], 2368);
	assert_int_equal(ids[76], 49407);
}

static void invalid_utf8_names_its_offset(void **state)
{
	(void)state;
	const struct {
		const char *text, *offset;
	} wrong[] = {
		{ "cat \xff dog", "offset 4 " },         /* no lead byte */
		{ "\x80", "offset 0 " },                 /* a continuation alone */
		{ "ab\xc3", "offset 2 " },               /* cut */
		{ "caf\xe9 noir", "offset 3 " },         /* Latin-1 */
		{ "\xc0\x80", "offset 0 " },             /* overlong */
		{ "x\xed\xa0\x80", "offset 1 " },        /* surrogate */
		{ "xy\xf4\x90\x80\x80", "offset 2 " },   /* over U+10FFFF */
		{ "xyz\xe2\x82 euro", "offset 3 " },     /* cut in the middle */
		{ "\xf0\x9f\x90\xb1\xfe", "offset 4 " }, /* after a character of four bytes */
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		error e = { 0 };
		size_t count;
		assert_false(tokenizer_encode(clip, wrong[i].text, strlen(wrong[i].text), NULL, 0, &count, &e));
		assert_int_equal(e.status, BAD_USAGE);
		assert_non_null(strstr(e.text, wrong[i].offset));
	}
}

/* Fills a long text with repetitions and returns how long its tokens took, in seconds of this thread. */
static double time_of(const tokenizer *t, const char *unit, size_t *count)
{
	size_t n = strlen(unit), length = LONG / n * n;
	char *text = malloc(length);
	assert_non_null(text);
	for (size_t i = 0; i < length; i += n) memcpy(text + i, unit, n);
	clock_t start = clock();
	error e = { 0 };
	if (!tokenizer_encode(t, text, length, NULL, 0, count, &e)) fail_msg("%s", e.text);
	free(text);
	return (double)(clock() - start) / CLOCKS_PER_SEC;
}

/* None of these may be quadratic: they take hundredths of a second. */
static void long_text_takes_no_long_time(void **state)
{
	(void)state;
	const char *const units[] = { "a cat with heart eyes, ", "a", "ab", "!?", "7", "é", "日本", "e\xcc\x81", "\xcc\x81",
		"Σ", "&amp;", "&", "amp;", "&#", "&lt", "Ã©", "â€™ ", "schÃ¶n ", "\xc3\x83\xc2\x83", "\x1b[", "\x1b[1;", "'",
		"<|", "\n", "Ã ", "ð", "ïâ", "\xef\xbf\xbd", "Σ\xcc\x81", "가", "ᄀ", "\xcc\x95\xcc\x81" };
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		size_t count;
		double one = time_of(clip, units[i], &count), two = time_of(openclip, units[i], &count);
		if (one + two > 2) fail_msg("\"%s\" repeated: %.1f s and %.1f s", units[i], one, two);
	}
}

static void nested_references_end(void **state)
{
	(void)state;
	enum { DEPTH = 20000 };
	char *text = malloc(DEPTH * 4 + 8);
	size_t n = 0, count;
	text[n++] = '&';
	for (int i = 0; i < DEPTH; i++, n += 4) memcpy(text + n, "amp;", 4);
	memcpy(text + n, "lt;", 3);
	clock_t start = clock();
	assert_true(tokenizer_encode(clip, text, n + 3, NULL, 0, &count, NULL));
	assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
	free(text);
}

static void a_prompt_of_300_kilobytes_is_cut(void **state)
{
	(void)state;
	size_t n = 300 * 1024, dropped;
	char *text = malloc(n);
	assert_non_null(text);
	for (size_t i = 0; i < n; i++) text[i] = "cat "[i % 4];
	int32_t ids[TEXT_CONTEXT];
	assert_true(tokenizer_encode_padded(clip, text, n, ids, TEXT_CONTEXT, &dropped, NULL));
	assert_int_equal(dropped, n / 4 - 75);
	memset(text, 'a', n); /* one word */
	assert_true(tokenizer_encode_padded(clip, text, n, ids, TEXT_CONTEXT, &dropped, NULL));
	assert_true(dropped > 1000);
	free(text);
}

static void zero_bytes_are_text(void **state)
{
	(void)state;
	int32_t ids[4];
	size_t count;
	assert_true(tokenizer_encode(clip, "\0cat\0", 5, ids, 4, &count, NULL));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 2368);
	assert_true(tokenizer_encode(clip, NULL, 0, ids, 4, &count, NULL));
	assert_int_equal(count, 0);
}

static void kinds_differ_in_cleaning(void **state)
{
	(void)state;
	const char *text = "caf\xc3\xa9 &notanentity; &amp;amp;";
	size_t counts[TOKENIZERS] = { 0 };
	for (int kind = 0; kind < TOKENIZERS; kind++) {
		error e = { 0 };
		tokenizer *t = tokenizer_open((tokenizer_kind)kind, NULL, 0, &e);
		assert_non_null(t);
		assert_true(tokenizer_encode(t, text, strlen(text), NULL, 0, &counts[kind], &e));
		tokenizer_close(t);
	}
	assert_true(counts[OPENCLIP] < counts[CLIP_PLAIN]);
	assert_true(counts[CLIP] < counts[CLIP_PLAIN]);
	assert_int_equal(counts[OPENCLIP], counts[CLIP_OPENAI]);
	error e = { 0 };
	assert_null(tokenizer_open(TOKENIZERS, NULL, 0, &e));
	assert_int_equal(e.status, BAD_USAGE);
	e.status = OK;
	assert_null(tokenizer_open(CLIP, "a\n", 2, &e));
	assert_int_equal(e.status, BAD_USAGE);
}

/* Normalization: examples of UAX 15 and of its composition exclusions. */
static void normalization_follows_unicode(void **state)
{
	(void)state;
	const struct {
		const char *text, *nfd, *nfc;
	} forms[] = {
		{ "\u1e9b\u0323", "\u017f\u0323\u0307", "\u1e9b\u0323" },
		{ "\u212b", "A\u030a", "\u00c5" },
		{ "\u1e0b\u0323", "d\u0323\u0307", "\u1e0d\u0307" },
		{ "\uac01", "\u1100\u1161\u11a8", "\uac01" },
		{ "\u0958", "\u0915\u093c", "\u0915\u093c" }, /* excluded from composition */
		{ "a\u0315\u0300\u05ae\u0300b", "a\u05ae\u0300\u0300\u0315b", "\u00e0\u05ae\u0300\u0315b" },
		{ "\u0344", "\u0308\u0301", "\u0308\u0301" },
	};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		codepoints d = { 0 }, c = { 0 }, golden_d = { 0 }, golden_c = { 0 };
		assert_true(codepoints_from_utf8(&d, forms[i].text, strlen(forms[i].text), NULL));
		assert_true(codepoints_from_utf8(&c, forms[i].text, strlen(forms[i].text), NULL));
		assert_true(codepoints_from_utf8(&golden_d, forms[i].nfd, strlen(forms[i].nfd), NULL));
		assert_true(codepoints_from_utf8(&golden_c, forms[i].nfc, strlen(forms[i].nfc), NULL));
		assert_true(normalize_nfd(&d, NULL) && normalize_nfc(&c, NULL));
		assert_int_equal(d.count, golden_d.count);
		assert_memory_equal(d.at, golden_d.at, d.count * sizeof *d.at);
		assert_int_equal(c.count, golden_c.count);
		assert_memory_equal(c.at, golden_c.at, c.count * sizeof *c.at);
		codepoints_free(&d);
		codepoints_free(&c);
		codepoints_free(&golden_d);
		codepoints_free(&golden_c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(padding_is_the_models),
		cmocka_unit_test(long_prompts_are_cut_and_counted),
		cmocka_unit_test(invalid_utf8_names_its_offset),
		cmocka_unit_test(long_text_takes_no_long_time),
		cmocka_unit_test(nested_references_end),
		cmocka_unit_test(a_prompt_of_300_kilobytes_is_cut),
		cmocka_unit_test(zero_bytes_are_text),
		cmocka_unit_test(kinds_differ_in_cleaning),
		cmocka_unit_test(normalization_follows_unicode),
	};
	return cmocka_run_group_tests(tests, open_all, close_all);
}

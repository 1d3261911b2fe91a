/* test_prompt.c - prompt syntax: expectations from A1111's modules/prompt_parser.py and its doctests, as behaviour. */
#include "text/prompt.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

/* "text|1.1 / text|1", with "^" before a new chunk. */
static void expect_pieces(const char *prompt, const char *expected)
{
	prompt_pieces p;
	error e = { 0 };
	char got[1024] = "";
	assert_true(prompt_pieces_read(&p, prompt, &e));
	for (size_t i = 0; i < p.count; i++) {
		char one[256];
		snprintf(one, sizeof one, "%s%s%.*s|%.4g", i ? "/" : "", p.list[i].new_chunk ? "^" : "", (int)p.list[i].length,
		    p.text + p.list[i].first, (double)p.list[i].weight);
		strcat(got, one);
	}
	assert_string_equal(got, expected);
	prompt_pieces_free(&p);
}

static void stresses(void **state)
{
	(void)state;
	expect_pieces("normal text", "normal text|1");
	expect_pieces("an (important) word", "an |1/important|1.1/ word|1");
	expect_pieces("(unbalanced", "unbalanced|1.1");
	expect_pieces("\\(literal\\]", "(literal]|1");
	expect_pieces("(unnecessary)(parens)", "unnecessaryparens|1.1");
	expect_pieces("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
	    "a |1/house|1.573/ |1.1/on|1/ a |1.1/hill|0.55/, sun, |1.1/sky|1.464/.|1.1");
	expect_pieces("", "|1");
	expect_pieces("a:1.5) b", "a:1.5) b|1");
	expect_pieces("(a: 2 )(b:-1)(c:0)", "a|2/b|-1/c|0");
	expect_pieces("(a:1.2.3)", "a:1.2.3|1.1");
	expect_pieces("a\\\\b", "a\\b|1");
}

static void breaks(void **state)
{
	(void)state;
	expect_pieces("a BREAK b", "a |1/^ b|1");
	expect_pieces("(a BREAK b)", "a |1.1/^ b|1.1");
	expect_pieces("BREAKFAST at OUTBREAK", "BREAKFAST at OUTBREAK|1");
	expect_pieces("a BREAK", "a |1/^|1");
}

static void expect_steps(const char *prompt, int steps, const char *const *expected)
{
	for (int s = 1; s <= steps; s++) {
		error e = { 0 };
		char *text = prompt_at_step(prompt, s, steps, &e);
		assert_non_null(text);
		assert_string_equal(text, expected[s - 1]);
		free(text);
	}
}

static void changes_with_steps(void **state)
{
	(void)state;
	expect_steps("a [b:3]", 4, (const char *const[]){ "a ", "a ", "a ", "a b" });
	expect_steps("a [b::0.5] c", 4, (const char *const[]){ "a b c", "a b c", "a  c", "a  c" });
	expect_steps("[a:[b:c:3]:0.25]", 4, (const char *const[]){ "a", "b", "b", "c" });
	expect_steps("[cow|horse]s", 3, (const char *const[]){ "cows", "horses", "cows" });
	expect_steps("[a|]b", 2, (const char *const[]){ "ab", "b" });
	expect_steps("[(x:1.2):y:0.5]", 2, (const char *const[]){ "(x:1.2)", "y" });
	expect_steps("[less] [a:b] \\[c|d\\] [e", 1, (const char *const[]){ "[less] [a:b] \\[c|d\\] [e" });
	expect_steps("[a [b (c] d:e:1]", 2, (const char *const[]){ "a [b (c] d", "e" });
}

static void parts_branches(void **state)
{
	(void)state;
	prompt_branch b[4];
	error e = { 0 };
	assert_int_equal(prompt_branches("a cat AND a dog :1.2 AND BRAND:-.5", b, 4, &e), 3);
	assert_string_equal(b[0].text, "a cat ");
	assert_float_equal(b[0].weight, 1, 0);
	assert_string_equal(b[1].text, " a dog ");
	assert_float_equal(b[1].weight, 1.2, 1e-12);
	assert_string_equal(b[2].text, " BRAND");
	assert_float_equal(b[2].weight, -0.5, 1e-12);
	for (int i = 0; i < 3; i++) free(b[i].text);
	assert_int_equal(prompt_branches("(a:1.3)", b, 4, &e), 1);
	assert_string_equal(b[0].text, "(a:1.3)");
	free(b[0].text);
	assert_int_equal(prompt_branches("keycap: 10", b, 4, &e), 1);
	assert_string_equal(b[0].text, "keycap: 10");
	assert_float_equal(b[0].weight, 1, 0);
	free(b[0].text);
	assert_int_equal(prompt_branches("a AND b AND c", b, 2, &e), 2);
	assert_string_equal(b[1].text, " b AND c");
	free(b[0].text);
	free(b[1].text);
}

static bool note_lora(void *context, const char *name, const char *weights, error *e)
{
	(void)e;
	sprintf((char *)context + strlen(context), "%s=%s ", name, weights);
	return true;
}

static bool refuse_lora(void *context, const char *name, const char *weights, error *e)
{
	(void)context, (void)weights;
	e->status = BAD_FILE;
	snprintf(e->text, sizeof e->text, "no %s", name);
	return false;
}

static void takes_loras_out(void **state)
{
	(void)state;
	char seen[256] = "";
	error e = { 0 };
	char *text =
	    prompt_without_loras("a <lora:ink:0.8>cat<lora:wash> <lora:a:0.5:1> <lora:> <lora:x <b>", note_lora, seen, &e);
	assert_string_equal(text, "a cat  <lora:> <lora:x <b>");
	assert_string_equal(seen, "ink=0.8 wash= a=0.5:1 ");
	free(text);
	assert_null(prompt_without_loras("<lora:ink:1>", refuse_lora, NULL, &e));
	assert_string_equal(e.text, "no ink");
}

/* Brackets by the hundred thousand cost no more than letters. */
static void stays_linear(void **state)
{
	(void)state;
	enum { N = 300000 };
	static char text[N + 1];
	static const char *const patterns[] = { "(", "[", "(a", "[a:", "[a|", "(a:1.1)", "[[a]", ")]", "\\(", "([" };
	error e = { 0 };
	clock_t start = clock();
	for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
		size_t n = strlen(patterns[k]);
		for (size_t i = 0; i < N; i++) text[i] = patterns[k][i % n];
		for (int closed = 0; closed < 2; closed++) {
			prompt_pieces p;
			if (closed) memset(text + N / 2, patterns[k][0] == '[' ? ']' : ')', N / 2);
			assert_true(prompt_pieces_read(&p, text, &e));
			for (size_t i = 0; i < p.count; i++) assert_false(isnan(p.list[i].weight));
			prompt_pieces_free(&p);
			char *one = prompt_at_step(text, 2, 3, &e);
			assert_non_null(one);
			free(one);
		}
	}
	assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 20);
}

static void escaped_texts_stand_for_themselves(void **state)
{
	static const char *const texts[] = { "A button (blood type)", "[a|b] [c:d:0.5] (e:2) ((f", "back\\slash \\( ]",
		"" };
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		prompt_pieces p;
		error e = { 0 };
		char *escaped = prompt_escaped(texts[i]), *text = prompt_at_step(escaped, 1, 20, &e);
		assert_true(prompt_pieces_read(&p, text, &e));
		for (size_t k = 0; k < p.count; k++) assert_true(p.list[k].weight == 1);
		assert_true(p.count <= 1);
		if (p.count) assert_int_equal(p.list[0].length, strlen(texts[i]));
		if (p.count) assert_memory_equal(p.text, texts[i], strlen(texts[i]));
		prompt_pieces_free(&p);
		free(text);
		free(escaped);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stresses),
		cmocka_unit_test(escaped_texts_stand_for_themselves),
		cmocka_unit_test(breaks),
		cmocka_unit_test(changes_with_steps),
		cmocka_unit_test(parts_branches),
		cmocka_unit_test(takes_loras_out),
		cmocka_unit_test(stays_linear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

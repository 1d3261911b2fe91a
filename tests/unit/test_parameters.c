/* test_parameters.c - what is written into pictures is read back as A1111 reads it (parse_generation_parameters of
 * modules/infotext_utils.py): the rules of that function stand here once more. */
#include "scratch.h"
#include "pipeline/parameters.h"
#include <ctype.h>
#include <jansson.h>

typedef struct reading {
	char prompt[4096], negative[4096];
	json_t *values;
} reading;

static bool is_space(char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }

/* Of ASCII spaces; returns how many bytes are left at *text. */
static size_t strip(const char **text, size_t n)
{
	while (n && is_space(**text)) ++*text, n--;
	while (n && is_space((*text)[n - 1])) n--;
	return n;
}

static bool of_key(char c) { return isalnum((unsigned char)c) || c == '_' || c == ' ' || c == '-' || c == '/'; }

/* \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$) at `at`; its length, 0 where it does not match. */
static size_t match(const char *at, size_t *key, size_t *key_length, size_t *from, size_t *length)
{
	size_t i = 0;
	while (is_space(at[i])) i++;
	*key = i;
	if (!isalnum((unsigned char)at[i]) && at[i] != '_') return 0;
	while (of_key(at[i])) i++;
	*key_length = i - *key;
	if (*key_length < 2 || at[i] != ':') return 0;
	for (i++; is_space(at[i]);) i++;
	*from = i;
	if (at[i] == '"') {
		size_t end = i + 1;
		while (at[end] && at[end] != '"') end += at[end] == '\\' && at[end + 1] ? 2 : 1;
		if (at[end] == '"' && end > i + 1 && (at[end + 1] == ',' || !at[end + 1])) {
			*length = end + 1 - i;
			return end + 1 + (at[end + 1] == ',');
		}
	}
	while (at[i] && at[i] != ',') i++;
	*length = i - *from;
	return i + (at[i] == ',');
}

static int find_values(const char *line, json_t *into)
{
	int found = 0;
	for (const char *at = line; *at;) {
		size_t key, key_length, from, length, n = match(at, &key, &key_length, &from, &length);
		if (!n) {
			at++;
			continue;
		}
		found++;
		bool quoted = length > 1 && at[from] == '"' && at[from + length - 1] == '"';
		json_t *value = quoted ? json_loadb(at + from, length, JSON_DECODE_ANY, NULL) : json_stringn(at + from, length);
		char name[200];
		snprintf(name, sizeof name, "%.*s", (int)key_length, at + key);
		if (into) json_object_set(into, name, value);
		json_decref(value);
		at += n;
	}
	return found;
}

static void add_line(char *to, size_t size, const char *line, size_t n)
{
	size_t at = strlen(to);
	snprintf(to + at, size - at, "%s%.*s", at ? "\n" : "", (int)n, line);
}

static reading read_back(const char *text)
{
	reading r = { .values = json_object() };
	size_t left = strip(&text, strlen(text));
	bool negative = false;
	while (left) {
		const char *end = memchr(text, '\n', left), *line = text;
		size_t n = end ? (size_t)(end - text) : left;
		char last[4096];
		snprintf(last, sizeof last, "%.*s", (int)n, line);
		if (!end && find_values(last, NULL) >= 3) {
			find_values(last, r.values);
			break;
		}
		text += n + (end != NULL);
		left -= n + (end != NULL);
		n = strip(&line, n);
		if (n >= 16 && !memcmp(line, "Negative prompt:", 16)) {
			negative = true;
			line += 16;
			n = strip(&line, n - 16);
		}
		if (negative)
			add_line(r.negative, sizeof r.negative, line, n);
		else
			add_line(r.prompt, sizeof r.prompt, line, n);
	}
	return r;
}

static const char *value_of(const reading *r, const char *name)
{
	const char *text = json_string_value(json_object_get(r->values, name));
	return text ? text : "(none)";
}

/* Written and read: `expected` where it is not the prompt itself that comes back. */
static void round_trip(const char *prompt, const char *negative, const char *expected, const char *expected_negative)
{
	parameters p = { 0 };
	parameters_begin(&p, prompt, negative);
	parameters_integer(&p, "Steps", 20);
	parameters_text(&p, "Sampler", "DPM++ 2M");
	parameters_number(&p, "CFG scale", 7.5);
	parameters_text(&p, "Version", "sumi");
	reading r = read_back(p.text.data);
	assert_string_equal(r.prompt, expected ? expected : prompt);
	assert_string_equal(r.negative, expected_negative ? expected_negative : negative ? negative : "");
	assert_string_equal(value_of(&r, "Steps"), "20");
	assert_string_equal(value_of(&r, "CFG scale"), "7.5");
	assert_int_equal(json_object_size(r.values), 4);
	/* Readers that look for the last lines' beginnings find one of each. */
	const char *steps = strstr(p.text.data, "\nSteps:");
	assert_true(!steps || !strstr(steps + 1, "\nSteps:"));
	json_decref(r.values);
	free(p.text.data);
}

static void prompts_come_back(void **state)
{
	(void)state;
	round_trip("a cat", NULL, NULL, NULL);
	round_trip("a cat", "blurry, grey", NULL, NULL);
	round_trip("", "blurry", NULL, NULL);
	round_trip("a cat\nin the snow\n\nat dawn", "one\ntwo", NULL, NULL);
	round_trip("a cat: Negative prompt: dog, Steps: 3", "Negative prompt: x", NULL, "Negative prompt: x");
	/* Every space is the same to a tokenizer. */
	round_trip("a cat\nNegative prompt: dog", "blurry", "a cat Negative prompt: dog", NULL);
	round_trip("a cat\n\n \t\u00a0\u3000Negative prompt: dog\nend", "x\n Negative prompt: y",
	    "a cat Negative prompt: dog\nend", "x Negative prompt: y");
	round_trip("a cat\nSteps: 4, Sampler: Euler, CFG scale: 2, Seed: 9", NULL,
	    "a cat Steps: 4, Sampler: Euler, CFG scale: 2, Seed: 9", NULL);
	round_trip("Size: 1x1, Model: x, Seed: 4\nSize: 1x1, Model: x, Seed: 4", NULL, NULL, NULL);
	/* There is no line before the first. */
	round_trip("Negative prompt: dog", "blurry", "()Negative prompt: dog", NULL);
	round_trip("\n Negative prompt: dog", NULL, "() Negative prompt: dog", NULL);
}

static void values_come_back(void **state)
{
	(void)state;
	static const char *const values[] = { "plain", "a, b: c", "two\nlines", "\"quoted\"", "back\\slash", " led",
		"trailed ", "tab\there, \x01", "\u00e9\u58a8: \"x\"", "{\"a\": 1}", "x\"y" };
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		parameters p = { 0 };
		parameters_begin(&p, "x", NULL);
		parameters_integer(&p, "Steps", 1);
		parameters_text(&p, "Lora hashes", values[i]);
		parameters_integer(&p, "Seed", 2);
		reading r = read_back(p.text.data);
		assert_string_equal(value_of(&r, "Lora hashes"), values[i]);
		assert_string_equal(value_of(&r, "Seed"), "2");
		json_decref(r.values);
		free(p.text.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(prompts_come_back), cmocka_unit_test(values_come_back) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

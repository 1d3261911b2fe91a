/* test_parameters.c - what is written into pictures is read back as A1111 reads it (parse_generation_parameters of
 * modules/infotext_utils.py): the rules of that function stand here once more. */
#include "scratch.h"
#include "pipeline/parameters.h"
#include "pipeline/read_parameters.h"
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

/* ── what other tools write ── */

static void keep_value(void *context, const char *name, const char *value)
{
	json_object_set_new(context, name, json_string(value));
}

static json_t *values_in(const char *text)
{
	json_t *values = json_object();
	error e = { 0 };
	if (!parameters_read(text, keep_value, values, &e)) print_error("%s\n", e.text);
	assert_int_equal(e.status, OK);
	return values;
}

static void refused(const char *text)
{
	error e = { 0 };
	assert_false(parameters_read(text, keep_value, NULL, &e));
	assert_int_equal(e.status, BAD_FILE);
}

static void check_value(const json_t *values, const char *name, const char *expected)
{
	const char *found = json_string_value(json_object_get(values, name));
	if (!found || strcmp(found, expected)) print_error("%s: %s\n", name, found ? found : "(none)");
	assert_true(found && !strcmp(found, expected));
}

static void a1111_is_read(void **state)
{
	(void)state;
	json_t *v =
	    values_in("a cat, (smiling:1.2)\nin the snow\nNegative prompt: blurry,\ngrey\nSteps: 20, Sampler: DPM++ 2M "
	              "Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 45dee52b0c, Model: v1-5, "
	              "Lora hashes: \"add: 1234, b: 5\", Version: v1.6.0");
	check_value(v, "Prompt", "a cat, (smiling:1.2)\nin the snow");
	check_value(v, "Negative prompt", "blurry,\ngrey");
	check_value(v, "Sampler", "DPM++ 2M Karras");
	check_value(v, "Size", "512x768");
	check_value(v, "Lora hashes", "add: 1234, b: 5");
	check_value(v, "Version", "v1.6.0");
	json_decref(v);
	refused("only words, of which: one");
}

static const char comfy[] =
    "{\"3\":{\"class_type\":\"KSampler\",\"inputs\":{\"seed\":156680208700286,\"steps\":20,\"cfg\":8.5,"
    "\"sampler_name\":\"deis\",\"scheduler\":\"beta\",\"denoise\":1.0,\"model\":[\"10\",0],\"positive\":[\"6\",0],"
    "\"negative\":[\"7\",0],\"latent_image\":[\"5\",0]}},"
    "\"4\":{\"class_type\":\"CheckpointLoaderSimple\",\"inputs\":{\"ckpt_name\":\"v1-5.ckpt\"}},"
    "\"5\":{\"class_type\":\"EmptyLatentImage\",\"inputs\":{\"width\":512,\"height\":640,\"batch_size\":1}},"
    "\"6\":{\"class_type\":\"CLIPTextEncode\",\"inputs\":{\"text\":[\"8\",0],\"clip\":[\"10\",1]}},"
    "\"7\":{\"class_type\":\"CLIPTextEncode\",\"inputs\":{\"text\":\"text, watermark\",\"clip\":[\"10\",1]}},"
    "\"8\":{\"class_type\":\"String\",\"inputs\":{\"value\":\"galaxy bottle\"}},"
    "\"10\":{\"class_type\":\"LoraLoader\",\"inputs\":{\"lora_name\":\"x/ink.safetensors\",\"strength_model\":0.75,"
    "\"model\":[\"4\",0]}}}";

static void comfyui_is_read(void **state)
{
	(void)state;
	json_t *v = values_in(comfy);
	check_value(v, "Prompt", "galaxy bottle <lora:ink:0.75>");
	check_value(v, "Negative prompt", "text, watermark");
	check_value(v, "Sampler", "DEIS ComfyUI");
	check_value(v, "Schedule type", "Beta ComfyUI");
	check_value(v, "Steps", "20");
	check_value(v, "CFG scale", "8.5");
	check_value(v, "Seed", "156680208700286");
	check_value(v, "Size", "512x640");
	check_value(v, "Model", "v1-5.ckpt");
	json_decref(v);
	/* two samplers; a chain that ends nowhere or in itself; no JSON at all */
	static const char *const bad[] = { "{\"1\":{\"class_type\":\"KSampler\"},\"2\":{\"class_type\":\"KSampler\"}}",
		"{}",
		"{\"1\":{\"class_type\":\"KSampler\",\"inputs\":{\"positive\":[\"1\",0],\"model\":[\"1\",0],\"sampler_name\":"
		"\"euler\"}}}",
		"{\"1\":{\"class_type\":\"SamplerCustomAdvanced\"}}", "{\"1\":3}", "{", "{\"1\":{\"class_type\":3}}" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused(bad[i]);
}

/* Looked through once, however long what is no value is. */
static void long_lines_take_no_time(void **state)
{
	(void)state;
	enum { LENGTH = 2000000 };
	static const char fillings[] = "a -\t,";
	char *text = malloc(LENGTH + 1);
	assert_non_null(text);
	for (const char *c = fillings; *c; c++) {
		error e = { 0 };
		memset(text, *c, LENGTH);
		memcpy(text, "Steps: 1, x: y\"", 15);
		text[LENGTH - 1] = '.';
		text[LENGTH] = 0;
		assert_false(parameters_read(text, keep_value, NULL, &e));
		assert_int_equal(e.status, BAD_FILE);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(prompts_come_back), cmocka_unit_test(values_come_back),
		cmocka_unit_test(a1111_is_read), cmocka_unit_test(comfyui_is_read), cmocka_unit_test(long_lines_take_no_time) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tokenizers.c - tokenizers/clip.json and bert.json: every string by every tokenizer listed; the error is the number
 * of strings whose ids differ. */
#include "goldens.h"
#include "text/tokenizer.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The strings are read from utf8_hex: they hold zeros and all sorts of controls. */
static char *text_of(json_t *one, size_t *length)
{
	const char *hex = json_string_value(json_object_get(one, "utf8_hex"));
	size_t n = hex ? strlen(hex) / 2 : 0;
	char *text = calloc(n + 1, 1);
	for (size_t i = 0; text && i < n; i++) {
		unsigned byte = 0;
		sscanf(hex + 2 * i, "%2x", &byte);
		text[i] = (char)byte;
	}
	*length = n;
	return text;
}

static bool same_ids(json_t *golden, const int32_t *ids, size_t count)
{
	if (json_array_size(golden) != count) return false;
	for (size_t i = 0; i < count; i++)
		if (json_integer_value(json_array_get(golden, i)) != ids[i]) return false;
	return true;
}

/* The form of a list: tokens alone, between start and end, or padded to its length. */
typedef enum list_form { BARE, FRAMED, PADDED } list_form;

static bool matches(const tokenizer *t, json_t *one, const char *field, list_form form)
{
	size_t length, count = 0, padded = json_array_size(json_object_get(one, field));
	char *text = text_of(one, &length);
	size_t room = length * 8 + padded + 2;
	int32_t *ids = malloc(room * sizeof *ids);
	error e = { 0 };
	bool fine;
	if (form == PADDED) {
		count = padded;
		fine = tokenizer_encode_padded(t, text, length, ids, padded, NULL, &e);
	} else {
		size_t first = form == FRAMED && tokenizer_start(t) >= 0;
		fine = tokenizer_encode(t, text, length, ids + first, room - 2, &count, &e);
		if (first) ids[0] = tokenizer_start(t);
		count += first;
		if (form == FRAMED) ids[count++] = tokenizer_end(t);
	}
	if (!fine) printf("      %s\n", e.text);
	fine = fine && same_ids(json_object_get(one, field), ids, count);
	if (!fine) printf("      differs: \"%s\"\n", text);
	free(ids);
	free(text);
	return fine;
}

static void compare_list(
    json_t *cases, const char *file, const char *field, tokenizer_kind kind, list_form form, report *r)
{
	char name[128];
	snprintf(name, sizeof name, "tokenizers/%s %s, %zu strings", file, field, json_array_size(cases));
	if (!json_object_get(json_array_get(cases, 0), field)) return;
	error e = { 0 };
	tokenizer *t = tokenizer_open(kind, NULL, 0, &e);
	if (!t) {
		report_uncovered(r, name, e.text);
		return;
	}
	int different = 0;
	for (size_t i = 0; i < json_array_size(cases); i++) different += !matches(t, json_array_get(cases, i), field, form);
	report_error(r, name, different, 0);
	tokenizer_close(t);
}

void golden_tokenizers(const char *dir, report *r)
{
	static const struct {
		const char *file, *field;
		tokenizer_kind kind;
		list_form form;
	} lists[] = {
		{ "clip.json", "openai", CLIP_OPENAI, BARE },
		{ "clip.json", "core", CLIP_PLAIN, BARE },
		{ "clip.json", "nfc_core", CLIP_NFC, BARE },
		{ "clip.json", "hf_ftfy", CLIP, FRAMED },
		{ "clip.json", "hf_basic", CLIP_BASIC, FRAMED },
		{ "clip.json", "hf_77", CLIP, PADDED },
		{ "clip.json", "openclip_77", OPENCLIP, PADDED },
		{ "bert.json", "ids", WORDPIECE, FRAMED },
		{ "bert.json", "ids_77", WORDPIECE, PADDED },
		{ "t5.json", "fast", T5, FRAMED },
	};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		const char *path = path_of(dir, "tokenizers/%s", lists[i].file);
		json_t *root = exists(path) ? json_load_file(path, JSON_ALLOW_NUL, NULL) : NULL;
		if (root)
			compare_list(
			    json_object_get(root, "cases"), lists[i].file, lists[i].field, lists[i].kind, lists[i].form, r);
		else if (exists(path))
			report_uncovered(r, path, "not JSON");
		json_decref(root);
	}
}

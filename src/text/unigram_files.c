/* unigram_files.c - T5's tokenizer as Hugging Face's tokenizer.json. */
#include "text/charsmap.h"
#include "text/unigram.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_special(json_t *list, int id, const char *text)
{
	json_array_append_new(list, json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", text, "single_word", 0,
	                                "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1));
}

static json_t *special_tokens(void)
{
	json_t *list = json_array();
	char text[32];
	add_special(list, UNIGRAM_PAD, "<pad>");
	add_special(list, UNIGRAM_END, "</s>");
	add_special(list, UNIGRAM_UNKNOWN, "<unk>");
	for (int id = UNIGRAM_PIECES; id < UNIGRAM_TOKENS; id++) {
		snprintf(text, sizeof text, "<extra_id_%d>", UNIGRAM_TOKENS - 1 - id);
		add_special(list, id, text);
	}
	return list;
}

static json_t *vocabulary(const unigram *u)
{
	json_t *list = json_array();
	char text[32];
	for (int id = 0; id < UNIGRAM_TOKENS; id++) {
		size_t length;
		double score = 0;
		const char *piece = text;
		if (id < UNIGRAM_PIECES)
			piece = unigram_piece(u, id, &length, &score);
		else
			length = (size_t)snprintf(text, sizeof text, "<extra_id_%d>", UNIGRAM_TOKENS - 1 - id);
		json_array_append_new(list, json_pack("[s%,f]", piece, length, score));
	}
	return list;
}

/* Spaces become '▁', one before each word. */
static json_t *words(void)
{
	return json_pack("{s:s,s:s,s:s}", "type", "Metaspace", "replacement", "\xe2\x96\x81", "prepend_scheme", "always");
}

static json_t *ending(void)
{
	json_t *text = json_pack("{s:{s:s,s:i}}", "Sequence", "id", "A", "type_id", 0);
	json_t *second = json_pack("{s:{s:s,s:i}}", "Sequence", "id", "B", "type_id", 0);
	json_t *end = json_pack("{s:{s:s,s:i}}", "SpecialToken", "id", "</s>", "type_id", 0);
	return json_pack("{s:s,s:[o,O],s:[O,O,o,o],s:{s:{s:s,s:[i],s:[s]}}}", "type", "TemplateProcessing", "single", text,
	    end, "pair", text, end, second, end, "special_tokens", "</s>", "id", "</s>", "ids", UNIGRAM_END, "tokens",
	    "</s>");
}

static int by_key(const void *a, const void *b)
{
	const char_form *x = a, *y = b;
	size_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
	int order = memcmp(x->key, y->key, n);
	return order ? order : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

/* Characters that have a normal form, as sentencepiece's table of them. */
static char *normal_forms(const unigram *u, error *e)
{
	size_t count = unigram_forms(u), room = 1, length, n;
	const uint32_t *form;
	for (size_t i = 0; i < count; i++) {
		unigram_form(u, i, &length, &form, &n);
		room += 4 * n;
	}
	char_form *list = malloc((count + 1) * sizeof *list);
	uint8_t *bytes = malloc(room), *at = bytes;
	for (size_t i = 0; list && bytes && i < count; i++) {
		list[i].key = unigram_form(u, i, &list[i].key_length, &form, &n);
		list[i].form = (const char *)at;
		for (size_t k = 0; k < n; k++) at += utf8_encode(form[k], at);
		list[i].form_length = (size_t)(at - (const uint8_t *)list[i].form);
	}
	char *text = NULL;
	if (list && bytes) {
		qsort(list, count, sizeof *list, by_key);
		text = charsmap_base64(list, count, e);
	} else
		fail(e, NO_MEMORY, "no memory for a table of normal forms");
	free(list);
	free(bytes);
	return text;
}

char *unigram_json(error *e)
{
	unigram *u = unigram_open(e);
	char *forms = u ? normal_forms(u, e) : NULL;
	if (!forms) return unigram_close(u), NULL;
	json_t *normalizer = json_pack("{s:s,s:s}", "type", "Precompiled", "precompiled_charsmap", forms);
	free(forms);
	json_t *model = json_pack(
	    "{s:s,s:i,s:o,s:b}", "type", "Unigram", "unk_id", UNIGRAM_UNKNOWN, "vocab", vocabulary(u), "byte_fallback", 0);
	json_t *cut =
	    json_pack("{s:s,s:[{s:s},o]}", "type", "Sequence", "pretokenizers", "type", "WhitespaceSplit", words());
	json_t *j = json_pack("{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0", "truncation", "padding",
	    "added_tokens", special_tokens(), "normalizer", normalizer, "pre_tokenizer", cut, "post_processor", ending(),
	    "decoder", words(), "model", model);
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
	if (!text) fail(e, NO_MEMORY, "no memory for the tokens of T5");
	json_decref(j);
	unigram_close(u);
	return text;
}

/* unigram_files.c - T5's tokenizer as Hugging Face's tokenizer.json. Its normal forms are named there by the rules that
 * they were made of: sentencepiece's nmt_nfkc is NMT's and NFKC. */
#include "text/unigram.h"
#include <jansson.h>
#include <stdio.h>

enum { EXTRA = 100 };

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

char *unigram_json(error *e)
{
	unigram *u = unigram_open(e);
	if (!u) return NULL;
	json_t *normalizer = json_pack("{s:s,s:[{s:s},{s:s},{s:s,s:{s:s},s:s}]}", "type", "Sequence", "normalizers", "type",
	    "Nmt", "type", "NFKC", "type", "Replace", "pattern", "Regex", " {2,}", "content", " ");
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

/* byte_pair_files.c - CLIP's tokenizer in the files of Hugging Face: a number for each token, and the merges. Bytes are
 * written as characters that can be printed, as GPT-2 began it. */
#include "text/byte_pair.h"
#include "text/packed.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, FIRST_MERGE = 512, MERGES = BYTE_PAIR_START - FIRST_MERGE };

typedef struct tokens {
	char *text[BYTE_PAIR_START]; /* owned; "</w>" ends a word */
	int left[MERGES], right[MERGES];
} tokens;

static void tokens_free(tokens *t)
{
	for (int i = 0; t && i < BYTE_PAIR_START; i++) free(t->text[i]);
	free(t);
}

/* Printable characters of Latin-1 stand for themselves, the rest for U+0100 and on. */
static void name_bytes(tokens *t)
{
	int next = 0;
	for (int printable = 1; printable >= 0; printable--)
		for (int c = 0; c < BYTES; c++) {
			if (printable != ((c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || c >= 0xae)) continue;
			int point = printable ? c : 256 + next - 188;
			char text[3] = { (char)point };
			if (point > 127) text[0] = (char)(0xc0 | point >> 6), text[1] = (char)(0x80 | (point & 63));
			t->text[next] = strdup(text);
			if (asprintf(&t->text[BYTES + next], "%s</w>", text) < 0) t->text[BYTES + next] = NULL;
			next++;
		}
}

static tokens *tokens_open(error *e)
{
	uint8_t *planes = unpack(&clip_merges, e);
	tokens *t = calloc(1, sizeof *t);
	bool fine = planes && t;
	if (fine) name_bytes(t);
	for (int i = 0; fine && i < 2 * BYTES; i++) fine = t->text[i] != NULL;
	for (int i = 0; fine && i < MERGES; i++) {
		const uint8_t *p = planes + i;
		int left = t->left[i] = p[0] | p[MERGES] << 8, right = t->right[i] = p[2 * MERGES] | p[3 * MERGES] << 8;
		char **out = &t->text[FIRST_MERGE + i];
		fine = asprintf(out, "%s%s", t->text[left], t->text[right]) >= 0;
		if (!fine) *out = NULL;
	}
	free(planes);
	if (fine) return t;
	tokens_free(t);
	fail(e, NO_MEMORY, "no memory for the tokens of CLIP");
	return NULL;
}

char *byte_pair_vocabulary(error *e)
{
	tokens *t = tokens_open(e);
	json_t *j = t ? json_object() : NULL;
	for (int i = 0; t && i < BYTE_PAIR_START; i++) json_object_set_new(j, t->text[i], json_integer(i));
	json_object_set_new(j, "<|startoftext|>", json_integer(BYTE_PAIR_START));
	json_object_set_new(j, "<|endoftext|>", json_integer(BYTE_PAIR_END));
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (t && !text) fail(e, NO_MEMORY, "no memory for the tokens of CLIP");
	json_decref(j);
	tokens_free(t);
	return text;
}

char *byte_pair_merges(error *e)
{
	static const char head[] = "#version: 0.2\n";
	tokens *t = tokens_open(e);
	size_t room = sizeof head;
	for (int i = 0; t && i < MERGES; i++) room += strlen(t->text[FIRST_MERGE + i]) + 2;
	char *text = t ? malloc(room) : NULL, *at = text;
	if (t && !text) fail(e, NO_MEMORY, "no memory for the merges of CLIP");
	if (text) at = stpcpy(at, head);
	for (int i = 0; text && i < MERGES; i++) {
		at = stpcpy(stpcpy(at, t->text[t->left[i]]), " ");
		at = stpcpy(stpcpy(at, t->text[t->right[i]]), "\n");
	}
	tokens_free(t);
	return text;
}

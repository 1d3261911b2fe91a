/* charsmap.h - normal forms as sentencepiece keeps them: a double-array trie of keys (Darts-clone's layout) and behind
 * it the forms. Tokenizers in Python read it from tokenizer.json, in base 64. */
#ifndef SUMI_TEXT_CHARSMAP_H
#define SUMI_TEXT_CHARSMAP_H
#include "base/error.h"
#include <stddef.h>

typedef struct char_form { /* both UTF-8; the key is not empty and holds no zero */
	const char *key, *form;
	size_t key_length, form_length;
} char_form;

/* The map in base 64. Keys are sorted by their bytes, each there once. The caller frees; NULL: no memory. */
char *charsmap_base64(const char_form *list, size_t count, error *e);

#endif

/* byte_pair.h - CLIP's byte-pair encoding of text that is clean and in lower case. */
#ifndef SUMI_TEXT_BYTE_PAIR_H
#define SUMI_TEXT_BYTE_PAIR_H
#include "text/codepoints.h"
#include "text/token_sink.h"

enum { BYTE_PAIR_START = 49406, BYTE_PAIR_END = 49407, BYTE_PAIR_TOKENS = 49408 };

typedef struct byte_pair byte_pair; /* immutable after opening */

byte_pair *byte_pair_open(error *e);
void byte_pair_close(byte_pair *b);

/* Splits the text into words as CLIP's regular expression does,
 *     start | end | 's | 't | 're | 've | 'm | 'll | 'd | letters+ | number | others+    (white space between)
 * and joins the bytes of each by the merges. `start` and `end` are how the two special tokens are written. */
bool byte_pair_encode(
    const byte_pair *b, const codepoints *text, const char *start, const char *end, token_sink *out, error *e);

/* A token's bytes, cut to `size` with their final zero; "</w>" where it ends a word. "" for what is no token. */
void byte_pair_token(const byte_pair *b, int32_t id, char *text, size_t size);

/* As the files of Hugging Face's CLIPTokenizer: vocab.json and merges.txt. The caller frees; NULL: no memory. */
char *byte_pair_vocabulary(error *e);
char *byte_pair_merges(error *e);

#endif

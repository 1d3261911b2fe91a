/* words.h - captions as the frozen text encoder's states, a batch at a time. */
#ifndef SUMI_TRAIN_WORDS_H
#define SUMI_TRAIN_WORDS_H
#include "text/tokenizer.h"
#include "train/run/learner.h"

typedef struct words words;
words *words_new(const learner *m, const tokenizer *t, int count, dtype compute, int threads, error *e);
void words_free(words *w); /* NULL is fine */
/* n captions, at most `count` → states [count, tokens, width], of which n count; owned until the next call. */
const float *words_run(words *w, const char *const *captions, int n, error *e);
int words_tokens(const words *w), words_width(const words *w);

#endif

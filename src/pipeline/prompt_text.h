/* prompt_text.h - a text as the text encoders read it: tokens in chunks, with the stress of each. */
#ifndef SUMI_PIPELINE_PROMPT_TEXT_H
#define SUMI_PIPELINE_PROMPT_TEXT_H
#include "checkpoint/model.h"

typedef struct reading { /* by one encoder */
	int chunks, length;  /* length: tokens of a chunk */
	int tokens;          /* of the text alone */
	int32_t *ids;        /* [chunks][length], owned; NULL: the encoder is not there */
	float *emphasis;     /* [chunks][length], owned; NULL: 1 everywhere */
} reading;

typedef struct prompt_text {
	char *text; /* owned */
	bool zero;  /* stands for nothing: its states are zeros, and no encoder reads it */
	int tokens; /* of the longest reading in one piece, padding left out; 0: there is none */
	reading of[TEXT_ENCODERS];
} prompt_text;

/* Reads the text for every encoder that the model has. Encoders that read chunks get equally many; one that reads a
 * text in one piece (T5) gets one, padded as far as its network goes: prompt_text_cut() brings all texts of a picture
 * to one length. t must be zeros but for `zero`. */
bool prompt_text_read(prompt_text *t, const model *m, const watcher *w, const char *text, error *e);
void prompt_text_cut(prompt_text *t, const model *m, int tokens);
void prompt_text_free(prompt_text *t);

#endif

/* text_encoder.h - a text encoder of whatever kind: its network, the tokens that it reads, and which of its states it
 * gives. A new kind is an enumerator, a configuration in the union and a case in each function of text_encoder.c. */
#ifndef SUMI_MODELS_TEXT_ENCODER_H
#define SUMI_MODELS_TEXT_ENCODER_H
#include "models/clip.h"
#include "models/t5.h"
#include "models/transformer.h"
#include "text/tokenizer.h"

typedef enum text_kind { NO_TEXT, CLIP_TEXT, TRANSFORMER_TEXT, T5_TEXT } text_kind;

enum { NO_TOKEN = -1 };

typedef struct text_config {
	text_kind kind;
	union {
		clip_config clip;
		transformer_config transformer;
		t5_config t5;
	};
	tokenizer_kind tokenizer;
	int length;              /* tokens of a chunk, begin and end included */
	int begin, end, padding; /* ids; NO_TOKEN: none is written */
	int skip;                /* CLIP blocks left out at the end */
	bool final_norm;         /* the final norm follows the state that is taken */
	bool pooled; /* it gives a vector too: the state at the end token, normed, and projected if there is a projection */
} text_config;

int text_width(const text_config *t);        /* of the states; 0: no encoder */
int text_pooled_width(const text_config *t); /* 0: it gives none */
int text_vocabulary(const text_config *t);   /* rows of the table of tokens */
int text_positions(const text_config *t);    /* the most tokens that it reads at once */
/* It reads a text whole, however long, and not in chunks of `length` tokens, which is then the least. */
bool text_in_one_piece(const text_config *t);
const char *text_table_name(const text_config *t); /* of the table of tokens, within the encoder */

typedef struct text_states {
	tensor states; /* [N,T,width] full precision */
	tensor pooled; /* [N,pooled width] full precision; 0: none */
} text_states;

/* ids I32 [N,T]; ends I32 [N]: n·T + the place of the end token, read where it pools, else 0. `skip`: blocks to leave
 * out at the end (clip skip − 1); −1: its own. */
text_states text_encode(nn *n, const text_config *t, tensor ids, tensor ends, int skip);
/* Builds everything that a file of this encoder holds, also what is never read. */
void text_build_dry(nn *n, const text_config *t);

#endif

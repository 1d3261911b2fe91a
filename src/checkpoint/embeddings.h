/* embeddings.h - words that files teach a text encoder (textual inversion): each file of a folder is a word by its
 * name, and holds the vectors that stand for it. Read are A1111's and kohya's (`emb_params`, `string_to_param`) and
 * diffusers' (the word itself as the key): the first tensor of one or two axes with as many columns as the encoder.
 * Where a model has two encoders that read chunks (SDXL, Stable Diffusion 3), `clip_l` and `clip_g`, as many vectors of
 * each.
 */
#ifndef SUMI_CHECKPOINT_EMBEDDINGS_H
#define SUMI_CHECKPOINT_EMBEDDINGS_H
#include "models/families.h"
#include "text/new_words.h"

typedef struct unusable_word {
	char *name;
	char *reason; /* "FILE: what is wrong with it" */
} unusable_word;

typedef struct embeddings {
	new_word *words;
	char **paths; /* of the files, one for each word; NULL where the words are of no files */
	int count;
	float *rows[TEXT_ENCODERS]; /* [row_count,width] of each encoder that has words; else NULL */
	int row_count, width[TEXT_ENCODERS];
	unusable_word *unusable; /* files that this model cannot use */
	int unusable_count;
} embeddings; /* {0} is empty */

/* Reads every .safetensors, .pt and .bin of the folder. Files that hold no vectors of these widths (0: the
 * encoder has no words), or more than `most` (what a prompt has room for), are kept as unusable, for a folder may serve
 * several models: the code that reads a prompt that names one must say so. So are pictures into which A1111 wrote a
 * word. */
bool embeddings_read(embeddings *y, const char *folder, const int width[TEXT_ENCODERS], int most, error *e);
void embeddings_free(embeddings *y);
/* The first from number `from` on whose name is a word of the text, and of no other file that can be used; −1: none. */
int embeddings_unusable_in(const embeddings *y, int from, const char *text);

#endif

/* embeddings.h - words that files teach a text encoder (textual inversion): each file of a folder is a word by its
 * name, and holds the vectors that stand for it. Read are A1111's and kohya's (`emb_params`, `string_to_param`) and
 * diffusers' (the word itself as the key): the first tensor of one or two axes with as many columns as the encoder. */
#ifndef SUMI_PIPELINE_EMBEDDINGS_H
#define SUMI_PIPELINE_EMBEDDINGS_H
#include "text/new_words.h"

typedef struct embeddings {
	new_word *words;
	int count;
	float *rows; /* [row_count,width] */
	int row_count, width;
} embeddings; /* {0} is empty */

/* Reads every .safetensors, .pt and .bin of the folder. Files that hold no vectors of this width are left out, and
 * `note` (may be NULL) is told of them: a folder may serve several models. */
bool embeddings_read(embeddings *y, const char *folder, int width, void (*note)(void *context, const char *line),
    void *context, error *e);
void embeddings_free(embeddings *y);

#endif

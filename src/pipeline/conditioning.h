/* conditioning.h - from prompts to what the denoiser is told: contexts, and which of them each step sees. A prompt
 * may have several branches (AND), and its words may change from step to step; equal texts are encoded once. */
#ifndef SUMI_PIPELINE_CONDITIONING_H
#define SUMI_PIPELINE_CONDITIONING_H
#include "pipeline/session.h"

enum { MOST_BRANCHES = 16 };

typedef struct chunked { /* a text as the encoder reads it */
	char *text;          /* owned */
	int chunks;
	int32_t *ids;    /* [chunks][length], owned */
	float *emphasis; /* [chunks][length], owned; NULL: 1 everywhere */
} chunked;

typedef struct conditioning {
	int branches; /* of a batch: the unconditional one first, if there is one */
	bool unconditional;
	double weights[MOST_BRANCHES]; /* of each branch; the unconditional one's is not used */
	int tokens, width;             /* of a context; 0: the denoiser reads none */
	int steps;
	int *chosen; /* [steps][branches]: the text of each */
	chunked *texts;
	int text_count;
	int length;      /* tokens of a chunk */
	float *contexts; /* [text_count][tokens][width] after conditioning_encode() */
} conditioning;

/* Reads the prompts for this many steps; what is then known: branches, tokens, width. guided: there is to be an
 * unconditional branch. c must be zeros. */
bool conditioning_read(conditioning *c, const model *m, const watcher *w, const char *prompt, const char *negative,
    bool guided, int steps, error *e);
/* The encoder, compiled for what the session does not know of the texts yet, so that its memory is known. `skip` as
 * family_encode_text() has it. NULL: there is nothing to encode, or it failed. */
stage *conditioning_network(conditioning *c, session *s, const adapter_set *a, int skip, error *e);
/* Encodes the texts, or finds what the session has kept of them. */
bool conditioning_encode(conditioning *c, session *s, const adapter_set *a, int skip, const watcher *w, error *e);
void conditioning_free(conditioning *c);

/* [tokens][width] for a step and a branch. */
const float *conditioning_context(const conditioning *c, int step, int branch);

#endif

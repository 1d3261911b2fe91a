/* conditioning.h - from prompts to what the denoiser is conditioned on: contexts and vectors, and which of them each
 * step reads. A prompt may have several branches (AND), and its words may change from step to step; equal texts are
 * encoded once. How the text encoders' states become a context and a vector is the family's rule. */
#ifndef SUMI_PIPELINE_CONDITIONING_H
#define SUMI_PIPELINE_CONDITIONING_H
#include "pipeline/text_states.h"

enum { MOST_BRANCHES = 16, MOST_SIZE_NUMBERS = 6 };

typedef struct conditioning {
	int branches; /* of a batch: the unconditional one first, if there is one */
	bool unconditional;
	double weights[MOST_BRANCHES]; /* of each branch; the unconditional one's is not used */
	int tokens, width;             /* of a context; 0: the denoiser reads none */
	int vector;                    /* width of the vector; 0: the denoiser reads none */
	int steps;
	int *chosen; /* [steps][branches]: the text of each */
	prompt_text *texts;
	int text_count;
	int chunks;       /* to which all texts are repeated, of encoders that read chunks */
	int piece;        /* tokens of an encoder that reads a text in one piece; 0: there is none */
	float *contexts;  /* [text_count][tokens][width] after conditioning_encode() */
	float *pooled;    /* [text_count][…] likewise: the vector's part that texts make */
	float *marks;     /* [text_count][tokens][words] 1 where a token is one of a word whose map is made (heard.h) */
	int words;        /* 0: there are none */
	int size_numbers; /* how many of the vector's numbers are sizes */
	/* These: of the unconditional branch, and of the others. */
	double sizes[2][MOST_SIZE_NUMBERS];
} conditioning;

typedef struct prompt_request {
	const char *positive, *negative;
	bool guided;        /* there is to be an unconditional branch */
	bool zero_negative; /* … which, where the negative prompt is empty, is zeros (diffusers' SDXL) */
	int steps;
} prompt_request;

/* Reads the prompts; what is then known: branches, tokens, width, vector. c must be zeros but for the sizes. */
bool conditioning_read(conditioning *c, const model *m, const watcher *w, const prompt_request *p, error *e);
/* Encodes the texts, or finds what the session has kept of them. skip as text_encode() has it. */
bool conditioning_encode(conditioning *c, session *s, const adapter_set *a, int skip, const watcher *w, error *e);
/* One encoder's part of it. */
bool conditioning_encode_by(
    conditioning *c, session *s, int encoder, const adapter_set *a, int skip, const watcher *w, error *e);
void conditioning_free(conditioning *c);

/* [tokens][width] for a step and a branch. */
const float *conditioning_context(const conditioning *c, int step, int branch);
/* [tokens][words] likewise; NULL: of the unconditional branch. */
const float *conditioning_marks(const conditioning *c, int step, int branch);
/* Writes SIZE_SINUSOIDS waves of each number, cosines first: [numbers][SIZE_SINUSOIDS]. */
void size_waves(const double *sizes, int numbers, float *out);
/* Writes the vector. */
void conditioning_vector(const conditioning *c, int step, int branch, float *out);

#endif

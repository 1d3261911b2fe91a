/* prompt.h - the syntax of prompts that people know from A1111's webui (modules/prompt_parser.py):
 *
 *     (x)  (x:1.3)  [x]          stressed ×1.1, ×1.3, ÷1.1; nested, they multiply; \( \) \[ \] \\ are the characters
 *     [from:to:when]             `to` takes the place of `from` after step `when`, below 1 a share of the steps;
 *     [to:when]  [from::when]    one of the two may be empty
 *     [a|b|c]                    in turn, step by step
 *     a AND b:0.5                two prompts whose predictions are added with their weights
 *     BREAK                      what follows begins a new chunk of tokens
 *     <lora:name:weights>        a LoRA file; <lyco:…> means the same
 *
 * Nothing is an error: brackets without a partner are characters. Time grows linearly with the text. */
#ifndef SUMI_TEXT_PROMPT_H
#define SUMI_TEXT_PROMPT_H
#include "base/error.h"
#include <stddef.h>

/* ── <lora:…> ── */

/* The prompt without them, which the caller frees; `each`, which may be NULL, receives each name and what stands behind
 * its colon, "" if there is none. False from `each`, or no memory: NULL. */
typedef bool prompt_lora_fn(void *context, const char *name, const char *strengths, error *e);
char *prompt_without_loras(const char *prompt, prompt_lora_fn *each, void *context, error *e);

/* ── AND ── */

typedef struct prompt_branch {
	char *text; /* owned */
	double weight;
} prompt_branch;

/* At most `most` branches; what follows the last belongs to it. One alone has no weight. How many; −1: no memory. Free
 * each text. */
int prompt_branches(const char *prompt, prompt_branch *branches, int most, error *e);

/* ── steps ── */

/* The text of one step, 1 … steps: what changes with the steps is chosen. The caller frees; NULL: no memory. */
char *prompt_at_step(const char *prompt, int step, int steps, error *e);

/* ── stress ── */

typedef struct prompt_piece {
	size_t first, length; /* in prompt_pieces.text */
	float weight;
	bool new_chunk; /* a BREAK stood before it */
} prompt_piece;

typedef struct prompt_pieces {
	char *text; /* without brackets, weights and escapes */
	prompt_piece *list;
	size_t count;
} prompt_pieces;

/* Neighbours differ in weight or are parted by a BREAK. Free with prompt_pieces_free. */
bool prompt_pieces_read(prompt_pieces *p, const char *prompt, error *e);
void prompt_pieces_free(prompt_pieces *p);

/* A text that is no prompt as one: brackets stand for themselves. The caller frees; NULL: no memory. */
char *prompt_escaped(const char *text);

#endif

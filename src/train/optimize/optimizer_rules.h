/* optimizer_rules.h - what optimizer.c and the files of its rules share. */
#ifndef SUMI_TRAIN_OPTIMIZER_RULES_H
#define SUMI_TRAIN_OPTIMIZER_RULES_H
#include "train/optimize/optimizer.h"

enum { PIECES = 4, CHUNK = 16384, QUANTIZED_BLOCK = 256, LEAST_QUANTIZED = 4096 };

/* One tensor's step, as a rule sees it. */
typedef struct update {
	const optimizer_options *options;
	shape shape;
	size_t count;
	float *weights;
	const float *gradient;
	float scale, rate;
	double step; /* 1 in the first step */
	void *const *state;
} update;

/* The pieces of a rule's state for a tensor: how many; fills name, dtype and shape. */
int adamw_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces);
int adamw_8bit_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces);
int adafactor_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces);
int sgd_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces);

void adamw_update(const update *u);
void adamw_8bit_update(const update *u);
void adafactor_update(const update *u);
void sgd_update(const update *u);

/* AdamW on n elements, moments in f32: the rule that both kinds of it apply. */
void adamw_elements(const update *u, float *weights, const float *gradient, float *average, float *square, size_t n);

static inline size_t chunks_of(size_t n) { return (n + CHUNK - 1) / CHUNK; }
static inline size_t chunk_length(size_t n, size_t chunk)
{
	return n - chunk * CHUNK < CHUNK ? n - chunk * CHUNK : CHUNK;
}

#endif

/* optimizer.h - how a gradient changes a weight. Knows arrays and no graph: one call for each tensor, in any order and
 * as soon as its gradient is complete, so that a step needs no memory for all gradients at once.
 *
 *     optimizer_begin(o);
 *     for (each tensor i) optimizer_step(o, i, weights, gradient, scale, rate);
 *
 * Results do not depend on the number of threads. Sources: AdamW, Loshchilov and Hutter, arXiv 1711.05101 (with the
 * order of operations of torch.optim.AdamW); 8-bit moments, Dettmers et al., arXiv 2110.02861; Adafactor, Shazeer and
 * Stern, arXiv 1804.04235, with the rate given from outside. */
#ifndef SUMI_TRAIN_OPTIMIZER_H
#define SUMI_TRAIN_OPTIMIZER_H
#include "graph/graph.h"

typedef enum optimizer_kind {
	ADAMW,
	ADAMW_8BIT, /* moments in 8 bits with a scale for each 256 elements; tensors under 4096 elements in f32 */
	ADAFACTOR,  /* no first moment; the second as sums of rows and columns where there are two axes */
	SGD,        /* with momentum where it is not 0; decoupled weight decay */
	OPTIMIZERS
} optimizer_kind;
const char *optimizer_name(optimizer_kind kind);                  /* "adamw", "adamw8bit", … */
bool optimizer_from_name(const char *name, optimizer_kind *kind); /* false: unknown */

typedef struct optimizer_options {
	optimizer_kind kind;
	float beta1, beta2, epsilon, weight_decay; /* 0.9, 0.999, 1e-8, 1e-2 */
	float momentum;                            /* of SGD */
	int threads;
} optimizer_options;

typedef struct optimizer optimizer;

/* State for `count` tensors of these shapes, zeros; only for those with elsewhere[i] false, where `elsewhere` is given:
 * the others are changed by another process, and optimizer_step() leaves them alone. NULL: out of memory. */
optimizer *optimizer_new(const optimizer_options *o, int count, const shape *shapes, const bool *elsewhere, error *e);
void optimizer_free(optimizer *o);
/* Bytes of state that such an optimizer would have: for the plan before the first step. */
size_t optimizer_bytes(const optimizer_options *o, int count, const shape *shapes);

void optimizer_begin(optimizer *o); /* a new step: corrections of the bias count it */
/* Changes weights by gradient·scale at learning rate `rate`; the arrays have the elements of the tensor's shape. */
void optimizer_step(optimizer *o, int index, float *weights, const float *gradient, float scale, float rate);

/* Sum of squares, in double, in an order that does not depend on `threads`. NaN or Inf where x holds one. */
double sum_of_squares(const float *x, size_t n, int threads);
/* average = decay·average + (1 − decay)·x */
void average_into(float *average, const float *x, size_t n, double decay, int threads);
/* sum += x */
void add_into(float *sum, const float *x, size_t n, int threads);

/* The state as named arrays, to be saved and restored: piece p of tensor i, p = 0, 1, … until false; data is NULL where
 * the state is elsewhere. */
typedef struct optimizer_piece {
	const char *name; /* "exp_avg", "exp_avg_sq", … */
	dtype dtype;
	shape shape;
	void *data;
} optimizer_piece;
bool optimizer_state(const optimizer *o, int index, int p, optimizer_piece *piece);
int64_t optimizer_steps(const optimizer *o);
void optimizer_set_steps(optimizer *o, int64_t steps);

#endif

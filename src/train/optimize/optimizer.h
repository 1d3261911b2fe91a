/* optimizer.h - how a gradient changes a weight: an operation for each tensor, in the graph of a step, and its state,
 * in the memory of the graph's backend.
 *
 *     tensor done = optimizer_emit(o, g, i, weight, gradient, scale, numbers);     for each tensor i
 *     optimizer_begin(o); optimizer_numbers(o, rate, values); graph_write(g, numbers, values, e); graph_run(…)
 *
 * Results do not depend on the number of threads. Sources: AdamW, Loshchilov and Hutter, arXiv 1711.05101 (with the
 * order of operations of torch.optim.AdamW); 8-bit moments, Dettmers et al., arXiv 2110.02861; Adafactor, Shazeer and
 * Stern, arXiv 1804.04235, without a first moment and with the rate given from outside: beta2 grows with the steps, the
 * update is divided by its root mean square where that is over 1, and a tensor of two axes or more is read as a matrix
 * [first axis, all others], of whose second moment only the means of rows and columns are kept. */
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
bool optimizer_from_name(const char *name, optimizer_kind *kind); /* "adamw", "adamw8bit", …; false: unknown */

typedef struct optimizer_options {
	optimizer_kind kind;
	float beta1, beta2, epsilon, weight_decay; /* 0.9, 0.999, 1e-8, 1e-2 */
	float momentum;                            /* of SGD */
} optimizer_options;

typedef struct optimizer optimizer;

/* State for `count` tensors of these shapes, zeros, on the device (NULL: the host); only for those with elsewhere[i]
 * false, where `elsewhere` is given: the others are changed by another process. NULL: failed. */
optimizer *optimizer_new(
    const optimizer_options *o, int count, const shape *shapes, const bool *elsewhere, const device *d, error *e);
void optimizer_free(optimizer *o);
/* Bytes of state that such an optimizer would have: for the plan before the first step. */
size_t optimizer_bytes(const optimizer_options *o, int count, const shape *shapes);

/* The step of tensor `index`: changes weight, a trainable parameter, by gradient·scale (F32 [1]). `numbers` is an input
 * [NUMBERS] of F64. Gives a node to be kept; 0 where the state is elsewhere, or after a failure. */
enum { NUMBERS = 8 };
tensor optimizer_emit(
    const optimizer *o, graph *g, int index, tensor weight, tensor gradient, tensor scale, tensor numbers);
void optimizer_begin(optimizer *o); /* a new step: corrections of the bias count it */
/* What the operations read in this step, at learning rate `rate`. */
void optimizer_numbers(const optimizer *o, float rate, double numbers[NUMBERS]);

/* The state as named arrays, to be saved and restored: piece p of tensor i, p = 0, 1, … until false; data is the
 * device's, and NULL where the state is elsewhere. */
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

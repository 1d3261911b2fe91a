/* stepper.h - one optimizer step: graphs for the shapes of batches, gradients that are accumulated, summed over the
 * team and clipped, and the change of the weights. */
#ifndef SUMI_TRAIN_STEPPER_H
#define SUMI_TRAIN_STEPPER_H
#include "train/optimize/optimizer.h"
#include "train/run/memory_plan.h"
#include "train/run/team.h"
#include "train/run/trainer.h"
#include <stdio.h>

typedef struct stepper stepper;

stepper *stepper_new(const task *t, const train_options *o, team *together, int threads, error *e);
void stepper_free(stepper *s);

typedef struct step_result {
	double loss;          /* mean over the step's samples, of all processes */
	double gradient_norm; /* before clipping */
	int64_t samples;      /* of this process */
} step_result;

/* Builds and compiles the step, and allocates nothing of it. */
bool stepper_plan(stepper *s, int count, int height, int width, memory_plan *p, error *e);

/* Takes gradient_accumulation_steps batches. `number` is the step's, for messages; `rate` its learning rate. */
bool stepper_step(stepper *s, data *d, int64_t number, double rate, step_result *r, error *e);
/* Fills the inputs and computes the loss and gradients of one batch without changing anything. */
bool stepper_gradients(stepper *s, const data_batch *b, double *loss, error *e);
/* The second half of a step: clips and applies the gradients there are, the sum of so many batches; r->loss is set. */
bool stepper_apply(stepper *s, int64_t number, double rate, int64_t batches, step_result *r, error *e);

/* What is trained: indices in the model's weights, in their order. */
int stepper_trained(const stepper *s, const int **indices);
optimizer *stepper_optimizer(const stepper *s);
/* Of trained weight i after stepper_gradients; false without an error: it has none. */
bool stepper_gradient(const stepper *s, int i, float *values, error *e);
/* The averages follow the weights: average = decay·average + (1 − decay)·weight. */
bool stepper_average(stepper *s, double decay, error *e);
/* Bytes: of values while running, of masters, averages and optimizer. Known after the first graph is built. */
size_t stepper_arena_bytes(const stepper *s), stepper_state_bytes(const stepper *s);
/* From now on the time of each node is kept; and the graphs that have run, as graph_dump() prints them. */
void stepper_profile(stepper *s);
void stepper_dump(const stepper *s, FILE *to);
/* What of a step a device leaves to the host: graph_fallbacks() of the first graph and of its change of the weights. */
bool stepper_fallbacks(const stepper *s, char *text, size_t room);
/* The process that keeps the optimizer's state of each trained weight; NULL: each keeps all. */
const int *stepper_holders(const stepper *s);
/* What follows belongs to step `number` (from 0); stepper_step() does this itself. */
void stepper_seek(stepper *s, int64_t number);
/* Builds the graph for a shape now, so that what does not fit is found before the first step. */
bool stepper_prepare(stepper *s, int count, int height, int width, error *e);

#endif

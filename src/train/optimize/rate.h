/* rate.h - the learning rate from step to step. */
#ifndef SUMI_TRAIN_RATE_H
#define SUMI_TRAIN_RATE_H
#include <stdint.h>
#include <stdbool.h>

typedef struct rate_schedule {
	enum { RATE_CONSTANT, RATE_LINEAR, RATE_COSINE } kind;
	double highest;
	int64_t warmup, steps; /* it reaches 0 at `steps`, unless constant */
} rate_schedule;

bool rate_kind_from_name(const char *name, rate_schedule *r); /* "constant", "linear", "cosine" */
/* Of step 0, 1, …: as diffusers' get_scheduler gives it; step 0 of a warm-up has rate 0. */
double rate_of_step(const rate_schedule *r, int64_t step);
/* CompVis LitEma's warm-up: of the update `n` = 1, 2, … the decay is min(decay, (1 + n)/(10 + n)). */
double average_decay(double decay, int64_t n);

#endif

/* rate.c - learning rates with warm-up, and the decay of weight averages. */
#include "train/optimize/rate.h"
#include <math.h>
#include <string.h>

bool rate_kind_from_name(const char *name, rate_schedule *r)
{
	static const char *const names[] = { "constant", "linear", "cosine" };
	for (int i = 0; i < 3; i++)
		if (!strcmp(name, names[i])) {
			r->kind = i;
			return true;
		}
	return false;
}

double rate_of_step(const rate_schedule *r, int64_t step)
{
	if (step < r->warmup) return r->highest * (double)step / (double)r->warmup;
	if (r->kind == RATE_CONSTANT) return r->highest;
	int64_t length = r->steps > r->warmup ? r->steps - r->warmup : 1;
	double done = fmin(1, (double)(step - r->warmup) / (double)length);
	if (r->kind == RATE_LINEAR) return r->highest * (1 - done);
	return r->highest * 0.5 * (1 + cos(3.141592653589793 * done));
}

double average_decay(double decay, int64_t n) { return fmin(decay, (1 + (double)n) / (10 + (double)n)); }

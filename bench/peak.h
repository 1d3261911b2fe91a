/* peak.h - what this machine can multiply and add at most: a loop of fused multiply-adds that stays in registers. */
#ifndef SUMI_BENCH_PEAK_H
#define SUMI_BENCH_PEAK_H
#include "tensor/dtype.h"

/* Seconds; of the wall, or of the processor divided by the threads: what else runs on the machine costs less of that.
 */
typedef struct watch {
	bool processor;
	int threads;
} watch;
double seconds(const watch *w);

/* The best of some short bursts of all threads at once, in FLOP/s; 0 where this CPU has no instruction that multiplies
 * this type (F32 or BF16). */
double peak(dtype d, const watch *w);

#endif

/* threads.h - work shared among threads, for every loop of Sumi that is long enough.
 *
 * One pool serves the whole process. Its threads are made when they are first wanted, are never more than the CPUs, or
 * the largest `threads` of a call, less one, for a caller works too, and wait between loops: spinning shortly, then
 * asleep. A loop takes those that are idle: sessions in several threads share the pool, and a caller that finds none
 * idle computes alone. A caller never waits for a thread that has not begun: so a loop ends, if late, where no thread
 * can be made, where another process has the CPUs, in a loop within a loop, and in a child that was forked while no
 * loop ran. */
#ifndef SUMI_BASE_THREADS_H
#define SUMI_BASE_THREADS_H
#include <stdbool.h>
#include <stddef.h>

/* Does tasks first … end−1. False: could not; the parts that have not begun are left out. worker: 0 … threads−1, of no
 * other part that runs at the same time, to choose scratch by; what is computed may not depend on it. */
typedef bool part_fn(const void *context, size_t first, size_t end, int worker);

/* Tasks 0 … count−1, each once, in parts of `grain` (≥ 1; the last may be shorter) that threads take as they come: a
 * part's bounds depend on neither the threads nor the time. On return all is done and visible. False: a part said so.
 */
bool parallel_for(int threads, size_t count, size_t grain, part_fn *part, const void *context);

/* The grain for tasks that cost `each` (in any unit; 1 at least) where a part should cost `part`. */
size_t grain_for(size_t each, size_t part);

#endif

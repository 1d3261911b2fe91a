/* memory.h - large blocks that are walked from end to end: values of a graph, weights, moments. */
#ifndef SUMI_BASE_MEMORY_H
#define SUMI_BASE_MEMORY_H
#include <stddef.h>

/* Aligned to 64 bytes; from 32 MiB on to 2 MiB, in huge pages where the system has them: then a step of training spends
 * no time on faults and look-ups of a million small ones. Contents undefined. Freed with free(). NULL: none is left. */
void *memory_new(size_t bytes);

#endif

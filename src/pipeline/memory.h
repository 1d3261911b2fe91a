/* memory.h - what the system has to give, and what this process has taken. Bytes; mapped files are never counted. */
#ifndef SUMI_PIPELINE_MEMORY_H
#define SUMI_PIPELINE_MEMORY_H
#include <stdint.h>

/* What could be allocated without swapping: MemAvailable, or what a control group leaves where that is less.
 * UINT64_MAX where the system does not say. */
uint64_t memory_available(void);
/* Anonymous resident memory of this process now; 0 where the system does not say. */
uint64_t memory_resident(void);

#endif

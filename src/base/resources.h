/* resources.h - what this process may use of the machine: memory and CPUs, as the system and the control groups (cgroup
 * versions 1 and 2) that the process is in allow. A group's limits bind all groups within it, so the tightest of a
 * group and its ancestors counts. */
#ifndef SUMI_BASE_RESOURCES_H
#define SUMI_BASE_RESOURCES_H
#include <stdint.h>

/* Bytes that could be allocated without swapping: MemAvailable, or what a control group leaves where that is less (page
 * cache that it could drop counts as free). UINT64_MAX where the system does not say. */
uint64_t memory_available(void);
/* Bytes of anonymous resident memory of this process now; 0 where the system does not say. Mapped files do not count.
 */
uint64_t memory_resident(void);
/* CPUs that this process may run on, at most as many as its groups' quota pays for, rounded up; at least 1. */
int usable_cpus(void);

/* The same with another folder in place of / for /proc and /sys; for tests. root: no slash at its end. */
uint64_t memory_available_under(const char *root);
int cpu_quota_under(const char *root); /* CPUs that the groups' quota pays for, rounded up; INT_MAX: no quota */

#endif

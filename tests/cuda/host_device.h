/* host_device.h - the recording device: a GPU whose memory is the host's and whose kernels run over the shim, and the
 * books that it keeps. For one thread at a time. */
#ifndef SUMI_TESTS_CUDA_HOST_DEVICE_H
#define SUMI_TESTS_CUDA_HOST_DEVICE_H
#include "backend/cuda/gpu.h"

gpu *host_device_gpu(void); /* is the context of the next */
const device *host_device(void);

typedef struct host_gpu_books {
	int allocated, freed, alive; /* buffers */
	int recordings, replays;
	long launches, products, uploads, downloads; /* done, by replays too */
	int faults; /* uses of memory that is not the device's, second frees, what may not be in a recording */
} host_gpu_books;
#define FOR_TESTS __attribute__((visibility("default"))) /* found in host_driver by name */
FOR_TESTS host_gpu_books host_gpu_read_books(void);

FOR_TESTS void host_gpu_set_memory(
    uint64_t bytes);                   /* how much it has in all; UINT64_MAX, what it begins with: as the host gives */
void host_gpu_fault(const char *what); /* to the books: something else that is wrong */
bool host_gpu_owns(const void *p, size_t bytes); /* in one living buffer */
int host_device_ordinal(void); /* of host_driver.c: which of its GPUs the process has opened, −1: none */

#endif

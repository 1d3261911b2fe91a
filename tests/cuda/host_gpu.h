/* host_gpu.h - the CUDA backend on the host: its rows and kernels over the shim, and a device that keeps books. */
#ifndef SUMI_TESTS_CUDA_HOST_GPU_H
#define SUMI_TESTS_CUDA_HOST_GPU_H
#include "graph/graph.h"

const backend *backend_host_gpu(void);

typedef struct host_gpu_books {
	int allocated, freed, alive; /* buffers */
	int recordings, replays;
	int faults; /* uses of memory that is not the device's, second frees, what may not be in a recording */
} host_gpu_books;
host_gpu_books host_gpu_read_books(void);

void host_gpu_set_memory(
    uint64_t bytes); /* how much it has in all; UINT64_MAX, what it begins with: as the host gives */

#endif

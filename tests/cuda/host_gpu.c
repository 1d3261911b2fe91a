/* host_gpu.c - the CUDA backend on the host: its rows on the recording device. */
#include "host_gpu.h"
#include "backend/backend.h"
#include "backend/cuda/cuda.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static kernel rows[MOST_CUDA_ROWS];
static backend host = { .name = "cuda", .rows = rows, .fuses_casts = true };

static void make(void)
{
	const char *faulty = getenv("CUDA_FAULT"); /* kernels that take the place of those of the same name */
	if (faulty && !dlopen(faulty, RTLD_NOW)) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	host.device = host_device();
	host.count = cuda_rows(host_device_gpu(), rows);
	host.fallback = backend_reference();
}

const backend *backend_host_gpu(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make);
	return &host;
}

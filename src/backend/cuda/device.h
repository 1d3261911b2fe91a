/* device.h - what the files of this backend share of the driver. */
#ifndef SUMI_BACKEND_CUDA_DEVICE_H
#define SUMI_BACKEND_CUDA_DEVICE_H
#include "backend/cuda/gpu.h"
#include "backend/cuda/libraries.h"

typedef struct cuda_stream { /* on which all work of one GPU is done */
	CUcontext context;
	CUstream stream;
} cuda_stream;

/* Between the two, this thread alone gives the GPU work, and what a library is asked means this GPU. They nest. */
void gpu_enter(gpu *g);
void gpu_leave(gpu *g);

/* Whether the driver's status is success; what: "a copy", "starting it" */
bool driver_ok(int status, error *e, const char *what);

#endif

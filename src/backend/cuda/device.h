/* device.h - what the files of this backend share of the driver. */
#ifndef SUMI_BACKEND_CUDA_DEVICE_H
#define SUMI_BACKEND_CUDA_DEVICE_H
#include "backend/cuda/gpu.h"
#include "backend/cuda/libraries.h"

typedef struct cuda_stream { /* on which all work of one GPU is done */
	CUcontext context;
	CUstream stream;
} cuda_stream;

/* A line about what was not found and what that costs the GPU of this name; false: nothing is missing. */
bool cuda_doubt(const cuda_libraries *l, const char *name, char *text, size_t room);

/* Whether the driver's status is success; what: "a copy", "starting it" */
bool driver_ok(int status, error *e, const char *what);

#endif

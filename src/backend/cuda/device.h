/* device.h - what the files of this backend share of the driver. */
#ifndef SUMI_BACKEND_CUDA_DEVICE_H
#define SUMI_BACKEND_CUDA_DEVICE_H
#include "backend/cuda/gpu.h"
#include "backend/cuda/libraries.h"

typedef struct cuda_stream { /* on which all work of one GPU is done */
	CUcontext context;
	CUstream stream;
} cuda_stream;

/* Whether the driver's status is success; what: "a copy", "starting it" */
bool driver_ok(int status, error *e, const char *what);

#endif
